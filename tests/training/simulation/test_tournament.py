"""Policies are played in the same worlds, summarised and compared."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidSetting
from training.simulation.report import policy_differences, policy_summaries
from training.simulation.tournament import POLICIES, run_tournament

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tournament():
    return run_tournament(500, 30, [1])


def test_no_policy_exceeds_a_cap_and_the_oracle_has_the_highest_value(tournament):
    found = {one.name: one for one in policy_summaries(tournament)}
    assert set(found) == set(POLICIES)
    assert all(one.cap_violations == 0 for one in found.values())
    assert found["oracle"].value.value == max(one.value.value for one in found.values())
    assert found["oracle"].oracle_share.value == 1 and found["random"].oracle_share.value == 0
    assert found["rules"].oracle_share.value > 0.3


def test_policies_are_compared_customer_by_customer(tournament):
    found = {one.other: one for one in policy_differences(tournament)}
    policy, other = tournament.runs["rules"][0], tournament.runs["random"][0]
    gained = policy.value_of_customer_eur - other.value_of_customer_eur
    error = gained.std(ddof=1) / np.sqrt(len(gained))
    assert found["random"].value.value == pytest.approx(gained.mean())
    assert found["random"].value.high - gained.mean() == pytest.approx(1.965 * error, rel=0.001)
    assert found["random"].value.excludes_zero
    assert np.isnan(found["random"].relative)  # random loses money: nothing to divide by


def test_of_several_worlds_the_interval_is_over_the_worlds():
    found = run_tournament(150, 10, [1, 2, 3], ["nobody", "random"])
    means = np.array([one.value_of_customer_eur.mean() for one in found.runs["nobody"]])
    summary = policy_summaries(found)[0]
    assert summary.value.value == pytest.approx(means.mean())
    assert summary.value.high - means.mean() == pytest.approx(
        4.303 * means.std(ddof=1) / 3**0.5, rel=0.001
    )
    assert summary.oracle_share is None


def test_the_same_seeds_give_the_same_result_on_any_number_of_processes():
    names = ["nobody", "random"]
    one, same = (run_tournament(120, 12, [3], names, processes=n) for n in (1, 2))
    for name in one.runs:
        first, second = one.runs[name][0], same.runs[name][0]
        assert np.array_equal(first.value_of_customer_eur, second.value_of_customer_eur)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"policies": ["best"]},
            "There is no policy 'best'. Expected some of nobody, random, fixed",
        ),
        (
            {"policies": []},
            "There is nothing to simulate. Expected at least one world and one policy",
        ),
        ({"seeds": []}, "There is nothing to simulate."),
    ],
)
def test_unknown_policies_and_empty_lists_are_refused(given, sentence):
    with pytest.raises(InvalidSetting, match=sentence):
        run_tournament(**{"customers": 10, "days": 2, "seeds": [1], **given})
