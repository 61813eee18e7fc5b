"""The Qini curve against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidLog
from training.evaluation.qini import (
    contact_gain,
    interval_over_splits,
    qini_coefficient,
    qini_curve,
    qini_interval,
)

# Four customers: contacted and came, did not come alone, contacted in vain, came alone.
TREATED = np.array([1.0, 0.0, 1.0, 0.0])
CAME = np.array([1.0, 0.0, 0.0, 1.0])
IN_ORDER = np.array([4.0, 3.0, 2.0, 1.0])


def test_a_curve_of_four_customers():
    curve = qini_curve(CAME, IN_ORDER, TREATED)
    assert curve.customers.tolist() == [0, 1, 2, 3, 4]
    assert curve.added.tolist() == [0, 1, 1, 1, 0]  # the last one would have come alone
    assert curve.area == 3.0


def test_arms_of_other_sizes_are_scaled_to_the_contacted():
    curve = qini_curve(np.array([1.0, 1.0, 0.0, 1.0]), IN_ORDER, np.array([0.0, 1.0, 1.0, 0.0]))
    assert curve.added.tolist() == [0, 0, 0, 1 - 1 * 2 / 1, 1 - 2 * 2 / 2]
    assert curve.area == (0 + 0 - 1 / 2 - 2 / 2) - 4 * -1 / 2


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (IN_ORDER, 1.0),
        (-IN_ORDER, -0.5),  # curve 0, 0, -1, -0.5, 0: area -1.5 of 3
        (np.array([2.0, 2.0, 1.0, 1.0]), 2 / 3),  # equal scores come together: 0, 1, 0
        (np.zeros(4), 0.0),
        (np.exp(IN_ORDER), 1.0),  # only the order matters
    ],
)
def test_the_coefficient_is_a_share_of_the_perfect_area(score, expected):
    assert qini_coefficient(CAME, score, TREATED) == pytest.approx(expected, abs=1e-12)


def test_the_coefficient_is_that_of_scikit_uplift():
    """Of `sklift.metrics.qini_auc_score` 0.5.1, computed once, with equal scores and small arms."""
    rng = np.random.default_rng(19)
    treated = (rng.random(60) < 0.3).astype(float)
    came = (rng.random(60) < 0.4).astype(float)
    score = rng.integers(0, 25, 60).astype(float)
    assert qini_coefficient(came, score, treated) == pytest.approx(-0.12814445982264838, abs=1e-12)


def test_the_interval_draws_customers_again():
    rng = np.random.default_rng(3)
    treated, came, score = rng.random((3, 40))
    treated, came = (treated < 0.5).astype(float), (came < 0.5).astype(float)
    value, low, high = qini_interval(came, score, treated, level=0.8, seed=7, resamples=20)
    assert value == qini_coefficient(came, score, treated)
    again = np.random.default_rng(7)
    drawn = [again.integers(40, size=40) for _ in range(20)]
    each = [qini_coefficient(came[rows], score[rows], treated[rows]) for rows in drawn]
    assert [low, high] == pytest.approx(np.quantile(each, [0.1, 0.9]))


def test_splits_that_share_customers_have_a_longer_interval():
    value, low, high = interval_over_splits(np.array([1.0, 2.0, 3.0]), held_out=0.5)
    assert value == 2.0
    half = 4.302653 * np.sqrt(1 / 3 + 1)  # Student's t of 2 degrees of freedom, deviation 1
    assert [low, high] == pytest.approx([2 - half, 2 + half])


def test_what_contacts_earn_after_their_cost():
    found = contact_gain(CAME, IN_ORDER, TREATED, cost=0.25)
    assert found.share.tolist() == [0, 0.25, 0.5, 0.75, 1]
    # One customer cannot be compared; then 0.5 (1 - 0 - 0.25), 0.75 (1/2 - 0 - 0.25), 1/2 - 1/2.
    assert found.gain.tolist() == [0, 0, 0.375, 0.1875, -0.25]


@pytest.mark.parametrize(
    ("came", "treated", "message"),
    [
        (CAME, np.ones(4), "4 of 4 customers were contacted"),
        (CAME, np.zeros(4), "0 of 4 customers were contacted"),
        (np.zeros(4), TREATED, "None of the 4 customers has the outcome"),
    ],
)
def test_what_cannot_be_told_is_refused(came, treated, message):
    with pytest.raises(InvalidLog, match=message):
        qini_coefficient(came, IN_ORDER, treated)
