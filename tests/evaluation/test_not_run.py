"""A data set that no evaluator reads: scores without values, each with its reason."""

from dataclasses import replace

from storybench.data.toonsv.dataset import ToonSV
from storybench.evaluation import METRICS, TrueFrames, evaluate


def test_missing_is_not_zero():
    stories = [replace(story, dataset="elsewhere") for story in ToonSV("mini", size=2)]
    found = evaluate(stories, TrueFrames(stories))
    assert list(found.scores) == list(METRICS)
    assert all(score.value is None and "elsewhere" in (score.reason or "") for score in found.scores.values())
    assert not found.scores["frechet"].higher_is_better
    assert len(found.frames) == 10
