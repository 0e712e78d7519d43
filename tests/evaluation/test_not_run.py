"""A data set that no evaluator reads: scores without values, each with its reason."""

from dataclasses import replace

import pytest

from storybench.data.toonsv.dataset import ToonSV
from storybench.evaluation import METRICS, TrueFrames, evaluate
from storybench.metrics.catalogue import EVERY


def test_missing_is_not_zero():
    stories = [replace(story, dataset="elsewhere") for story in ToonSV("mini", size=2)]
    found = evaluate(stories, TrueFrames(stories))
    assert list(found.scores) == list(METRICS)
    assert all(score.value is None and score.reason for score in found.scores.values())
    assert all("elsewhere" in found.scores[kind.name].reason for kind in EVERY if kind.group != "peers")
    assert not found.scores["frechet"].higher_is_better
    assert len(found.frames) == 10


@pytest.mark.parametrize("dataset", ["flintstones", "pororo"])
def test_untrained_classifiers_are_named_with_the_command_that_trains_them(dataset, monkeypatch, tmp_path):
    monkeypatch.setenv("STORYBENCH_ASSETS", str(tmp_path))
    stories = [replace(story, dataset=dataset) for story in ToonSV("mini", size=2)]
    found = evaluate(stories, TrueFrames(stories), metrics=["char_acc", "setting_acc_published", "identity_auc"])
    assert all(score.value is None for score in found.scores.values())
    assert "storybench train model=classifier" in found.scores["char_acc"].reason
    assert "model=classifier" in found.scores["identity_auc"].reason  # figures are told apart by its features
    assert str(tmp_path) not in "".join(score.reason for score in found.scores.values())
