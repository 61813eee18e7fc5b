"""A policy lives through a world: what it is told, when, and what it earns."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidSetting
from training.simulation.actions import CALL_BACK, COST, NAMES, VALUE, K
from training.simulation.bandit_policy import CAREFUL, OurPolicy
from training.simulation.baselines import RULES, FixedPolicy, OraclePolicy, RandomPolicy
from training.simulation.customer_state import FEATURES
from training.simulation.rehearsal_picture import draw_rehearsal
from training.simulation.report import leads, standings
from training.simulation.rollout import BLAMED_DAYS, LOOKS_DAYS, checked, run_policy
from training.simulation.tournament import POLICIES, rehearse
from training.simulation.world import World


class Listener(RandomPolicy):
    """Chooses at random and keeps what it is told."""

    def __init__(self):
        object.__setattr__(self, "told", [])

    def learn(self, reports):
        self.told.append(list(reports))


@pytest.fixture(scope="module")
def rehearsal():
    return rehearse(500, 30, [1])


@pytest.fixture(scope="module")
def told():
    listener = Listener()
    course = run_policy(lambda world: listener, World(1_500, 4, 30), 4)
    return listener.told, course


def test_decisions_are_told_of_as_often_and_as_late_as_is_said(told):
    reports, _ = told
    for evening, heard in enumerate(reports):
        ages = sorted(evening - report.day for report in heard)
        assert ages == sorted(age for age in LOOKS_DAYS if age <= evening)
        assert [report.age_days for report in heard] == [evening - one.day for one in heard]


def test_acceptances_come_late_and_some_are_taken_back(told):
    reports, _ = told
    by_age = {one.age_days: one for heard in reports for one in heard if one.day == 3}
    known = [by_age[age].accepted.sum() for age in LOOKS_DAYS]
    assert known == sorted(known) and known[0] < known[-1]
    last = by_age[LOOKS_DAYS[-1]]
    value = np.where(last.accepted, VALUE[last.actions], 0) - COST[last.actions]
    assert ((last.earned_eur == value) | (last.earned_eur == -COST[last.actions])).all()
    assert (last.earned_eur < value - 1).any()


def test_who_leaves_long_after_a_decision_did_not_leave_because_of_it(told):
    reports, _ = told
    by_age = {one.age_days: one for heard in reports for one in heard if one.day == 0}
    assert by_age[3].left.sum() < by_age[14].left.sum() == by_age[21].left.sum()
    assert BLAMED_DAYS == 14


def test_the_value_of_days_and_of_customers_is_the_same_money(told):
    _, course = told
    assert course.value_eur.sum() == pytest.approx(course.value_of_customer_eur.sum())
    assert course.late_value_of_customer_eur.sum() == pytest.approx(course.value_eur[-10:].sum())
    assert course.lost.sum() == course.left.sum()


def test_the_small_rehearsal_keeps_all_caps_and_the_oracle_leads(rehearsal):
    found = {one.name: one for one in standings(rehearsal)}
    assert set(found) == set(POLICIES)
    assert all(one.breaches == 0 for one in found.values())
    assert found["oracle"].value.value == max(one.value.value for one in found.values())
    assert found["oracle"].of_oracle.value == 1 and found["random"].of_oracle.value == 0
    assert found["ours"].of_oracle.value > 0.3  # it has learned something in a month


def test_leads_are_differences_customer_by_customer(rehearsal):
    found = {one.over: one for one in leads(rehearsal)}
    ours, other = rehearsal.courses["ours"][0], rehearsal.courses["random"][0]
    gained = ours.value_of_customer_eur - other.value_of_customer_eur
    error = gained.std(ddof=1) / np.sqrt(len(gained))
    assert found["random"].value.value == pytest.approx(gained.mean())
    assert found["random"].value.high - gained.mean() == pytest.approx(1.965 * error, rel=0.001)
    assert found["random"].value.excludes_zero
    assert np.isnan(found["random"].relative)  # random loses money: nothing to divide by


def test_the_same_seeds_give_the_same_rehearsal_on_any_number_of_processes():
    names = ["ours", "propensity"]
    one, same = (rehearse(120, 12, [3], names, processes=n) for n in (1, 2))
    for name in one.courses:
        first, second = one.courses[name][0], same.courses[name][0]
        assert np.array_equal(first.value_of_customer_eur, second.value_of_customer_eur)


def test_of_several_worlds_the_interval_is_over_the_worlds():
    found = rehearse(150, 10, [1, 2, 3], ["ours", "random"])
    mine = np.array([one.value_of_customer_eur.mean() for one in found.courses["ours"]])
    standing = standings(found)[0]
    assert standing.value.value == pytest.approx(mine.mean())
    assert standing.value.high - mine.mean() == pytest.approx(
        4.303 * mine.std(ddof=1) / 3**0.5, rel=0.001
    )
    assert standing.of_oracle is None


def test_a_picture_is_drawn(rehearsal, tmp_path):
    draw_rehearsal(rehearsal, tmp_path / "seen.png")
    assert (tmp_path / "seen.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"policies": ["best"]}, "There is no policy 'best'. Expected some of ours, fixed"),
        ({"policies": []}, "There is nothing to rehearse. Expected one world and one policy"),
        ({"seeds": []}, "There is nothing to rehearse."),
    ],
)
def test_a_rehearsal_that_cannot_be_is_refused(given, sentence):
    with pytest.raises(InvalidSetting, match=sentence):
        rehearse(**{"customers": 10, "days": 2, "seeds": [1], **given})


@pytest.mark.parametrize("chances", [[0.5, 0.4], [1.2, -0.2], [0.5, 0.5]])
def test_probabilities_that_are_none_are_refused(chances):
    allowed = np.array([[True, chances != [0.5, 0.5]]])
    with pytest.raises(InvalidSetting, match="1 of 1 rows of probabilities are not"):
        checked(np.array([chances]), allowed)


def test_the_first_rule_that_holds_and_is_allowed_decides():
    contexts, allowed = np.zeros((3, len(FEATURES))), np.ones((3, K), dtype=bool)
    contexts[:, FEATURES.index("page_data")] = 1
    contexts[1:, FEATURES.index("problem_open")] = 1
    allowed[2, CALL_BACK] = False
    chances = RULES[0].predict(contexts, allowed)
    assert [NAMES[index] for index in chances.argmax(axis=1)] == [
        "more_data",
        "call_back",
        "more_data",
    ]
    assert (chances.sum(axis=1) == 1).all()


def test_a_fixed_action_that_is_not_allowed_gives_way_to_none():
    allowed = np.ones((2, K), dtype=bool)
    allowed[1, 3] = False
    chances = FixedPolicy("always", "streaming").predict(np.zeros((2, len(FEATURES))), allowed)
    assert chances.argmax(axis=1).tolist() == [3, 0]


def test_the_oracle_takes_what_is_truly_worth_most_of_what_is_allowed():
    world = World(300, 2, 3)
    moments = world.morning()
    chosen = OraclePolicy(world=world).predict(moments.contexts, moments.allowed).argmax(axis=1)
    truth = np.where(moments.allowed, world.expected(), -np.inf)
    assert (truth[np.arange(len(chosen)), chosen] == truth.max(axis=1)).all()


def test_ours_makes_few_contacts_while_it_knows_nothing():
    contexts = np.zeros((2, len(FEATURES)))
    allowed = np.array([[True] * K, [True] + [False] * (K - 1)])
    chances = OurPolicy().predict(contexts, allowed)
    assert chances[0] == pytest.approx([1 - CAREFUL] + [CAREFUL / (K - 1)] * (K - 1))
    assert chances[1].tolist() == [1.0] + [0.0] * (K - 1)
