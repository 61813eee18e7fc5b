"""The bench of the surrogate: its worlds come back, and its goals are those of the table."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench import surrogate_poison, surrogate_policies
from tests.bench.surrogate import is_found, tell_poison, tell_policies
from tests.bench.surrogate_poison import Found, play
from tests.bench.surrogate_policies import Gains, gains
from tests.bench.surrogate_worlds import K, World


def test_an_effect_moves_the_log_rate_by_as_much_as_it_is():
    random = np.random.default_rng(1)
    world = World(random, a_day=0.01, strength=0.3, hidden=0.4)
    features, shown = world.customers(random, 2 * K), np.arange(2 * K) % K
    effect = world.effects(features)[np.arange(2 * K), shown]
    moves, hidden = world.split(shown, effect)
    nothing = np.zeros(2 * K)
    before, after = world.rate(features, nothing), world.rate(features + moves, hidden)
    assert np.log(after / before) == pytest.approx(effect)
    assert (np.abs(hidden) <= 0.4 * np.abs(effect) + 1e-12).all() and (hidden != 0).all()
    assert (world.effects(features)[:, K] == 0).all()


def test_a_policy_world_comes_back_and_the_best_policy_is_the_best(monkeypatch):
    for name in ("CUSTOMERS", "BEFORE", "ASKED"):
        monkeypatch.setattr(surrogate_policies, name, 2_000)
    found = gains(3)
    assert found == gains(3)
    assert found.best >= max(found.surrogate, found.truth, found.acceptance)


def test_a_poisoned_world_comes_back_and_loses_more_customers(monkeypatch):
    monkeypatch.setattr(surrogate_poison, "CUSTOMERS", 1_000)
    monkeypatch.setattr(surrogate_poison, "MOST_DAYS", 42)
    poisoned = play(5, poison=True)
    assert poisoned == play(5, poison=True)
    assert poisoned.left > play(5, poison=False).left


def test_goals_are_met_and_missed():
    assert tell_policies([Gains(0.95, 1.0, 0.0, 1.0)] * 4)
    assert not tell_policies([Gains(0.85, 1.0, 0.0, 1.0)] * 4)
    assert not tell_policies([Gains(2.0, 1.0, 0.0, 2.0)] * 2 + [Gains(0.8, 1.0, 0.0, 1.0)] * 2)
    found, late = Found(400, 50, ("mails",), False), Found(600, 80, (), True)
    calm = Found(600, 90, (), False)
    assert [is_found(one) for one in (found, late, calm)] == [True, False, False]
    assert tell_poison([found] * 20, [calm] * 20)
    assert not tell_poison([found] * 18 + [late] * 2, [calm] * 20)
    assert not tell_poison([found] * 20, [calm] * 18 + [found] * 2)
