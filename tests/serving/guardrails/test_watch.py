"""A server process knows what is switched off, and tells it."""

from __future__ import annotations

import pytest

from serving.guardrails.watch import GuardrailWatch
from tests.conftest import NOW
from tests.serving.guardrails.made import harmful_test, with_harm
from tests.serving.guardrails.test_stops import lift, stop

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def test_stops_are_known_when_they_are_read_again(business):
    shop = business()
    watch = GuardrailWatch(shop.ledger, shop.domain)
    assert (watch.refresh(), watch.remarks) == ({}, [])
    stop(shop.ledger, "complaints", "discount", NOW)
    assert watch.remarks == []
    assert watch.refresh()["discount"].rule == "guardrails.complaints"
    assert watch.remarks == [
        "guardrails: complaints has switched off discount since "
        f"{NOW.isoformat(timespec='seconds')}; 'nba guardrails' tells why"
    ]
    lift(shop.ledger, "complaints", "discount", shop.now)
    assert (watch.refresh(), watch.remarks) == ({}, [])


def test_the_evidence_is_told_by_guardrail_and_action(business):
    shop = business()
    watch = GuardrailWatch(shop.ledger, shop.domain)
    tests = {"discount": harmful_test(30)}
    shop.ledger.write_now(lambda c: with_harm(c, shop.rules.rules[0], tests))
    found = watch.look(shop.catalog)
    assert found == {
        ("complaints", "discount"): tests["discount"].e_value,
        ("complaints", "policy"): 1.0,
    }
    assert watch.warnings == []


def test_without_guardrails_nothing_is_counted(business):
    shop = business({})
    watch = GuardrailWatch(shop.ledger, shop.domain)
    assert (watch.count(shop.catalog, shop.now), watch.look(shop.catalog)) == (False, {})
