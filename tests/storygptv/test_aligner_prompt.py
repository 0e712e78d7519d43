"""The one prompt builder: the target is never cut, and training and inference write the same, unless asked not to."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from storybench.errors import ConfigError, DataError
from storygptv.aligner.prompt import PromptBuilder, PromptFormat, Slot
from storygptv.tokenizer import build_tokenizer

WORDS = [
    "Zara", "Finn", "She", "He", "they", "and", "walks", "runs", "sings", "there", "on", "the", "beach", "with", "her",
    "him", ".", ",", ":", "Image", "Caption",
]  # fmt: skip
STORY = [
    "Finn runs and Zara walks.",
    "He runs with her on the beach.",
    "She walks.",
    "He and Zara walks there with him.",
]
PUBLISHED = {"image_open": " Image: <img>", "image_close": "</img>"}


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of single bytes with OPT's treatment of spaces: ``Ġ`` before a word, or alone."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "</s>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="</s>", pad_token="<pad>")


def text_of(builder: PromptBuilder, row: list) -> str:
    ids = [i if s == Slot.TEXT else None for p in row for i, s in zip(p.block.ids, p.block.slots, strict=True)]
    return "".join("*" if i is None else builder.tokenizer.convert_ids_to_tokens([i])[0] for i in ids)


def test_prompt_never_loses_its_target() -> None:
    tokenizer = build_tokenizer(WORDS, 512)
    target_length = len(PromptBuilder(tokenizer, PromptFormat(), 3, 4).target(3, STORY[3]))
    for room in range(60):
        builder = PromptBuilder(tokenizer, PromptFormat(max_length=1 + target_length + room), 3, 4)
        row = builder.separate(STORY, 3)
        assert row[0].block.ids == (tokenizer.bos_token_id,)
        assert row[-1].block == builder.target(3, STORY[3])
        assert sum(len(p.block) for p in row) <= builder.prompt.max_length
        assert [p.block.frame for p in row[1:-1]] == list(range(3))[5 - len(row) :]  # the newest are kept
    with pytest.raises(DataError, match="caption of frame 3"):
        PromptBuilder(tokenizer, PromptFormat(max_length=target_length), 3, 4).separate(STORY, 3)
    strict = PromptBuilder(tokenizer, PromptFormat(max_length=target_length + 5, overflow="error"), 3, 4)
    with pytest.raises(DataError, match="3 frames before frame 3"):
        strict.separate(STORY, 3)


def test_training_and_inference_write_the_same_prompt() -> None:
    builder = PromptBuilder(build_tokenizer(WORDS, 512), PromptFormat(), 3, 4)
    for inference in (False, True):
        row = builder.separate(["Zara walks on the beach.", "She runs."], 1, inference)
        text = [i for p in row for i, slot in zip(p.block.ids, p.block.slots, strict=True) if slot == Slot.TEXT]
        words = " ".join(builder.tokenizer.convert_ids_to_tokens(text))
        assert words == "<s> Image : Caption : Zara walks on the beach . Caption : She runs . Image :"
        assert row[-1].block.slots[-4:] == (Slot.IMG,) * 4


@pytest.mark.parametrize(("style", "stray"), [("unified", ""), ("published", "Ġ")])
def test_published_style_has_a_stray_space_token_at_inference_only(style: str, stray: str) -> None:
    """storygptv.md section 5: training ``':', '[IMG0]'``, published inference ``':', 'Ġ', '[IMG0]'``."""
    builder = PromptBuilder(byte_tokenizer(), PromptFormat(style=style, **PUBLISHED), 2, 3)
    told = "</s>ĠImage:Ġ<img>**</img>ĠCaption:ĠOh.ĠCaption:ĠHi.ĠImage:"
    assert text_of(builder, builder.separate(["Oh.", "Hi."], 1)) == told + "***"
    assert text_of(builder, builder.separate(["Oh.", "Hi."], 1, inference=True)) == told + stray + "***"


def test_published_overflow_cuts_on_the_right_and_relabels_the_last_tokens() -> None:
    builder = PromptBuilder(byte_tokenizer(), PromptFormat(max_length=40, overflow="published", **PUBLISHED), 2, 3)
    row = builder.separate(["Oh.", "Hi."], 1)
    whole, cut = builder.batch([row], inference=True), builder.batch([row])
    assert whole.ids.shape == (1, 58)
    assert cut.ids.shape == (1, 40)
    assert whole.read[0].nonzero()[:, 0].tolist() == [55, 56, 57]
    assert cut.read[0].nonzero()[:, 0].tolist() == [37, 38, 39]
    assert cut.read[0, -3:].tolist() == [1, 2, 3]
    assert (cut.ids == whole.ids[:, :40]).all()
    assert builder.packed(["Oh.", "Hi."]) is None
    assert builder.packed(["Oh.", "Hi."][:1]) is not None


def test_later_targets_count_the_history_they_read() -> None:
    builder = PromptBuilder(build_tokenizer(WORDS, 512), PromptFormat(), 3, 4)
    for first, repeats in ((0, [3, 2, 1]), (1, [3, 2, 1]), (2, [2, 2, 1])):
        row = builder.packed(STORY, first)
        assert [p.repeats for p in row if p.branch == 0][1:] == repeats
        assert [p.block.frame for p in row if p.branch] == list(range(first, 4))


def test_wrong_choices_are_told_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match="prompt style 'free'"):
        PromptFormat(style="free")
    with pytest.raises(ConfigError, match="overflow 'cut'"):
        PromptFormat(overflow="cut")
