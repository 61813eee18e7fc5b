"""Tests boosted trees: the same outcomes give the same trees, in any order."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from training.bandit import trees as trees_module
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
    trees, later = BoostedTrees.fit(*outcomes(), rounds=60), outcomes(100, seed=3)
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


def rare(n: int = 6_000) -> tuple:
    """Few accept; for each of four actions another two of 30 features say who. Also the truth."""
    rng = np.random.default_rng(5)
    rows, numbers = rng.normal(size=(n, 30)), rng.integers(0, 4, n)
    everybody = np.stack([0.005 + 0.2 * (rows[:, k] + rows[:, k + 9] > 1.5) for k in range(4)], 1)
    reward = (rng.random(n) < everybody[np.arange(n), numbers]).astype(float)
    return (rows, ["app"] * n, [f"a{k}" for k in numbers], reward, np.ones(n)), everybody


@cache
def rare_trees() -> BoostedTrees:
    return BoostedTrees.fit(*rare()[0])


def agreement(trees: BoostedTrees, given: tuple, truth: np.ndarray) -> float:
    """Correlation of predicted and true chances of an action, on average."""
    found = trees.reward(given[0], given[1], [f"a{k}" for k in range(4)])
    return float(np.mean([np.corrcoef(found[:, k], truth[:, k])[0, 1] for k in range(4)]))


def is_own(trees: BoostedTrees) -> bool:
    """Each tree first asks for one of several actions, by a split on the last column."""
    column = int(trees.text.split("max_feature_idx=")[1].split()[0])
    return trees.text.count(f"split_feature={column}") == trees.text.count("Tree=") > 60


def test_rare_acceptances_get_trees_of_each_action():
    given, truth = rare()
    trees, joint = rare_trees(), BoostedTrees.fit(*given, rounds=60)
    assert 0.01 < given[3].mean() < 0.04
    assert is_own(trees) and not is_own(joint)
    assert agreement(trees, given, truth) > 0.6
    assert agreement(trees, given, truth) > agreement(joint, given, truth) + 0.1


def clear(n: int, n_actions: int) -> tuple:
    """Each customer accepts one of the actions: the signs of the features say which."""
    rng = np.random.default_rng(2)
    rows, numbers = rng.normal(size=(n, 4)), rng.integers(0, n_actions, n)
    reward = (numbers == ((rows > 0) @ [1, 2, 4, 8]) % n_actions).astype(float)
    return rows, ["app"] * n, [f"a{k}" for k in numbers], reward, np.ones(n)


@pytest.mark.parametrize(("n", "n_actions"), [(3_000, 16), (5_000, 3)])
def test_clear_rewards_keep_trees_of_all_actions(n, n_actions, monkeypatch):
    """If few outcomes have a reward, and if many have."""
    monkeypatch.setattr(trees_module, "COMPARED", 5_000)
    monkeypatch.setattr(trees_module, "COMPARED_ROWS", 5_000)
    given = clear(n, n_actions)
    assert (given[3].mean() < trees_module.RARE) == (n_actions == 16)
    assert BoostedTrees.fit(*given).text == BoostedTrees.fit(*given, rounds=60).text


@pytest.mark.parametrize(
    ("n", "share", "own"),
    [
        (trees_module.COMPARED_RARE - 1, 0.05, False),
        (trees_module.COMPARED_RARE, 0.05, True),
        (trees_module.COMPARED_RARE, 0.2, True),
        (trees_module.COMPARED - 1, 0.3, False),
        (trees_module.COMPARED, 0.3, True),
    ],
)
def test_few_outcomes_cannot_tell_which_kind_is_better(n, share, own):
    """Nothing tells who accepts, so that small trees are better wherever kinds are compared."""
    rng = np.random.default_rng(1)
    rows, reward = rng.normal(size=(n, 3)), (np.arange(n) % 100 < 100 * share).astype(float)
    names = [f"a{k}" for k in rng.integers(0, 2, n)]
    assert is_own(BoostedTrees.fit(rows, ["app"] * n, names, reward, np.ones(n))) == own


def test_trees_of_each_action_are_as_good_as_others_for_their_users():
    given, _ = rare()
    trees = rare_trees()
    assert BoostedTrees.fit(*shuffled(given, 1)).text == trees.text
    names, rows = ["a2", "new", "a0"], given[0][:300]
    found = trees.reward(rows, ["app"] * 300, names)
    for number in (0, 1, 299):  # a row alone gives the same, to the bit
        alone = trees.reward(rows[number : number + 1], ["app"], names)
        assert alone.tolist()[0][::2] == found[number].tolist()[::2] and np.isnan(alone[0, 1])
    assert BoostedTrees.of(trees.note).reward(rows[:1], ["app"], ["a0"]) == found[0, 2]
    told = trees.effects(rows[0], "app", ["a2", "a0"])
    assert told.baseline + told.effects.sum(axis=1) == pytest.approx(found[0, ::2])


def test_more_folds_are_compared_the_fewer_outcomes_there_are(monkeypatch):
    errors: list[int] = []
    monkeypatch.setattr(
        trees_module._Outcomes, "error", lambda _, rows, text: errors.append(0) or 0
    )
    monkeypatch.setattr(trees_module, "COMPARED_ROWS", 2_000)
    for n, folds in ((500, 4), (700, 2), (2_500, 1), (400, 0)):
        rows = np.random.default_rng(1).normal(size=(n, 3))
        reward = (np.arange(n) % 100 < 5).astype(float)
        BoostedTrees.fit(rows, ["app"] * n, ["a"] * n, reward, np.ones(n))
        assert len(errors) == 2 * folds  # of both kinds
        errors.clear()


def test_a_single_acceptance_is_no_reason_to_fail():
    rows, channels, actions, reward, count = outcomes(500)
    for number in range(0, 500, 99):
        one = np.arange(500) == number
        assert BoostedTrees.fit(rows, channels, actions, one.astype(float), count) is not None
