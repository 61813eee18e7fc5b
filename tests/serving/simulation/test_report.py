"""Tests summaries, comparisons and intervals on results made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from serving.simulation.played import CHANGES, NOBODY_OF, SERVED, Played
from serving.simulation.report import (
    lift_checks,
    mean_over_worlds,
    policy_differences,
    policy_summaries,
)
from serving.simulation.tournament import TournamentResult
from tests.serving.simulation.runs import CUSTOMERS, pair, run, served, tournament


def test_a_summary_has_the_means_over_the_worlds():
    first, *_ = policy_summaries(tournament(rules=5.0, random=1.0, oracle=9.0))
    assert (first.name, first.variant) == ("rules", "rules variant")
    assert first.value.value == pytest.approx(5.5)
    assert first.late_value.value == pytest.approx(5.5 / 3)
    assert first.churn.value == pytest.approx(4 / CUSTOMERS)


def test_the_share_of_the_oracles_gain_is_0_for_random_and_1_for_the_oracle():
    shares = {
        one.name: one.oracle_share.value
        for one in policy_summaries(tournament(rules=5.0, random=1.0, oracle=9.0))
    }
    assert shares == pytest.approx({"rules": 0.5, "random": 0.0, "oracle": 1.0})


def test_a_gain_that_may_be_nothing_is_not_shared():
    """The oracle earns 0.01 more, give or take 0.1 from customer to customer."""
    noise = np.tile([0.1, -0.1], CUSTOMERS // 2)
    one = run("oracle", 1.01)
    oracle = Played(replace(one, value_of_customer_eur=one.value_of_customer_eur + noise))
    runs = {"random": [Played(run("random", 1.0))], "oracle": [oracle]}
    found = policy_summaries(TournamentResult("hand", CUSTOMERS, 3, (0,), ("random", *runs), runs))
    assert [one.oracle_share for one in found] == [None] * 3
    assert found[0].late_oracle_share is not None  # of the last third there is no noise


def test_the_gain_of_the_last_third_is_shared_by_the_informed_policy_world_by_world():
    """Rules earn 4 more than random in one world and 2 in the other, informed 4 in both."""
    found = tournament(random=1.0, rules=5.0, informed=5.0)
    late = run("rules", 4.0).value_of_customer_eur / 3
    second = replace(found.runs["rules"][1].run, late_value_of_customer_eur=late)
    found.runs["rules"][1] = Played(second)
    shares = {one.name: one.late_informed_share for one in policy_summaries(found)}
    assert {name: share.value for name, share in shares.items()} == pytest.approx(
        {"random": 0.0, "rules": 0.75, "informed": 1.0}
    )
    expected = stats.t.interval(0.95, 1, 0.75, stats.sem([1.0, 0.5]))
    assert shares["rules"][1:] == pytest.approx(expected)
    without = policy_summaries(tournament(rules=5.0, random=1.0))
    assert [one.late_informed_share for one in without] == [None, None]


def test_without_oracle_there_is_no_share_of_its_gain():
    assert policy_summaries(tournament(rules=5.0, random=1.0))[0].oracle_share is None


def test_differences_are_paired_and_relative_to_the_other_policy():
    [found] = policy_differences(tournament(served=5.0, fixed=4.0))
    assert found.other == "fixed"
    assert (found.value.value, found.value.low, found.value.high) == pytest.approx((1, 1, 1))
    assert found.relative == pytest.approx(1 / 4.5)
    late = found.late_value
    assert (late.value, late.low, late.high) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert found.late_relative == pytest.approx(1 / 4.5)


def test_without_the_served_classes_nothing_is_compared():
    assert policy_differences(tournament(fixed=4.0, random=1.0)) == []


def test_of_the_served_classes_the_arm_policy_counts():
    one = run("served", 5.0)
    nobody = run("nobody", 2.0, seed=1)
    found = TournamentResult(
        "hand",
        CUSTOMERS,
        3,
        (0,),
        ("served", "nobody"),
        {"served": [served(one)], "nobody": [served(nobody)]},
    )
    summary = policy_summaries(found)[0]
    assert summary.value.value == pytest.approx(one.value_of_customer_eur[:20].mean())
    assert summary.churn.value == pytest.approx(4 / 20)
    [compared] = policy_differences(found)
    gained = (one.value_of_customer_eur - nobody.value_of_customer_eur)[:20]
    assert compared.value.value == pytest.approx(gained.mean())


def test_a_lift_is_checked_against_the_same_customers_with_everybody_in_the_other_arm():
    one, other = run("served", 5.0), run("service", 2.0, seed=1)
    gained = (one.value_of_customer_eur - other.value_of_customer_eur)[:19]  # those who were met
    true = float(gained.mean())
    worlds = [
        served(one, pair(true, true - 2, true + 2, true - 1, true + 1)),
        served(one, pair(true + 1.5, true - 0.5, true + 3.5, true + 0.5, true + 2.5)),
    ]
    counterparts = [served(other), served(other)]
    runs = {"served": worlds, NOBODY_OF[SERVED]: counterparts}
    [check] = lift_checks(TournamentResult("hand", CUSTOMERS, 3, (0, 1), ("served",), runs))
    assert (check.policy, check.arm, check.against) == ("served", "policy", "nobody")
    assert check.means.true == pytest.approx(true)
    assert check.means.reported == pytest.approx(true + 0.75)
    assert (check.holds, check.planned_holds, check.worlds) == (2, 1, 2)


def test_each_policy_and_world_has_its_own_counterpart_in_which_nobody_is_contacted():
    """Two policies in two worlds; what the counterparts earned is 1, 10, 100 and 1,000."""
    runs, earned = {}, {"served": (1.0, 10.0), "acceptance": (100.0, 1_000.0)}
    for name, values in earned.items():
        bounds = [(-value - 0.5, -value + 0.5) for value in values]
        runs[name] = [served(run(name, 0.0), pair(0.0, *one, *one)) for one in bounds]
        runs[NOBODY_OF[name]] = [served(run("alone", value)) for value in values]
    worlds = TournamentResult("hand", CUSTOMERS, 3, (0, 1), tuple(earned), runs)
    checks = lift_checks(worlds)
    assert [(one.holds, one.planned_holds) for one in checks] == [(2, 2)] * 2
    true = {check.policy: check.means.true for check in checks}
    assert true == pytest.approx({"served": -5.5, "acceptance": -550.0})
    last = lift_checks(replace(worlds, runs={name: some[1:] for name, some in runs.items()}))
    assert [one.means.true for one in last] == pytest.approx([-10.0, -1_000.0])


def test_baselines_report_no_lift():
    assert lift_checks(tournament(rules=5.0, random=1.0)) == []


def test_a_lift_without_a_counterpart_is_not_checked():
    runs = {name: [served(run(name, 5.0), pair(3.0, 2.0, 4.0, 2.5, 3.5))] for name in CHANGES}
    assert lift_checks(TournamentResult("hand", CUSTOMERS, 3, (0,), ("leaving_off",), runs)) == []
    alone = {SERVED: runs[SERVED]}
    assert lift_checks(TournamentResult("hand", CUSTOMERS, 3, (0,), (SERVED,), alone)) == []


def test_one_world_has_the_interval_over_its_customers():
    values = np.random.default_rng(1).normal(size=30)
    expected = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert mean_over_worlds([values])[1:] == pytest.approx(expected)


def test_several_worlds_have_the_interval_over_their_means():
    worlds = [np.full(10, mean) for mean in (1.0, 2.0, 4.0)]
    means = np.array([1.0, 2.0, 4.0])
    expected = stats.t.interval(0.95, 2, means.mean(), stats.sem(means))
    assert mean_over_worlds(worlds)[1:] == pytest.approx(expected)
