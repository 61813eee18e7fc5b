"""Tests the bandit alone: it learns, gives exact probabilities, and explains them."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidSetting, NothingAllowed
from tests.bench.bandit import Ours, play, problem
from tests.conftest import published
from training.bandit.bandit_settings import BanditSettings
from training.bandit.contextual_bandit import ContextualBandit

NAN = float("nan")
SMALL = BanditSettings(width=24)


class World:
    """Three actions; the signs of two features tell the best one."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.turned = False

    def contexts(self, n: int) -> np.ndarray:
        return self._rng.normal(size=(n, 4)) * [1, 10, 1, 0] + [0, 100, 0, 5]  # one is constant

    def best(self, x: np.ndarray) -> np.ndarray:
        best = np.where(x[:, 0] > 0, 0, np.where(x[:, 1] > 100, 1, 2))
        return (best + 1) % 3 if self.turned else best

    def draw(self, chances: np.ndarray) -> np.ndarray:
        return (chances.cumsum(axis=1) > self._rng.random((len(chances), 1))).argmax(axis=1)


def lived(
    bandit: ContextualBandit, world: World, rounds: int, at_once: int = 5, scale: float = 1.0
) -> float:
    """Share of the best actions in the last third of so many rounds."""
    right = []
    for _ in range(rounds):
        x = world.contexts(at_once)
        actions = world.draw(bandit.predict(x))
        reward = (actions == world.best(x)).astype(float)
        bandit.learn(x, actions, reward * scale)
        right.append(reward.mean())
    return float(np.mean(right[-rounds // 3 :]))


# Learning --------------------------------------------------------------------------------------


def test_the_best_action_of_each_context_is_learned():
    assert lived(ContextualBandit(4, 3, SMALL), World(1), 120) > 0.85  # by chance: 0.33


def test_the_unit_of_rewards_does_not_matter():
    """Rewards in clicks and in euros give the same choices, until trees are fitted.

    The objective of the trees is another one for rewards above 1.
    """
    one = lived(ContextualBandit(4, 3, SMALL), World(2), 15)
    assert lived(ContextualBandit(4, 3, SMALL), World(2), 15, scale=1024.0) == one


def test_a_changed_world_is_learned_where_old_outcomes_decay():
    share = {}
    for half_life in (None, 100.0):
        bandit, world = (
            ContextualBandit(4, 3, BanditSettings(width=24, half_life=half_life)),
            World(3),
        )
        lived(bandit, world, 60)
        world.turned = True
        share[half_life] = lived(bandit, world, 60)
    assert share[100.0] > 0.7 > share[None] + 0.1


def test_retracted_outcomes_leave_the_predictions_without_them():
    world, settings = World(4), BanditSettings(width=24, trees_from=10_000)
    x, wrong = world.contexts(60), world.contexts(3)
    actions, reward = np.arange(60) % 3, np.arange(60) % 2
    one, other = ContextualBandit(4, 3, settings), ContextualBandit(4, 3, settings)
    for bandit in (one, other):
        bandit.learn(x, actions, reward)
    one.learn(wrong, [0, 1, 2], [9.0, 9.0, 9.0])
    one.learn(wrong, [0, 1, 2], [9.0, 9.0, 9.0], counts=[-1.0, -1.0, -1.0])
    for mine, theirs in zip(one.explain(x[0]).scores, other.explain(x[0]).scores, strict=True):
        assert mine == pytest.approx(theirs, abs=0.05)


def test_an_array_that_was_overwritten_is_learned_as_it_is_now():
    world, settings = World(12), BanditSettings(width=24, trees_from=10_000)
    x, other = world.contexts(40), world.contexts(1)
    one, two = ContextualBandit(4, 3, settings), ContextualBandit(4, 3, settings)
    row = np.empty((1, 4))
    for bandit in (one, two):
        bandit.learn(x, np.arange(40) % 3, np.arange(40) % 2)
    row[:] = x[:1]
    one.predict(row)
    row[:] = other
    one.learn(row, [1], [5.0])
    two.learn(other, [1], [5.0])
    assert one.predict(other).tolist() == two.predict(other).tolist()


def test_outcomes_that_the_log_has_dropped_still_count():
    rng, n = np.random.default_rng(13), 7_000
    x, actions = rng.normal(size=(n, 2)), rng.integers(0, 2, n)
    reward = (x[:, 0] > 0) == (actions == 0)
    scores = []
    for memory in (2_048, 100_000):
        settings = BanditSettings(width=8, trees_from=10**9, memory=memory, solve_growth=3.0)
        bandit = ContextualBandit(2, 2, settings)
        bandit.learn(x, actions, reward)
        scores.append(bandit.explain([1.0, 0.0]).scores.tolist())
    assert scores[0] == pytest.approx(scores[1], abs=2e-3)


def test_the_same_outcomes_give_the_same_probabilities():
    one, other = ContextualBandit(4, 3, SMALL), ContextualBandit(4, 3, SMALL)
    lived(one, World(5), 40), lived(other, World(5), 40)
    x = World(6).contexts(5)
    assert one.predict(x).tolist() == other.predict(x).tolist()


# Choosing --------------------------------------------------------------------------------------


def test_without_outcomes_all_actions_have_the_same_probability():
    chances = ContextualBandit(4, 3).predict(World(7).contexts(2))
    assert chances == pytest.approx(np.full((2, 3), 1 / 3), abs=1e-6)


def test_an_action_that_is_not_allowed_has_probability_0():
    bandit, world = ContextualBandit(4, 3, SMALL), World(8)
    lived(bandit, world, 30)
    x, allowed = world.contexts(4), np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 1, 1]], bool)
    chances = bandit.predict(x, allowed)
    assert (chances[~allowed] == 0).all()
    assert chances.sum(axis=1) == pytest.approx(np.ones(4))
    with pytest.raises(NothingAllowed):
        bandit.predict(x[:1], [[False] * 3])


