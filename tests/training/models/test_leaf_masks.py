"""Tests that leaf masks find the leaves that LightGBM finds."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest

from training.models.leaf_masks import MAX_LEAVES, LeafMasks

N, WIDTH, KINDS, WAYS = 500, 7, 3, 6
NAN = float("nan")


def a_booster(unknown: float = 0.2, **more) -> lgb.Booster:
    """A model of five numbers and two categories, with some values unknown."""
    rng = np.random.default_rng(6)
    kinds, ways = rng.integers(0, KINDS, N), rng.integers(0, WAYS, N)
    x = np.column_stack([rng.normal(size=(N, WIDTH - 2)), kinds, ways])
    y = (x[:, 0] > 0.3 * ways - 1) * 0.6 + 0.1 * kinds + 0.1 * np.tanh(x[:, 1]) + 0.1
    x[:, :-2][rng.random((N, WIDTH - 2)) < unknown] = NAN
    data = lgb.Dataset(x, y, categorical_feature=[WIDTH - 2, WIDTH - 1], params={"verbosity": -1})
    params = {"num_leaves": 12, "min_data_in_leaf": 3, "verbosity": -1, "num_threads": 1}
    params |= {"min_data_per_group": 3, "cat_smooth": 1.0}
    return lgb.train(params | more, data, 20)


def rows(n: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(n, WIDTH - 2))
    x[rng.random(x.shape) < 0.2] = NAN
    x[0], x[1] = NAN, 0.0
    return x


@pytest.mark.parametrize("unknown", [0.0, 0.2])  # in training; at the end it always may be
@pytest.mark.parametrize("objective", ["cross_entropy", "regression"])
def test_every_row_and_category_gets_the_score_that_walking_down_gives(unknown, objective):
    booster, x = a_booster(unknown, objective=objective), rows(50)
    masks = LeafMasks(booster.model_to_string())
    for kind in range(-1, KINDS + 1):  # the last one was never seen
        for way in range(-1, WAYS + 1):
            seen, ways = masks.of_rows(x) & masks.of_categories(-2, [kind]), [way, 0]
            found = masks.scores(seen, masks.pairs(masks.of_categories(-1, ways)))[:, 0]
            codes = [[NAN if code < 0 else code] * len(x) for code in (kind, way)]
            told = booster.predict(np.column_stack([x, *codes]), raw_score=True, num_threads=1)
            assert found == pytest.approx(told, abs=1e-12)
    assert len(np.unique(told)) > 10  # the test can fail


@pytest.mark.parametrize("unknown", [0.0, 0.2])
def test_a_value_at_a_threshold_goes_left_and_the_next_larger_float_goes_right(unknown):
    booster = a_booster(unknown)
    masks = LeafMasks(booster.model_to_string())
    nodes = booster.trees_to_dataframe().query("decision_type == '<='")
    at = nodes["threshold"].astype(float).to_numpy()
    assert "left" in set(nodes["missing_direction"])
    x = np.vstack([np.tile(each[:, None], WIDTH - 2) for each in (at, np.nextafter(at, np.inf))])
    seen = masks.of_rows(x) & masks.of_categories(-2, [0])
    pairs = masks.pairs(masks.of_categories(-1, [0]))
    told = booster.predict(np.column_stack([x, np.zeros((len(x), 2))]), raw_score=True)
    assert masks.scores(seen, pairs)[:, 0] == pytest.approx(told, abs=1e-12)


def test_categories_do_matter_here():
    masks = LeafMasks(a_booster().model_to_string())
    assert len({tuple(row) for row in masks.of_categories(-1, range(WAYS))}) == WAYS


def test_one_row_is_scored_for_all_categories_at_once():
    masks, x = LeafMasks(a_booster().model_to_string()), rows(4)
    ways, kind = masks.of_categories(-1, range(WAYS)), masks.of_categories(-2, [0])
    found = masks.scores(masks.of_rows(x) & kind, masks.pairs(ways))
    assert found.shape == (4, WAYS)
    one = masks.scores(masks.of_rows(x[2:3]) & kind, masks.pairs(ways[4:5]))
    assert found[2, 4] == one[0, 0]
    assert masks.scores(masks.of_rows(x[2:3]) & kind, masks.pairs(ways)).tolist() == [
        found[2].tolist()
    ]


def test_no_rows_give_no_scores():
    masks = LeafMasks(a_booster().model_to_string())
    pairs = masks.pairs(masks.of_categories(-1, range(WAYS)))
    assert masks.scores(masks.of_rows(np.empty((0, WIDTH - 2))), pairs).shape == (0, WAYS)


def test_trees_that_split_on_categories_only_or_not_at_all_are_read_too():
    for more in ({"min_data_in_leaf": N}, {"interaction_constraints": f"[{WIDTH - 1}]"}):
        booster = a_booster(**more)
        masks = LeafMasks(booster.model_to_string())
        seen = masks.of_rows(np.zeros((1, WIDTH - 2))) & masks.of_categories(-2, [1])
        pairs = masks.pairs(masks.of_categories(-1, [2]))
        told = booster.predict(np.array([[0.0] * (WIDTH - 2) + [1, 2]]), num_threads=1)
        assert masks.scores(seen, pairs)[:, 0] == pytest.approx(told)


def test_trees_with_more_leaves_than_bits_are_refused():
    text = a_booster(num_leaves=MAX_LEAVES + 5).model_to_string()
    with pytest.raises(ValueError, match=f"has {MAX_LEAVES + 5} leaves; {MAX_LEAVES} at most"):
        LeafMasks(text)


def test_trees_that_take_0_for_unknown_are_refused():
    with pytest.raises(ValueError, match="takes 0 for unknown"):
        LeafMasks(a_booster(zero_as_missing=True).model_to_string())


def test_several_scores_a_row_are_refused():
    rng = np.random.default_rng(8)
    data = lgb.Dataset(rng.normal(size=(N, 2)), rng.integers(0, 3, N))
    booster = lgb.train({"objective": "multiclass", "num_class": 3, "verbosity": -1}, data, 2)
    with pytest.raises(ValueError, match="3 scores a row"):
        LeafMasks(booster.model_to_string())


def test_trees_that_were_not_merged_are_added_in_their_order():
    # An old decision is repeated to the bit, so the order in which numbers are added must stay.
    booster, x = a_booster(), rows(6)
    masks, ways = LeafMasks(booster.model_to_string()), range(WAYS)
    found = masks.scores(
        masks.of_rows(x) & masks.of_categories(-2, [1]), masks.pairs(masks.of_categories(-1, ways))
    )
    for way in ways:
        table = np.column_stack([x, np.ones(len(x)), np.full(len(x), way)])
        leaves = booster.predict(table, pred_leaf=True, num_threads=1)
        values = [
            [booster.get_leaf_output(n, leaf) for n, leaf in enumerate(one)] for one in leaves
        ]
        assert found[:, way].tolist() == np.array(values).sum(axis=1).tolist()
