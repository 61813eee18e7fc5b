"""Features are made of the ledger as a decision would read them from the online store."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import sqlalchemy as sa

from features.business.domain import Domain
from features.customers.profiles import account_key, attributes_of, update_account_members
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.states.set_aside import set_aside
from features.store.feast_store import CustomerFeatures
from features.value_labels import customer_rows
from features.value_labels.customer_rows import customer_row, read_customers
from tests.features.live import DAY, NOW, SHOP, InMemoryOnlineStore, add, event, live, person

BOTH = pytest.mark.databases("sqlite", "postgresql")
INPUT = ModelInput(SHOP)
CUSTOMERS = ("ann", "bob", "cy", "dee", "stranger")


@pytest.fixture
def online(ledger):
    """Customers with events and attributes, two of them of one company; what is known online."""
    for name, company in (("ann", "acme"), ("bob", "acme"), ("cy", None)):
        add(ledger, tables.customers, person(name, company, age_years="41.5", plan="plus"))
    ledger.write_now(lambda c: update_account_members(c, ["ann", "bob", "cy"]))
    shown = InMemoryOnlineStore()
    worker = live(ledger, shown)
    sent = [event(f"{name}{n}", name, at=NOW - n * DAY) for name in CUSTOMERS[:4] for n in (1, 2)]
    sent.append(event("order", "bob", at=NOW - 3 * DAY, kind="order", amount_eur=5.0, size="big"))
    assert asyncio.run(worker.ingest(sent, NOW)).rejected == []
    return shown


def rows_online(ledger, online):
    """The rows as the decisions of a server make them."""

    def row(connection, name):
        account = "acme" if name in ("ann", "bob") else ""
        states = online.state(name), online.state(account_key(account)) if account else None
        known = CustomerFeatures(attributes_of(connection, name), *states)
        return INPUT.read(known.attributes, known.state, NOW.timestamp(), known.account_state)

    return ledger.read(lambda c: {name: row(c, name) for name in CUSTOMERS})


def rows_of_the_ledger(ledger):
    known = ledger.read(lambda c: read_customers(c, INPUT, CUSTOMERS))
    return {name: customer_row(INPUT, one, NOW).row for name, one in known.items()}


@BOTH
def test_rows_are_those_that_decisions_read(ledger, online, monkeypatch):
    expected = rows_online(ledger, online)
    assert expected["bob"] != expected["ann"] != expected["cy"]
    found = rows_of_the_ledger(ledger)
    monkeypatch.setattr(customer_rows, "PAGE", 2)
    # After a build the states are online only: their events are folded.
    ledger.write_now(lambda c: c.execute(sa.delete(tables.journey_states)))
    for rows in (found, rows_of_the_ledger(ledger)):
        assert list(rows) == list(CUSTOMERS)
        for name, row in rows.items():
            assert np.array_equal(row, expected[name], equal_nan=True)
    assert np.array_equal(found["stranger"], INPUT.stranger, equal_nan=True)
    nothing = customer_row(INPUT, None, NOW)
    assert np.array_equal(nothing.row, INPUT.stranger, equal_nan=True) and not nothing.has_left


def test_whoever_is_set_aside_or_cannot_be_folded_is_missing(ledger, online):
    ledger.write_now(lambda c: set_aside(c, "cy", "It is odd."))

    def spoil(connection):
        gone = tables.journey_states.c.customer_id == "dee"
        connection.execute(sa.delete(tables.journey_states).where(gone))
        bad = sa.update(tables.events).where(tables.events.c.customer_id == "dee")
        connection.execute(bad.values(properties="[]", type="order"))

    ledger.write_now(spoil)
    assert list(rows_of_the_ledger(ledger)) == ["ann", "bob", "stranger"]


def test_somebody_who_has_left_is_known_to_have_left(toy_domain):
    content = toy_domain.model_dump(mode="json", by_alias=True)
    churn = {"event": "visit", "when": "happens", "back": ["order"]}
    model_input = ModelInput(Domain.model_validate(content | {"churn": churn}))
    fold, at_s = model_input.fold, NOW.timestamp()
    left = fold.advance(fold.empty(), "visit", "app", at_s - 60, {})
    back = fold.advance(left, "order", "app", at_s - 30, {"amount_eur": 1.0})
    known = [customer_row(model_input, CustomerFeatures({}, one), NOW) for one in (left, back)]
    assert [one.has_left for one in known] == [True, False]
