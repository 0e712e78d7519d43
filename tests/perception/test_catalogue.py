"""Every network has one entry that says what it is, and nothing is used that is not what the entry says."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from storybench.doctor import caches
from storybench.errors import AssetError, ConfigError
from storybench.perception import catalogue, hashing
from storybench.perception.assets import WEIGHTS_ROOT
from storybench.perception.catalogue import Asset, AssetFile, all_assets, asset, checked_hashes, locate, status
from storybench.perception.hashing import RECORD

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("STORYBENCH_ASSETS", str(tmp_path / "assets"))
    return tmp_path / "assets"


@pytest.fixture
def entry(monkeypatch):
    """Puts an entry of a test's own into the catalogue."""

    def put(*files, kind="fetched"):
        made = Asset("net", "a network", kind, "MIT", "here", ("char_acc",), "curl -o {folder}/a.bin URL", tuple(files))
        monkeypatch.setattr(catalogue, "all_assets", lambda: (made,))
        return made

    return put


def write(root, name="a.bin", content=CONTENT):
    path = root / "net" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def touch(path, content):
    """Write other bytes of the same length at another time."""
    about = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + 1_000_000))


def test_every_entry_is_complete_and_no_two_share_a_name():
    ids = [each.id for each in all_assets()]
    assert len(set(ids)) == len(ids)
    for each in all_assets():
        assert each.what, each.id
        assert each.licence, each.id
        assert each.published, each.id
        assert each.used_by, each.id
        assert bool(each.files) == (each.kind == "fetched"), each.id
        assert "{folder}" in each.command or each.command.startswith("storybench train model="), each.id
        assert "{" not in each.fetch, each.id
        for file in each.files:
            assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{8}([0-9a-f]{56})?", file.sha256), each.id


def test_known_hashes_are_those_of_the_specification():
    (inception,) = asset("inception-2015-12-05").files
    assert inception.sha256 == "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
    (legacy,) = asset("pt_inception-2015-12-05-6726825d").files
    assert legacy.sha256.startswith("6726825d")  # its name states them
    (alexnet,) = asset("lpips-alex").files
    assert alexnet.sha256 == "7be5be79"


def test_the_shipped_perceiver_is_found_in_the_package_whatever_the_users_folder_is(root):
    assert locate("toonsv_perceiver") == WEIGHTS_ROOT / "toonsv_perceiver"
    assert not (WEIGHTS_ROOT / "toonsv_perceiver" / RECORD).exists()  # nothing is written into the package


def test_missing_is_one_sentence_with_the_licence_and_the_command(root):
    with pytest.raises(AssetError) as error:
        locate("dinov2-vitl14")
    text = str(error.value)
    assert "\n" not in text
    for part in ("dinov2-vitl14", "Apache-2.0", str(root), "hf download facebook/dinov2-large"):
        assert part in text
    assert status("dinov2-vitl14").state == "missing"


def test_unknown_names_are_guessed():
    with pytest.raises(ConfigError, match="Did you mean: dinov2-vitl14"):
        locate("dinov2-vitl")


def test_one_file_is_located_itself_and_several_by_their_folder(root, entry):
    entry(AssetFile("a.bin", SHA256, len(CONTENT)))
    path = write(root)
    assert locate("net") == path
    entry(AssetFile("a.bin", SHA256, None), AssetFile("b.bin", None, None))
    write(root, "b.bin")
    assert locate("net") == path.parent
    assert checked_hashes("net") == {"a.bin": SHA256, "b.bin": SHA256}


@pytest.mark.parametrize("digits", [8, 64])
def test_a_wrong_hash_is_corrupt_also_if_only_its_first_digits_are_known(root, entry, digits):
    entry(AssetFile("a.bin", SHA256[:digits], None))
    path = write(root)
    assert status("net").state == "present"
    touch(path, CONTENT[::-1])
    found = status("net")
    assert (found.state, SHA256[:8] in found.detail) == ("corrupt", True)
    with pytest.raises(AssetError, match="delete it and get it with: curl -o"):
        locate("net")
    touch(path, CONTENT)
    assert status("net").state == "present"


def test_a_wrong_size_is_told_without_reading_the_file(root, entry):
    entry(AssetFile("a.bin", SHA256, len(CONTENT)))
    path = write(root, content=CONTENT[:-1])
    assert "6,999 bytes, expected 7,000" in status("net").detail
    assert not (path.parent / RECORD).exists()


