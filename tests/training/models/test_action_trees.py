"""Tests that merged trees predict what the trees of each action predict alone."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest

from training.models import action_trees
from training.models.action_trees import CategoryTrees, fit_each, merged
from training.models.leaf_masks import LeafMasks

N, WAYS, ACTIONS = 3_000, 6, 40
NAN = float("nan")
OBJECTIVE = {"objective": "cross_entropy"}


def table(n: int = N, actions: int = ACTIONS) -> np.ndarray:
    """Three numbers, some unknown; a way and an action. Action 0 has half of the rows."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, 3))
    x[rng.random(x.shape) < 0.1] = NAN
    chosen = np.where(rng.random(n) < 0.5, 0, rng.integers(0, actions, n))
    return np.column_stack([x, rng.integers(0, WAYS, n), chosen])


def rewards(x: np.ndarray) -> np.ndarray:
    """Depend on another number for each action, and on the way."""
    own = np.nan_to_num(x[np.arange(len(x)), x[:, -1].astype(int) % 3])
    return (own + (x[:, -2] == 2) + np.random.default_rng(4).normal(size=len(x)) > 1).astype(float)


def booster(x: np.ndarray, y: np.ndarray, rounds: int, **more) -> str:
    params = {"num_leaves": 5, "verbosity": -1, "num_threads": 1, "min_data_per_group": 5}
    data = lgb.Dataset(x, y, categorical_feature=[3, 4], params={"verbosity": -1})
    return lgb.train(params | OBJECTIVE | more, data, rounds).model_to_string()


def raw(text: str, x: np.ndarray) -> np.ndarray:
    return lgb.Booster(model_str=text).predict(x, raw_score=True, num_threads=1)


def three_parts(x: np.ndarray, y: np.ndarray) -> list[CategoryTrees]:
    """Of action 0; of 33 and 2; of 31, a single leaf. Their numbers of trees differ."""
    several, single = np.isin(x[:, -1], [2, 33]), x[:, -1] == 31
    return [
        CategoryTrees(
            booster(x[x[:, -1] == 0], y[x[:, -1] == 0], 7), [0], int((x[:, -1] == 0).sum())
        ),
        CategoryTrees(booster(x[several], y[several], 4), [33, 2], int(several.sum())),
        CategoryTrees(
            booster(x[single], y[single], 3, num_leaves=2, min_data_in_leaf=900), [31], 40
        ),
    ]


def test_a_merged_model_predicts_what_the_part_of_the_action_predicts_and_else_0():
    x = table()
    parts = three_parts(x, rewards(x))
    text, at = merged(parts), table(50)
    assert [part.text.count("Tree=") for part in parts] == [7, 4, 1]
    assert text.count("Tree=") == 12
    assert "cat_boundaries=0 1 2" in text  # a split on the way below the new root
    for action, own in ((0, 0), (2, 1), (33, 1), (31, 2), (1, None), (32, None), (NAN, None)):
        at[:, -1] = action
        expected = np.zeros(50) if own is None else raw(parts[own].text, at)
        assert raw(text, at) == pytest.approx(expected, abs=1e-12)
        assert own is None or np.abs(expected).min() > 0


def test_leaf_masks_read_a_merged_model():
    x = table()
    text, at = merged(three_parts(x, rewards(x))), table(50)
    masks = LeafMasks(text)
    pairs = masks.pairs(masks.of_categories(-1, range(ACTIONS)))
    on = masks.of_categories(-2, range(WAYS))[at[:, -2].astype(int)]
    found = masks.scores(masks.of_rows(at) & on, pairs)
    for action in range(ACTIONS):
        at[:, -1] = action
        assert found[:, action] == pytest.approx(raw(text, at), abs=1e-12)
    assert len(pairs.trees) == 7 + 2 * 4 + (ACTIONS - 3)  # an action has one pair or more


def test_contributions_add_up_to_the_score():
    x = table()
    model = lgb.Booster(model_str=merged(three_parts(x, rewards(x))))
    at = table(200)
    found = model.predict(at, pred_contrib=True)
    assert found.sum(axis=1) == pytest.approx(model.predict(at, raw_score=True), abs=1e-9)
    assert (np.abs(found[:, [0, 2, 3, 4]]).max(axis=0) > 0.01).all()
    assert not found[:, 1].any()  # of the actions with trees, none reads this number


def test_a_merged_model_survives_being_written_again():
    x = table()
    text, at = merged(three_parts(x, rewards(x))), table(50)
    again = lgb.Booster(model_str=text).model_to_string()
    assert raw(again, at).tolist() == raw(text, at).tolist()
    first = lgb.Booster(model_str=text).model_to_string(num_iteration=3)  # the first of each part
    at[:, -1] = 0
    assert raw(first, at) == pytest.approx(
        lgb.Booster(model_str=three_parts(x, rewards(x))[0].text).predict(
            at, raw_score=True, num_iteration=1
        )
    )


def test_one_part_is_returned_as_it_is():
    x = table()
    part = CategoryTrees(booster(x, rewards(x), 2), range(ACTIONS), N)
    assert merged([part]) is part.text


def test_actions_with_enough_outcomes_have_trees_of_their_own_and_others_share_trees():
    x = table(actions=12)
    y = rewards(x)
    x[:, -1] = np.where((x[:, -1] > 8) & (np.arange(N) % 4 > 0), 0, x[:, -1])  # 9 to 11 are rare
    y[x[:, -1] == 5] = 1.0  # nothing to fit
    counts = np.bincount(x[:, -1].astype(int))
    alone = [k for k in range(12) if counts[k] >= action_trees.AT_LEAST and k != 5]
    assert alone == [0]
    fitted: list[tuple[int, int]] = []

    def fit(rows, settings, rounds):
        fitted.append((len(rows), rounds))
        return booster(x[rows], y[rows], rounds, **settings)

    text = fit_each(fit, x[:, -1].astype(int), y, np.arange(N))
    assert fitted == [(counts[0], action_trees.ROUNDS), (N - counts[0], action_trees.ROUNDS)]
    own = x[:, -1] == 0
    expected = raw(booster(x[own], y[own], action_trees.ROUNDS, **action_trees.OF_ONE), x[own])
    assert raw(text, x[own]) == pytest.approx(expected, abs=1e-9)
    assert raw(text, x[x[:, -1] == 5]).min() > raw(text, x).mean()


def test_other_actions_without_any_acceptance_get_a_small_chance_and_not_0():
    x = table(actions=4)
    y = rewards(x)
    y[x[:, -1] > 0] = 0.0

    def fit(rows, settings, rounds):
        return booster(x[rows], y[rows], rounds, **settings)

    text = fit_each(fit, x[:, -1].astype(int), y, np.arange(N))
    others = raw(text, x[x[:, -1] > 0])
    assert others.max() < raw(text, x[x[:, -1] == 0]).mean() and others.min() > np.log(1e-4)
