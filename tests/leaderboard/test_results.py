"""The README says what the records say."""

from pathlib import Path

from leaderboard.tables import load_results, metrics_about, refreshed
from storybench.metrics.catalogue import METRICS

README = Path(__file__).parents[2] / "README.md"
METRICS_PAGE = README.parent / "docs" / "metrics.md"


def test_the_table_in_the_readme_comes_from_the_records():
    records = load_results("toonsv-v1")
    assert {r.model.name for r in records} == {"ground_truth", "storygptv", "char_ldm", "shuffled"}
    assert refreshed(README.read_text()) == README.read_text()


def test_the_table_of_metrics_comes_from_the_records():
    assert refreshed(METRICS_PAGE.read_text()) == METRICS_PAGE.read_text()
    assert set(metrics_about()) == set(METRICS)


def test_every_row_is_complete_and_says_what_drew_it():
    for record in load_results("toonsv-v1"):
        assert record.status == "success"
        assert record.coverage.fraction == 1.0
        assert record.dataset.stories == 500
        assert record.split == "test"
        assert record.model.oracle or record.model.weights
        assert all(s.reason for s in record.scores.values() if s.value is None)


def test_rows_stand_from_ceiling_to_floor():
    names = [r.model.name for r in load_results("toonsv-v1")]
    assert names[0] == "ground_truth"
    assert names[-1] == "shuffled"


def test_shipped_weights_are_those_that_were_measured():
    import json

    from storygptv.weights import MANIFEST, SHIPPED

    files = json.loads((SHIPPED / MANIFEST).read_text())["files"]
    for record in load_results("toonsv-v1"):
        for name, digest in record.model.weights.items():
            assert files[name]["sha256"] == digest
