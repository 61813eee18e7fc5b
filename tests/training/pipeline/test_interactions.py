"""Tests that pairs of columns whose product tells who accepts are found, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from training.pipeline.interactions import MOST_PAIRS, find_pairs

N, N_COLUMNS = 4_000, 12


def log(seed: int, *pairs: tuple[int, int], linear: float = 0.0) -> tuple:
    """Two actions; the product of each pair is worth as much for one as it costs the other."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(N, N_COLUMNS))
    columns[:, -1] = columns[:, -1] > 0  # an indicator
    action = rng.integers(2, size=N)
    sign = np.where(action == 0, 1.0, -1.0)
    score = linear * columns[:, 0]
    for first, second in pairs:
        score = score + sign * columns[:, first] * columns[:, second]
    accepted = (rng.random(N) < 1 / (1 + np.exp(-score))).astype(np.float64)
    return columns, [f"a{number}" for number in action], accepted, np.ones(N)


@pytest.mark.parametrize("seed", range(3))
def test_a_product_that_the_columns_do_not_tell_by_themselves_is_found(seed):
    assert find_pairs(*log(seed, (2, 7)))[0] == (2, 7)


def test_several_products_are_found():
    assert {(0, 1), (2, 3), (4, 11), (5, 5)} <= {
        *find_pairs(*log(0, (0, 1), (2, 3), (4, 11), (5, 5)))
    }


def test_what_columns_tell_by_themselves_is_no_product():
    found = [pair for seed in range(20) for pair in find_pairs(*log(seed, linear=1.0))]
    assert len(found) <= 2  # each log finds one by chance in a hundred


def test_a_log_that_tells_nothing_has_no_products():
    found = [pair for seed in range(20) for pair in find_pairs(*log(seed))]
    assert len(found) <= 2


def test_actions_with_few_outcomes_are_tested_together():
    columns, _, accepted, count = log(0, (2, 7))
    sign = np.where(np.random.default_rng(1).random(N) < 0.5, 1, -1)
    rare = [f"a{number % 100}" for number in range(N)]
    chance = 1 / (1 + np.exp(-2 * columns[:, 2] * columns[:, 7]))
    accepted = (np.random.default_rng(2).random(N) < chance).astype(np.float64)
    assert find_pairs(columns, rare, accepted, count)[0] == (2, 7)
    assert not find_pairs(columns, rare, (sign > 0).astype(np.float64), count)


def test_a_column_that_does_not_vary_and_an_empty_log_do_no_harm():
    columns, actions, accepted, count = log(0, (2, 7))
    columns[:, 3] = 0.0
    assert find_pairs(columns, actions, accepted, count)[0] == (2, 7)
    assert find_pairs(columns[:0], [], accepted[:0], count[:0]) == []
    assert find_pairs(columns[:, :0], actions, accepted, count) == []
    assert find_pairs(columns[:9], actions[:9], accepted[:9], count[:9]) == []


def test_copies_of_a_column_do_not_take_all_places():
    columns, actions, accepted, count = log(0, (2, 7), (3, 4))
    copies = np.column_stack([columns, *[columns[:, 2] for _ in range(20)]])
    found = find_pairs(copies, actions, accepted, count)
    assert (3, 4) in found
    assert len(found) <= MOST_PAIRS / 2
