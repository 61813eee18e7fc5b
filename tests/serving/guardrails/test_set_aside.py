"""Harm that cannot be counted is set aside and told; the other harm is counted."""

from __future__ import annotations

import logging

import pytest
import sqlalchemy as sa

from features.errors import LedgerDown
from features.ledger import tables
from serving.guardrails.counting import HarmCounter
from serving.guardrails.set_aside import harm_set_aside_sentence, read_set_aside
from serving.guardrails.watch import GuardrailWatch
from tests.serving.guardrails.conftest import ARMS, COMPLAINTS, DAY, HOUR
from tests.serving.guardrails.test_counting import arm_test, drawn
from tests.serving.guardrails.test_counting_borders import of_arm

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def change(shop, table, key, **columns):
    """Write other values into one row; return those of before."""
    mine = next(iter(table.c[name] for name in ("decision_id", "event_id") if name in table.c))
    read = sa.select(*(table.c[name] for name in columns)).where(mine == key)
    before = shop.ledger.read(lambda c: c.execute(read).one()._asdict())
    update = sa.update(table).where(mine == key).values(**columns)
    shop.ledger.write_now(lambda c: c.execute(update))
    return before


def broken_decision(shop, customer="c1"):
    """A complaint after a decision whose chances cannot be read; what they were."""
    decision = drawn(shop, "discount", customer=customer)
    shop.passes(HOUR)
    shop.event("complaint", customer, number="bad")
    before = change(shop, tables.decisions, decision.decision_id, believed=b"\x01")
    return decision.decision_id, before


def aside(shop):
    return shop.ledger.read(read_set_aside)


def test_a_decision_that_cannot_be_read_does_not_stop_the_counting(business, caplog):
    shop = business()
    decision_id, before = broken_decision(shop)
    drawn(shop, "discount", customer="c2")
    shop.passes(HOUR)
    shop.event("complaint", "c2")
    with caplog.at_level(logging.ERROR, logger="serving.guardrails.set_aside"):
        assert shop.count() == 1
    assert shop.tests()["discount"].harmed == 1
    assert "Harm is set aside, not counted: that of the event 'ebad'" in caplog.text
    assert aside(shop) == (1, ["event 'ebad'"])
    assert shop.count() == 0
    change(shop, tables.decisions, decision_id, **before)
    assert shop.count() == 0  # until the server starts anew
    for _ in range(2):
        shop.count(HarmCounter(shop.ledger))
        assert shop.tests()["discount"].harmed == 2
    assert aside(shop) == (0, []) and shop.rows("guardrail_marks") == []


def test_an_event_that_cannot_be_read_does_not_stop_the_counting(business):
    shop = business()
    drawn(shop, "discount")
    shop.passes(HOUR)
    shop.event("complaint", "c1", number="bad")
    before = change(shop, tables.events, "ebad", properties="{")
    shop.count(HarmCounter(shop.ledger))
    assert aside(shop) == (1, ["event 'ebad'"])
    shop.count(HarmCounter(shop.ledger))  # tried again, in vain
    assert aside(shop) == (1, ["event 'ebad'"])
    change(shop, tables.events, "ebad", **before)
    shop.count(HarmCounter(shop.ledger))
    assert shop.tests()["discount"].harmed == 1 and aside(shop) == (0, [])


def test_what_can_be_counted_of_harm_that_is_set_aside_is_counted_once(business):
    both = COMPLAINTS | {"nobody": COMPLAINTS["complaints"] | {"against": "nobody"}}
    shop = business(both, arms=ARMS)
    [name] = of_arm(shop, "policy")
    drawn(shop, "discount", customer=name)
    drawn(shop, "no_action", customer=name)  # the draw that is compared with nobody
    made = [row.decision_id for row in shop.rows("decisions") if row.action_id != "no_action"]
    before = {key: change(shop, tables.decisions, key, believed=b"\x01") for key in made}
    shop.passes(HOUR)
    shop.event("complaint", name)
    shop.count()
    assert arm_test(shop).harmed == 1  # the test of the arm reads no chances
    assert (shop.tests(0), shop.tests(1)["discount"].harmed) == ({}, 1)
    for key in made:
        change(shop, tables.decisions, key, **before[key])
    shop.count(HarmCounter(shop.ledger))
    assert arm_test(shop).harmed == 1
    assert (shop.tests(0)["discount"].harmed, shop.tests(1)["discount"].harmed) == (1, 1)


def test_a_silence_that_is_set_aside_does_not_keep_the_next_one_from_being_marked(business):
    shop = business({"leaving": {"counts": "leaving", "within_days": 30}})
    decision_id = drawn(shop, "discount").decision_id
    shop.passes(HOUR)
    shop.event("order", "c1", amount_eur=1)
    before = change(shop, tables.decisions, decision_id, believed=b"\x01")
    shop.passes(21 * DAY)
    shop.count()
    assert aside(shop) == (1, ["silence 'c1'"])
    shop.event("order", "c1", amount_eur=1)
    assert len(shop.rows("guardrail_marks")) == 2
    change(shop, tables.decisions, decision_id, **before)
    shop.count(HarmCounter(shop.ledger))  # the silence is over, and another one has begun
    [mark] = shop.rows("guardrail_marks")
    assert (mark.kind, mark.due_at) == ("silence", shop.now + 20 * DAY)


def test_a_failure_of_the_database_sets_nothing_aside(business):
    shop = business()
    drawn(shop, "discount")
    shop.passes(HOUR)
    shop.event("complaint", "c1")

    def failing(*_):
        raise sa.exc.OperationalError("SELECT", {}, Exception("It is down."))

    newest, shop.counter._draws.newest = shop.counter._draws.newest, failing
    with pytest.raises(LedgerDown):
        shop.count()
    shop.counter._draws.newest = newest
    shop.count()
    assert shop.tests()["discount"].harmed == 1


def test_what_is_set_aside_is_told(business):
    shop = business()
    watch = GuardrailWatch(shop.ledger, shop.domain)
    watch.look(shop.catalog)
    assert watch.problem == ""
    broken_decision(shop)
    shop.count()
    watch.look(shop.catalog)
    assert watch.problem == (
        "guardrails: the harm of 1 event or silence is set aside and not counted: event 'ebad'; "
        "see the log; tried again when the server starts"
    )
    watch.look(shop.catalog.with_parts(guardrails={}))
    assert watch.problem == ""


def test_of_much_that_is_set_aside_some_is_named():
    some = ["event 'e1'", "event 'e2'", "silence 'c1'"]
    assert harm_set_aside_sentence(1_200, some) == (
        "guardrails: the harm of 1,200 events and silences is set aside and not counted: "
        "event 'e1', event 'e2', silence 'c1', ...; see the log; tried again when the server starts"
    )
