"""A manifest is closed, bounded and plain: what is unknown, hidden, doubled or endless in it is refused."""

from __future__ import annotations

import io
import json
import time

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from submission_archives import Part, few_stories, manifest, mirrored_frames, parts_of, zipped

from storybench.submission.checking import check_archive
from storybench.submission.manifest import MAX_BYTES, Manifest, json_schema, read_manifest
from storybench.submission.report import Findings

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)> [a](javascript:alert(1))"


def checked(data: bytes, expected, frames):
    parts = [Part(b"manifest.json", data), *parts_of(expected, frames)[1:]]
    return check_archive(io.BytesIO(zipped(parts)), expected=expected)


def kinds(data: bytes, expected, frames) -> set[str]:
    return {p.kind for p in checked(data, expected, frames).errors}


def test_a_manifest_fits_its_published_schema(expected, frames):
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(manifest(expected, frames), json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**manifest(expected, frames), "extra": 1}, json_schema())


def test_a_manifest_written_and_read_is_the_same(expected, frames):
    made = Manifest.model_validate(manifest(expected, frames))
    findings = Findings()
    assert read_manifest(made.to_bytes(), findings) == made
    assert not findings.problems()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b'{"a": ' + b"9" * 5_000 + b"}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 30 + b"1" + b"}" * 30,
    ],
    ids=lambda t: repr(t[:12]),
)
def test_what_is_no_plain_json_object_is_refused(text, expected, frames):
    assert "manifest-json" in kinds(text, expected, frames)


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"schema_version": 0},
        {"schema_version": 2},
        {"schema_version": "1; DROP TABLE"},
        {"benchmark": "../../etc"},
        {"text": "a b"},
        {"data_hash": "abc"},
        {"frames": {}, "created": "yesterday"},
        {"frames": {"../x": [{"file": "frames/x/0.png", "sha256": "0" * 64}]}},
        {"frames": {"x": [{"file": "../0.png", "sha256": "0" * 64}]}},
        {"frames": {"x": [{"file": "frames/x/0.svg", "sha256": "0" * 64}]}},
        {"frames": {"x": [{"file": "frames/x/0.png", "sha256": "0" * 64, "mode": 7}]}},
        {"frames": {"x": []}},
        {"seconds_per_frame": -1},
        {"record": {"schema_version": 99}},
        {"record": {"schema_version": 1, "scores": 3}},
        {"record": "__import__('os')"},
        {"card": {}},
    ],
    ids=lambda c: json.dumps(c)[:40],
)
def test_what_the_schema_does_not_know_is_refused(change, expected, frames):
    content = json.dumps(manifest(expected, frames, **change)).encode()
    assert "manifest-schema" in kinds(content, expected, frames)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../up"},
        {"name": "Has Space"},
        {"links": {"paper": "javascript:alert(1)"}},
        {"links": {"paper": "http://example.org"}},
        {"links": {"<b>": "https://example.org"}},
        {"links": {"paper": 'https://e.org/"><script>'}},
        {"title": "x" * 201},
        {"authors": []},
        {"parameters": -1},
        {"description": "x" * 5_000},
        {"style": "color: red"},
    ],
    ids=lambda c: json.dumps(c)[:40],
)
def test_a_card_that_breaks_its_form_is_refused(change, expected, frames):
    content = manifest(expected, frames)
    content["card"] |= change
    assert "manifest-schema" in kinds(json.dumps(content).encode(), expected, frames)


@pytest.mark.parametrize(
    "text",
    ["a\u202eb", "a\u2066b", "a\u200bb", "a\ufeffb", "a\x07b", "a\x1b[31mb", "a\x00b", "a\ud800b", "a\U000e0041b"],
    ids=ascii,
)
@pytest.mark.parametrize("key", ["description", "title", "training_data", "command"])
def test_text_that_hides_something_is_refused(text, key, expected, frames):
    content = manifest(expected, frames)
    content["card"][key] = text
    findings = Findings()
    assert read_manifest(json.dumps(content).encode(), findings) is None
    assert {p.kind for p in findings.problems()} & {"manifest-text", "manifest-json"}


def test_text_of_other_scripts_is_kept(expected, frames):
    content = manifest(expected, frames)
    names = ["Zoë Müller", "李明", "محمد", "Ольга", "नमस्ते", "👩\u200d🔬"]
    content["card"]["authors"] = names
    report = checked(json.dumps(content).encode(), expected, frames)
    assert report.ok
    assert report.manifest.card.authors == names


def test_markup_in_a_card_is_kept_as_the_text_it_is(expected, frames):
    content = manifest(expected, frames)
    content["card"] |= {"description": SCRIPT, "authors": [SCRIPT], "title": SCRIPT}
    report = checked(json.dumps(content).encode(), expected, frames)
    assert report.ok
    assert report.manifest.card.description == SCRIPT


def test_a_manifest_of_endless_length_is_not_read(expected, frames):
    assert "entry-size" in kinds(b" " * (MAX_BYTES + 1), expected, frames)


def test_an_archive_without_a_manifest_is_refused(expected, frames):
    report = check_archive(io.BytesIO(zipped(parts_of(expected, frames)[1:])), expected=expected)
    assert "no-manifest" in {p.kind for p in report.errors}
    assert report.manifest is None


def test_the_manifest_comes_first(expected, frames):
    parts = parts_of(expected, frames)
    report = check_archive(io.BytesIO(zipped([*parts[1:], parts[0]])), expected=expected)
    assert {p.kind for p in report.errors} == {"order"}


_EXPECTED, _FRAMES = few_stories(1), mirrored_frames(1)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = sorted(manifest(_EXPECTED, _FRAMES)) + [f"card.{k}" for k in manifest(_EXPECTED, _FRAMES)["card"]]


@settings(max_examples=150, deadline=None)
@given(key=st.sampled_from(KEYS), value=values)
def test_any_value_under_any_key_is_read_or_refused_with_a_reason(key, value):
    content = manifest(_EXPECTED, _FRAMES)
    inner = content["card"] if key.startswith("card.") else content
    inner[key.removeprefix("card.")] = value
    findings, started = Findings(), time.perf_counter()
    read = read_manifest(json.dumps(content).encode(), findings)
    assert (read is None) == findings.has_errors
    assert time.perf_counter() - started < 1


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_refused_with_a_reason(data):
    findings = Findings()
    assert read_manifest(data, findings) is None
    assert findings.has_errors
