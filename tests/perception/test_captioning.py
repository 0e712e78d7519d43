"""The ToonSV captioner: words, decoder, training, the shipped weights, and the observers over it."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch

from storybench.data.toonsv import world
from storybench.data.toonsv.dataset import ToonSV
from storybench.data.toonsv.planner import plan_story
from storybench.errors import AssetError
from storybench.perception.assets import WEIGHTS_ROOT, load_perceiver
from storybench.perception.captioning import training
from storybench.perception.captioning.captioner import MAX_WORDS, CaptionDecoder, Seen, look
from storybench.perception.captioning.observer import CaptionFitObserver, CaptionObserver
from storybench.perception.captioning.selfcheck import facts, fit_checks
from storybench.perception.captioning.toon import BATCH, load_captioner
from storybench.perception.captioning.words import END, PAD, START, UNKNOWN, Words, collect
from storybench.perception.perceiver import to_pixels

FOLDER = WEIGHTS_ROOT / "toonsv_captioner"


def told(split, stories):
    return [[f.captions["explicit"].text for f in ToonSV(split)[k].frames] for k in range(stories)]


def random_decoder(vocabulary=30, objects=3):
    torch.manual_seed(0)
    return CaptionDecoder(vocabulary, cell_width=5, object_width=6, objects=objects, width=16, layers=2, heads=2).eval()


def random_seen(batch, objects=3):
    generator = torch.Generator().manual_seed(1)
    return Seen(torch.randn(batch, 64, 5, generator=generator), torch.randn(batch, objects, 6, generator=generator))


@pytest.fixture(scope="module")
def captioner():
    return load_captioner()


@pytest.fixture(scope="module")
def frames():
    """True frames of ten test stories and their captions."""
    return [f.image for k in range(10) for f in ToonSV("test")[k].frames], told("test", 10)


def test_every_caption_survives_words_and_back():
    texts = [text for story in told("val", 200) for text in story]
    words = Words(collect(texts), world.NAMES)
    assert [words.decode(words.encode(text, MAX_WORDS)[1:]) for text in texts] == texts
    assert max(len(words.encode(text, 99)) for text in texts) <= MAX_WORDS


def test_unknown_words_and_long_captions_have_numbers_too():
    words = Words(("runs", "zara"), world.NAMES)
    assert words.encode("Zara juggles", 8) == [START, 5, UNKNOWN, END]
    assert words.encode("Zara runs " * 9, 8) == [START, 5, 4, 5, 4, 5, 4, END]
    assert words.batch(["Zara", "Zara runs"], 8).tolist() == [[START, 5, END, PAD], [START, 5, 4, END]]


def test_a_word_at_a_time_gives_the_words_of_the_whole_pass():
    decoder, seen = random_decoder(), random_seen(4)
    memory = decoder.remember(seen)
    said = decoder.greedy(memory)  # keys of the past are kept
    assert said.shape[1] > 5
    prefix = torch.cat([torch.full((4, 1), START), said[:, :-1]], dim=1)
    logits = decoder(prefix, decoder.picture_keys(memory))  # nothing is kept
    logits[..., [PAD, START]] = -torch.inf
    assert torch.equal(logits.argmax(2), said)


def test_likelihood_is_that_of_the_chain_and_padding_adds_nothing():
    decoder, seen = random_decoder(), random_seen(2)
    pictures = decoder.picture_keys(decoder.remember(seen))
    words = torch.tensor([[START, 7, 9, END, PAD, PAD], [START, 8, 4, 5, 6, END]])
    found = decoder.log_likelihood(words, pictures)
    with torch.no_grad():
        logp = decoder(words[:, :-1], pictures).double().log_softmax(2)
    assert found[0].item() == pytest.approx(sum(logp[0, t, w].item() for t, w in enumerate([7, 9, END])), abs=1e-12)
    one = [(k[:1], v[:1]) for k, v in pictures]
    assert decoder.log_likelihood(words[:1, :4], one)[0].item() == pytest.approx(found[0].item(), abs=1e-4)  # float32


def test_a_withheld_picture_is_one_token_or_many_alike():
    decoder = random_decoder()
    words = torch.tensor([[START, 7, 9, END]])
    one = decoder.log_likelihood(words, decoder.picture_keys(decoder.blind(1)))
    many = decoder.log_likelihood(words, decoder.picture_keys(decoder.blind(1).expand(1, 67, -1)))  # as in training
    assert one.item() == pytest.approx(many.item(), abs=1e-4)  # float32


def test_retellings_keep_what_is_told_and_change_the_words():
    plan = plan_story("train", 5)
    for event, texts in zip(plan.events, training.retellings(plan, 12), strict=True):
        assert len(set(texts)) > 3
        assert {facts(text).names for text in texts} == {event.characters}
        assert {facts(text).setting for text in texts} == {event.setting}
        assert {facts(text).props for text in texts} == {frozenset(event.props.values())}
        assert len({facts(text).actions for text in texts}) == 1
    assert training.retellings(plan, 1)[0][0] == ToonSV("train")[5].frames[0].captions["explicit"].text


def test_a_short_run_learns_and_repeats_by_seed():
    rng = np.random.default_rng(0)
    bank = training.fill_bank(load_perceiver().model, stories=4, looks=2, wordings=3, rng=rng)
    assert bank.seen.grid.shape[:2] == (4 * 5 * 2, 64)
    words = Words(collect(t for texts in bank.wordings for t in texts), world.NAMES)
    shape = {"cell_width": bank.seen.grid.shape[2], "object_width": bank.seen.objects.shape[2], "objects": 17}

    def run():
        torch.manual_seed(0)
        decoder = CaptionDecoder(len(words), **shape, width=32, layers=1, heads=2)
        batch = words.batch([texts[0] for texts in bank.wordings], MAX_WORDS)
        clean = bank.seen.at(torch.arange(0, 40, 2))
        nobody = torch.zeros(20, dtype=torch.bool)
        before = training.caption_loss(decoder, clean, nobody, batch).item()
        training.optimise(decoder, words, bank, np.random.default_rng(1), 30, 10, 1e-2)
        return before, training.caption_loss(decoder, clean, nobody, batch).item()

    before, after = run()
    assert after < 0.7 * before
    assert run() == (before, after)


def test_first_look_is_clean_and_later_looks_are_not():
    eyes = load_perceiver().model
    bank = training.fill_bank(eyes, stories=1, looks=2, wordings=1, rng=np.random.default_rng(0))
    story = ToonSV("train")[training.START_STORY]
    clean = look(eyes, torch.stack([to_pixels(f.image) for f in story.frames]))
    assert torch.equal(bank.seen.grid[::2], clean.grid.half())
    assert not torch.equal(bank.seen.grid[1::2], clean.grid.half())


def test_facts_read_a_caption_whatever_its_wording():
    said = facts("Among the bookshelves, Mr Plum is fast asleep while Zara shows her kite to Finn.")
    assert said.names == ("Mr Plum", "Zara", "Finn")
    assert (said.setting, said.props, said.actions) == ("library", {"kite"}, {"sleep"})
    assert facts("In the forest, Pip hops.").setting == "forest"
    assert facts("Pip does nothing.") == ((("Pip",)), "", frozenset(), frozenset())


def test_shipped_captioner_says_who_is_there(captioner, frames):
    images, captions = frames
    said = [facts(text) for text in captioner.caption(images)]
    truth = [facts(text) for story in captions for text in story]
    right = {
        key: np.mean([getattr(a, key) == getattr(b, key) for a, b in zip(said, truth, strict=True)])
        for key in truth[0]._fields
    }
    assert right["names"] >= 0.8  # its manifest says more; fifty frames leave a few points of luck
    assert right["setting"] >= 0.9


def test_own_captions_fit_best(captioner, frames):
    found = fit_checks(captioner, *frames)
    assert np.mean(found["fit_best_acc"]) >= 0.8  # chance 0.2
    assert np.mean(found["fit_assignment_acc"]) >= 0.8


def test_neither_caption_nor_fit_depends_on_the_pictures_beside(captioner, frames):
    images, captions = frames[0][: BATCH + 3], [c for story in frames[1] for c in [tuple(story)] * 5][: BATCH + 3]
    together, fits = captioner.caption(images), captioner.fit(images, captions)
    backwards = captioner.caption(images[::-1])[::-1]
    assert together == backwards == [captioner.caption([image])[0] for image in images]
    alone = [captioner.fit([image], [texts])[0] for image, texts in zip(images, captions, strict=True)]
    assert all(np.array_equal(a, b) for a, b in zip(fits, alone, strict=True))


def test_fit_is_a_gain_over_the_withheld_picture(captioner, frames):
    (image, other), texts = (frames[0][0], frames[0][7]), (frames[1][0][0], "Zara juggles.")
    own, foreign = captioner.fit([image, other], [texts, texts])
    assert own.dtype == np.float64
    assert own[0] > 0 > foreign[0]
    assert captioner.fit([image], [()])[0].shape == (0,)


def test_shipped_files_are_small_and_state_what_was_measured():
    assert sum(f.stat().st_size for f in FOLDER.iterdir()) <= 1_500_000
    manifest = json.loads((FOLDER / "manifest.json").read_text())
    assert manifest["accuracies"]["names_acc"] > 0.8
    assert manifest["training"]["command"] == "storybench train model=captioner stage=toonsv"


def test_weights_for_other_eyes_and_damaged_weights_are_refused(tmp_path):
    folder = tmp_path / "captioner"
    shutil.copytree(FOLDER, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(data)
    with pytest.raises(AssetError, match="has SHA-256"):
        load_captioner(folder)
    manifest["eyes"]["sha256"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(AssetError, match="not the shipped one"):
        load_captioner(folder)


def test_observers_keep_arrays_and_give_values_back(captioner, frames):
    images, captions = frames[0][:2], [tuple(frames[1][0])] * 2
    words, fit = CaptionObserver(captioner), CaptionFitObserver(captioner)
    assert (words.field, words.uses_captions, fit.field, fit.uses_captions) == ("caption", False, "caption_fit", True)
    weights = hashlib.sha256((FOLDER / "weights.safetensors").read_bytes()).hexdigest()
    assert words.id == f"toonsv-captioner-v1+{weights[:8]}"  # trained anew, it is another entry of the cache
    assert fit.id != words.id  # what is kept of one must not be taken for the other
    assert [words.value(kept) for kept in words.observe(images, captions)] == captioner.caption(images)
    for kept, expected in zip(fit.observe(images, captions), captioner.fit(images, captions), strict=True):
        np.testing.assert_array_equal(fit.value(kept), expected)
