"""Tests the curve of delays: by hand where it is small, against the truth where it is truncated."""

from __future__ import annotations

import numpy as np
import pytest

from features.outcomes.response_delays import (
    OWN_DELAYS,
    POOLED_DELAYS,
    DelayCurve,
    Delays,
    choose_curve,
)

WINDOW_S = 1_000.0


def delays(*pairs: tuple[float, float]) -> Delays:
    """Delays, each with the longest one that could have been seen."""
    return Delays(*np.array(pairs, dtype=np.float64).reshape(-1, 2).T)


def truncated(
    rng: np.random.Generator, n: int, mean_s: float, days_s: float, window_s: float = WINDOW_S
) -> Delays:
    """Exponential delays, cut at the window, of showings spread evenly over the time so far."""
    elapsed = rng.uniform(0, days_s, n)
    delay = -mean_s * np.log1p(rng.uniform(size=n) * np.expm1(-window_s / mean_s))
    seen = delay <= elapsed
    return Delays(delay[seen], elapsed[seen])


def exponential(ages: np.ndarray, mean_s: float, window_s: float = WINDOW_S) -> np.ndarray:
    return np.expm1(-ages / mean_s) / np.expm1(-window_s / mean_s)


def test_without_truncation_the_curve_is_the_share_of_the_delays_so_far():
    seen = delays((1.0, 10.0), (2.0, 10.0), (2.0, 10.0), (7.0, 10.0))
    curve = DelayCurve.fit(seen, window_s=10.0)
    ages = np.array([0.5, 1.0, 1.9, 2.0, 6.9, 7.0, 10.0, 99.0])
    assert curve.share(ages) == pytest.approx([0, 1 / 4, 1 / 4, 3 / 4, 3 / 4, 1, 1, 1])
    assert curve.mean_s() == pytest.approx(3.0)


