"""Intervals against formulas written out, against scipy, and against a truth that is known."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
from scipy import stats

from training.evaluation.intervals import (
    RatioEstimate,
    bernstein_interval,
    bootstrap_interval,
    skewness_interval,
    studentised,
)


def mean_of(values):
    return RatioEstimate(np.asarray(values, float), np.ones(len(values)))


def test_without_skewness_it_is_students_interval():
    values = np.concatenate([np.arange(50.0), -np.arange(50.0)])
    low, high = skewness_interval(mean_of(values), None, 0.9)
    student = stats.t.interval(0.9, 99, values.mean(), stats.sem(values))
    assert (low, high) == pytest.approx(student)


def test_heavy_tails_leave_few_degrees_of_freedom():
    values = np.array([-10.0, 10.0, *np.zeros(98)])  # kurtosis 50
    low, high = skewness_interval(mean_of(values), None, 0.9)
    assert (low, high) == pytest.approx(stats.t.interval(0.9, 200 / 49, 0.0, stats.sem(values)))


def test_the_bootstrap_comes_close_to_students_interval_where_that_holds():
    values = np.random.default_rng(2).normal(3.0, 1.0, 400)
    found = bootstrap_interval(mean_of(values), None, 0.95, seed=1, resamples=4000)
    student = stats.t.interval(0.95, 399, values.mean(), stats.sem(values))
    assert found == pytest.approx(student, abs=0.15 * stats.sem(values))


def test_the_bootstrap_is_repeatable_and_its_seed_matters():
    ratio = mean_of(np.random.default_rng(2).random(50))
    first, again, other = (bootstrap_interval(ratio, None, 0.95, seed) for seed in (1, 1, 2))
    assert first == again != other


def test_the_bootstraps_errors_are_those_of_the_influences():
    """For a difference of two ratios that have much in common."""
    rng = np.random.default_rng(3)
    denominator = 1 + rng.random(80)
    ratios = [
        RatioEstimate(denominator + 0.1 * rng.random(80), denominator + 0.1 * rng.random(80))
        for _ in range(2)
    ]
    columns = np.column_stack(
        [part for ratio in ratios for part in (ratio.numerator, ratio.denominator)]
    )
    squares = (columns[:, :, None] * columns[:, None, :]).reshape(80, 16)
    [value], [error] = studentised(np.ones((1, 80)), columns, squares)
    influence = ratios[0].influence - ratios[1].influence
    assert value == pytest.approx(ratios[0].value - ratios[1].value)
    assert error == pytest.approx(influence.std(ddof=1) / sqrt(80))


def test_the_bernstein_bound_of_a_mean_is_that_of_the_theorem():
    values = np.random.default_rng(4).random(200)
    log_term = log(2 / 0.025)  # each side takes half of the 5 %, and theorem 4 has 2 / delta
    half = sqrt(2 * values.var(ddof=1) * log_term / 200) + 7 * log_term / (3 * 199)
    found = bernstein_interval(mean_of(values), 1.0, 0.95)
    assert found == pytest.approx((values.mean() - half, values.mean() + half))


def test_the_bernstein_bound_of_a_ratio_solves_the_bound_of_the_mean():
    rng = np.random.default_rng(5)
    denominator = 1 + rng.random(300)
    ratio = RatioEstimate(denominator * rng.random(300), denominator)
    log_term = log(2 / 0.025)
    for v in bernstein_interval(ratio, 2.0, 0.95):
        off = ratio.numerator - v * ratio.denominator
        half = sqrt(2 * off.var(ddof=1) * log_term / 300) + 7 * 2.0 * log_term / (3 * 299)
        assert abs(off.mean()) == pytest.approx(half)


@pytest.mark.parametrize("interval", [skewness_interval, bootstrap_interval])
def test_skewed_means_are_held_as_often_as_said(interval):
    """Lognormal, 60 customers: Student's interval holds the truth in 90 %, on one side only."""
    rounds, hits, students = 300, 0, 0
    extra = {"seed": 1, "resamples": 300} if interval is bootstrap_interval else {}
    for seed in range(rounds):
        values = np.random.default_rng(seed).lognormal(0.0, 1.0, 60)
        low, high = interval(mean_of(values), None, level=0.95, **extra)
        hits += low <= np.exp(0.5) <= high
        low, high = stats.t.interval(0.95, 59, values.mean(), stats.sem(values))
        students += low <= np.exp(0.5) <= high
    assert hits > students
    assert hits / rounds == pytest.approx(0.94, abs=3 * sqrt(0.06 * 0.94 / rounds))


def test_customers_who_do_not_differ_leave_no_doubt():
    assert skewness_interval(mean_of([2.0, 2.0]), None, 0.95) == (2.0, 2.0)
    assert bootstrap_interval(mean_of([2.0, 2.0]), None, 0.95, seed=1) == (2.0, 2.0)


def test_a_single_customer_tells_nothing():
    one = mean_of([2.0])
    nothing = (-np.inf, np.inf)
    assert skewness_interval(one, None, 0.95) == nothing
    assert bootstrap_interval(one, None, 0.95, seed=1) == nothing
    assert bernstein_interval(one, 1.0, 0.95) == nothing
