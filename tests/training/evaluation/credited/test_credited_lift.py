"""Credited lift: intervals that cover a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from features.rewards.reward_rows import ARMS
from features.rewards.rewards import RewardTable
from training.evaluation.credited.credited_lift import credited_lift
from training.evaluation.differences import ratio_interval


def table(policy: np.ndarray, random: np.ndarray, day: int = 0) -> RewardTable:
    """One decision of each customer, with its reward."""
    n, number = len(policy) + len(random), np.arange(len(policy) + len(random))
    arm = np.where(number < len(policy), ARMS.index("policy"), ARMS.index("random"))
    reward = np.concatenate([policy, random]).astype(np.float64)
    return RewardTable(number, np.full(n, day), arm, np.ones(n, int), np.zeros(n, int), reward)


def joined(*some: RewardTable) -> RewardTable:
    """The rows of some tables, in the order of customers and days."""
    columns = RewardTable(*(np.concatenate(each) for each in zip(*some, strict=True)))
    order = np.lexsort((columns.day, columns.customer))
    return RewardTable(*(column[order] for column in columns))


def drawn(seed: int, policy: int, random: int) -> tuple[np.ndarray, np.ndarray]:
    """Rewards as they are: a showing costs, one customer in ten earns something, few much."""
    rng = np.random.default_rng(seed)

    def one(size: int) -> np.ndarray:
        return np.where(rng.random(size) < 0.1, rng.lognormal(2.0, 0.5, size), 0.0) - 0.1

    return one(policy), one(random)


def test_the_plain_interval_is_welchs():
    policy, random = drawn(7, 500, 60)
    figure = credited_lift(table(policy, random), 0.1).figure
    welch = stats.ttest_ind(policy, random, equal_var=False).confidence_interval(0.95)
    assert figure.value == pytest.approx(policy.mean() - random.mean())
    assert (figure.welch_low, figure.welch_high) == pytest.approx((welch.low, welch.high))


def test_without_skewness_both_intervals_are_the_same():
    half = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    figure = credited_lift(table(half + 3, half), 0.5).figure
    assert (figure.low, figure.high) == pytest.approx((figure.welch_low, figure.welch_high))


def test_a_lift_that_is_there_is_found_and_its_size_covered():
    policy, random = drawn(7, 20_000, 1_000)
    figure = credited_lift(table(policy + 0.4, random), 1 / 21).figure
    assert figure.low > 0 and figure.low < 0.4 < figure.high
    mean = random.mean()
    assert figure.relative == pytest.approx((policy.mean() + 0.4) / mean - 1)
    assert figure.relative_low < figure.relative < figure.relative_high


@pytest.mark.parametrize(
    ("policy", "random"),
    [([], []), ([1.0, 2.0], [1.0]), ([1.0], [1.0, 2.0]), ([1.0, 1.0], [0.0, 0.0])],
    ids=["nobody", "one in the random arm", "one outside", "all alike within their arm"],
)
def test_of_too_few_there_is_no_figure(policy, random):
    assert credited_lift(table(np.array(policy), np.array(random)), 0.5).figure is None


def test_customers_count_and_not_their_decisions():
    """One customer with a hundred decisions must not outweigh the others."""
    busy = joined(*(table(np.full(3, 1.0), np.array([0.0, 2.0]), day) for day in range(100)))
    found = credited_lift(busy, 0.4)
    assert (found.policy.customers, found.policy.decisions) == (3, 300)
    assert (found.policy.per_customer, found.policy.per_decision) == (100.0, 1.0)
    assert found.figure.value == 0.0


def test_who_was_seen_in_both_arms_is_counted_in_neither():
    rows = table(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 50.0]))
    rows.customer[5] = 0
    found = credited_lift(joined(rows), 0.5)
    assert found.in_both == 1
    assert (found.policy.customers, found.random.customers) == (2, 2)
    assert found.figure.value == pytest.approx(2.5 - 0.5)


def test_each_day_shows_what_was_known_of_the_period_up_to_it():
    policy, random = drawn(3, 200, 40)
    first = table(policy, random, day=10)
    second = table(policy[:50] + 1, random[:10] - 1, day=12)
    second.customer[second.arm == ARMS.index("random")] = np.arange(200, 210)
    found = credited_lift(joined(second, first), 0.2)
    assert found.by_day["day"].tolist() == [10, 12]
    early = credited_lift(first, 0.2)
    assert found.by_day.iloc[0].to_dict() == pytest.approx(early.by_day.iloc[0].to_dict())
    last = found.by_day.iloc[-1]
    assert last["lift"] == pytest.approx(found.figure.value)
    assert (last["low"], last["high"]) == pytest.approx((found.figure.low, found.figure.high))
    whole = policy.copy()
    whole[:50] += policy[:50] + 1
    assert last["policy"] == pytest.approx(whole.mean())


def test_a_day_without_a_control_customer_has_no_figure_yet():
    later = table(np.ones(2), np.ones(2), 1)
    rows = joined(table(np.array([1.0, 2.0]), np.array([])), later)
    by_day = credited_lift(rows, 0.5).by_day
    assert np.isnan(by_day["lift"].iloc[0]) and np.isfinite(by_day["lift"].iloc[1])


def test_the_ratio_is_fiellers_and_covers_the_truth():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(2_000):
        numerator, denominator = rng.normal(6.0, 1.0), rng.normal(4.0, 0.5)
        low, high = ratio_interval((numerator, denominator), (1.0, 0.5), 1.959964)
        covered += low <= 1.5 <= high
    assert covered / 2_000 == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / 2_000))


@pytest.mark.parametrize("denominator", [0.9, 0.0, -3.0])
def test_there_is_no_ratio_to_what_is_not_clearly_above_zero(denominator):
    assert np.isnan(ratio_interval((6.0, denominator), (1.0, 0.5), 1.96)).all()
