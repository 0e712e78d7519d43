"""Experiments: one file a published row, its numbers as printed, and a run that prints both sides."""

from __future__ import annotations

import json
import shlex
from decimal import Decimal
from pathlib import Path

import pytest
from hydra.utils import get_object

from storybench.cli.config import RunConfig, choices, compose, compose_tree
from storybench.cli.paper import COUNTERPARTS, PaperRow, repeats
from storybench.cli.train import _primary, stages
from storybench.errors import ConfigError
from storybench.evaluation import METRICS

FIVE = "char_acc char_f1 bg_acc bg_f1 fid"
PERCENT = {"char_acc", "char_f1", "bg_acc", "bg_f1"}  # printed as percent in the paper, fractions in the files
HEADS = {
    1: f"{FIVE} bleu4 cider",
    2: "char_acc char_f1 fid bleu4 cider",
    3: FIVE,
    4: FIVE,
    5: "char_acc fid",
    7: FIVE,
    8: FIVE,
    10: "clip_t_i clip_i_i",
}
# Typed from the paper's tables (storygptv.md section 9), in the order of HEADS.
PUBLISHED = {
    "table1_storydalle_orig": "69.49 83.35 48.46 55.24 44.24 .4666 1.4473",
    "table1_ldm_orig": "85.66 93.41 54.85 62.04 32.05 .5230 1.8048",
    "table1_story_ldm_orig": "82.43 91.86 55.3 61.58 36.29 .4656 1.4335",
    "table1_char_ldm_orig": "90.36 95.76 58.36 63.92 21.13 .5260 1.8361",
    "table1_storydalle_ref": "61.83 78.36 48.10 54.92 44.66 .4460 1.3373",
    "table1_ldm_ref": "75.37 87.54 52.57 58.41 32.36 .4911 1.5103",
    "table1_story_ldm_ref": "77.23 88.26 54.97 60.99 36.34 .4585 1.4004",
    "table1_storygptv_opt_ref": "87.96 94.17 56.01 61.07 21.71 .5070 1.6607",
    "table1_storygptv_llama2_ref": "89.08 95.07 57.29 62.62 21.56 .5169 1.7516",
    "table2_storydalle_ref": "21.03 50.56 40.39 .2295 .3666",
    "table2_ldm_ref": "27.81 57.02 28.98 .2560 .5122",
    "table2_story_ldm_ref": "29.14 57.56 26.64 .2420 .4581",
    "table2_storygptv_ref": "36.06 62.70 19.56 .2586 .5279",
    "table3_without_lreg": "88.86 95.21 55.50 60.77 23.51",
    "table3_without_augmented_text": "87.45 94.70 57.67 63.04 21.27",
    "table3_freeze_vis": "88.67 95.14 56.58 62.46 22.01",
    "table3_default_without_img": "89.73 95.56 56.18 62.85 20.96",
    "table3_default_with_img": "90.36 95.76 58.36 63.92 21.13",
    "table4_caption_text": "69.70 83.37 52.67 58.78 21.32",
    "table4_caption_fuse": "71.77 84.81 52.57 58.04 24.79",
    "table4_interleave_text": "86.10 93.46 54.92 60.15 21.30",
    "table4_interleave_fuse": "87.96 94.17 56.01 61.07 21.71",
    "table5_story_ldm_4": "77.23 36.34",
    "table5_story_ldm_10": "74.84 48.92",
    "table5_story_ldm_20": "69.01 53.32",
    "table5_story_ldm_40": "63.40 60.33",
    "table5_story_ldm_50": "",  # out of memory
    "table5_storygptv_4": "85.44 27.08",
    "table5_storygptv_10": "84.63 38.91",
    "table5_storygptv_20": "82.86 42.60",
    "table5_storygptv_40": "81.04 48.37",
    "table5_storygptv_50": "80.92 61.23",
    "table7_ldm": "75.37 87.54 52.57 58.41 32.36",
    "table7_llm_to_ldm": "84.06 92.54 53.18 58.29 22.94",
    "table7_interleave_text": "86.10 93.46 54.92 60.15 21.30",
    "table7_interleave_fuse": "87.96 94.17 56.01 61.07 21.71",
    "table8_text_r4": "82.14 90.18 54.28 59.58 21.33",
    "table8_text_r8": "86.10 93.46 54.92 60.15 21.30",
    "table8_text_r16": "83.77 91.07 54.08 60.21 21.58",
    "table8_fuse_r4": "86.23 93.43 54.57 59.61 21.97",
    "table8_fuse_r8": "87.96 94.17 56.01 61.07 21.71",
    "table8_fuse_r16": "85.35 91.96 52.93 58.86 23.73",
    "table10_storydalle": ".4417 .8112",
    "table10_ldm": ".5007 .8786",
    "table10_story_ldm": ".4979 .8795",
    "table10_storygptv": ".5106 .889",
}
NOT_CARRIED = ("storydalle", "story_ldm")
CHAR_LDM_TABLES = (3,)
PRINTED = "Published, Table 1, StoryGPT-V (OPT-6.7B), ref (flintstones, ref text, 4 frames a story;"


