"""``storybench draw``: a sentence a frame, and plain words about what is unknown."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from storybench.cli.draw import sentences

MODEL = "model._target_=noise_model.NoiseModel"


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ("Zara waves. She runs.", ("Zara waves.", "She runs.")),
        ("Zara waves to Mr. Plum. He runs", ("Zara waves to Mr. Plum.", "He runs")),
        ("Zara waves!  Does she run?\nYes...  ", ("Zara waves!", "Does she run?", "Yes...")),
        ('"Hello." Zara waves.', ('"Hello.', "Zara waves.")),
        (" . ", ()),
    ],
)
def test_sentences_are_frames(story, expected):
    assert sentences(story) == expected


def test_strip_is_written_and_never_over_another(storybench, tmp_path):
    for _ in range(2):
        said = storybench("draw", "Zara waves on the beach. She runs.", MODEL)
        assert said.status == 0
        assert said.err == ""
    assert Image.open(tmp_path / "strip.png").mode == "RGB"
    assert (tmp_path / "strip-2.png").read_bytes() == (tmp_path / "strip.png").read_bytes()
    storybench("draw", "Zara waves on the beach. She runs.", MODEL, "seed=1", "out=deep/er/x.png")
    assert (tmp_path / "deep/er/x.png").read_bytes() != (tmp_path / "strip.png").read_bytes()


def test_unknown_words_and_characters_are_named(storybench):
    said = storybench("draw", "Zara meets Gandalf. Zaro plays the xylophone.", MODEL, "out=x.png", "format=json")
    assert json.loads(said.out)["unknown"]["names"] == ["Gandalf", "Zaro"]
    assert "No character is called 'Zaro'. Did you mean: Zara" in said.err
    assert "xylophone" in said.err


def test_story_without_a_character_is_drawn_with_a_remark(storybench):
    said = storybench("draw", "a cat sleeps.", MODEL, "out=x.png")
    assert said.status == 0
    assert "names no character" in said.err
