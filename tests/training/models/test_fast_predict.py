"""Rows through LightGBM's fast paths are, to the bit, what `Booster.predict` says of them."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import lightgbm as lgb
import numpy as np
import pytest

from training.models.fast_predict import SingleRowPredictor

N, WIDTH = 400, 7


def a_booster(n_classes, rounds=20, **more):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(N, WIDTH))
    x[rng.random(x.shape) < 0.2] = np.nan
    y = rng.integers(0, n_classes, N)
    kind = {"objective": "binary"} if n_classes == 2 else {"objective": "multiclass"}
    params = {**kind, "num_leaves": 5, "verbosity": -1, "num_threads": 1, **more}
    if n_classes > 2:
        params["num_class"] = n_classes
    return lgb.train(params, lgb.Dataset(x, y), rounds), x


def expected(booster, x):
    each = (booster.predict(row[None, :], raw_score=True, num_threads=1) for row in x)
    return np.array([np.ravel(one) for one in each])


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_every_score_is_the_same_to_the_bit(n_classes):
    booster, x = a_booster(n_classes)
    single = SingleRowPredictor(booster)
    found = np.array([single.scores(row) for row in x])
    np.testing.assert_array_equal(found, expected(booster, x))
    assert len(np.unique(found)) > 10  # the test can fail


def test_as_many_rounds_are_used_as_predict_uses():
    booster, x = a_booster(2)
    booster.best_iteration = 3
    found = np.array([SingleRowPredictor(booster).scores(row) for row in x[:20]])
    np.testing.assert_array_equal(found, expected(booster, x[:20]))
    booster.best_iteration = -1
    assert (found != expected(booster, x[:20])).any()


def test_a_row_that_lies_scattered_in_memory_or_in_other_numbers_is_read_right():
    booster, x = a_booster(3)
    single = SingleRowPredictor(booster)
    columns = np.asfortranarray(x)
    np.testing.assert_array_equal(single.scores(columns[7]), single.scores(x[7]))
    whole = np.arange(WIDTH)
    np.testing.assert_array_equal(single.scores(whole), single.scores(whole.astype(float)))


@pytest.mark.parametrize("shape", [(WIDTH - 1,), (WIDTH + 1,), (1, WIDTH), (0,)])
def test_a_row_of_another_shape_is_refused(shape):
    booster, _ = a_booster(2)
    with pytest.raises(ValueError, match=f"for trees of {WIDTH} features"):
        SingleRowPredictor(booster).scores(np.zeros(shape))


def test_answers_stay_as_they_are_when_others_are_asked_for():
    booster, x = a_booster(3)
    single = SingleRowPredictor(booster)
    first = single.scores(x[0])
    kept = first.copy()
    single.scores(x[1])
    np.testing.assert_array_equal(first, kept)


def test_threads_that_ask_at_once_get_each_their_own():
    booster, x = a_booster(4)
    single, wanted = SingleRowPredictor(booster), expected(booster, x)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(single.scores, np.tile(x, (5, 1))))
    np.testing.assert_array_equal(np.array(found), np.tile(wanted, (5, 1)))


def test_it_keeps_its_trees_alive():
    booster, x = a_booster(2)
    wanted, single = expected(booster, x[:1])[0], SingleRowPredictor(booster)
    del booster
    gc.collect()
    np.testing.assert_array_equal(single.scores(x[0]), wanted)