def test_the_product_limit_of_truncated_delays_by_hand():
    """At risk: 2 at the delay 1 (1 and its equal), 3 at 2, 3 at 3 (the one of 4 is later)."""
    seen = delays((1.0, 2.5), (1.0, 6.0), (2.0, 2.0), (3.0, 6.0), (4.0, 6.0))
    curve = DelayCurve.fit(seen, window_s=6.0, least_at_risk=1)
    assert curve.observable_s == 6.0
    # Factors: at 4: 1 - 1/3 (of 1, 3, 4), at 3: 1 - 1/2 (of 1, 3), at 2: 1 - 1/3 (1, 1, 2).
    below = np.array([2 / 3 * 1 / 2 * 2 / 3, 2 / 3 * 1 / 2, 2 / 3, 1.0])
    assert curve.share(np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(below)
    assert curve.share(np.array([0.9])) == [0.0]
    assert curve.mean_s() == pytest.approx(float(np.diff(below, prepend=0) @ [1, 2, 3, 4]))


def test_the_longest_delay_does_not_take_everything_when_it_alone_is_at_risk():
    seen = delays(*((float(d), 20.0) for d in range(1, 16)), (50.0, 60.0))
    assert DelayCurve.fit(seen, 100.0, least_at_risk=1).share(np.array([20.0])) == [0.0]
    curve = DelayCurve.fit(seen, 100.0)
    assert curve.observable_s == 20.0
    assert curve.share(np.array([19.0])) > 0.2


def exponential_mean(mean_s: float) -> float:
    ages = np.linspace(0, WINDOW_S, 100_001)
    return float(np.trapezoid(1 - exponential(ages, mean_s), ages))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("passed", [0.6, 2.0])
def test_an_exponential_is_recovered_from_one_draw_of_truncated_delays(seed, passed):
    """In the time that has passed, even the earliest delays may not have been seen whole."""
    mean_s, ages = 250.0, np.array([50.0, 125.0, 250.0, 375.0, 500.0])
    seen = truncated(np.random.default_rng(seed), 4_000, mean_s, passed * WINDOW_S)
    curve = DelayCurve.fit(seen, WINDOW_S)
    assert curve.share(ages) == pytest.approx(exponential(ages, mean_s), rel=0.12, abs=0.03)
    assert curve.mean_s() == pytest.approx(exponential_mean(mean_s), rel=0.1)


@pytest.mark.parametrize("passed", [0.5, 2.0])
def test_over_many_draws_the_truth_is_met_within_a_few_percent_and_naively_it_is_not(passed):
    mean_s, ages, rng = 250.0, np.array([62.5, 125.0, 250.0, 500.0]), np.random.default_rng(11)
    draws = [truncated(rng, 2_000, mean_s, passed * WINDOW_S) for _ in range(60)]
    truth = exponential(ages, mean_s)
    found = np.mean([DelayCurve.fit(seen, WINDOW_S).share(ages) for seen in draws], axis=0)
    assert found == pytest.approx(truth, rel=0.04)
    naive = np.mean([[np.mean(seen.delays <= age) for age in ages] for seen in draws], axis=0)
    assert naive != pytest.approx(truth, rel=0.04)


def test_the_curve_rises_to_1_and_is_continuous_where_the_tail_begins():
    seen = truncated(np.random.default_rng(3), 3_000, 250.0, 0.5 * WINDOW_S)
    curve = DelayCurve.fit(seen, WINDOW_S)
    assert curve.observable_s < WINDOW_S
    ages = np.linspace(0, 1.2 * WINDOW_S, 2_000)
    shares = curve.share(ages)
    assert (np.diff(shares) >= 0).all() and shares[0] >= 0
    assert (shares[ages >= WINDOW_S] == 1).all()
    around = curve.share(curve.observable_s + np.array([-1e-6, 1e-6]))
    assert around[0] == pytest.approx(around[1], abs=1e-6)


def test_delays_that_lie_late_leave_a_nearly_uniform_tail():
    seen = delays(*((400.0 + n, 500.0) for n in range(60)))
    curve = DelayCurve.fit(seen, WINDOW_S)
    assert curve.share(np.array([500.0, 750.0])) == pytest.approx([0.5, 0.75], abs=0.02)
    middle = (429.5, 750.0)
    assert curve.mean_s() == pytest.approx(np.mean(middle), rel=0.02)


def test_the_posterior_of_the_tail_is_that_of_a_grid_computed_by_hand():
    """Three delays; the density of one that is at most t is r exp(-r d) / (1 - exp(-r t))."""
    seen = delays((100.0, 300.0), (250.0, 300.0), (20.0, 400.0))
    curve = DelayCurve.fit(seen, WINDOW_S)
    rates, likely = np.array([1 / 60.0, 1 / 300.0, 1 / 5_000.0]), []
    for r in rates:
        of_each = r * np.exp(-r * seen.delays) / -np.expm1(-r * seen.limits)
        likely.append(of_each.prod())
    nearest = [int(np.abs(np.log(curve.rates * 1 / r)).argmin()) for r in rates]
    found = curve.weights[nearest] / curve.weights[nearest].sum()
    assert found == pytest.approx(np.array(likely) / sum(likely), rel=0.15)


def test_delays_of_one_evening_do_not_tell_that_all_have_come():
    """They are even within the hours that have passed: most may come later, and some soon."""
    hour, window_s = 3_600.0, 14 * 86_400.0
    seen = delays(*((hour * (n + 0.5) / 10, 6 * hour) for n in range(60)))
    soon, day = DelayCurve.fit(seen, window_s).share(np.array([6 * hour, 24 * hour]))
    assert 0.03 < soon < 0.4 and 0.12 < day < 0.8


def test_delays_of_no_time_at_all_are_all_there_at_once():
    curve = DelayCurve.fit(delays(*((0.0, 100.0) for _ in range(60))), WINDOW_S)
    assert curve.share(np.array([0.0, 50.0, 500.0])) == pytest.approx([1, 1, 1], abs=1e-4)
    assert curve.mean_s() == pytest.approx(0.0, abs=0.1)


def test_the_delays_beyond_the_window_are_cut():
    seen = delays((1.0, 100.0), (3.0, 100.0), (50.0, 100.0))
    assert DelayCurve.fit(seen, 10.0).share(np.array([1.0, 2.9, 3.0])) == pytest.approx(
        [0.5, 0.5, 1]
    )


def test_an_action_uses_its_own_delays_or_those_of_all_or_none():
    own = delays(*((10.0, 100.0) for _ in range(OWN_DELAYS)))
    pooled = delays(*((90.0, 100.0) for _ in range(POOLED_DELAYS)))
    few_own = Delays(own.delays[1:], own.limits[1:])
    few = Delays(pooled.delays[1:], pooled.limits[1:])
    age = np.array([50.0])
    assert choose_curve(own, pooled, 100.0).share(age) == pytest.approx([1.0])
    assert choose_curve(few_own, pooled, 100.0).share(age) == [0.0]
    unseen = DelayCurve.unseen(100.0).share(age)
    assert choose_curve(few_own, few, 100.0).share(age) == unseen
    assert choose_curve(few_own, pooled, 100.0).share(age) != unseen
    shorter = choose_curve(few_own, pooled, 80.0).share(np.array([20.0]))
    assert shorter == DelayCurve.unseen(80.0).share(np.array([20.0]))


def test_without_delays_each_order_of_magnitude_holds_about_as_many():
    """Of a window of 14 days: from a minute to ten, to 100 minutes, to 17 hours, to 7 days."""
    window_s = 14 * 86_400.0
    curve = DelayCurve.unseen(window_s)
    ages = 60.0 * np.array([1, 10, 100, 1_000, 10_000])
    steps = np.diff(curve.share(ages))
    assert (steps > 0.14).all() and (steps < 0.26).all()
    assert curve.share(np.array([0.0, window_s, 2 * window_s])) == pytest.approx([0, 1, 1])
    shares = curve.share(np.linspace(0, window_s, 100_001))
    assert curve.mean_s() == pytest.approx((1 - shares).mean() * window_s, rel=1e-3)
    for short_s in (1e-3, 30.0):
        assert 0.3 < DelayCurve.unseen(short_s).share(np.array([short_s / 2]))[0] < 1
