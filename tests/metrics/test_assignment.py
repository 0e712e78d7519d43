"""Frames put back to their captions, and the solver's habit that would call a frozen picture perfect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from storybench.metrics.assignment import AssignmentAccuracy
from storybench.metrics.functional.assignment import assignment_accuracy
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Observation


def story_of(fit, name="s"):
    return [
        FrameRecord(name, t, name, (), "", {}, (), Observation(caption_fit=np.asarray(row, dtype=np.float64)))
        for t, row in enumerate(fit)
    ]


def test_right_frames_score_one_and_derangements_zero():
    assert assignment_accuracy(np.eye(5)) == 1.0
    assert assignment_accuracy(np.roll(np.eye(5), 1, axis=1)) == 0.0


def test_two_frames_exchanged_cost_two():
    fit = np.eye(5)[[1, 0, 2, 3, 4]]
    assert assignment_accuracy(fit) == pytest.approx(3 / 5)


def test_the_solver_alone_calls_a_frozen_picture_perfect():
    """The reason for the shuffles: without them a constant table comes out in its own order."""
    rows, columns = linear_sum_assignment(np.ones((5, 5)), maximize=True)
    assert (rows == columns).all()


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7])
def test_constant_image_scores_chance_in_expectation(size):
    rng = np.random.default_rng(size)
    values = [assignment_accuracy(np.tile(rng.normal(size=size), (size, 1)), f"story {k}") for k in range(300)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - 1 / size) <= 3 * error + 1e-12  # no error at all where 16 is a multiple of T


def test_constant_image_scores_exactly_chance_where_rotations_fill_the_draws():
    assert assignment_accuracy(np.tile([0.3, 0.1, 0.9, 0.2], (4, 1)), "any") == 0.25


def test_every_cell_equal_scores_chance_too():
    values = [assignment_accuracy(np.zeros((5, 5)), str(k)) for k in range(300)]
    assert np.mean(values) == pytest.approx(0.2, abs=3 * np.std(values) / np.sqrt(300))


def test_random_fit_scores_chance_within_three_standard_errors():
    rng = np.random.default_rng(0)
    values = [assignment_accuracy(rng.normal(size=(5, 5)), str(k)) for k in range(500)]
    assert abs(np.mean(values) - 0.2) < 3 * np.std(values) / np.sqrt(500)


def test_best_match_is_that_of_all_orders():
    from itertools import permutations

    rng = np.random.default_rng(1)
    fit = rng.normal(size=(5, 5))
    best = max(permutations(range(5)), key=lambda p: sum(fit[t, p[t]] for t in range(5)))
    assert assignment_accuracy(fit) == pytest.approx(np.mean([best[t] == t for t in range(5)]))


def test_table_that_is_not_square_is_an_error():
    with pytest.raises(ValueError, match="one caption a frame"):
        assignment_accuracy(np.zeros((3, 4)))


def test_class_is_its_function_weighted_by_frames():
    rng = np.random.default_rng(2)
    tables = {str(k): rng.normal(size=(3 + k % 3,) * 2) for k in range(8)}
    metric = AssignmentAccuracy()
    for name, fit in tables.items():
        metric.update(story_of(fit, name))
    frames = sum(len(fit) for fit in tables.values())
    right = sum(assignment_accuracy(fit, name) * len(fit) for name, fit in tables.items())
    assert float(metric.compute()) == pytest.approx(right / frames, abs=1e-12)
    assert metric.details()["assignment_acc_chance"] == pytest.approx(len(tables) / frames)
    assert metric.score(draws=100).n == frames


def test_frames_that_were_not_judged_take_no_part():
    fit = np.zeros((4, 4))
    fit[2, 1], fit[1, 2] = 1.0, 1.0  # frames 1 and 2 exchanged; frame 3 is not judged
    fit[0, 0] = 1.0
    metric = AssignmentAccuracy()
    metric.update(story_of(fit)[:3])
    assert float(metric.compute()) == pytest.approx(1 / 3)


def test_order_of_frames_and_stories_changes_no_bit():
    rng = np.random.default_rng(3)
    some = [story_of(rng.normal(size=(5, 5)), str(k)) for k in range(10)]
    forward, backward = AssignmentAccuracy(), AssignmentAccuracy()
    for story in some:
        forward.update(story)
    for story in reversed(some):
        backward.update(story[::-1])
    assert forward.score(draws=200) == backward.score(draws=200)


def test_story_of_one_frame_is_left_out_and_unjudged_frames_are_an_error():
    metric = AssignmentAccuracy()
    metric.update(story_of([[1.0]]))
    assert metric.score().reason == metric.missing
    blind = [replace(r, seen=Observation()) for r in story_of(np.eye(2))]
    with pytest.raises(ValueError, match="s/0"):
        metric.update(blind)
