"""Tests contributions: they add up, and their differences explain a softmax."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from training.contributions import Contributions

FOUND = Contributions(
    of=("a", "b", "c"),
    features=("x", "y"),
    baseline=np.array([1.0, 0.0, -1.0]),
    effects=np.array([[0.5, 2.0], [1.5, 2.0], [-1.0, 2.0]]),
)


def test_a_score_is_the_baseline_and_all_effects():
    assert FOUND.scores.tolist() == [3.5, 3.5, 0.0]


def test_what_lifts_all_scores_alike_has_no_effect_against_the_average():
    against = FOUND.against_average(softmax(FOUND.scores))
    assert against.effects[:, 1] == pytest.approx([0.0, 0.0, 0.0])
    assert (against.of, against.features) == (FOUND.of, FOUND.features)


def test_against_the_average_the_sums_still_add_up():
    chances = np.array([0.5, 0.3, 0.2])
    against = FOUND.against_average(chances)
    assert against.scores == pytest.approx(FOUND.scores - chances @ FOUND.scores)
    assert chances @ against.effects == pytest.approx([0.0, 0.0])


@pytest.mark.parametrize("seed", range(5))
def test_the_sign_against_the_average_is_that_of_the_change_of_the_chance(seed):
    """Probabilities of calibrated scores, moved a little along the effects of one feature."""
    rng = np.random.default_rng(seed)
    found = Contributions(
        ("a", "b", "c", "d"), ("x", "y", "z"), rng.normal(size=4), rng.normal(size=(4, 3))
    )
    slope, bias, step = 0.7, rng.normal(size=4), 1e-6

    def chances(scores):
        return softmax(slope * scores + bias)

    now = chances(found.scores)
    against = found.against_average(now)
    for feature in range(3):
        moved = chances(found.scores + step * found.effects[:, feature])
        expected = slope * now * against.effects[:, feature]
        # The second derivative is below 10 here, so a step of 1e-6 is off by 1e-5 at most.
        assert (moved - now) / step == pytest.approx(expected, abs=1e-5)


def test_effects_stay_while_the_baseline_makes_them_add_up_to_other_scores():
    found = Contributions(("a", "b"), ("x",), np.array([0.2, 0.9]), np.array([[0.1], [0.3]]))
    moved = found.adding_up_to(np.array([0.5, 1.0]))
    assert moved.effects.tolist() == found.effects.tolist()
    # 0.2 + 0.1 becomes 0.5; 0.9 + 0.3 is cut to 1, which is what is asked for.
    assert moved.baseline.tolist() == pytest.approx([0.4, 0.9])
    assert moved.scores.tolist() == pytest.approx([0.5, 1.2])
