"""Tests the product-limit estimate against fractions, against hand-worked shares and lifelines."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest

from features.analytics.views.funnels.cumulative_incidence import (
    CENSORED,
    CONVERTED,
    STOPPED,
    CumulativeIncidence,
    cumulative_incidence,
)


def estimated(log: list[tuple[int, int]]) -> CumulativeIncidence:
    times, what = zip(*log, strict=True)
    return cumulative_incidence(np.array(times, np.int64), np.array(what, np.uint8))


def by_fractions(log: list[tuple[int, int]]) -> list[tuple[int, Fraction, Fraction, Fraction]]:
    """Return time, share, stopped and variance, by the sums of the definition."""
    survival, share, stopped = Fraction(1), Fraction(0), Fraction(0)
    terms: list[tuple[Fraction, Fraction, int, int, int]] = []
    found = []
    for time in sorted({time for time, what in log if what != CENSORED}):
        n = sum(other >= time for other, _ in log)
        here = [what for other, what in log if other == time]
        c, s = here.count(CONVERTED), here.count(STOPPED)
        share += survival * Fraction(c, n)
        stopped += survival * Fraction(s, n)
        terms.append((share, survival, c, c + s, n))
        survival *= 1 - Fraction(c + s, n)
        variance = Fraction(0)
        for f, lag, converted, d, n_then in terms:
            if d < n_then:
                variance += (share - f) ** 2 * Fraction(d, n_then * (n_then - d))
            variance += lag**2 * Fraction(converted * (n_then - converted), n_then**3)
            variance -= 2 * (share - f) * lag * Fraction(converted, n_then**2)
        found.append((time, share, stopped, variance))
    return found


def test_the_share_is_that_of_a_case_worked_by_hand() -> None:
    """Four wait: one converts on day 1, one is seen last on day 2, one converts on day 3."""
    log = [(1, CONVERTED), (2, CENSORED), (3, CONVERTED), (4, STOPPED)]
    found = estimated(log)
    assert found.times.tolist() == [1, 3, 4]
    assert found.at_risk.tolist() == [4, 2, 1]
    assert found.share.tolist() == [0.25, 0.625, 0.625]  # 1/4, then 3/4 of 1/2
    assert found.stopped.tolist() == [0.0, 0.0, 0.375]
    assert found.variance[0] == 0.25 * 0.75 / 4


def test_without_censoring_it_is_the_plain_share_and_its_variance() -> None:
    log = [(day, CONVERTED if day % 3 else STOPPED) for day in range(1, 31)]
    found = estimated(log)
    share = found.share[14]  # 10 of the first 15 days
    assert share == pytest.approx(10 / 30)
    assert found.variance[14] == pytest.approx(share * (1 - share) / 30)


def test_bounds_lie_around_the_share_and_between_0_and_1() -> None:
    found = estimated([(1, CONVERTED), (2, CENSORED), (3, CONVERTED), (3, STOPPED), (5, CONVERTED)])
    share, low, high, stopped = found.at(np.array([0, 1, 3, 10]))
    assert share[0] == low[0] == high[0] == stopped[0] == 0
    assert (low[1:3] < share[1:3]).all() and (share[1:3] < high[1:3]).all()
    assert (low >= 0).all() and (high <= 1).all()


def test_nobody_waited() -> None:
    found = cumulative_incidence(np.zeros(0, np.int64), np.zeros(0, np.uint8))
    assert [values.tolist() for values in found.at(np.array([0, 5]))] == [[0.0, 0.0]] * 4


@pytest.mark.parametrize("seed", range(4))
def test_it_is_that_of_fractions_on_random_logs_with_ties(seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(250):
        n = int(random.integers(1, 15))
        log = list(
            zip(random.integers(0, 8, n).tolist(), random.integers(0, 3, n).tolist(), strict=True)
        )
        found = estimated(log)
        exact = by_fractions(log)
        assert found.times.tolist() == [row[0] for row in exact]
        ours = np.stack([found.share, found.stopped, found.variance])
        assert ours == pytest.approx(
            np.array([row[1:] for row in exact], float).T.reshape(3, -1), abs=1e-12
        )


def test_it_is_that_of_lifelines_on_1000_random_logs() -> None:
    """Times without ties: lifelines moves tied ones by chance."""
    lifelines = pytest.importorskip("lifelines", reason="the extra 'bench' is not installed")
    random = np.random.default_rng(0)
    for _ in range(1000):
        n = int(random.integers(2, 30))
        times = random.choice(np.arange(1, 1000), n, replace=False)
        what = random.integers(0, 3, n).astype(np.uint8)
        if not (what == CONVERTED).any():
            continue
        found = cumulative_incidence(times, what)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = lifelines.AalenJohansenFitter().fit(times, what, event_of_interest=CONVERTED)
        curve = theirs.cumulative_density_.iloc[:, 0]
        ours = found.at(curve.index.to_numpy().astype(np.int64))
        assert ours[0] == pytest.approx(curve.to_numpy(), abs=1e-9)
        variance = theirs.variance_.reindex(found.times).to_numpy()
        known = np.isfinite(variance)  # theirs is infinite or unknown where nobody stays
        assert found.variance[known] == pytest.approx(variance[known], abs=1e-9)
        bounds = theirs.confidence_interval_.to_numpy()
        told = np.isfinite(bounds).all(axis=1)
        assert np.stack([ours[1], ours[2]], axis=1)[told] == pytest.approx(bounds[told], abs=1e-9)
        one_cause = np.where(what == STOPPED, CENSORED, what).astype(np.uint8)
        theirs = lifelines.KaplanMeierFitter().fit(times, one_cause == CONVERTED)
        survival = theirs.survival_function_.iloc[:, 0]
        share = cumulative_incidence(times, one_cause).at(
            survival.index.to_numpy().astype(np.int64)
        )[0]
        assert 1 - share == pytest.approx(survival.to_numpy(), abs=1e-9)
