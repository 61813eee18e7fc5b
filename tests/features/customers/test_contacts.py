"""Contacts and their outcomes are kept under a key, move with it and are erased with it."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from features.customers.contacts import _OF_ONE_REACTED, late_reactions, note_contacts
from features.identity.keys import KeyNormalizer
from features.identity.links import link, unlink
from features.ledger import tables


def test_a_contact_is_kept_once_and_read_back_oldest_first(show, told, now):
    assert (show("d2", days_ago=1), show("d1", days_ago=2), show("d1", days_ago=2)) == (1, 1, 0)
    found = told("c1")
    assert [one.shown_us for one in found] == [
        tables.micros(now - timedelta(days=days)) for days in (2, 1)
    ]
    assert found[0][:4] == ("c1", "discount", "promotion", "app")
    assert found[0].outcomes_at == {}


@pytest.mark.databases("sqlite", "postgresql")
def test_many_contacts_at_once_are_each_kept_once(ledger, told, now):
    rows = [
        {"decision_id": f"d{number}", "action_id": "call", "subject": "c1", "customer_id": "c1"}
        | {"shown_at": now, "channel": "app", "action_group": "care"}
        for number in range(5)
    ]
    counts = [ledger.write_now(lambda c, n=n: note_contacts(c, rows[:n])) for n in (3, 5, 5, 0)]
    assert (counts, len(told("c1"))) == ([3, 2, 0, 0], 5)


def test_only_those_of_the_window_and_of_the_customers_asked_for(show, told):
    show("d1", days_ago=8)
    show("d2", days_ago=6)
    show("d3", customer="c2")
    assert len(told("c1", days=7)) == 1
    assert len(told("c1", "c2", days=7)) == 2


def test_contacts_move_with_their_key_and_come_back(show, told, ledger, toy_domain, now):
    show("d1", customer="cookie:1")
    show("d2", customer="c1")
    pair, normalizer = ("c1", "cookie:1"), KeyNormalizer(toy_domain)
    ledger.write_now(lambda c: link(c, normalizer, pair, "test", now))
    assert len(told("c1")) == 2 and told("cookie:1") == []
    ledger.write_now(lambda c: unlink(c, pair, "a mistake", now))
    assert len(told("c1")) == 1 and len(told("cookie:1")) == 1


@pytest.mark.databases("sqlite", "postgresql")
def test_late_reactions_are_of_older_showings_with_an_outcome_since(show, ledger, now):
    def react(decision_id, days_ago):
        at = {"outcome_at": now - timedelta(days=days_ago), "outcomes_at": '{"rejected": 1}'}
        mine = sa.update(tables.contacts).where(tables.contacts.c.decision_id == decision_id)
        ledger.write_now(lambda c: c.execute(mine.values(at)))

    for number, days_ago in enumerate([40, 30, 35, 20]):
        show(f"d{number}", days_ago=days_ago)
    show("d9", customer="c2", days_ago=40)
    for name, days_ago in {"d0": 2, "d1": 1, "d2": 4, "d3": 1, "d9": 1}.items():
        react(name, days_ago)
    since, until = now - timedelta(days=3), now - timedelta(days=25)
    found = ledger.read(lambda c: late_reactions(c, "c1", since, until))
    days = [(tables.micros(now) - one.shown_us) // 86_400_000_000 for one in found]
    assert days == [40, 30] and found[0].outcomes_at == {"rejected": 1}


@pytest.mark.databases("sqlite")
def test_late_reactions_are_read_by_their_index(ledger):
    text = str(_OF_ONE_REACTED.clause.compile(dialect=sqlite.dialect()))
    query = "EXPLAIN QUERY PLAN " + text
    [plan] = ledger.read(lambda c: c.exec_driver_sql(query, (1, 1)).all())
    assert "INDEX contacts_of_customer_with_outcomes (customer_id=? AND outcome_at>?)" in plan[3]
