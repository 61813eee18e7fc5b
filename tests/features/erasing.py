"""Shared by the tests of erasures: a store that notes what is erased, a clock, and rows."""

from __future__ import annotations

import threading
from datetime import timedelta

import sqlalchemy as sa

from features.ingest.erasure import Erasure
from features.ledger import tables
from tests.conftest import NOW

A_WHILE_S = 0.3


class Store:
    """An online store that notes what is erased from it; the thread may have to wait in it."""

    def __init__(self, waits: bool = False) -> None:
        self.erased: list[str] = []
        self.inside = 0
        self.most = 0
        self.broken = False
        self.second = threading.Event()
        if not waits:
            self.second.set()

    def erase(self, customer_ids, at_most=None) -> bool:
        if self.broken:
            raise OSError("no disk")
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside == 2:
            self.second.set()
        self.second.wait(A_WHILE_S)
        self.inside -= 1
        self.erased += customer_ids
        return True


class Clock:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self):
        return self.now


def known(ledger, *customer_ids):
    """Give customers a row."""
    rows = [{"customer_id": one, "attributes": "{}"} for one in customer_ids]
    ledger.write_now(lambda c: tables.insert_new(c, tables.customers, rows))


def looked_at(ledger):
    """Give all decisions of ours a row with the features of some days later."""
    decided = tables.decisions.c
    query = sa.select(decided.serial).where(decided.record.is_not(None))
    found = {"looked_at": NOW, "has_left": False, "changes": b"", "layout": ""}

    def put(connection):
        rows = [found | {"serial": serial} for serial in connection.execute(query).scalars()]
        tables.insert_new(connection, tables.later_features, rows)

    ledger.write_now(put)


def make_erasure(ledger, home, online=None):
    return Erasure(ledger, online or Store(), home, Clock())


def forgotten(ledger, home, *customer_ids):
    """Forget customers whose files wait to be cleaned."""
    known(ledger, *customer_ids)
    erasure = make_erasure(ledger, home)
    for one in customer_ids:
        erasure.forget([one], NOW)
    return erasure


def count(ledger, table) -> int:
    return ledger.read(lambda c: c.execute(sa.select(sa.func.count()).select_from(table)).scalar())


def happened(number, customer_id="c1", subject=None):
    return {
        "customer_id": customer_id,
        "occurred_at": NOW + timedelta(seconds=number),
        "event_id": f"e{number}",
        "subject": subject or customer_id,
        "type": "view",
        "channel": "web",
        "properties": "{}",
    }


def outcome(outcome_id, decision_id):
    return {
        "outcome_id": outcome_id,
        "decision_id": decision_id,
        "action_id": "discount",
        "outcome": "accepted",
        "occurred_at": NOW,
        "received_at": NOW,
        "learned": True,
    }
