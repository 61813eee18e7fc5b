"""Bounds of the requests that report events and outcomes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serving.contract.events import EventsRequest, OutcomeRequest
from serving.contract.requests import MAX_EVENTS


def outcome(**fields: object) -> OutcomeRequest:
    return OutcomeRequest.model_validate({"decision_id": "d1", "outcome": "accepted"} | fields)


@pytest.mark.parametrize("count", [0, MAX_EVENTS + 1])
def test_one_request_carries_1_to_500_events(count):
    with pytest.raises(ValidationError, match="events"):
        EventsRequest(events=[{}] * count)


def test_an_event_is_not_checked_here_so_that_its_neighbours_can_be_accepted():
    assert EventsRequest(events=[{"event_id": 1}, None]).events == [{"event_id": 1}, None]


def test_an_outcome_cannot_retract_and_revise_at_once():
    assert outcome(retracts="o1").retracts == outcome(revises="o1").revises == "o1"
    with pytest.raises(ValidationError, match="retracts and revises are both there; send one"):
        outcome(retracts="o1", revises="o2")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_a_value_that_cannot_be_summed_is_refused(value):
    with pytest.raises(ValidationError, match="value"):
        outcome(value=value)
