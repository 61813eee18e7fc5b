"""Tests that acceptance is learned from feedback whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from training.simulation.acceptance_model import MEMORY_DAYS, AcceptanceModel, refit_due
from training.simulation.actions import K
from training.simulation.rollout import DayFeedback

N = 20_000


def feedback(day: int, truth, n: int = N, action: int | None = None, seed: int = 0) -> DayFeedback:
    """Of a day on which each was shown any action, or one; ``truth`` of contexts (n, 2)."""
    rng = np.random.default_rng([seed, day])
    x = rng.choice([-1.0, 1.0], (n, 2))
    actions = rng.integers(0, K, n) if action is None else np.full(n, action)
    accepted = (rng.random(n) < truth(x)) & (actions > 0)
    zero = np.zeros(n)
    return DayFeedback(day, 21, x, actions, accepted, zero, zero > 0, zero, x)


def alone(x):
    return 0.1 + 0.05 * x[:, 0]


def together(x):
    """Both together do what no line shows."""
    return 0.05 + 0.25 * (x > 0).all(axis=1)


FOUR = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])


@pytest.mark.parametrize("truth", [alone, together])
def test_finds_the_chances(truth):
    model = AcceptanceModel(2)
    for _ in range(3):  # steps from the fit before are few
        assert model.learn([feedback(0, truth)])
    found = model.acceptance(FOUR)
    error = np.sqrt(0.25 * 0.75 / (N / K / 4))
    assert (found[:, 0] == 0).all()
    assert np.abs(found[:, 1:] - truth(FOUR)[:, None]).max() < 4 * error < 0.1


def test_an_action_nobody_was_shown_has_its_prior():
    model = AcceptanceModel(2)
    model.learn([feedback(0, alone, action=1)])
    found = model.acceptance(FOUR)
    assert found[:, 2:] == pytest.approx(0.05)
    assert np.ptp(found[:, 1]) > 0.05


def test_later_feedback_on_a_day_takes_the_place_of_the_earlier_one():
    model, once = AcceptanceModel(2), AcceptanceModel(2)
    model.learn([feedback(0, lambda x: 0.0 * x[:, 0])])
    for _ in range(5):  # steps from the fit before are few
        model.learn([feedback(0, alone)])
        once.learn([feedback(0, alone)])
    assert model.acceptance(FOUR) == pytest.approx(once.acceptance(FOUR), abs=0.01)


def test_what_is_older_than_the_memory_is_forgotten():
    model = AcceptanceModel(2)
    for day in (0, 1, MEMORY_DAYS):
        model.log.add([feedback(day, alone, n=10)])
    assert sorted(model.log.days) == [1, MEMORY_DAYS]


def test_fits_daily_at_first_and_less_often_later():
    days = [day for day in range(1, 90) if refit_due(day)]
    assert days[:13] == list(range(1, 14))
    assert set(np.diff(days[-4:])) == {4}
    model = AcceptanceModel(2)
    model._day = 89
    assert not model.learn([feedback(89, alone, n=10)])
