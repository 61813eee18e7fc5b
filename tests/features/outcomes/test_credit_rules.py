"""Tests the credit and the reward of shown actions by their outcomes and the times of those."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.business.catalog import Catalog
from features.outcomes.credit_rules import (
    ReportedOutcome,
    ShownAction,
    attribute_outcomes,
    credit_shares,
    earned,
    reward,
    told_acceptance,
)
from tests.conftest import NOW

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
OUTSIDE = 15 * DAY  # after the decision; its window is 14 days


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], None),
        ([("o1", "accepted", HOUR, None)], 1.0),
        ([("o1", "rejected", HOUR, None)], 0.0),
        ([("o1", "clicked", HOUR, None)], None),
        ([("o1", "accepted", 14 * DAY, None)], 1.0),
        ([("o1", "accepted", 14 * DAY + HOUR, None)], None),
        ([("o1", "rejected", HOUR, None), ("o2", "accepted", DAY, None)], 1.0),
        ([("o2", "accepted", DAY, None), ("o1", "rejected", HOUR, None)], 1.0),
        ([("o1", "accepted", HOUR, None), ("o2", "accepted", DAY, "o1")], None),
        ([("o2", "accepted", DAY, "o1"), ("o1", "accepted", HOUR, None)], None),
        ([("o1", "accepted", HOUR, None), ("o2", "accepted", OUTSIDE, "o1")], None),
        (
            [
                ("o1", "accepted", HOUR, None),
                ("o2", "rejected", HOUR, None),
                ("o3", "accepted", DAY, "o1"),
            ],
            0.0,
        ),
        ([("o1", "of_an_older_catalogue", HOUR, None)], None),
    ],
    ids=[
        "silence",
        "accepted",
        "rejected",
        "a click says nothing",
        "accepted at the last moment",
        "accepted too late is silence",
        "the best counts",
        "in any order",
        "taken back",
        "taken back before it came",
        "taken back after the window",
        "taken back, another still stands",
        "an outcome the catalogue forgot",
    ],
)
def test_the_acceptance_that_was_told_of_a_shown_action(outcomes, expected, toy_catalog, now):
    happened = [
        ReportedOutcome(name, outcome, now + when, gone) for name, outcome, when, gone in outcomes
    ]
    action = attribute_outcomes(
        ShownAction("d1", "discount", now, now + 14 * DAY), happened, toy_catalog
    )
    assert told_acceptance(action, {}, toy_catalog) == expected


def test_what_was_said_before_the_decision_is_not_put_down_to_it(toy_catalog, now):
    early = [ReportedOutcome("o1", "accepted", now - HOUR)]
    action = attribute_outcomes(ShownAction("d1", "discount", now, now + DAY), early, toy_catalog)
    assert told_acceptance(action, {}, toy_catalog) is None


# Windows of outcomes, revisions, sharing, rewards ------------------------------------------------


def business(toy_catalog: Catalog, attribution: str = "last_touch", **discount: Any) -> Catalog:
    """The toy catalogue with a sale of reported value and a visit; `discount` lists both."""
    content = toy_catalog.model_dump(mode="json")
    content["attribution"] = attribution
    content["outcomes"] |= {"bought": {"acceptance": 1}, "came": {"acceptance": None}}
    listed = {"bought": {"reward": "told", "attribution_days": 5}, "came": {"reward": 2.0}}
    content["actions"]["discount"] |= {"outcomes": listed} | discount
    return Catalog.model_validate(content)


def shown(decision_id: str, after: timedelta, action_id: str = "discount") -> ShownAction:
    at = NOW + after
    return ShownAction(decision_id, action_id, at, at + 14 * DAY)


def results(
    told: Mapping[ShownAction, Sequence[ReportedOutcome]], catalog: Catalog
) -> dict[ShownAction, tuple[float | None, float]]:
    """The told acceptance and the earned reward of each shown action."""
    actions = [attribute_outcomes(one, outcomes, catalog) for one, outcomes in told.items()]
    shares = credit_shares(actions, catalog)
    return {
        one.shown: (
            told_acceptance(one, shares, catalog),
            earned(one, shares, catalog),
        )
        for one in actions
    }


def said(outcome: str, after: timedelta, name: str = "o1", **more: Any) -> ReportedOutcome:
    return ReportedOutcome(name, outcome, NOW + after, **more)


A, B = shown("a", 0 * DAY), shown("b", 2 * DAY)


@pytest.mark.parametrize(
    ("outcomes", "earnings"),
    [
        ([], 0.0),
        ([said("bought", DAY, value=30.0)], 30.0),
        ([said("bought", DAY)], 0.0),
        ([said("bought", DAY, value=-4.0)], -4.0),
        ([said("bought", 5 * DAY, value=30.0)], 30.0),
        ([said("bought", 6 * DAY, value=30.0)], 0.0),
        ([said("came", 6 * DAY)], 2.0),
        ([said("came", 14 * DAY), said("bought", DAY, "o2", value=30.0)], 32.0),
        ([said("came", DAY), said("came", 2 * DAY, "o2")], 2.0),
        ([said("bought", 2 * DAY, value=1.0), said("bought", DAY, "o2", value=9.0)], 1.0),
        ([said("bought", DAY, value=1.0), said("bought", DAY, "o2", value=9.0)], 9.0),
        ([said("accepted", DAY)], 0.0),
        ([said("bought", DAY, value=9.0), said("came", DAY, "o2", retracts="o1")], 0.0),
        ([said("bought", DAY, value=9.0), said("came", DAY, "o2", revises="o1")], 2.0),
    ],
    ids=[
        "nothing",
        "the value that was told",
        "no value was told",
        "money given back",
        "on the last day of the outcome's own window",
        "after it",
        "in the action's window",
        "several outcomes",
        "a name counts once",
        "the latest of a name, however it arrived",
        "of one instant, by name",
        "what the action does not list",
        "taken back",
        "revised",
    ],
)
def test_what_a_shown_action_earned(outcomes, earnings, toy_catalog):
    catalog = business(toy_catalog)
    assert results({A: outcomes}, catalog)[A][1] == earnings
    assert reward(attribute_outcomes(A, outcomes, catalog), {}, catalog) == earnings - 0.5


def test_an_action_that_lists_no_outcomes_earns_its_value_by_acceptance(toy_catalog):
    assert results({A: [said("accepted", DAY)]}, toy_catalog)[A] == (1.0, 5.0)
    assert results({A: [said("rejected", DAY)]}, toy_catalog)[A] == (0.0, 0.0)
    assert results({A: []}, toy_catalog)[A] == (None, 0.0)


def test_an_action_that_the_catalogue_has_no_more_earns_and_costs_nothing(toy_catalog):
    gone = shown("a", 0 * DAY, "of_last_year")
    assert (
        reward(attribute_outcomes(gone, [said("accepted", DAY)], toy_catalog), {}, toy_catalog)
        == 0.0
    )


def test_a_window_of_an_outcome_never_outlasts_that_of_the_decision(toy_catalog):
    short = ShownAction("a", "discount", NOW, NOW + 3 * DAY)
    assert results({short: [said("bought", 4 * DAY, value=9.0)]}, business(toy_catalog)) == {
        short: (None, 0.0)
    }


@pytest.mark.parametrize(
    ("rule", "credits", "earnings"),
    [
        ("last_touch", (None, 1.0), (0.0, 30.0)),
        ("first_touch", (1.0, None), (30.0, 0.0)),
        ("even", (0.5, 0.5), (15.0, 15.0)),
    ],
)
def test_one_order_told_of_two_decisions_is_credited_once(rule, credits, earnings, toy_catalog):
    order = {"value": 30.0, "shared_id": "order-7"}
    told = {A: [said("bought", 3 * DAY, **order)], B: [said("bought", 3 * DAY, "o2", **order)]}
    found = results(told, business(toy_catalog, rule))
    assert (found[A][0], found[B][0]) == credits
    assert (found[A][1], found[B][1]) == earnings


def test_another_name_of_what_happened_is_still_the_same_thing(toy_catalog):
    told = {
        A: [said("accepted", 3 * DAY, shared_id="order-7")],
        B: [said("bought", 3 * DAY, "o2", value=30.0, shared_id="order-7")],
    }
    assert results(told, business(toy_catalog)) == {A: (None, 0.0), B: (1.0, 30.0)}


def test_who_was_told_of_it_outside_of_their_window_takes_no_part(toy_catalog):
    order = {"value": 30.0, "shared_id": "order-7"}
    told = {A: [said("bought", 5 * DAY, **order)], B: [said("bought", 8 * DAY, "o2", **order)]}
    assert results(told, business(toy_catalog))[A] == (1.0, 30.0)


def test_who_saw_it_without_a_word_about_acceptance_takes_no_part(toy_catalog):
    told = {
        A: [said("bought", 3 * DAY, value=30.0, shared_id="order-7")],
        B: [said("clicked", 3 * DAY, "o2", shared_id="order-7")],
    }
    assert results(told, business(toy_catalog))[A] == (1.0, 30.0)


@pytest.mark.parametrize("rule", ["last_touch", "first_touch"])
def test_of_two_decisions_at_one_instant_the_id_decides(rule, toy_catalog):
    order = {"value": 30.0, "shared_id": "order-7"}
    twin = shown("0", 0 * DAY)
    told = {A: [said("bought", DAY, **order)], twin: [said("bought", DAY, "o2", **order)]}
    found = results(told, business(toy_catalog, rule))
    assert (found[A][1], found[twin][1]) == (0.0, 30.0)


@pytest.mark.parametrize("rule", ["last_touch", "first_touch"])
@pytest.mark.parametrize("names", [("discount", "call_back"), ("call_back", "discount")])
@pytest.mark.parametrize("decisions", ["aa", "ab", "ba"])
def test_of_two_slots_shown_at_one_instant_the_rank_decides(rule, names, decisions, toy_catalog):
    first, second = (
        shown(decision_id, 0 * DAY, action_id)._replace(rank=rank)
        for rank, (decision_id, action_id) in enumerate(zip(decisions, names, strict=True), start=1)
    )
    order = {"shared_id": "order-7"}
    told = {second: [said("accepted", DAY, **order)], first: [said("accepted", DAY, "o2", **order)]}
    found = results(told, business(toy_catalog, rule))
    assert (found[first][0], found[second][0]) == (1.0, None)


CASES = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SHOWN = (A, B, shown("b", 2 * DAY, "call_back"), shown("c", 2 * DAY))
RULES = st.sampled_from(["last_touch", "first_touch", "even"])


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[ShownAction, ReportedOutcome]]:
    """Draw outcomes of four shown actions, with retractions and revisions, in order of arrival."""
    story: list[tuple[ShownAction, ReportedOutcome]] = []
    for number in range(draw(st.integers(1, 12))):
        one = draw(st.sampled_from(SHOWN))
        mine = [earlier.outcome_id for whose, earlier in story if whose == one]
        change = draw(st.sampled_from(["none", "none", "retracts", "revises"])) if mine else "none"
        changes = {change: draw(st.sampled_from(mine))} if change != "none" else {}
        outcome = ReportedOutcome(
            f"o{number}",
            draw(st.sampled_from(["bought", "came", "accepted", "rejected", "clicked"])),
            NOW + draw(st.integers(0, 16)) * DAY,
            value=draw(st.sampled_from([None, 1.0, 7.5])),
            shared_id=draw(st.sampled_from([None, "order-7", "order-8"])),
            **changes,
        )
        story.append((one, outcome))
    return story


def gathered(
    story: Iterable[tuple[ShownAction, ReportedOutcome]],
) -> dict[ShownAction, list[ReportedOutcome]]:
    told: dict[ShownAction, list[ReportedOutcome]] = {one: [] for one in SHOWN}
    for one, outcome in story:
        told[one].append(outcome)
    return told


@CASES
@given(stories(), RULES, st.randoms())
def test_the_order_of_arrival_does_not_matter(toy_catalog, story, rule, chance):
    catalog = business(toy_catalog, rule)
    shuffled = chance.sample(story, len(story))
    assert results(gathered(shuffled), catalog) == results(gathered(story), catalog)


@CASES
@given(stories(), RULES, st.data())
def test_what_was_taken_back_never_happened(toy_catalog, story, rule, data):
    catalog = business(toy_catalog, rule)
    plain = [one for one in story if not one[1].retracts and not one[1].revises]
    one, outcome = data.draw(st.sampled_from(plain))
    back = ReportedOutcome("back", "clicked", NOW + DAY, retracts=outcome.outcome_id)
    without = [entry for entry in story if entry[1] != outcome]
    assert results(gathered([*story, (one, back)]), catalog) == results(gathered(without), catalog)


@CASES
@given(stories(), RULES, st.data())
def test_a_revision_counts_as_if_it_alone_had_been_told(toy_catalog, story, rule, data):
    catalog = business(toy_catalog, rule)
    plain = [one for one in story if not one[1].retracts and not one[1].revises]
    one, outcome = data.draw(st.sampled_from(plain))
    new = ReportedOutcome("new", "bought", NOW + 3 * DAY, value=5.0, shared_id="order-7")
    without = [entry for entry in story if entry[1] != outcome]
    revised = results(gathered([*story, (one, new._replace(revises=outcome.outcome_id))]), catalog)
    assert revised == results(gathered([*without, (one, new)]), catalog)


@CASES
@given(st.lists(st.sampled_from(SHOWN), min_size=1, unique=True), RULES, st.integers(2, 5))
def test_what_is_shared_brings_its_reward_once_and_at_most_one_acceptance(
    toy_catalog, among, rule, day
):
    catalog = business(toy_catalog, rule)
    listed = {"outcomes": {"bought": {"reward": "told"}}}
    content = catalog.model_dump(mode="json")
    for action in content["actions"].values():
        action |= listed
    catalog = Catalog.model_validate(content)
    order = {"value": 30.0, "shared_id": "order-7"}
    told = {
        one: [said("bought", day * DAY, f"o{number}", **order)] for number, one in enumerate(among)
    }
    found = results(told, catalog)
    assert sum(earnings for _, earnings in found.values()) == pytest.approx(30.0)
    assert sum(taught or 0.0 for taught, _ in found.values()) == pytest.approx(1.0)
