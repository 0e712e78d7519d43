"""Caption metrics over stories: hand-made captions, the ceiling, resampling, joining of processes, missing packages."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from storybench.metrics import captions
from storybench.metrics.captions import CaptionBleu, CaptionCider, LegacyBleu, LegacyCider
from storybench.metrics.functional.captions import bleu, bleu_sums, ptb_tokens
from storybench.metrics.instruments import Instruments
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Observation
from storybench.statistics import bootstrap

sacrebleu = pytest.importorskip("sacrebleu")
pytest.importorskip("pycocoevalcap")

KINDS = (CaptionBleu, CaptionCider, LegacyBleu, LegacyCider)
NAMES = ("Zara", "Finn", "Mila", "Otto", "Nora", "Pip")
VERBS = ("runs", "sleeps", "dances", "waves")
PLACES = ("on the beach", "in the forest", "in the kitchen", "on the farm")


def sentence(rng):
    who, what, where = (options[int(rng.integers(len(options)))] for options in (NAMES, VERBS, PLACES))
    return f"{who} {what} {where}."


def story(key, said, asked, true):
    """A story from the captions of its frames; None where a captioner did not look."""
    return [
        FrameRecord(
            story=key,
            frame=t,
            cluster=key,
            expected=("Zara",),
            setting="beach",
            details={},
            mentions=(),
            seen=Observation(caption=said[t]),
            truth=Observation(caption=true[t]),
            captions=tuple(asked),
        )
        for t in range(len(said))
    ]


def random_stories(count, seed=0, frames=4):
    rng = np.random.default_rng(seed)
    return [story(f"s{k}", *([sentence(rng) for _ in range(frames)] for _ in range(3))) for k in range(count)]


def scored(kind, stories):
    metric = kind("toy-v1")
    for one in stories:
        metric.update(one)
    return metric


def test_bleu_of_stories_is_the_corpus_bleu_of_all_their_frames():
    stories = random_stories(12)
    words = [[" ".join(ptb_tokens(x)) for x in w] for s in stories for w in captions.worded(s)]
    said, asked, true = zip(*words, strict=True)
    theirs = sacrebleu.corpus_bleu(
        list(said), [list(asked), list(true)], smooth_method="none", tokenize="none", force=True
    )
    assert theirs.score > 5
    assert float(scored(CaptionBleu, stories).compute()) == pytest.approx(theirs.score / 100, rel=1e-12)


def test_bootstrap_draws_are_the_bleu_of_the_drawn_stories():
    stories = random_stories(9)
    metric = scored(CaptionBleu, stories)
    rows = metric.cluster_rows()
    weights = next(bootstrap.story_weights(9, draws=5))
    values = metric.statistic(weights, rows)
    for weight, value in zip(weights, values, strict=True):
        drawn = np.repeat(rows[:, :-1], weight.astype(int), axis=0).sum(0)
        assert value == pytest.approx(float(bleu(drawn)), rel=1e-12)
    score = metric.score(draws=500)
    assert score.low < score.value < score.high
    assert score.n == 36


def test_captions_of_the_truth_score_one_and_others_less():
    rng = np.random.default_rng(5)
    true = [[sentence(rng) for _ in range(4)] for _ in range(8)]
    asked = [[sentence(rng) for _ in range(4)] for _ in range(8)]
    same = [story(f"s{k}", true[k], asked[k], true[k]) for k in range(8)]
    other = [story(f"s{k}", true[(k + 1) % 8], asked[k], true[k]) for k in range(8)]
    assert float(scored(CaptionBleu, same).compute()) == pytest.approx(1.0, abs=1e-12)
    for kind in (CaptionBleu, CaptionCider, LegacyCider):
        assert float(scored(kind, other).compute()) < float(scored(kind, same).compute())
    (less,), (most,) = (scored(LegacyBleu, stories).details().values() for stories in (other, same))
    assert less < most == pytest.approx(1.0, abs=1e-8)  # theirs adds 1e-9 against division by 0
    assert float(scored(LegacyCider, same).compute()) == pytest.approx(10.0, rel=1e-9)  # all four orders alike


def test_cider_of_stories_is_the_mean_of_the_coco_evaluation():
    from pycocoevalcap.cider.cider import Cider

    stories = random_stories(10)
    words = [[" ".join(ptb_tokens(x)) for x in w] for s in stories for w in captions.worded(s)]
    expected, _ = Cider().compute_score(
        {k: w[1:] for k, w in enumerate(words)}, {k: w[:1] for k, w in enumerate(words)}
    )
    metric = scored(CaptionCider, stories)
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-12)
    assert metric.cluster_rows()[:, 1].tolist() == [4.0] * 10
    score = metric.score(draws=500)
    assert score.low < score.value < score.high


def test_published_cider_has_the_captions_of_true_frames_as_references_and_splits_at_spaces():
    from pycocoevalcap.cider.cider import Cider

    stories = random_stories(10)
    words = [w for s in stories for w in captions.worded(s)]
    expected, _ = Cider().compute_score(
        {k: [w.true] for k, w in enumerate(words)}, {k: [w.generated] for k, w in enumerate(words)}
    )
    assert float(scored(LegacyCider, stories).compute()) == pytest.approx(expected, rel=1e-12)


def test_published_bleu_is_the_mean_over_sentences_with_the_generated_caption_as_reference():
    from pycocoevalcap.bleu.bleu import Bleu

    stories = random_stories(6)
    words = [w for s in stories for w in captions.worded(s)]

    def published(name):
        each = [Bleu(4).compute_score({0: [w.generated]}, {0: [getattr(w, name)]}, verbose=0)[0] for w in words]
        return np.mean(each)

    metric = scored(LegacyBleu, stories)
    assert float(metric.compute()) == pytest.approx(published("asked"), rel=1e-12)
    (beside,) = metric.details().values()
    assert beside == pytest.approx(published("true"), rel=1e-12)
    assert beside != pytest.approx(float(metric.compute()))


@pytest.mark.parametrize("kind", KINDS)
def test_no_score_depends_on_the_order_of_stories_or_on_how_processes_share_them(kind):
    stories = random_stories(9)
    metric, back = scored(kind, stories), scored(kind, stories[::-1])
    first, second = scored(kind, stories[:4]), scored(kind, stories[4:])
    joined = kind("toy-v1")
    for name in joined._defaults:
        parts = getattr(second, name) + getattr(first, name)
        setattr(joined, name, [torch.cat(parts)] if parts else [])
    score = metric.score(draws=200)
    assert score == back.score(draws=200) == joined.score(draws=200)


def test_texts_joined_by_torchmetrics_are_one_tensor_also_with_a_process_that_saw_nothing():
    metric = scored(CaptionCider, random_stories(5))
    joined = CaptionCider("toy-v1")
    joined.texts = torch.cat([torch.tensor([]), *metric.texts])  # an empty state is float32, and so is then the whole
    np.testing.assert_array_equal(joined.cluster_rows(), metric.cluster_rows())


@pytest.mark.parametrize("kind", KINDS)
def test_frames_without_a_caption_of_the_truth_do_not_count(kind):
    stories = random_stories(3)
    gap = story("gap", ["Zara runs.", None], ["Zara runs.", "Zara sleeps."], [None, "Zara sleeps."])
    assert scored(kind, [*stories, gap]).score(draws=50).n == 12
    nothing = scored(kind, [gap]).score(draws=50)
    assert nothing.value is None
    assert "caption of the truth" in nothing.reason


@pytest.mark.parametrize("kind", [CaptionCider, LegacyBleu, LegacyCider])
def test_a_missing_package_is_said_and_nothing_fails(kind, monkeypatch):
    monkeypatch.setattr(captions, "PACKAGE", "no_such_package_here")
    score = scored(kind, random_stories(2)).score()
    assert score.value is None
    assert "pip install 'storybench[captions]'" in score.reason


@pytest.mark.parametrize("kind", KINDS)
def test_every_metric_declares_its_facts_and_the_captioner(kind):
    metric = kind.build(Instruments(protocols={"caption": "toonsv-captioner-v1"}))
    assert metric.protocol == f"{kind.name}/{kind.version}@toonsv-captioner-v1"
    assert (metric.group, metric.requires) == ("captions", ("caption", "truth"))
    assert metric.citation
    assert metric.score().value is None


def test_an_order_without_a_match_makes_bleu_zero_and_no_word_makes_it_missing():
    assert float(bleu(bleu_sums(["a", "b", "c", "x"], [["a", "b", "c", "d"]]))) == 0.0
    assert np.isnan(float(bleu(bleu_sums([], [["a", "b", "c", "d"]]))))
    assert float(bleu(bleu_sums(["a", "b", "c", "d"], [["a", "b", "c", "d", "e", "f"]]))) == pytest.approx(
        np.exp(1 - 6 / 4)
    )


def test_tokens_are_lower_case_words_without_punctuation():
    assert ptb_tokens("Zara's kite doesn\u2019t fly, Mr Plum!") == [
        "zara",
        "'s",
        "kite",
        "does",
        "n't",
        "fly",
        "mr",
        "plum",
    ]
    assert ptb_tokens("") == []


@pytest.mark.parametrize("kind", [CaptionCider, LegacyCider])
def test_one_frame_alone_has_no_cider(kind):
    """Without other frames no word is rare: a perfect caption would score 0."""
    words = ["Zara runs on the beach."]
    score = scored(kind, [story("s", words, words, words)]).score()
    assert (score.value, score.reason) == (None, kind.missing)
    assert np.isnan(float(scored(kind, [story("s", words, words, words)]).compute()))
