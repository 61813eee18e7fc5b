"""Comparisons of the arms: means, pairs, sizes, and what is told of arms with nobody in them."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest

from features.business.catalog_rules import Arms
from features.rewards.customer_values import CustomerValues, ValueDays
from serving.audit.lift.comparison import ARM_NAMES, EPOCH, Comparison, compare_arms, known

FIRST, LAST = 20_000, 20_009
THIRDS = Arms(random=0.3, nobody=0.3)


def world(
    margin: tuple[float, float, float],
    counts: tuple[int, int, int] = (400, 300, 300),
    left: tuple[int, int, int] = (0, 0, 0),
    gone_before: int = 0,
) -> tuple[CustomerValues, np.ndarray]:
    """Every customer is met on the first day, brings about the margin of its arm, and costs 0.5.

    The first customers of an arm leave on the last day, and take 10 along.
    """
    arm = np.repeat([0, 1, 2], counts)
    n = len(arm)
    drawn = np.random.default_rng(0).normal(0.0, 1.0, n)
    value = np.array(margin)[arm] + drawn
    within = np.concatenate([np.arange(count) for count in counts])
    leaves = within < np.array(left)[arm]
    customer = np.concatenate([np.arange(n), np.flatnonzero(leaves)])
    day = np.concatenate([np.full(n, FIRST + 1), np.full(leaves.sum(), LAST)])
    zeros = np.zeros(leaves.sum())
    rows = ValueDays(
        customer,
        day,
        np.concatenate([value, zeros]),
        np.concatenate([np.full(n, 0.5), zeros]),
        np.concatenate([np.zeros(n, int), np.ones(leaves.sum(), int)]),
    )
    gone = np.zeros(n, np.bool_)
    gone[:gone_before] = True
    values = CustomerValues(
        [f"c{number}" for number in range(n)],
        np.full(n, FIRST),
        np.zeros(n),
        gone,
        np.full(n, 10.0),
        np.zeros(n, np.uint8),
        rows,
    )
    return values, arm


def compared(values: CustomerValues, arm: np.ndarray, **changes) -> Comparison:
    asked = {"arms": THIRDS, "unit": "EUR", "last_day": LAST} | changes
    return compare_arms(values, arm, **asked)


def test_means_of_the_arms_are_margin_less_cost_less_what_leavers_take_along():
    values, arm = world((3.0, 4.0, 6.0), left=(40, 0, 30))
    found = compared(values, arm)
    raw = values.values()
    for code, view in enumerate(found.arms):
        assert view.arm == ARM_NAMES[code] and view.customers == (arm == code).sum()
        assert view.value == pytest.approx(raw[arm == code].mean())
        assert view.value == pytest.approx(view.margin - view.cost - view.lost)
    assert [view.left for view in found.arms] == pytest.approx([0.1, 0.0, 0.1])
    assert [view.lost for view in found.arms] == pytest.approx([1.0, 0.0, 1.0])
    assert [view.share for view in found.arms] == pytest.approx([0.4, 0.3, 0.3])


def test_pairs_have_the_sign_of_the_arm_less_the_one_it_is_compared_with():
    values, arm = world((3.0, 4.0, 6.0), left=(40, 0, 0))
    pairs = {(view.arm, view.against): view for view in compared(values, arm).pairs}
    assert [*pairs] == [("policy", "nobody"), ("policy", "random"), ("random", "nobody")]
    raw = values.values()
    means = {name: raw[arm == code].mean() for code, name in enumerate(ARM_NAMES)}
    for (one, other), view in pairs.items():
        assert view.lift.value == pytest.approx(means[one] - means[other])
        assert view.lift.high < 0
        assert view.lift.low < view.lift.planned_low < view.lift.value
        assert "less than" in view.verdict
        assert view.days[-1].value == pytest.approx(view.lift.value)
        assert view.days[-1].high == pytest.approx(view.lift.high)
        assert (view.days[-1].day - EPOCH).days == LAST
    left = pairs["policy", "nobody"].left
    assert left.value == pytest.approx(0.1) and left.low > 0


def test_who_had_left_before_a_period_has_not_left_in_it():
    values, arm = world((3.0, 3.0, 3.0), gone_before=100)  # all of the policy's
    assert compared(values, arm).arms[0].left == pytest.approx(0.25)
    found = compared(values, arm, first_day=FIRST + 1)
    assert found.arms[0].left == 0.0 and found.pairs[0].left.value == 0.0
    assert found.left_before == {"policy": 0.25, "random": 0.0, "nobody": 0.0}
    assert compared(values, arm).left_before == {}
    assert [view.customers for view in found.arms] == [400, 300, 300]
    values.met_day[:300] = LAST + 1  # who is met after the period is not in it
    later = compared(values, arm, first_day=FIRST + 1)
    assert later.arms[0].customers == 100 and later.left_before["policy"] == 0.0


def test_pairs_with_an_arm_whose_share_is_0_are_left_out():
    values, arm = world((3.0, 3.0, 3.0), counts=(700, 300, 0))
    found = compared(values, arm, arms=Arms(random=0.3, nobody=0))
    assert [(view.arm, view.against) for view in found.pairs] == [("policy", "random")]
    assert found.sample_ratio.trusted
    assert compared(values, arm, arms=Arms(random=0, nobody=0)).pairs == []


@pytest.mark.parametrize("size", [0, 1])
def test_an_arm_of_nobody_or_of_one_has_no_figure_and_spoils_no_other(size):
    values, arm = world((3.0, 4.0, 6.0), counts=(400, 300, size))
    found = compared(values, arm)
    first, second, _ = found.pairs
    assert first.lift is None and first.days == [] and first.relative is None
    assert first.verdict.startswith("Not enough yet: ")
    assert second.lift.value < 0 and second.lift.low is not None
    assert found.arms[2].customers == size and (found.arms[2].value is None) == (size == 0)
    assert not found.sample_ratio.trusted
    assert "NaN" not in "".join(view.model_dump_json() for view in [*found.arms, *found.pairs])


@pytest.mark.parametrize("broken", [nan, float("inf")])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_value_that_is_no_number_shows_as_not_known_and_never_as_a_result(broken):
    values, arm = world((3.0, 4.0, 6.0))
    values.days.margin[0] = broken
    for pair in compared(values, arm).pairs[:2]:
        assert pair.lift is None
        assert pair.verdict.endswith("the value of some customers is not a finite number.")
        assert pair.left.value == 0.0 and pair.days == []


def test_where_all_have_brought_the_same_there_is_no_bound():
    values, arm = world((3.0, 3.0, 3.0))
    same = ValueDays(*(column[:0] for column in values.days))
    values = CustomerValues(**{**vars(values), "days": same})
    pair = compared(values, arm).pairs[0]
    assert pair.lift.value == 0.0
    assert pair.lift.low is pair.lift.planned_high is pair.lift.smallest is None
    assert pair.explained is None and pair.days == []


def test_before_anybody_is_met_there_are_no_pairs():
    values, arm = world((3.0, 3.0, 3.0))
    found = compared(values, arm, last_day=FIRST - 1)
    assert found.pairs == [] and {view.customers for view in found.arms} == {0}
    assert found.sample_ratio.p_value is None and found.sample_ratio.trusted


@pytest.mark.parametrize(("counts", "trusted"), [((400, 300, 300), True), ((400, 300, 200), False)])
def test_sizes_are_checked_over_three_arms(counts, trusted):
    ratio = compared(*world((3.0, 3.0, 3.0), counts=counts)).sample_ratio
    assert ratio.trusted is trusted
    assert ratio.found["nobody"] == pytest.approx(counts[2] / sum(counts))


def test_what_is_not_finite_is_not_known():
    assert [known(value) for value in (1.5, nan, float("inf"))] == [1.5, None, None]
