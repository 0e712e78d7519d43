"""Gates: what is shipped, what a file of one's own may say, and what is refused in one sentence."""

from __future__ import annotations

import pytest

from storybench.errors import ConfigError
from storybench.metrics.catalogue import METRICS
from storybench.regression.gate import gate_names, load_gate


@pytest.mark.parametrize("name", gate_names())
def test_shipped_gates_name_metrics_that_exist(name):
    gate = load_gate(name)
    assert set(gate.metrics) <= set(METRICS)
    assert gate.about
    assert any(metric.required for metric in gate.metrics.values())


def test_shipped_gates_share_the_margins_of_the_default():
    default = load_gate("default")
    for name in ("strict", "speed"):
        assert load_gate(name).metrics == default.metrics
    assert load_gate("strict").on_unclear == "fail"
    assert load_gate("speed").seconds_per_frame == 0.2
    assert default.seconds_per_frame is None


def test_level_is_shared_among_the_metrics_compared():
    gate = load_gate("default")
    assert gate.level_each(5) == pytest.approx(0.99)
    assert gate.level_each(1) == pytest.approx(0.95)
    assert gate.level_each(0) == pytest.approx(0.95)


def test_a_file_of_ones_own_is_a_gate(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("level: 0.1\nmetrics:\n  cider: {margin: 0.2, required: false}\n")
    gate = load_gate(str(path))
    assert (gate.name, gate.level, gate.metrics["cider"].margin) == ("mine", 0.1, 0.2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metrics: {char_acc: {margin: -1}}", "metrics.char_acc.margin"),
        ("metrics: {char_acc: {margin: .nan}}", "metrics.char_acc.margin"),
        ("metrics: {char_acc: {margn: 0.1}}", "Did you mean: margin?"),
        ("metrics: {char_acc: {margin: '${oc.env:HOME}'}}", "metrics.char_acc.margin"),
        ("metrics: {}", "metrics"),
        ("levle: 0.05\nmetrics: {char_acc: {margin: 0.1}}", "Did you mean: level"),
        ("level: 2\nmetrics: {char_acc: {margin: 0.1}}", "level"),
        ("on_unclear: maybe\nmetrics: {char_acc: {margin: 0.1}}", "on_unclear"),
        ("- 1\n- 2", "expected keys"),
        ("a: [1", "no YAML"),
    ],
)
def test_what_is_no_gate_is_said_in_one_sentence(tmp_path, text, said):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_gate(str(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_gate_and_missing_file_name_what_there_is():
    with pytest.raises(ConfigError, match="Did you mean: default"):
        load_gate("defualt")
    with pytest.raises(ConfigError, match=r"No gate at 'nowhere\.yaml'"):
        load_gate("nowhere.yaml")