def test_a_feature_may_be_unknown():
    bandit, world = ContextualBandit(4, 3, SMALL), World(9)
    lived(bandit, world, 30)
    x = world.contexts(1)
    x[0, 1] = NAN
    bandit.learn(x, [0], [1.0])
    assert bandit.predict(x).sum() == pytest.approx(1)


def test_without_features_it_learns_which_action_is_best():
    bandit, rng = ContextualBandit(0, 2), np.random.default_rng(10)
    for _ in range(100):
        action = int(rng.random() > bandit.predict(np.empty((1, 0)))[0, 0])
        bandit.learn(np.empty((1, 0)), [action], [float(rng.random() < (0.8, 0.2)[action])])
    assert bandit.predict(np.empty((1, 0)))[0, 0] > 0.9


def test_an_explanation_adds_up_and_names_what_matters():
    bandit, world = ContextualBandit(4, 3, SMALL), World(11)
    lived(bandit, world, 100)
    found = bandit.explain([2.0, 100.0, 0.0, 5.0])
    assert (found.of, found.features) == (("0", "1", "2"), ("x0", "x1", "x2", "x3"))
    assert found.scores.argmax() == 0
    assert np.abs(found.effects[0]).argmax() == 0
    assert found.effects[:, 3].tolist() == [0, 0, 0]  # it is the same for everybody


# What it refuses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (([[0.0] * 3], [0], [1.0]), "Contexts have the shape \\(1, 3\\). Expected \\(n, 4\\)"),
        (([[0.0] * 4], [3], [1.0]), "Actions go from 3 to 3. Expected numbers from 0 to 2"),
        (([[0.0] * 4], [-1], [1.0]), "Actions go from -1 to -1"),
        (([[0.0] * 4], [0], [NAN]), "Some reward or count is not a number"),
        (([[0.0] * 4], [0], [1.0], [NAN]), "Some reward or count is not a number"),
    ],
)
def test_an_outcome_we_cannot_use_is_named_in_the_error(outcome, message):
    with pytest.raises(InvalidSetting, match=message):
        ContextualBandit(4, 3, SMALL).learn(*outcome)


# Real sets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "at_least"), [("segment", 0.80), ("page_blocks", 0.90)])
def test_a_small_bake_off_of_real_sets(name, at_least):
    """Guessing earns 0.14 and 0.2; `make bench-bandit` runs all sets in full, with rivals."""
    published(f"multiclass/{name}.csv.gz")
    given = problem(name, seed=0, rows=800)
    ours = Ours(given.contexts.shape[1], given.n_actions)
    assert play(given, ours).reward > at_least
