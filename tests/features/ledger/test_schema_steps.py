"""A ledger of schema 7 with rows comes out equal to one that the program filled at schema 8."""

from __future__ import annotations

import json

import numpy as np
import pytest
import sqlalchemy as sa

from features.ledger import databases, tables
from features.ledger.ledger import Ledger
from features.ledger.migrations import migrate
from tests.features.ledger.test_migrations import GO_BACK_TO_7, GO_BACK_TO_11

pytestmark = pytest.mark.databases("sqlite", "postgresql")
# Attributes of keys: by customer id, with the account.
FACTS = {
    "ann": "acme",
    "bob": "acme",
    "old:ann": "beta",
    "eve": None,
    "card:9": "gamma",
    "kim": "",
    "mail:kim": "acme",
}
# key, customer, rank: "ann" was merged with "old:ann", and "eve", who has no account, with a card.
KEYS = [
    *[("old:ann", "ann", 1), ("ann", "ann", 0), ("cookie:1", "ann", 2)],
    *[("eve", "eve", 0), ("card:9", "eve", 1), ("kim", "kim", 0), ("mail:kim", "kim", 1)],
    *[("cookie:2", "eve", 2), ("cookie:3", "cookie:3", 2)],
]
MEMBERS = {"ann": "acme", "bob": "acme", "eve": "gamma", "kim": "acme"}
OUTCOMES_AT = {"d2": {"clicked": 9}, "d3": {"clicked": 9, "shown": 5}}
SHOWN = {"d1": "ann", "d2": "bob", "d3": "eve", "d4": "stranger"}


def fill(connection):
    """Write what a ledger of schema 7 can hold, and what the program derives from it now."""
    facts = [{"customer_id": key, "attributes": "{}", "account": a} for key, a in FACTS.items()]
    tables.insert_new(connection, tables.customers, facts)
    for key, customer_id, rank in KEYS:
        row = {"key": key, "customer_id": customer_id, "rank": rank}
        tables.insert_new(connection, tables.identities, [row])
    for device, holder in (("cookie:1", "ann"), ("cookie:2", "card:9")):
        held = {"key": device, "at": tables.EPOCH, "event_id": "", "holder": holder}
        tables.insert_new(connection, tables.logins, [held | {"node": device, "void": False}])
    link = {"left": "ann", "right": "cookie:1", "cause": "event e1", "linked_at": tables.EPOCH}
    tables.insert_new(connection, tables.links, [link | {"left": "card:9", "right": "cookie:2"}])
    undone = {"undone_at": tables.from_micros(5), "undone_cause": "a mistake"}
    tables.insert_new(connection, tables.links, [link | undone])
    contacts = [
        {
            "decision_id": name,
            "action_id": "discount",
            "subject": customer_id,
            "customer_id": customer_id,
            "shown_at": tables.EPOCH,
            "channel": "app",
            "action_group": "promotion",
            "outcomes_at": json.dumps(OUTCOMES_AT[name]) if name in OUTCOMES_AT else "",
            "outcome_at": tables.from_micros(9) if name in OUTCOMES_AT else None,
            "account": MEMBERS.get(customer_id),
        }
        for name, customer_id in SHOWN.items()
    ]
    tables.insert_new(connection, tables.contacts, contacts)
    told = [
        {
            "outcome_id": f"{name}:{outcome}",
            "decision_id": name,
            "action_id": "" if name == "d2" else "discount",  # an imported one names no action
            "outcome": outcome,
            "occurred_at": tables.from_micros(at_us),
            "received_at": tables.from_micros(at_us),
            "learned": True,
        }
        for name, some in OUTCOMES_AT.items()
        for outcome, at_us in some.items()
    ]
    tables.insert_new(connection, tables.outcomes, told)
    members = [{"customer_id": one, "account": account} for one, account in MEMBERS.items()]
    tables.insert_new(connection, tables.account_members, members)
    state = {"state": b"\x01", "last_at": tables.EPOCH, "last_event_id": "e1", "online": True}
    state |= {"customer_id": "ann", "profile_online": True, "restated_at": None}
    state |= {"generation": 0, "problem": None}
    tables.insert_new(connection, tables.journey_states, [state])


