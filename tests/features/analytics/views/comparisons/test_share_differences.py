"""Tests differences of shares: by hand, with nothing changed, and with planted changes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr

from features.analytics.views.comparisons.share_differences import (
    FALSE_DISCOVERIES,
    EdgeSums,
    ShareDifferences,
    adjusted_p_values,
    share_differences,
)

Floats = NDArray[np.float64]
SOURCES, TARGETS, CUSTOMERS = 8, 6, 600  # 48 edges
SHARES = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])


def visits(
    random: np.random.Generator, shares: Floats, customers: int = CUSTOMERS
) -> tuple[Floats, Floats]:
    """Draw transitions and visits, shape (customers, edges); each customer has own habits."""
    habits = random.standard_gamma(2 * shares, (customers, SOURCES, TARGETS))
    habits /= habits.sum(-1, keepdims=True)
    m = random.poisson(random.gamma(1.5, 2.0, (customers, 1)), (customers, SOURCES))
    x = random.multinomial(m, habits)
    each = np.repeat(m[..., None], TARGETS, -1)
    return x.reshape(customers, -1).astype(float), each.reshape(customers, -1).astype(float)


def world(seed: int, after: Floats, customers: int = CUSTOMERS) -> ShareDifferences:
    """Compare two maps; half of the customers are on both."""
    random = np.random.default_rng(seed)
    same = np.tile(SHARES, (SOURCES, 1))
    (xb, mb), (xa, ma) = visits(random, same, customers), visits(random, after, customers)
    none = np.zeros((customers // 2, SOURCES * TARGETS))
    before = [np.concatenate([one, none]) for one in (xb, mb)]
    later = [np.concatenate([none, one]) for one in (xa, ma)]
    return share_differences(EdgeSums.of_customers(before[0], later[0], before[1], later[1]))


def flagged(found: ShareDifferences) -> NDArray[np.bool_]:
    adjusted = adjusted_p_values(found.p_value)
    return np.nan_to_num(adjusted, nan=1.0) <= FALSE_DISCOVERIES


def test_a_case_worked_by_hand() -> None:
    """Before, 2 of 4 visits of two customers; after, 3 of 4 of two others."""
    xb, mb = np.array([[2.0], [0], [0], [0]]), np.array([[2.0], [2], [0], [0]])
    xa, ma = np.array([[0.0], [0], [2], [1]]), np.array([[0.0], [0], [2], [2]])
    found = share_differences(EdgeSums.of_customers(xb, xa, mb, ma))
    assert (found.share_b[0], found.share_a[0], found.difference[0]) == (0.5, 0.75, 0.25)
    # Before, the customers add 2 - 1 and 0 - 1; after, 2 - 1.5 and 1 - 1.5; each by 4 visits.
    variance = (1 + 1 + 0.25 + 0.25) / 16 * 4 / 3
    assert found.high[0] - found.low[0] == pytest.approx(2 * 3.18244630528371 * variance**0.5)
    assert np.isnan(found.p_value[0])  # four customers are too few


def test_a_customer_on_both_maps_with_the_same_visits_makes_no_difference() -> None:
    random = np.random.default_rng(1)
    x, m = visits(random, np.tile(SHARES, (SOURCES, 1)))
    found = share_differences(EdgeSums.of_customers(x, x, m, m))
    assert np.abs(found.difference).max() == 0
    assert (found.high - found.low).max() < 1e-7


def test_an_edge_without_visits_cannot_be_told() -> None:
    none = np.zeros((40, 1))
    found = share_differences(EdgeSums.of_customers(none, none, none, none))
    assert np.isnan([found.share_b[0], found.difference[0], found.p_value[0]]).all()
    assert np.isnan(adjusted_p_values(found.p_value)).all()


def test_p_values_are_adjusted_for_the_edges_that_were_tested() -> None:
    # With 3 edges tested: times 3 / rank, and times 1 + 1/2 + 1/3; those not tested do not count.
    nan = np.nan
    adjusted = adjusted_p_values(np.array([nan, 0.5, 0.001, 0.02, nan]))
    expected = [nan, 0.5 * 11 / 6, 0.003 * 11 / 6, 0.03 * 11 / 6, nan]
    assert adjusted == pytest.approx(expected, nan_ok=True)


def test_with_nothing_changed_hardly_any_world_has_a_flag() -> None:
    same = np.tile(SHARES, (SOURCES, 1))
    found = [world(seed, same) for seed in range(200)]
    assert sum(flagged(one).any() for one in found) <= 15
    misses = np.mean([(one.low > 0) | (one.high < 0) for one in found])
    assert 0.035 <= misses <= 0.065  # of intervals of 95 %


def test_visits_taken_as_independent_claim_something_in_most_worlds() -> None:
    """The worlds of the test above: so that test can fail."""
    same, claims = np.tile(SHARES, (SOURCES, 1)), 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        (xb, mb), (xa, ma) = (tuple(one.sum(0) for one in visits(random, same)) for _ in range(2))
        pooled = (xb + xa) / (mb + ma)
        score = (xa / ma - xb / mb) / np.sqrt(pooled * (1 - pooled) * (1 / ma + 1 / mb))
        claims += bool((adjusted_p_values(2 * ndtr(-np.abs(score))) <= FALSE_DISCOVERIES).any())
    assert claims >= 20


def test_planted_changes_are_found_and_hardly_any_other() -> None:
    """9 of 100 more go along two edges, from payment to call as it were."""
    after = np.tile(SHARES, (SOURCES, 1))
    after[2] += [-0.09, 0, 0, 0.09, 0, 0]
    after[5] += [0, -0.09, 0, 0, 0, 0.09]
    planted = np.abs(after - SHARES).reshape(-1) > 0
    found = [flagged(world(1000 + seed, after, 1500)) for seed in range(60)]
    assert np.mean([one[planted] for one in found]) >= 0.95
    false = [one[~planted].sum() / max(one.sum(), 1) for one in found]
    assert np.mean(false) <= FALSE_DISCOVERIES
