"""Tests that the learner's repeated queries read an index, not a whole table."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from features.ledger import learner_tables, tables
from features.outcomes.delay_epochs import _acceptances

CREDITS = learner_tables.credits.c


def plan(ledger, query: sa.Select) -> str:
    """SQLite's plan; the values of the parameters do not matter to it."""
    text = str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True}))
    n = text.count("?")
    explained = "EXPLAIN QUERY PLAN " + text
    answer = ledger.read(lambda c: c.exec_driver_sql(explained, (1,) * n).all())
    return "\n".join(row[3] for row in answer)


def test_all_tables_share_one_metadata():
    assert learner_tables.credits.metadata is tables.metadata
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
