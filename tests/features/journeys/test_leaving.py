"""A customer has left if the last event of leaving is newer than the last one of coming back."""

from __future__ import annotations

from itertools import permutations

import pytest

from features.business.domain import Domain
from features.journeys.model_input import ModelInput

DAY_S = 86_400.0
KINDS = {
    "visit": {"stage": "interest"},
    "order": {"stage": "action"},
    "invoice": {"stage": "use"},
    "signed": {"stage": "consideration"},
    "cancelled": {"stage": "use"},
}
SHARED = {"description": "", "journey": "use", "touchpoint": "internal", "signal": "passive"}


def business(**churn) -> Domain:
    events = {name: {**SHARED, **kind} for name, kind in KINDS.items()}
    content = {"name": "b", "currency": "eur", "channels": ["app"], "events": events}
    return Domain.model_validate({**content, **({"churn": churn} if churn else {})})


def left_on_day(domain: Domain, *kinds: str, days: tuple[float, ...] = ()) -> float | None:
    """The day on which the customer left, after events on the days 1, 2, …, or on other days."""
    model_input = ModelInput(domain)
    fold, state = model_input.fold, model_input.fold.empty()
    for kind, day in zip(kinds, days or range(1, len(kinds) + 1), strict=True):
        state = fold.advance(state, kind, "app", day * DAY_S, {})
    at_s = model_input.leaving.left_at_s(state)
    return None if at_s is None else at_s / DAY_S


HAPPENS = {"event": "cancelled", "when": "happens"}
SIGNED = {**HAPPENS, "back": "signed"}


@pytest.mark.parametrize(
    ("churn", "kinds", "expected"),
    [
        (HAPPENS, ["order"], None),
        (HAPPENS, ["order", "cancelled"], 2),
        (HAPPENS, ["cancelled", "visit", "invoice"], 1),
        (HAPPENS, ["cancelled", "visit", "order"], None),
        (HAPPENS, ["cancelled", "order", "cancelled"], 3),
        (HAPPENS, ["cancelled", "cancelled"], 2),
        (SIGNED, ["cancelled", "order"], 1),
        (SIGNED, ["cancelled", "order", "signed", "visit"], None),
        ({**HAPPENS, "back": ["visit", "signed"]}, ["cancelled", "visit"], None),
        ({"event": "order", "active_days": 30, "silent_days": 20}, ["order", "cancelled"], None),
        ({}, ["cancelled"], None),
    ],
)
def test_a_customer_has_left_from_the_churn_on_until_an_event_of_back(churn, kinds, expected):
    assert left_on_day(business(**churn), *kinds) == expected


def test_without_events_nobody_has_left():
    assert ModelInput(business(**HAPPENS)).leaving.left_at_s(None) is None


@pytest.mark.parametrize("kinds", list(permutations(["cancelled", "order"])))
def test_leaving_and_coming_back_at_the_same_instant_is_being_back(kinds):
    assert left_on_day(business(**HAPPENS), *kinds, days=(5, 5)) is None


def test_a_leaving_at_the_first_possible_time_counts():
    assert left_on_day(business(**HAPPENS), "cancelled", days=(0,)) == 0
