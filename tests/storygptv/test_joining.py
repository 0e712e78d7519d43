"""Stage ``join``: trained parts become the folder that model.weights takes."""

from __future__ import annotations

import shutil

import pytest
import torch

from storybench.data.toonsv.dataset import full_cast
from storybench.errors import AssetError, ConfigError
from storygptv.joining import join
from storygptv.pipeline import StoryGPTVPipeline
from storygptv.weights import SHIPPED

STAGE_1 = ("vae", "text_encoder", "tokenizer", "unet", "scheduler", "image_encoder", "fusion")
STAGE_2 = ("aligner", "llm", "llm_tokenizer")
STORY = [("s", ("Nilo walks in the forest.", "He waves."))]


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Folders as the two stages leave them, from the parts of the miniature."""
    one, two = tmp_path_factory.mktemp("char_ldm"), tmp_path_factory.mktemp("aligner")
    absent = dict.fromkeys(STAGE_2)
    StoryGPTVPipeline.from_pretrained(SHIPPED, **absent).save_pretrained(one)
    for part in STAGE_2:
        shutil.copytree(SHIPPED / part, two / part)
    return one, two


def drawn(folder):
    pipeline = StoryGPTVPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.set_cast(full_cast())
    return pipeline(STORY, 0, num_inference_steps=2, output_type="pt").frames[0]


def test_joined_pipeline_draws_what_its_parts_draw(stages, tmp_path):
    one, two = stages
    folder = join(str(one), str(two), str(tmp_path / "joined"), llm_dtype="fp32")
    assert {p.name for p in folder.iterdir() if p.is_dir()} == {*STAGE_1, *STAGE_2}
    torch.testing.assert_close(drawn(folder), drawn(SHIPPED), atol=1e-5, rtol=0)


def test_language_model_can_come_from_elsewhere(stages, tmp_path):
    one, two = stages
    heads, published = tmp_path / "heads", tmp_path / "published"
    shutil.copytree(two / "aligner", heads / "aligner")
    for part in ("llm", "llm_tokenizer"):
        shutil.copytree(two / part, published, dirs_exist_ok=True)
    with pytest.raises(AssetError, match=r"^No llm/config.json in .*save_llm=true, or llm=DIR"):
        join(str(one), str(heads), str(tmp_path / "joined"))
    folder = join(str(one), str(heads), str(tmp_path / "joined"), str(published), "fp16")
    assert (folder / "llm" / "config.json").is_file()
    assert (folder / "llm_tokenizer" / "tokenizer.json").is_file()


def test_mistakes_are_one_sentence(stages, tmp_path):
    one, two = stages
    with pytest.raises(AssetError, match="expected what the stage char_ldm saves"):
        join(str(tmp_path), str(two), str(tmp_path / "x"))
    with pytest.raises(AssetError, match="expected what the stage aligner saves"):
        join(str(one), str(one), str(tmp_path / "x"), "some/llm")
    with pytest.raises(ConfigError, match="Unknown llm_dtype 'int8'"):
        join(str(one), str(two), str(tmp_path / "x"), llm_dtype="int8")
    with pytest.raises(ConfigError, match="holds a pipeline already"):
        join(str(one), str(two), str(one))
    assert not (tmp_path / "x").exists()
