"""Policies are played in the same worlds, summarised and compared."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidSetting
from serving.simulation.played import NOBODY_OF, SERVED
from serving.simulation.report import lift_checks, policy_differences, policy_summaries
from serving.simulation.tournament import run_tournaments
from training.simulation.baselines import FixedPolicy

TELEPHONE = ["telephone"]
BASELINES = ("nobody", "random", "oracle")


@pytest.fixture(scope="module")
def tournament():
    [found] = run_tournaments(TELEPHONE, 250, 7, [1], ("served", *BASELINES), arms=0.3)
    return found


def test_no_policy_exceeds_a_cap_and_the_oracle_has_the_highest_value(tournament):
    found = {one.name: one for one in policy_summaries(tournament)}
    assert [*found] == ["served", *BASELINES]
    assert all(one.cap_violations == 0 for one in found.values())
    assert found["oracle"].value.value == max(one.value.value for one in found.values())
    assert found["oracle"].oracle_share.value == 1 and found["random"].oracle_share.value == 0


def test_policies_are_compared_customer_by_customer(tournament):
    found = {one.other: one for one in policy_differences(tournament)}
    policy, other = tournament.runs["served"][0], tournament.runs["oracle"][0]
    gained = policy.run.value_of_customer_eur - other.run.value_of_customer_eur
    gained = gained[policy.served.arm == 0]
    error = gained.std(ddof=1) / np.sqrt(len(gained))
    assert found["oracle"].value.value == pytest.approx(gained.mean())
    assert found["oracle"].value.high - gained.mean() == pytest.approx(1.98 * error, rel=0.02)


def test_the_lift_is_reported_of_the_ledger_and_true_of_the_world(tournament):
    served = tournament.runs["served"][0].served
    arms = {one.arm: one for one in served.lift.arms}
    for number, name in enumerate(("policy", "random", "nobody")):
        members = served.met & (served.arm == number)
        assert arms[name].customers == members.sum()
        value = tournament.runs["served"][0].run.value_of_customer_eur[members]
        # The ledger knows what the world knows: margin, costs and who left.
        assert arms[name].value == pytest.approx(value.mean(), abs=1e-6)
    counterpart = tournament.runs[NOBODY_OF[SERVED]][0].served
    assert (counterpart.arm == 2).all()
    # Who comes first, and when, is the same in all worlds of a seed.
    np.testing.assert_array_equal(counterpart.met, served.met)
    assert not served.met.all()
    found = {(one.arm, one.against) for one in lift_checks(tournament)}
    assert found <= {("policy", "nobody"), ("policy", "random"), ("random", "nobody")}


def test_the_informed_policy_is_fitted_for_the_days_of_its_business(monkeypatch):
    fitted = []

    def fit(business, days, progress):
        fitted.append((business.name, days))
        return FixedPolicy("informed")

    monkeypatch.setattr("serving.simulation.tournament.fit_informed", fit)
    [found] = run_tournaments(["shop"], 20, 2, [3, 4], ("informed",))
    assert fitted == [("shop", 2)]
    assert [one.run.name for one in found.runs["informed"]] == ["informed"] * 2


def test_without_lifts_no_policy_is_played_twice():
    [found] = run_tournaments(TELEPHONE, 20, 2, [3], ("served",), lifts=False)
    assert [*found.runs] == ["served"] and lift_checks(found) == []


@pytest.mark.slow
def test_the_same_seeds_give_the_same_result_on_any_number_of_processes():
    names = ["served", "random"]
    one, same = (run_tournaments(TELEPHONE, 40, 3, [3], names, processes=n)[0] for n in (1, 2))
    for name in one.runs:
        first, second = one.runs[name][0].run, same.runs[name][0].run
        assert np.array_equal(first.value_of_customer_eur, second.value_of_customer_eur)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"policies": ["servd"]}, "There is no policy 'servd'. Did you mean 'served'"),
        ({"worlds": ["moon"]}, "There is no world 'moon'. Expected some of telephone"),
        ({"policies": []}, "There is nothing to simulate. Expected at least one world, one seed"),
        ({"seeds": []}, "There is nothing to simulate."),
        ({"arms": 0.5}, "arms is 0.5. Expected a share from 0 to 0.45"),
        ({"days": 400}, "days is 400"),
        (
            {"seeds": [1_000_005], "policies": ["informed"]},
            "seeds has 1000005, a world in which informed is fitted",
        ),
    ],
)
def test_what_cannot_be_played_is_refused(given, sentence):
    asked = {"worlds": TELEPHONE, "customers": 10, "days": 2, "seeds": [1]}
    with pytest.raises(InvalidSetting, match=sentence):
        run_tournaments(**{**asked, **given})