def all_rows(connection):
    """The rows of each table, in order."""
    return {
        name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
        for name, table in tables.metadata.tables.items()
    }


def columns_of(connection):
    """The columns of each table, with collation, and the indexes with their columns."""
    inspector = sa.inspect(connection)
    return {
        name: (
            [
                (column["name"], repr(column["type"]), column["nullable"])
                for column in inspector.get_columns(name)
            ],
            sorted((one["name"], *one["column_names"]) for one in inspector.get_indexes(name)),
            inspector.get_pk_constraint(name)["constrained_columns"],
        )
        for name in inspector.get_table_names()
    }


@pytest.fixture
def of_schema_7(ledger_url):
    """The address of a ledger of schema 7 with rows; its rows and columns today."""
    ledger = Ledger(ledger_url)
    ledger.write_now(fill)
    filled = ledger.read(all_rows), ledger.read(columns_of)
    ledger.close()
    engine = databases.open_database(ledger_url)
    with engine.begin() as connection:
        for change in GO_BACK_TO_7:
            connection.exec_driver_sql(change)
        tables.set_meta(connection, "schema", "7")
    engine.dispose()
    return ledger_url, *filled


def test_a_migrated_ledger_holds_the_rows_that_the_program_would_have_written(of_schema_7):
    url, rows, _ = of_schema_7
    assert migrate(url).found == "7"
    ledger = Ledger(url)
    migrated = ledger.read(all_rows)
    ledger.close()
    assert len(rows["account_members"]) == len(MEMBERS)
    assert migrated == rows


def test_a_migrated_ledger_has_the_columns_and_indexes_of_a_new_one(of_schema_7):
    url, _, columns = of_schema_7
    migrate(url)
    ledger = Ledger(url)
    migrated = ledger.read(columns_of)
    ledger.close()
    assert migrated == columns


def test_texts_of_an_earlier_release_are_read_and_those_that_follow_are_compressed(ledger_url):
    ledger = Ledger(ledger_url)
    record = json.dumps({"request": {"customer_id": "Zoë"}, "attribution_days": {"call": 7.0}})
    ledger.close()
    engine = databases.open_database(ledger_url)
    with engine.begin() as connection:
        for change in GO_BACK_TO_11:
            connection.exec_driver_sql(change)
        if connection.dialect.name == "postgresql":
            for name in ("record", "answer"):
                change = f"ALTER TABLE decisions ALTER COLUMN {name} TYPE TEXT USING ''"
                connection.exec_driver_sql(change)
        columns = (
            "decision_id, subject, customer_id, decided_at, channel, action_id, served, "
            "window_ends_at, features, record, answer"
        )
        values = "'d1', 'Zoë', 'Zoë', 0, 'app', 'call', TRUE, 0, :features, :record, '{}'"
        insert = sa.text(f"INSERT INTO decisions ({columns}) VALUES ({values})")
        features = np.array([0.0, 1.5]).tobytes()
        connection.execute(insert, {"features": features, "record": record})
        tables.set_meta(connection, "schema", "11")
    engine.dispose()
    migrate(ledger_url)
    ledger = Ledger(ledger_url)
    c = tables.decisions.c
    read = sa.select(c.features, c.record, c.answer)
    stored = sa.select(sa.func.length(c.record), sa.func.length(c.features))
    assert ledger.read(lambda connection: connection.execute(read).one()) == (
        features,
        record,
        "{}",
    )
    longer = record.replace("Zoë", "Zoë" * 100)
    write = sa.update(tables.decisions).values(record=longer, features=np.zeros(500).tobytes())
    ledger.write_now(lambda connection: connection.execute(write))
    found = ledger.read(lambda connection: connection.execute(read).one())
    assert (found.record, found.features) == (longer, bytes(4000))
    sizes = ledger.read(lambda connection: connection.execute(stored).one())
    assert sizes[0] < 120 and sizes[1] < 140
    ledger.close()
