"""Records: written whole, read back, described by their schema."""

from __future__ import annotations

import json

import jsonschema
import pytest

from storybench.errors import DataError, did_you_mean
from storybench.records.environment import environment
from storybench.records.record import SCHEMA_VERSION, Coverage, DatasetInfo, ModelInfo, RunRecord, json_schema
from storybench.records.score import Score
from storybench.records.store import find_record, load_record, save_record


@pytest.fixture(scope="module")
def record() -> RunRecord:
    score = Score(value=0.5, low=0.4, high=0.6, n=10, higher_is_better=True, protocol="p/v1")
    absent = Score(value=None, n=0, higher_is_better=True, protocol="q/v1", reason="no mention")
    return RunRecord(
        fingerprint="0123456789abcdef", fingerprint_version=1, benchmark_version="0.1.0", status="success",
        model=ModelInfo(name="m", weights={"a": "b"}, sampler={"steps": 12}),
        dataset=DatasetInfo(name="toonsv", hash="h", stories=2, frames=10), split="mini", text="referential", seed=0,
        scores={"char_f1": score, "antecedent_acc": absent}, coverage=Coverage(expected=10, ok=10, fraction=1.0),
        seconds_per_frame=0.1, batch_size=8, environment=environment("cpu"), command="storybench run", started="now",
    )  # fmt: skip


def test_record_reads_back_equal(record, tmp_path):
    save_record(record, tmp_path)
    assert load_record(tmp_path) == record
    assert load_record(tmp_path / "record.json") == record
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_record_fits_its_exported_schema(record):
    schema = json_schema()
    jsonschema.validate(json.loads(record.model_dump_json()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**json.loads(record.model_dump_json()), "surprise": 1}, schema)


def test_score_fields_are_the_contract(record):
    score = json.loads(record.model_dump_json())["scores"]["char_f1"]
    assert {"value", "low", "high", "n", "higher_is_better", "protocol"} <= set(score)


def test_newer_schema_is_refused(record, tmp_path):
    content = {**json.loads(record.model_dump_json()), "schema_version": SCHEMA_VERSION + 1}
    (tmp_path / "record.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="newer than"):
        load_record(tmp_path)


def test_no_record_yet_is_none_and_asking_for_one_says_how_to_make_it(tmp_path):
    assert find_record(tmp_path) is None
    with pytest.raises(DataError, match="Make one with: storybench run"):
        load_record(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("storygpt", "Did you mean: storygptv? "), ("STORYGPTV", "Did you mean: storygptv? "), ("zzz", ""), ("", "")],
)
def test_suggestions_are_close_names(name, expected):
    assert did_you_mean(name, ["storygptv", "char_ldm"]) == f"{expected}Available: char_ldm, storygptv."
