"""Damaged or foreign weights end in one sentence."""

from __future__ import annotations

import json
import shutil

import pytest

from storybench.errors import AssetError
from storybench.perception.assets import WEIGHTS_ROOT, load_perceiver


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


def test_no_folder_says_how_to_train(tmp_path):
    with pytest.raises(AssetError, match="storybench train"):
        load_perceiver(folder=tmp_path / "none")


def test_shipped_files_stay_small():
    assert sum(f.stat().st_size for f in (WEIGHTS_ROOT / "toonsv_perceiver").iterdir()) <= 3_000_000
