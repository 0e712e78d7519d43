"""The three ways of docs/add_a_model.md, done with the very text of that page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "add_a_model.md"
FEW = ("subset=mini", "limit=4", "format=json")


def block(language: str) -> str:
    """Return the page's first block of code in ``language``."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert found, f"the page shows no {language}"
    return found[1]


@pytest.fixture
def collage(storybench, tmp_path, monkeypatch):
    """The page's class as a module to be found."""
    (tmp_path / "collage.py").write_text(block("python"))
    monkeypatch.syspath_prepend(str(tmp_path))
    return storybench


def test_example_is_twenty_lines_at_most():
    assert sum(bool(line.strip()) for line in block("python").splitlines()) <= 20


def test_class_draws_whom_the_caption_names_and_nobody_for_a_pronoun(collage, tmp_path):
    words = ("run", "model._target_=collage.Collage", *FEW)
    said = collage(*words)
    assert said.status == 0, said.err
    referential = json.loads(said.out)
    explicit = json.loads(collage(*words, "text=explicit", "+model.paper=220").out)
    assert (referential["status"], referential["model"]["name"]) == ("success", "collage")
    assert explicit["model"]["sampler"] == {"paper": 220}
    assert explicit["scores"]["char_f1"]["value"] > referential["scores"]["char_f1"]["value"]

    frames = tmp_path / "runs" / referential["fingerprint"] / "frames"
    folder = json.loads(collage("evaluate", f"frames={frames}", "name=my_model", *FEW).out)
    assert folder["scores"] == referential["scores"]
    assert folder["model"]["name"] == "my_model"


def test_configuration_and_entry_point_give_the_class_a_name(collage, tmp_path):
    (tmp_path / "my_configs" / "model").mkdir(parents=True)
    (tmp_path / "my_configs" / "model" / "mine.yaml").write_text(block("yaml"))
    named = json.loads(collage("run", "--config-dir", "my_configs", "model=mine", *FEW).out)
    assert named["model"]["sampler"] == {"paper": 220}

    metadata = tmp_path / "collage-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: collage\nVersion: 1.0\n")
    points = block("toml").replace('[project.entry-points."storybench.models"]', "[storybench.models]").replace('"', "")
    (metadata / "entry_points.txt").write_text(points)
    listed = json.loads(collage("list", "models", "format=json").out)["models"]
    assert {"collage"} <= {row["name"] for row in listed}
    assert json.loads(collage("run", "model=collage", *FEW).out)["model"]["name"] == "collage"
