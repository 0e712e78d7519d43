"""The fingerprint names what decides frames, and only that."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from storybench.cli.config import RunConfig
from storybench.data.toonsv.dataset import ToonSV
from storybench.errors import ConfigError
from storybench.records.fingerprint import FIELDS_IN, FIELDS_OUT, canonical_json, data_hash, fingerprint

BASE = {
    "dataset": "toonsv",
    "data_hash": "d",
    "subset": "test",
    "text": "referential",
    "model": {
        "name": "m",
        "version": "1",
        "weights": {"unet.safetensors": "ab"},
        "sampler": {"steps": 12, "guidance": 2.5},
    },
    "seed": 0,
}


def test_every_key_of_a_run_is_classified():
    """A new key must be put in or out on purpose: forgetting it would reuse frames of another setting."""
    names = {f.name for f in fields(RunConfig)}
    assert names == FIELDS_IN | FIELDS_OUT
    assert not FIELDS_IN & FIELDS_OUT


def test_value_is_pinned():
    """A changed value orphans every run folder: raise FINGERPRINT_VERSION on purpose, then this."""
    assert fingerprint(**BASE) == "db5fadc72cc6742b"


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "other"},
        {"data_hash": "e"},
        {"subset": "mini"},
        {"text": "explicit"},
        {"seed": 1},
        {"model": {**BASE["model"], "weights": {"unet.safetensors": "ac"}}},
        {"model": {**BASE["model"], "sampler": {"steps": 13, "guidance": 2.5}}},
        {"model": {**BASE["model"], "version": "2"}},
    ],
)
def test_whatever_decides_a_frame_changes_it(change):
    assert fingerprint(**{**BASE, **change}) != fingerprint(**BASE)


def test_order_of_keys_does_not():
    shuffled = dict(reversed(BASE["model"].items()))
    assert fingerprint(**{**BASE, "model": shuffled}) == fingerprint(**BASE)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x", object()])
def test_what_json_cannot_state_is_refused(value):
    with pytest.raises(ConfigError, match=r"identity\.sampler\.x"):
        canonical_json({"sampler": {"x": value}})


def test_data_hash_follows_text_labels_length_and_order_not_pixels():
    stories = list(ToonSV("mini", size=3))
    base = data_hash(stories, "referential")
    assert base == data_hash(list(ToonSV("mini", size=3)), "referential")
    frame = stories[0].frames[0]
    for changed in (
        replace(frame, characters=("Nobody",)),
        replace(frame, setting="moon"),
        replace(frame, captions={**frame.captions, "referential": replace(frame.captions["referential"], text="!")}),
    ):
        other = replace(stories[0], frames=(changed, *stories[0].frames[1:]))
        assert data_hash([other, *stories[1:]], "referential") != base
    assert data_hash(stories[:2], "referential") != base
    assert data_hash(stories, "explicit") != base
    unseen = replace(stories[0], frames=(replace(frame, load=None), *stories[0].frames[1:]))
    assert data_hash([unseen, *stories[1:]], "referential") == base
