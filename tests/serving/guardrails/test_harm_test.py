"""The e-value of a test is what the formula gives, and rarely large where there is no harm."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.guardrails.harm_test import (
    LARGEST,
    RATIOS,
    HarmTest,
    log_e_values,
    log_ratios,
)

CHANCES = st.floats(0.01, 0.99)


def added(tosses, limit=1.0, test=None):
    chance, followed = np.array([one[0] for one in tosses]), np.array([one[1] for one in tosses])
    return (test or HarmTest()).add(chance, followed, limit)


def by_hand(tosses, limit):
    """The mean of the likelihood ratios, in exact arithmetic."""
    total = Fraction(0)
    for ratio in map(Fraction, RATIOS):
        product_of = Fraction(1)
        for chance, followed in tosses:
            odds = chance / (1 - chance)
            at_limit = limit * odds / (1 + limit * odds)
            larger = ratio * limit * odds / (1 + ratio * limit * odds)
            product_of *= larger / at_limit if followed else (1 - larger) / (1 - at_limit)
        total += product_of
    return total / len(RATIOS)


def test_nothing_counted_is_no_evidence():
    test = HarmTest()
    assert (test.e_value, test.rate_ratio, test.harmed, test.peak) == (1.0, None, 0, 0.0)
    assert test.exceeds(1.0)  # a threshold that is reached


def test_one_toss_of_even_odds():
    # 2 m / (1 + m) of each m: 10/9, 6/5, 4/3, 3/2, 8/5, 12/7, 20/11; their mean is 1.46813.
    assert added([(0.5, True)]).e_value == pytest.approx(1.46813, abs=1e-5)
    assert added([(0.5, False)]).e_value == pytest.approx(2 - 1.46813, abs=1e-5)


@pytest.mark.parametrize("limit", [Fraction(1), Fraction(2), Fraction(1, 2)])
def test_the_e_value_is_the_mean_likelihood_ratio_in_exact_arithmetic(limit):
    tosses = [
        (Fraction(1, 4), True),
        (Fraction(1, 3), False),
        (Fraction(9, 10), True),
        (Fraction(1, 10), True),
        (Fraction(2, 3), False),
    ]
    test = added([(float(chance), followed) for chance, followed in tosses], float(limit))
    assert test.e_value == pytest.approx(float(by_hand(tosses, limit)), rel=1e-12)
    at_limit = [limit * e / (1 - e) / (1 + limit * e / (1 - e)) for e, _ in tosses]
    assert test.expected == pytest.approx(float(sum(at_limit)))
    assert (test.harmed, test.after) == (5, 3)
    # Mantel-Haenszel: (3/4 + 1/10 + 9/10) / (1/3 + 2/3)
    assert test.rate_ratio == pytest.approx(1.75)


@pytest.mark.parametrize(("limit", "ratio"), [(1, 1), (2, 2), (2, 1), (1, 0.3), (0.5, 0.5)])
def test_its_expectation_is_one_at_the_limit_and_at_most_one_below(limit, ratio):
    chances = np.array([0.1, 0.5, 0.35, 0.9, 0.02, 0.6])
    odds = ratio * chances / (1 - chances)
    expectation = 0.0
    for outcome in product([True, False], repeat=len(chances)):
        weight = np.prod(np.where(outcome, odds, 1) / (1 + odds))
        expectation += weight * added(list(zip(chances, outcome, strict=True)), limit).e_value
    if ratio == limit:
        assert expectation == pytest.approx(1.0, rel=1e-9)
    else:
        assert expectation < 1.0


@pytest.mark.parametrize("level", [0.02, 0.05, 0.2, 0.5])
def test_whoever_looks_after_each_event_is_misled_with_probability_level_at_most(level):
    """The probability is summed over all 2^14 courses of 14 events (Ville 1939)."""
    chances = np.array([0.5, 0.1, 0.3, 0.6, 0.05, 0.25, 0.9] * 2)
    outcomes = np.array(list(product([False, True], repeat=len(chances))))
    steps = np.stack(
        [log_ratios(np.full(len(outcomes), e), outcomes[:, n], 1.0) for n, e in enumerate(chances)]
    )
    peaks = log_e_values(steps.cumsum(axis=0).swapaxes(0, 1)).max(axis=0)
    weights = np.where(outcomes, chances, 1 - chances).prod(axis=1)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[peaks >= log(1 / level)].sum() <= level


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_looks_at_little_harm_mislead_as_rarely(seed):
    random = np.random.default_rng(seed)
    worlds, events = 2_000, 1_000
    chance = random.uniform(0.02, 0.6, (events, 1)).repeat(worlds, axis=1)
    followed = random.random(chance.shape) < chance
    logs = np.zeros((len(RATIOS), worlds))
    peak = np.zeros(worlds)
    for e, a in zip(chance, followed, strict=True):
        logs += log_ratios(e, a, 1.0)
        peak = np.maximum(peak, log_e_values(logs))
    misled = (peak >= log(1 / 0.05)).sum()
    assert misled <= 0.05 * worlds + 3 * (0.05 * 0.95 * worlds) ** 0.5


def test_harm_of_three_times_as_much_is_found():
    random = np.random.default_rng(5)
    chance = random.uniform(0.05, 0.4, 400)
    odds = 3 * chance / (1 - chance)
    test = added(list(zip(chance, random.random(400) < odds / (1 + odds), strict=True)))
    assert test.exceeds(8 / 0.02)
    assert 2 < test.rate_ratio < 4.5


@given(st.lists(st.tuples(CHANCES, st.booleans()), min_size=1, max_size=12), st.integers(0, 12))
@settings(max_examples=60)
def test_the_sums_do_not_depend_on_the_number_of_looks(tosses, cut):
    once, first = added(tosses), tosses[: min(cut, len(tosses) - 1)]
    twice = added(tosses[len(first) :], test=added(first) if first else None)
    assert twice.logs == pytest.approx(once.logs, abs=1e-9)
    assert (twice.harmed, twice.after) == (once.harmed, once.after)
    assert twice.peak >= once.peak - 1e-9
    assert HarmTest.from_json(twice.to_json()) == twice


def test_evidence_that_once_was_enough_stays_so():
    test = added([(0.1, True)] * 6)
    assert test.exceeds(100)
    for _ in range(40):
        test = added([(0.5, False)], test=test)
    assert test.e_value < 1 and test.exceeds(100)


def test_overwhelming_evidence_is_a_number():
    test = added([(0.01, True)] * 2_000)
    assert test.e_value == pytest.approx(exp(700.0)) or test.e_value == LARGEST
    assert np.isfinite(test.e_value)
