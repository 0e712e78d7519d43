"""Damaged or foreign weights end in one sentence."""

from __future__ import annotations

import json
import shutil

import pytest

from storybench.errors import AssetError
from storybench.perception.assets import WEIGHTS_ROOT, load_perceiver
from storybench.perception.captioning.toon import load_captioner
from storybench.perception.classifiers.network import read_classifier
from storybench.perception.detectors.boxes import load_detector
from storybench.perception.figures.loading import load_network

READERS = {
    "perceiver": lambda folder: load_perceiver(folder=folder),
    "figures": lambda folder: load_network(folder=folder),
    "captioner": load_captioner,
    "classifier": read_classifier,
    "detector": load_detector,
}


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "toonsv_perceiver"
    shutil.copytree(WEIGHTS_ROOT / "toonsv_perceiver", folder)
    return folder


def test_an_intact_copy_loads(copy):
    assert load_perceiver(folder=copy).id == "toonsv-perceiver-v1"


@pytest.mark.parametrize("file", ["weights.safetensors", "reference.safetensors"])
def test_one_changed_byte_is_refused(copy, file):
    data = bytearray((copy / file).read_bytes())
    data[-1] ^= 1
    (copy / file).write_bytes(data)
    with pytest.raises(AssetError, match=f"{file}' has SHA-256"):
        load_perceiver(folder=copy)


def test_a_missing_file_is_named(copy):
    (copy / "weights.safetensors").unlink()
    with pytest.raises(AssetError, match=r"weights.safetensors' is missing"):
        load_perceiver(folder=copy)


def test_a_newer_manifest_is_refused(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "schema": 99}))
    with pytest.raises(AssetError, match="schema 99"):
        load_perceiver(folder=copy)


@pytest.mark.parametrize("model", READERS)
def test_no_folder_says_how_to_train_this_very_network(model, tmp_path):
    with pytest.raises(AssetError, match=f"storybench train model={model}"):
        READERS[model](tmp_path / "none")


@pytest.mark.parametrize("model", READERS)
@pytest.mark.parametrize(
    "manifest",
    [[], {"schema": 1}, {"schema": 1, "id": "net", "files": {}}, {"schema": 1, "id": "net", "files": []}],
    ids=["a list", "no entries", "no network", "files without hashes"],
)
def test_a_manifest_of_something_else_ends_in_one_sentence(model, manifest, tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(AssetError, match=r"manifest\.json'"):
        READERS[model](tmp_path)


def test_a_file_without_a_stated_hash_is_not_read(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["files"]["weights.safetensors"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(AssetError, match=r"states no SHA-256 of weights\.safetensors"):
        load_perceiver(folder=copy)


def test_shipped_files_stay_small():
    assert sum(f.stat().st_size for f in (WEIGHTS_ROOT / "toonsv_perceiver").iterdir()) <= 3_000_000
