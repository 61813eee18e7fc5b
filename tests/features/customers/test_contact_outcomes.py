"""The outcomes of a contact are those that hold, each with the time when it last occurred."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.customers.contact_outcomes import add_outcome_at, update_outcomes_at
from features.ledger import tables


@pytest.fixture(params=["one by one", "all again"])
def say(ledger, now, request):
    def said(outcome_id, outcome, decision_id="d1", minutes=0, **more):
        at = now + timedelta(minutes=minutes)
        row = {
            "outcome_id": outcome_id,
            "decision_id": decision_id,
            "action_id": "discount",
            "outcome": outcome,
            "occurred_at": at,
            "received_at": at,
            "learned": False,
            "retracts": None,
            "revises": None,
        }

        def write(connection):
            tables.insert_new(connection, tables.outcomes, [row | more])
            if request.param == "one by one":
                add_outcome_at(connection, row | more)
            else:
                update_outcomes_at(connection, [decision_id])

        ledger.write_now(write)

    return said


@pytest.fixture
def last_at(ledger):
    """Reads the time of the last outcome of the only contact."""
    query = sa.select(tables.contacts.c.outcome_at)
    return lambda: ledger.read(lambda c: c.execute(query).scalar_one())


def test_what_was_said_is_remembered_with_its_last_time(show, say, told, last_at, now):
    show("d1")
    say("o1", "clicked", minutes=1)
    say("o2", "clicked", minutes=5)
    say("o3", "rejected", minutes=3)
    at = {"clicked": 5, "rejected": 3}
    assert last_at() == now + timedelta(minutes=5)
    assert told("c1")[0].outcomes_at == {
        name: tables.micros(now + timedelta(minutes=minutes)) for name, minutes in at.items()
    }


def test_what_is_taken_back_or_revised_is_not_said_any_more(show, say, told, last_at, now):
    show("d1")
    say("o1", "rejected")
    say("o2", "rejected", retracts="o1")
    assert (told("c1")[0].outcomes_at, last_at()) == ({}, None)
    say("o3", "rejected", minutes=1)
    say("o4", "accepted", minutes=2, revises="o3")
    assert list(told("c1")[0].outcomes_at) == ["accepted"]
    assert last_at() == now + timedelta(minutes=2)


def test_an_earlier_outcome_that_comes_late_does_not_hide_the_last_one(show, say, told, now):
    show("d1")
    say("o1", "clicked", minutes=5)
    say("o2", "clicked", minutes=1)
    assert told("c1")[0].outcomes_at == {"clicked": tables.micros(now + timedelta(minutes=5))}


def test_an_outcome_of_no_contact_changes_none(show, say, told):
    show("d1", action="call")
    say("o1", "clicked")
    assert told("c1")[0].outcomes_at == {}


def test_outcomes_that_name_the_action_and_those_that_do_not_are_of_one_contact(
    show, say, told, now
):
    """A decision of tables has one action, and its outcomes need not name it."""
    show("d1")
    say("o1", "clicked", action_id="", minutes=1)
    say("o2", "rejected", minutes=2)
    say("o3", "clicked", minutes=3)
    say("o4", "clicked", minutes=3, retracts="o3")
    at = {"clicked": 1, "rejected": 2}
    assert told("c1")[0].outcomes_at == {
        name: tables.micros(now + timedelta(minutes=minutes)) for name, minutes in at.items()
    }