def test_half_an_asset_is_corrupt_and_not_missing(root, entry):
    entry(AssetFile("config.json", None, None), AssetFile("*.safetensors", None, None))
    write(root, "config.json")
    found = status("net")
    assert found.state == "corrupt"
    assert "*.safetensors is not there" in found.detail
    write(root, "model-1.safetensors")
    write(root, "model-2.safetensors")
    assert set(checked_hashes("net")) == {"config.json", "model-1.safetensors", "model-2.safetensors"}


def test_without_a_public_hash_what_was_found_first_must_stay(root, entry):
    entry(AssetFile("a.bin", None, None))
    path = write(root)
    assert "not known here" in status("net").detail
    assert json.loads((path.parent / RECORD).read_text())["a.bin"]["sha256"] == SHA256
    touch(path, CONTENT[::-1])
    for _ in range(2):  # a second look does not get used to it
        assert "when it was first used here" in status("net").detail
    touch(path, CONTENT)
    assert status("net").state == "present"


def test_an_unchanged_file_is_hashed_once(root, entry, monkeypatch):
    entry(AssetFile("a.bin", SHA256, None))
    path = write(root)
    locate("net")
    with monkeypatch.context() as patch:
        patch.setattr(hashing, "_sha256", lambda *_: pytest.fail("the file was read again"))
        assert locate("net") == path
    about = path.stat()
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + 1))  # perhaps another content
    assert locate("net") == path


def test_a_damaged_record_costs_time_and_nothing_else(root, entry):
    entry(AssetFile("a.bin", SHA256, None))
    path = write(root)
    locate("net")
    (path.parent / RECORD).write_text("[1, 2")
    assert locate("net") == path
    assert json.loads((path.parent / RECORD).read_text())["a.bin"]["sha256"] == SHA256


def test_a_trained_asset_follows_its_manifest(root, entry):
    entry(kind="trained")
    weights = write(root, "weights.safetensors")
    assert status("net").state == "missing"  # it counts from the moment that its manifest is there
    manifest = write(root, "manifest.json", json.dumps({"files": {"weights.safetensors": SHA256}}).encode())
    assert locate("net") == root / "net"
    other = hashlib.sha256(b"retrained").hexdigest()
    weights.write_bytes(b"retrained")
    assert status("net").state == "corrupt"
    manifest.write_text(json.dumps({"files": {"weights.safetensors": other}}))  # trained again
    assert locate("net") == root / "net"
    manifest.write_text("{}")
    assert "does not list files" in status("net").detail


def test_without_a_variable_assets_lie_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("STORYBENCH_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert asset("sam-vit-h").path == tmp_path / "storybench" / "assets" / "sam-vit-h" / "sam_vit_h_4b8939.pth"


def test_folders_with_blanks_are_quoted_in_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("STORYBENCH_ASSETS", str(tmp_path / "my assets"))
    assert f"'{tmp_path}/my assets/sam-vit-h'/sam_vit_h_4b8939.pth" in asset("sam-vit-h").fetch


def test_a_damaged_shipped_network_says_how_to_restore_it(tmp_path, monkeypatch):
    shutil.copytree(WEIGHTS_ROOT / "toonsv_perceiver", tmp_path / "toonsv_perceiver")
    (tmp_path / "toonsv_perceiver" / "weights.safetensors").write_bytes(b"")
    monkeypatch.setattr(catalogue, "WEIGHTS_ROOT", tmp_path)
    with pytest.raises(AssetError, match="restore it from the repository"):
        locate("toonsv_perceiver")


def test_the_catalogue_loads_nothing_heavy():
    code = "import sys, storybench.perception.catalogue as c; c.status('sam-vit-h'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", ["../other.bin", "/etc/hostname", "a/b.bin", "..", ""])
def test_a_manifest_that_names_files_elsewhere_is_refused_unread(root, entry, name):
    entry(kind="trained")
    write(root.parent / "assets", "manifest.json", json.dumps({"files": {name: SHA256}}).encode())
    assert status("net").state == "corrupt"
    assert "no file of this folder" in status("net").detail


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_said(root, entry):
    entry(AssetFile("a.bin", SHA256, None))
    write(root).chmod(0)
    assert status("net").state == "corrupt"
    assert "cannot be read" in status("net").detail


def test_doctor_sees_that_a_folder_below_a_file_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STORYBENCH_ASSETS", str(tmp_path / "file" / "assets"))
    (found,) = [finding for finding in caches() if finding.name == "assets"]
    assert found.state == "broken"
    assert "is a file" in found.found
    assert found.mend.startswith("export STORYBENCH_ASSETS=")
