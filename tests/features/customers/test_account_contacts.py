"""The contacts of an account are counted by an index, whoever of its customers they were with."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from features.customers.account_contacts import (
    _REACTED,
    AccountCount,
    ContactScope,
    ShowingsWindow,
    _counts,
    read_account_contacts,
)
from features.customers.contacts import note_contacts
from features.ledger import tables
from tests.features.live import NOW, add, person

pytestmark = pytest.mark.databases("sqlite", "postgresql")
US = tables.micros(NOW)
DAY_US = 86_400_000_000
# Decision, customer, days ago, action, channel.
SHOWN = [
    *[("d1", "ann", 1, "offer", "app"), ("d2", "bob", 2, "offer", "email")],
    *[("d3", "bob", 3, "tip", "app"), ("d4", "ann", 9, "offer", "app")],
    *[("d5", "eve", 1, "offer", "app")],
]


@pytest.fixture
def company(ledger):
    """Ann and Bob belong to acme, Eve to nobody; some contacts with each of them."""
    add(ledger, tables.customers, person("ann", "acme"), person("bob", "acme"), person("eve"))

    def write(connection):
        for decision_id, customer_id, days, action, channel in SHOWN:
            row = {"decision_id": decision_id, "action_id": action, "subject": customer_id}
            row |= {"customer_id": customer_id, "shown_at": NOW - timedelta(days=days)}
            row |= {"channel": channel, "action_group": f"{action}s"}
            note_contacts(connection, [row])
        reacted = sa.update(tables.contacts).where(tables.contacts.c.decision_id == "d2")
        at = {"outcomes_at": json.dumps({"clicked": US - DAY_US})}
        connection.execute(reacted.values(**at, outcome_at=tables.from_micros(US - DAY_US)))

    ledger.write_now(write)
    return ledger


def count(ledger, by="", days=7, at_most=2, before=None, **scope):
    asked = AccountCount(ContactScope(**scope), days, by, at_most)
    found = ledger.read(lambda c: read_account_contacts(c, "acme", [asked], None, NOW, before))
    assert list(found.counts) == [asked.key]
    return dict(found.counts[asked.key])


def test_contacts_of_all_members_are_counted_with_the_time_of_the_second_newest(company):
    assert count(company) == {"": [3, US - 2 * DAY_US]}
    assert count(company, days=30) == {"": [4, US - 2 * DAY_US]}
    assert count(company, at_most=4) == {"": [3, 0]}
    assert count(company, at_most=0) == {"": [3, 0]}


def test_contacts_are_counted_apart_by_action_and_by_group(company):
    assert count(company, "action_id") == {"offer": [2, US - 2 * DAY_US], "tip": [1, 0]}
    assert count(company, "action_group") == {"offers": [2, US - 2 * DAY_US], "tips": [1, 0]}


@pytest.mark.parametrize(
    ("scope", "counted"),
    [
        ({"channels": ("app",)}, 2),
        ({"other_channels": ("app",)}, 1),
        ({"groups": ("offers",)}, 2),
        ({"other_groups": ("offers",)}, 1),
        ({"actions": ("tip",), "channels": ("app", "web")}, 1),
        ({"other_channels": ()}, 3),
        ({"groups": ()}, 0),
    ],
)
def test_only_contacts_in_the_scope_are_counted(company, scope, counted):
    found = count(company, **scope)
    assert [number for number, _ in found.values()] == ([counted] if counted else [])


def test_contacts_from_a_time_on_are_left_out(company):
    assert count(company, before=NOW - timedelta(days=1)) == {"": [2, US - 3 * DAY_US]}


def test_showings_of_a_window_come_oldest_first_all_or_those_with_outcomes(company):
    def showings(window):
        return ledger_read(window).showings

    def ledger_read(window):
        return company.read(lambda c: read_account_contacts(c, "acme", [], window, NOW))

    every = showings(ShowingsWindow(7, 0))
    assert [(one.customer_id, one.action_id) for one in every] == [
        *(("bob", "tip"), ("bob", "offer"), ("ann", "offer")),
    ]
    [reacted] = showings(ShowingsWindow(0, 1.5))
    assert reacted.outcomes_at == {"clicked": US - DAY_US}
    assert showings(ShowingsWindow(0, 0.5)) == []
    assert showings(ShowingsWindow(7, 1.5)) == every
    assert [one.action_id for one in showings(ShowingsWindow(1.5, 1.5))] == ["offer", "offer"]
    named = "showings of 7 days, outcomes of 1.5 days"
    assert ledger_read(ShowingsWindow(7, 1.5)).showings_of == named


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (_counts("action_id", (("channel", True, 1),)), "COVERING INDEX contacts_of_account"),
        (_REACTED, "INDEX contacts_with_outcomes"),
    ],
    ids=["count", "with outcomes"],
)
def test_contacts_of_an_account_are_read_by_their_indexes(ledger, statement, index):
    text = str(statement.clause.compile(dialect=sqlite.dialect()))
    values = (1,) * text.count("?")
    explained = ledger.read(lambda c: c.exec_driver_sql("EXPLAIN QUERY PLAN " + text, values).all())
    assert index in explained[0][3]
