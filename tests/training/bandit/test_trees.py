"""Tests boosted trees: the same outcomes give the same trees, in any order."""

from __future__ import annotations

import numpy as np
import pytest

from training.bandit.trees import BoostedTrees

NAN = float("nan")


def outcomes(n: int = 400, seed: int = 0, price: float = 1.0) -> tuple:
    """Customers with a first feature above 0 accept 'up', others do not; any may accept 'down'."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 3))
    channels, actions = rng.choice(["app", "phone"], n), rng.choice(["up", "down"], n)
    up = np.where(rows[:, 0] > 0, np.where(channels == "app", 0.9, 0.7), 0.1)
    chance = np.where(actions == "up", up, 0.4)
    rows[rng.random((n, 3)) < 0.05] = NAN
    reward = (rng.random(n) < chance) * price
    return rows, channels.tolist(), actions.tolist(), reward, np.ones(n)


def shuffled(given: tuple, seed: int) -> tuple:
    order = np.random.default_rng(seed).permutation(len(given[0]))
    return tuple(
        [part[i] for i in order] if isinstance(part, list) else part[order] for part in given
    )


def joined(one: tuple, other: tuple) -> tuple:
    return tuple(
        a + b if isinstance(a, list) else np.concatenate([a, b])
        for a, b in zip(one, other, strict=True)
    )


def test_trees_find_an_interaction():
    trees = BoostedTrees.fit(*outcomes(2_000))
    chances = trees.reward(np.array([[1.0, 0, 0], [-1.0, 0, 0]]), ["app", "app"], ["up", "down"])
    assert chances == pytest.approx(np.array([[0.9, 0.4], [0.1, 0.4]]), abs=0.15)


def test_the_order_of_outcomes_does_not_matter():
    given = outcomes()
    assert BoostedTrees.fit(*shuffled(given, 1)).text == BoostedTrees.fit(*given).text


def test_a_retracted_outcome_does_not_change_the_trees():
    given, wrong = outcomes(), outcomes(50, seed=9)
    back = (*wrong[:4], -wrong[4])
    assert (
        BoostedTrees.fit(*joined(joined(wrong, given), back)).text == BoostedTrees.fit(*given).text
    )
    assert (
        BoostedTrees.fit(*joined(wrong, given)).text != BoostedTrees.fit(*given).text
    )  # the test can fail


def test_an_unknown_action_has_no_prediction():
    trees = BoostedTrees.fit(*outcomes())
    chances = trees.reward(np.zeros((2, 3)), ["app", "fax"], ["up", "new"])
    assert np.isnan(chances).tolist() == [[False, True]] * 2


def test_equal_rewards_leave_nothing_to_fit():
    rows, channels, actions, reward, count = outcomes()
    assert BoostedTrees.fit(rows, channels, actions, np.zeros_like(reward), count) is None
    assert BoostedTrees.fit(rows[:0], [], [], reward[:0], count[:0]) is None


@pytest.mark.parametrize("price", [1.0, 30.0])  # chances, and money
def test_effects_add_up_to_the_expected_reward(price):
    trees = BoostedTrees.fit(*outcomes(price=price))
    row = np.array([0.7, NAN, -0.5])
    found = trees.effects(row, "app", ["down", "up"])
    assert found.effects.shape == (2, 4)
    whole = trees.reward(row[None, :], ["app"], ["down", "up"])[0]
    assert found.baseline + found.effects.sum(axis=1) == pytest.approx(whole)
    assert found.effects[1, 0] > abs(found.effects[1, 2])  # the first feature is what matters
    assert (whole.max() > 1) == (price > 1)


def test_trees_survive_their_note():
    trees = BoostedTrees.fit(*outcomes())
    back, row = BoostedTrees(**trees.note), np.array([[0.7, NAN, -2.0]])
    assert back.reward(row, ["app"], ["up"]) == trees.reward(row, ["app"], ["up"])


def test_equal_outcomes_count_as_several():
    """Even if there are only two kinds of customers, the trees distinguish them."""
    rows = np.tile([[20.0], [60.0]], (40, 1))
    liked = (rows[:, 0] < 40).astype(np.float64)
    trees = BoostedTrees.fit(rows, ["app"] * 80, ["mail"] * 80, liked, np.ones(80))
    found = trees.reward(np.array([[20.0], [60.0]]), ("app", "app"), ("mail",))[:, 0]
    assert found[0] > 0.9 and found[1] < 0.1


def test_errors_after_some_trees_are_those_of_the_first_trees_alone():
    trees, later = BoostedTrees.fit(*outcomes()), outcomes(100, seed=3)
    rows, channels, actions, reward, _ = later
    count = np.linspace(0.5, 2, 100)
    found = trees.errors_after((1, 7, 60), rows, channels, actions, reward, count)
    for number, error in zip((1, 7, 60), found, strict=True):
        predicted = trees.first(number).reward(rows, channels, ["down", "up"])
        taken = np.where(np.array(actions) == "down", predicted[:, 0], predicted[:, 1])
        assert error == pytest.approx((count * (reward - taken) ** 2).sum())
    assert found[0] > found[1]
    assert trees.first(60).text.count("Tree=") == 60
    assert trees.first(7).text.count("Tree=") == 7


def test_rounds_and_settings_can_be_others():
    small = BoostedTrees.fit(*outcomes(), rounds=5, settings={"num_leaves": 2})
    assert small.text.count("Tree=") == 5
    assert small.text.count("num_leaves=2") == 5