def words(name: str) -> list[str]:
    """Return what composes an experiment; frames of systems that are not carried come from a folder."""
    return [f"experiment={name}", *(["model.frames=x"] if is_folder(name) else [])]


def is_folder(name: str) -> bool:
    return any(system in name for system in NOT_CARRIED)


def table(name: str) -> int:
    return int(name.removeprefix("table").split("_")[0])


@pytest.fixture(scope="module")
def rows() -> dict[str, tuple[RunConfig, PaperRow]]:
    """Every experiment with a published row, composed once."""
    found = {name: compose("run", words(name), RunConfig) for name in PUBLISHED}
    return {name: (config, PaperRow.model_validate(config.paper)) for name, config in found.items()}


def test_every_published_row_has_its_file_and_no_other():
    assert {name for name in choices("experiment") if name.startswith("table")} == set(PUBLISHED)


def test_every_number_is_the_printed_one(rows):
    for name, printed in PUBLISHED.items():
        number, heads = table(name), HEADS[table(name)].split()
        expected = {
            metric: float(Decimal(value) / 100 if metric in PERCENT else Decimal(value))
            for metric, value in zip(heads, printed.split(), strict=bool(printed))
        }
        assert rows[name][1].table == number, name
        assert rows[name][1].values == expected, name


def test_text_length_and_data_are_those_of_the_table(rows):
    for name, (config, row) in rows.items():
        original = name.endswith("_orig") or table(name) == 3
        assert (row.text, config.text) == (("orig", "original") if original else ("ref", "referential")), name
        assert row.dataset == ("pororo" if table(name) == 2 else "flintstones"), name
        length = int(name.rpartition("_")[2]) if table(name) == 5 else 4
        assert row.frames == config.dataset["frames"] == length, name


def test_each_row_runs_its_own_model(rows):
    for name, (config, _) in rows.items():
        target = config.model["_target_"].rpartition(".")[2]
        if is_folder(name):
            assert target == "Folder", name
        elif "char_ldm" in name or table(name) in CHAR_LDM_TABLES or name.endswith(("_ldm", "_ldm_orig", "_ldm_ref")):
            assert target == ("StoryGPTV" if name == "table7_llm_to_ldm" else "CharLDMBaseline"), name
        else:
            assert target == "StoryGPTV", name


@pytest.mark.parametrize("name", [n for n in PUBLISHED if not is_folder(n)])
def test_options_of_the_model_exist(rows, name):
    """A key that the model does not take would only be noticed by who runs the experiment."""
    import inspect

    config = rows[name][0]
    known = inspect.signature(get_object(config.model["_target_"])).parameters
    assert set(config.model) - {"_target_"} <= set(known)


def test_every_training_command_composes(rows):
    """Stages and keys that the files name are those of configs/train: nobody has to guess."""
    commands = {command for _, row in rows.values() for command in row.train}
    assert len(commands) > 10
    for command in sorted(commands):
        program, verb, *rest = shlex.split(command)
        assert (program, verb) == ("storybench", "train")
        named = dict(word.split("=", 1) for word in rest[:2])
        assert named["stage"] in stages()[named["model"]], command
        compose_tree(_primary(named["model"], named["stage"]), rest[2:])


def test_training_settings_name_commands_and_systems_not_carried_do_not(rows):
    for name, (_, row) in rows.items():
        assert bool(row.train) is not is_folder(name), name
    own = {name for name, (_, row) in rows.items() if row.weights == "own"}
    same = [{name for name in PUBLISHED if name.endswith(part)} for part in ("interleave_fuse", "fuse_r8", "_img")]
    assert not own & set.union(*same)  # the settings of the model as it is published
    assert {"table8_text_r4", "table3_without_lreg", "table4_caption_text", "table7_llm_to_ldm"} <= own


def test_compared_metrics_exist():
    assert set(COUNTERPARTS.values()) <= set(METRICS)
    assert set(COUNTERPARTS) <= set(" ".join(HEADS.values()).split())


