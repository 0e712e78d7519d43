"""``storybench doctor``: one look at the machine, an exit status that means something, commands that can be copied."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from storybench import doctor as checks
from storybench.cli.doctor import main
from storybench.errors import ConfigError
from storybench.perception import catalogue
from storybench.perception.assets import WEIGHTS_ROOT

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [each.id for each in catalogue.all_assets() if each.kind == "shipped"]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with every shipped network and nothing else; returns its folder of assets."""
    weights = tmp_path / "weights"
    for name in SHIPPED:
        shutil.copytree(WEIGHTS_ROOT / "toonsv_perceiver", weights / name)
    monkeypatch.setattr(catalogue, "WEIGHTS_ROOT", weights)
    monkeypatch.setenv("STORYBENCH_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv("STORYBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "assets"


def look(capsys, *words):
    status = main([*words, "format=json"])
    return status, json.loads(capsys.readouterr().out)


def row(report, kind, name):
    (found,) = [r for r in report["findings"] if (r["kind"], r["name"]) == (kind, name)]
    return found


def test_optional_things_that_are_missing_are_no_error(machine, capsys):
    status, report = look(capsys)
    assert (status, report["broken"]) == (0, [])
    missing = row(report, "asset", "dinov2-vitl14")
    assert (missing["state"], missing["licence"]) == ("optional", "Apache-2.0")
    assert missing["mend"].startswith("hf download facebook/dinov2-large")
    assert row(report, "asset", "toonsv_perceiver")["state"] == "ok"
    assert row(report, "package", "torch")["state"] == "ok"
    assert {r["kind"] for r in report["findings"]} == {"python", "package", "device", "disk", "cache", "asset"}
    assert not machine.exists()  # looking makes no folder


def test_every_network_of_the_catalogue_has_one_line(machine, capsys):
    _, report = look(capsys)
    names = [r["name"] for r in report["findings"] if r["kind"] == "asset"]
    assert names == [each.id for each in catalogue.all_assets()]


def test_a_corrupt_file_is_exit_status_1_with_the_command(machine, capsys):
    (machine / "sam-vit-h").mkdir(parents=True)
    (machine / "sam-vit-h" / "sam_vit_h_4b8939.pth").write_bytes(b"half")
    status, report = look(capsys)
    assert (status, report["broken"]) == (1, ["sam-vit-h"])
    found = row(report, "asset", "sam-vit-h")
    assert "4 bytes, expected 2,564,550,879" in found["found"]
    assert found["mend"].startswith("curl -L")
    assert main([]) == 1
    printed = capsys.readouterr().out
    assert "BROKEN" in printed
    assert f"    {found['mend']}\n" in printed  # whole, on one line


def test_a_shipped_network_that_is_gone_is_broken(machine, capsys):
    shutil.rmtree(catalogue.WEIGHTS_ROOT / "toonsv_perceiver")
    status, report = look(capsys)
    assert (status, report["broken"]) == (1, ["toonsv_perceiver"])


def test_a_cache_that_cannot_be_written_is_broken(machine, capsys, monkeypatch):
    if os.geteuid() == 0:
        monkeypatch.setenv("STORYBENCH_CACHE", "/proc/storybench")  # nobody can write there
    else:
        closed = machine.parent / "closed"
        closed.mkdir(mode=0o500)
        monkeypatch.setenv("STORYBENCH_CACHE", str(closed))
    status, report = look(capsys)
    assert (status, report["broken"]) == (1, ["observations"])
    assert "STORYBENCH_CACHE" in row(report, "cache", "observations")["mend"]


def test_the_table_fits_100_columns(machine):
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm", "OMP_NUM_THREADS": "1"}
    code = (
        "import sys; from pathlib import Path; from storybench.perception import catalogue;"
        f"catalogue.WEIGHTS_ROOT = Path({str(catalogue.WEIGHTS_ROOT)!r});"
        "from rich.console import Console; import storybench.cli.doctor as d;"
        "d.console = lambda: Console(width=100, force_terminal=False); sys.exit(d.main([]))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tables = done.stdout.split("To get what is not here")[0].splitlines()
    assert max(map(len, tables)) <= 100
    assert any("DINOv2 ViT-L/14" in line for line in tables)


def test_a_release_that_is_not_the_published_one_is_told(machine, capsys, tmp_path):
    spec = importlib.util.spec_from_file_location("write_flintstones", ROOT / "tests" / "data" / "write_flintstones.py")
    write = importlib.util.module_from_spec(spec)
    sys.modules["write_flintstones"] = write
    spec.loader.exec_module(write)
    root = tmp_path / "release"
    write.write_storydalle(root, write.clips())
    status, report = look(capsys, "dataset=flintstones", f"dataset.root={root}")
    found = row(report, "dataset", "flintstones")
    assert (status, found["state"]) == (1, "broken")
    assert "layout storydalle" in found["found"]
    assert "not 25,168" in found["found"]
    assert found["mend"] == f"storybench data verify dataset=flintstones dataset.root={root}"
    status, report = look(capsys, "dataset=pororo", f"dataset.root={tmp_path / 'none'}")
    assert row(report, "dataset", "pororo")["found"].startswith("No folder at")
    assert status == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fromat=json"], "Did you mean: format"),
        (["format=yaml"], "Unknown format 'yaml'"),
        (["dataset=toonsv", "dataset.root=x"], "Unknown dataset on disk 'toonsv'"),
        (["dataset=flintstones"], "dataset.root=DIR together"),
        (["all"], "all needs a value"),
    ],
)
def test_mistakes_are_one_sentence(words, said):
    with pytest.raises(ConfigError, match=said):
        main(words)


def test_an_old_package_and_an_absent_one_are_told_apart(monkeypatch):
    wanted = ["numpy>=999", "torch>=2", "no-such-package>=1; extra == 'fid'", "storybench[fid]; extra == 'dev'"]
    monkeypatch.setattr(checks.metadata, "requires", lambda _: wanted)
    found = {f.name: f for f in checks.packages()}
    assert set(found) == {"numpy", "torch", "no-such-package"}
    assert found["numpy"].state == "broken"
    assert found["numpy"].found.endswith("expected >=999")
    assert found["torch"].state == "ok"
    assert (found["no-such-package"].state, found["no-such-package"].mend) == (
        "optional",
        "pip install 'storybench[fid]'",
    )
