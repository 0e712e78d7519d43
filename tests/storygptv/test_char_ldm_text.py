"""Names in captions and the tokens that stand for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from storybench.data.toonsv.dataset import full_cast
from storybench.data.toonsv.lexicon import vocabulary
from storybench.data.toonsv.sampling import sample_training_frames
from storybench.story import Character
from storygptv.char_ldm.character_tokens import find_character_tokens, find_name_spans
from storygptv.char_ldm.text import tokenize_captions
from storygptv.tokenizer import build_tokenizer

CAST = (Character("Fred", "he"), Character("Mr Slate", "he", ("Mr. Slate", "Slate")), Character("Wilma", "she"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Fred's car. Fred, wilma and mr slate.", ["Fred", "Fred", "wilma", "mr slate"]),
        ("Mr. Slate talks to Slate.", ["Mr. Slate", "Slate"]),
        ("Frederick, Wilmas and a slateful.", []),
        ("mr  slate", ["mr  slate"]),
    ],
)
def test_whole_names_are_found_in_every_spelling(text, names):
    assert [text[s.start : s.end] for s in find_name_spans(text, CAST)] == names


def test_last_subword_of_a_name_stands_for_it():
    text = "Mr Slate's dog"
    spans = find_name_spans(text, CAST)
    offsets = [(0, 0), (0, 2), (3, 5), (5, 8), (8, 10), (11, 14), (0, 0)]  # Mr Sl ate 's dog
    assert find_character_tokens(spans, offsets) == [(3, 1)]


def test_names_cut_off_by_truncation_are_left_out():
    spans = find_name_spans("Fred meets Mr Slate", CAST)
    assert find_character_tokens(spans, [(0, 0), (0, 4), (5, 10), (11, 13)]) == [(1, 0)]


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(vocabulary(), 64)


def test_tokens_of_training_captions_decode_to_the_names(tokenizer):
    cast = full_cast()
    frames = list(sample_training_frames(1, 200))
    tokens = tokenize_captions(tokenizer, [f.dense for f in frames], cast)
    assert tokens.ids.shape == (200, 64)
    for row, frame in enumerate(frames):
        found = [cast[int(c)].name for c, ok in zip(tokens.characters[row], tokens.valid[row], strict=True) if ok]
        assert set(found) == set(frame.characters)
        for place, ok, c in zip(tokens.token_idx[row], tokens.valid[row], tokens.characters[row], strict=True):
            if ok:
                word = tokenizer.decode([int(tokens.ids[row, place])])
                assert word == cast[int(c)].name.split()[-1]
    assert not (tokens.ids == tokenizer.unk_token_id).any()


def test_text_only_conditioning_marks_no_names(tokenizer):
    tokens = tokenize_captions(tokenizer, ["Zara runs.", "Zara runs."], full_cast(), fuse=[True, False])
    assert tokens.valid.any(1).tolist() == [True, False]
    assert tokens.token_mask().sum(1).tolist() == [1, 0]


@given(st.text(max_size=80))
def test_any_text_is_tokenised(text):
    tokens = tokenize_captions(build_tokenizer(["Zara"], 32), [text], full_cast())
    assert int(tokens.token_mask().sum()) == int(tokens.valid.sum())


def clip_tokenizer(max_length: int = 77) -> CLIPTokenizer:
    """Return CLIP's own tokenizer class over letters, which splits "fred" into "fr" and "ed</w>"."""
    letters = "abcdefghijklmnopqrstuvwxyz.,'"
    words = [*letters, *(f"{c}</w>" for c in letters), "fr", "ed</w>", "sl", "at", "'s</w>", "<|startoftext|>"]
    merges = [("f", "r"), ("e", "d</w>"), ("s", "l"), ("a", "t"), ("'", "s</w>")]
    vocabulary = {word: i for i, word in enumerate([*words, "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=max_length)


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("Fred runs.", ["ed</w>"]),
        ("Fred's car, and Fred.", ["ed</w>", "ed</w>"]),
        ("Mr Slate  shouts at FRED,", ["e</w>", "ed</w>"]),
        ("mr. slate, slate's dog", ["e</w>", "e</w>"]),
        ("Frederick eats.", []),
    ],
)
def test_clips_subwords_of_a_name_end_in_the_token_that_stands_for_it(caption, tokens):
    tokenizer = clip_tokenizer()
    found = tokenize_captions(tokenizer, [caption], CAST)
    assert found.ids.shape == (1, 77)
    places = found.token_idx[0][found.valid[0]]
    assert tokenizer.convert_ids_to_tokens(found.ids[0, places]) == tokens
    for place in places.tolist():  # what stands after the name begins a new word
        start = tokenizer(caption, return_offsets_mapping=True)["offset_mapping"][place + 1][0]
        assert not caption[start : start + 1].isalpha() or caption[start - 1].isspace()


def test_names_beyond_77_tokens_carry_no_picture():
    tokenizer = clip_tokenizer()
    caption = "a " * 73 + "fred fred"  # 1 + 73 + 2 = 76: the second would need tokens 77 and 78
    found = tokenize_captions(tokenizer, [caption], CAST)
    assert found.token_idx[found.valid].tolist() == [75]
    assert int(found.ids[0, 76]) == tokenizer.eos_token_id
