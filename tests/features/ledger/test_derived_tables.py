"""Tests that the derived tables are created with the others, and the order of their keys."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from features.ledger import derived_tables, tables
from features.outcomes.acceptance_delays import _acceptances

on_both = pytest.mark.databases("sqlite", "postgresql")
CREDITS = derived_tables.credits.c
DERIVED = (
    *("journey_checkpoints", "account_members", "relocations"),
    *("journey_marks", "journey_cube"),
)


@on_both
def test_a_new_ledger_has_the_derived_tables_and_they_are_empty(ledger):
    for name in DERIVED:
        table = tables.metadata.tables[name]
        assert getattr(derived_tables, name) is table is getattr(tables, name)
        assert ledger.read(lambda c, table=table: c.execute(sa.select(table)).all()) == []


@on_both
def test_checkpoints_of_a_customer_come_in_the_order_of_its_events(ledger, now):
    kept = {"customer_id": "ann", "events_n": 1, "state": b"\x00"}
    rows = [{**kept, "at": now, "event_id": name} for name in ("B", "a", "A")]
    ledger.write_now(lambda c: tables.insert_new(c, tables.journey_checkpoints, rows))
    columns = tables.journey_checkpoints.c
    query = sa.select(columns.event_id).order_by(columns.at, columns.event_id)
    found = ledger.read(lambda c: c.execute(query).scalars().all())
    assert found == ["A", "B", "a"]  # byte by byte, on each database


@on_both
def test_an_account_is_named_once_for_each_customer(ledger):
    rows = [{"customer_id": "ann", "account": "acme"}, {"customer_id": "ann", "account": "beta"}]
    assert (
        ledger.write_now(lambda c: tables.insert_new(c, tables.account_members, rows[:1] * 2)) == 1
    )
    ledger.write_now(lambda c: tables.upsert(c, tables.account_members, rows[1:]))
    assert ledger.read(lambda c: c.execute(sa.select(tables.account_members)).all()) == [
        ("ann", "beta")
    ]


def plan(ledger, query: sa.Select) -> str:
    """SQLite's plan; the values of the parameters do not matter to it."""
    text = str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True}))
    n = text.count("?")
    explained = "EXPLAIN QUERY PLAN " + text
    answer = ledger.read(lambda c: c.exec_driver_sql(explained, (1,) * n).all())
    return "\n".join(row[3] for row in answer)


def test_all_tables_share_one_metadata():
    assert derived_tables.credits.metadata is tables.metadata
    assert {"credits", "learner_state", "snapshots", "events"} <= set(tables.metadata.tables)


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        (
            sa.select(CREDITS.decision_id)
            .where(CREDITS.revise_at <= tables.EPOCH)
            .order_by(CREDITS.revise_at),
            ["credits_to_revise"],
        ),
        (
            _acceptances(("accepted", "bought")).params(
                action="discount",
                outcome="bought",
                since=tables.EPOCH,
                as_of=tables.EPOCH,
                every=1,
            ),
            # Of each acceptance the earlier outcomes of its decision, then the decision.
            ["outcomes_of_action", "ix_outcomes_decision_id", "autoindex_decisions"],
        ),
    ],
    ids=["due revisions", "acceptances"],
)
def test_a_repeated_query_of_the_learner_reads_its_index(ledger, query, indexes):
    found = plan(ledger, query)
    read = [line for line in found.splitlines() if line.startswith(("SEARCH", "SCAN"))]
    assert len(read) == len(indexes)
    for line, index in zip(read, indexes, strict=True):
        assert index in line and line.startswith("SEARCH")
