"""Stops hold until somebody lifts them; the first of several is the one that is named."""

from __future__ import annotations

import pytest

from features.errors import InvalidRequest
from serving.contract.guardrails import HarmTestView, LiftStopRequest
from serving.guardrails.stops import lift_stop, read_stops, stop_views, write_stops
from tests.conftest import NOW
from tests.serving.guardrails.conftest import HOUR

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def found(action_id):
    return HarmTestView(
        action_id=action_id,
        harmed=9,
        after=8,
        expected=2.5,
        rate_ratio=7.0,
        e_value=200.0,
        stops_at=150.0,
        exceeded=True,
    )


def stop(ledger, guardrail, action_id, at=NOW):
    return ledger.write_now(lambda c: write_stops(c, guardrail, [found(action_id)], at))


def lift(ledger, guardrail, action_id, at=NOW):
    request = LiftStopRequest(guardrail=guardrail, action_id=action_id, cause="Other words.")
    return lift_stop(ledger, request, at)


def test_an_action_that_is_switched_off_is_not_switched_off_twice(ledger):
    assert [one.action_id for one in stop(ledger, "complaints", "discount")] == ["discount"]
    assert stop(ledger, "complaints", "discount", NOW + HOUR) == []
    [kept] = ledger.read(stop_views)
    assert (kept.stopped_at, kept.test) == (NOW, found("discount"))


def test_of_several_guardrails_the_first_is_named_until_each_is_lifted(ledger):
    stop(ledger, "complaints", "discount", NOW + HOUR)
    stop(ledger, "refunds", "discount", NOW)  # the first, though not by its name
    assert ledger.read(read_stops)["discount"].guardrail == "refunds"
    lift(ledger, "refunds", "discount", NOW + 2 * HOUR)
    assert ledger.read(read_stops)["discount"].guardrail == "complaints"
    lift(ledger, "complaints", "discount", NOW + 3 * HOUR)
    assert ledger.read(read_stops) == {}
    every = ledger.read(lambda c: stop_views(c, also_lifted=True))
    assert [(one.guardrail, one.lifted_at) for one in every] == [
        ("complaints", NOW + 3 * HOUR),
        ("refunds", NOW + 2 * HOUR),
    ]


def test_what_is_not_switched_off_cannot_be_lifted(ledger):
    stop(ledger, "complaints", "discount")
    with pytest.raises(InvalidRequest, match="'complaints' has not switched off 'call_back'") as no:
        lift(ledger, "complaints", "call_back")
    assert "complaints of discount" in str(no.value)
    lift(ledger, "complaints", "discount")
    with pytest.raises(InvalidRequest) as no:
        lift(ledger, "complaints", "discount")
    assert "a stop of now: there is none" in str(no.value)