def test_run_prints_the_published_number_beside_ours(storybench):
    few = ("experiment=table1_storygptv_opt_ref", "subset=mini", "limit=2")
    said = storybench("run", *few)
    assert said.status == 0, said.err
    assert PRINTED in said.out
    record = json.loads(storybench("run", *few, "format=json").out)
    assert (record["dataset"]["stories"], record["dataset"]["frames"]) == (2, 8)
    ours = record["scores"]["char_acc"]["value"]
    assert f"char_acc: paper 87.96, ours {ours * 100:.2f} (other data, other protocol)" in said.out
    frechet = record["scores"]["frechet"]["value"]
    assert f"fid (frechet): paper 21.71, ours {frechet:.2f} (other data, other protocol, other network)" in said.out
    assert "miniature" in said.out
    paper = record["details"]["paper"]
    assert paper["table"] == 1
    assert [pair["metric"] for pair in paper["compared"]] == ["char_acc", "char_f1", "bg_acc", "fid"]
    assert paper["compared"][0]["paper"] == 0.8796
    assert paper["compared"][0]["ours"] == ours
    assert paper["shipped_weights"]


def test_paper_decides_nothing(storybench, tmp_path):
    """The same frames serve every row that asks for them, and a plain run: one fingerprint, one folder."""
    few = ("subset=mini", "limit=2", "format=json")
    first = json.loads(storybench("run", "experiment=table3_default_with_img", *few).out)
    second = json.loads(storybench("run", "experiment=table1_char_ldm_orig", *few).out)
    plain = json.loads(storybench("run", "model=char_ldm", "split=original", "dataset.frames=4", *few).out)
    assert first["fingerprint"] == second["fingerprint"] == plain["fingerprint"]
    assert (first["details"]["paper"]["table"], second["details"]["paper"]["table"]) == (3, 1)
    assert "paper" not in plain["details"]
    kept = json.loads((tmp_path / "runs" / first["fingerprint"] / "record.json").read_text())
    assert "paper" not in kept["details"]


def test_difference_in_text_and_length_is_said(storybench):
    changed = ("text=referential", "dataset.frames=3", "model=shuffled", "subset=mini", "limit=2")
    said = storybench("run", "experiment=table1_char_ldm_orig", *changed)
    assert "(other data, other text, other story length, other protocol)" in said.out


def test_training_setting_without_weights_names_the_commands(refuses):
    said = refuses("run", "experiment=table8_text_r4", "subset=mini", "limit=2")
    assert said.startswith("Table 8, Emb_text, R = 4 is a setting of training and needs weights of its own")
    assert "storybench train model=storygptv stage=" in said
    assert "img_tokens=4" in said
    assert said.endswith("then give model.weights=DIR.")


def test_given_weights_are_taken(refuses, tmp_path):
    said = refuses("run", "experiment=table8_text_r4", "model.weights=nowhere", "subset=mini", "limit=2")
    assert said.startswith("No folder of weights at nowhere")


def test_system_not_carried_asks_for_frames(refuses):
    said = refuses("run", "experiment=table1_story_ldm_ref", "subset=mini", "limit=2")
    assert said == "model.frames needs a value: give model.frames=..."


def test_frames_made_elsewhere_are_compared(storybench, tmp_path):
    few = ("subset=mini", "limit=2", "dataset.frames=4")
    storybench("run", "model=ground_truth", *few)
    (frames,) = (tmp_path / "runs").glob("*/frames")
    said = storybench("run", "experiment=table1_story_ldm_ref", f"model.frames={frames}", *few)
    assert said.status == 0, said.err
    assert "char_acc: paper 77.23, ours 100.00 (other data, other protocol)" in said.out
    assert "miniature" not in said.out


def test_row_without_published_value_says_so(storybench):
    said = storybench("run", "experiment=table10_storygptv", "model=shuffled", "subset=mini", "limit=2")
    assert "no metric has a value on both sides" in said.out


@pytest.mark.parametrize("broken", ["paper.table=first", "+paper.colour=red", "paper.text=other"])
def test_broken_metadata_is_one_sentence(refuses, broken):
    said = refuses("run", "experiment=table1_char_ldm_orig", broken, "subset=mini", "limit=1")
    assert said.startswith(f"{broken.lstrip('+').partition('=')[0]} does not describe a published row")


def test_a_run_without_experiment_repeats_nothing():
    config = compose("run", ["model=shuffled"], RunConfig)
    assert config.paper is None
    assert repeats(config) is None


def test_own_weights_are_asked_for_only_of_models_that_take_weights():
    asked = compose("run", ["experiment=table3_without_lreg"], RunConfig)
    with pytest.raises(ConfigError, match="needs weights of its own"):
        repeats(asked)
    other = compose("run", ["experiment=table3_without_lreg", "model=shuffled"], RunConfig)
    assert repeats(other) is not None


def test_names_in_files_are_their_own():
    for path in sorted((Path(__file__).parents[2] / "configs" / "experiment").glob("table*.yaml")):
        assert f"experiment={path.stem}" in path.read_text().splitlines()[1]
