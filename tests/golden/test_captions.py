"""Caption metrics against the packages everybody uses, on captions of the data set."""

from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest

from storybench.data.toonsv.dataset import ToonSV
from storybench.metrics.captions import cider_scores, exchanged_bleu
from storybench.metrics.functional.captions import bleu, bleu_sums, ptb_tokens

sacrebleu = pytest.importorskip("sacrebleu")
pytest.importorskip("pycocoevalcap")

EXACT = 1e-12  # the same counts in float64


@pytest.fixture(scope="module")
def corpus() -> tuple[list[str], list[list[str]]]:
    """Captions of frames of a story, judged against those of the next frames: some n-grams match, most do not."""
    texts = [f.captions["explicit"].text for k in range(60) for f in ToonSV("val")[k].frames]
    lines = [" ".join(ptb_tokens(t)) for t in texts]
    rng = np.random.default_rng(3)
    captions = [" ".join(w for w in line.split() if rng.random() > 0.15) for line in lines]
    references = [[lines[k], lines[(k + 1) % len(lines)]] for k in range(len(lines))]
    return captions, references


def _sums(captions: list[str], references: list[list[str]]) -> np.ndarray:
    return np.stack([bleu_sums(c.split(), [r.split() for r in rs]) for c, rs in zip(captions, references, strict=True)])


def test_corpus_bleu_equals_sacrebleu(corpus: tuple[list[str], list[list[str]]]) -> None:
    captions, references = corpus
    theirs = sacrebleu.corpus_bleu(
        captions, list(map(list, zip(*references, strict=True))), smooth_method="none", tokenize="none", force=True
    )
    mine = _sums(captions, references).sum(0)
    assert list(mine) == [*theirs.counts, *theirs.totals, theirs.sys_len, theirs.ref_len]
    assert 0.1 < theirs.score / 100 < 0.95
    assert theirs.bp < 1  # words were left out: the brevity penalty takes part
    assert float(bleu(mine)) == pytest.approx(theirs.score / 100, rel=EXACT)


@pytest.mark.parametrize("orders", [1, 2, 3, 4])
def test_corpus_bleu_of_each_order_equals_the_coco_evaluation(
    corpus: tuple[list[str], list[list[str]]], orders: int
) -> None:
    from pycocoevalcap.bleu.bleu import Bleu

    captions, references = corpus
    theirs, _ = Bleu(4).compute_score(dict(enumerate(references)), {k: [c] for k, c in enumerate(captions)}, verbose=0)
    mine = float(bleu(_sums(captions, references).sum(0), orders))
    assert mine == pytest.approx(theirs[orders - 1], rel=1e-9)  # theirs adds 1e-15 and 1e-9 against division by 0


def test_sums_of_single_sentences_equal_sacrebleu_with_ties_of_length() -> None:
    cases = [
        ("the cat", ["the cat sat", "cat"]),  # both references a word away: the shorter counts
        ("a a a", ["a a", "a b"]),  # clipped at the best reference
        ("x", ["a b c d e"]),
        ("a b c d", ["a b c d", "a b c d"]),
    ]
    metric = sacrebleu.BLEU(tokenize="none", force=True, effective_order=True, smooth_method="none")
    for caption, references in cases:
        theirs = metric.sentence_score(caption, references)
        mine = bleu_sums(caption.split(), [r.split() for r in references])
        assert list(mine) == [*theirs.counts, *theirs.totals, theirs.sys_len, theirs.ref_len]


def test_cider_equals_the_coco_evaluation(corpus: tuple[list[str], list[list[str]]]) -> None:
    from pycocoevalcap.cider.cider import Cider

    captions, references = corpus
    mean, each = Cider().compute_score(dict(enumerate(references)), {k: [c] for k, c in enumerate(captions)})
    mine = cider_scores(captions, references)
    np.testing.assert_allclose(mine, each, rtol=EXACT)
    assert mine.mean() == pytest.approx(mean, rel=EXACT)
    assert mine.mean() > 1  # of 10: the captions are near their references


def test_cider_is_the_formula_of_its_paper_on_a_hand_made_corpus() -> None:
    # Two frames, one word each: idf = ln 2 for both words, unigram cosine 1, other orders empty: 10 / 4.
    np.testing.assert_allclose(cider_scores(["red", "blue"], [["red"], ["blue"]]), [2.5, 2.5], rtol=EXACT)
    # A word that every frame's references have weighs nothing.
    np.testing.assert_allclose(cider_scores(["red", "red"], [["red"], ["red"]]), [0.0, 0.0], atol=EXACT)


def test_published_bleu_is_the_mean_of_four_orders_with_the_caption_in_the_place_of_the_reference() -> None:
    generated, caption = "Zara runs in the park quickly", "Zara runs in the park ."
    # The caption is the hypothesis: of its 6 words 5 match, then 4 of 5, 3 of 4, 2 of 3; lengths are equal.
    p = [5 / 6, 4 / 5, 3 / 4, 2 / 3]
    expected = np.mean([np.prod(p[:n]) ** (1 / n) for n in range(1, 5)])
    assert exchanged_bleu(generated, caption) == pytest.approx(expected, rel=1e-8)  # as above: 1e-9 in divisions
    short = "Zara runs"
    assert exchanged_bleu(short, caption) != pytest.approx(exchanged_bleu(caption, short))  # the exchange is felt


def test_tokens_equal_the_java_tokeniser_of_the_coco_evaluation() -> None:
    if shutil.which("java") is None:
        pytest.skip("needs Java")
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    stories = itertools.islice(ToonSV("test"), 200)
    texts = [f.captions[mode].text for s in stories for f in s.frames for mode in ("explicit", "referential")]
    texts += [
        "Fred doesn't know what's in the room; he's angry!",
        "They're at the well-known cave, aren't they?",
        "She said: the kids' toys, all of them, fell ... down.",
        "I'd say we've 3 dogs, and you'll see Wilma's hat.",
    ]
    try:
        theirs = PTBTokenizer().tokenize({k: [{"caption": t}] for k, t in enumerate(texts)})
    except PermissionError:
        pytest.skip("the Java tokeniser writes into its own package, which is read-only here")
    wrong = [(t, theirs[k][0]) for k, t in enumerate(texts) if theirs[k][0].split() != ptb_tokens(t)]
    assert wrong == []
