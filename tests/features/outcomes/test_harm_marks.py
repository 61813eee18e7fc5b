"""Events that a guardrail may count are marked when they are appended."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from features.journeys.events import Event
from features.ledger import tables
from features.outcomes.harm_marks import HarmEvents, mark_harm, raise_step, read_step
from tests.conftest import NOW
from tests.serving.fakes import changed
from tests.serving.guardrails.conftest import harmed_domain

DAYS_20 = timedelta(days=20)


def event(name, kind, at=NOW):
    return Event(name, ("c1",), kind, at, "app", {})


def marks(ledger, harm, *events):
    ledger.write_now(lambda c: mark_harm(c, harm, {"c1": events}, NOW + timedelta(hours=1)))
    columns = tables.guardrail_marks.c
    query = sa.select(columns.kind, columns.key, columns.due_at).order_by(columns.kind, columns.key)
    return ledger.read(lambda c: [tuple(row) for row in c.execute(query)])


def test_what_is_counted_follows_from_guardrails_and_domain(toy_catalog):
    def of(*counts, **domain):
        guardrails = {f"g{n}": {"counts": one} for n, one in enumerate(counts)}
        return HarmEvents.of(changed(toy_catalog, guardrails=guardrails), harmed_domain(**domain))

    assert of() == HarmEvents()
    assert of("complaint") == HarmEvents(frozenset({"complaint"}))
    assert of("complaint", "leaving") == HarmEvents(frozenset({"complaint"}), "order", DAYS_20)
    happens = {"event": "complaint", "when": "happens"}
    assert of("leaving", churn=happens) == HarmEvents(frozenset({"complaint"}))


def test_harm_is_due_at_once_and_a_silence_when_it_has_lasted(ledger):
    harm = HarmEvents(frozenset({"complaint"}), "order", DAYS_20)
    some = event("e1", "complaint"), event("e2", "order"), event("e3", "visit")
    assert marks(ledger, harm, *some) == [
        ("event", "e1", NOW + timedelta(hours=1)),
        ("silence", "c1", NOW + DAYS_20),
    ]
    # A later event of the same customer leaves the mark of the silence as it is.
    later = event("e4", "order", NOW + timedelta(days=3))
    assert ("silence", "c1", NOW + DAYS_20) in marks(ledger, harm, later)


def test_without_guardrails_nothing_is_marked(ledger):
    assert marks(ledger, HarmEvents(), event("e1", "complaint")) == []


def test_steps_are_numbered(ledger):
    assert ledger.read(read_step) == 0
    for number in (1, 2):
        ledger.write_now(raise_step)
        assert ledger.read(read_step) == number
