"""Reads what has changed in the past of customers, and writes their counts anew.

A change of some customers is read and cut from one snapshot of the ledger. One transaction then
adds the difference of their counts, deletes their marks, and notes the files. A mark that came
after the snapshot has another number, and stays.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import pyarrow as pa
import sqlalchemy as sa

from features.analytics.build import cut_customers
from features.analytics.cut.customer_cutter import CustomerCutter
from features.analytics.upkeep.cube import add_cells
from features.analytics.upkeep.kept_files import Rows
from features.analytics.upkeep.kept_state import RECOUNTED, KeptState, write_state
from features.identity.links import resolve_each
from features.ledger import tables
from features.ledger.derived_tables import mark_journeys
from features.ledger.statements import Statement, among

# Marks and decisions of a change, and customers whose journeys are due: their counts are written in
# one transaction of some 10 milliseconds, for which decisions wait.
STEP = 500
_MARKS = tables.journey_marks.c
_UNMARK = Statement(
    sa.text("DELETE FROM journey_marks WHERE customer_id = :customer_id AND number = :number")
)
_LATER = (tables.events.c.occurred_at, tables.contacts.c.shown_at)


@dataclass
class ChangedJourneys:
    """The customers of a step, cut anew, and how far marks and decisions are taken with it.

    Attributes
    ----------
    as_of_us : int
        The moment up to which the customers were cut.
    serial, after
        Of the next state; see `KeptState`.
    marks : dict
        Keys and numbers of the marks that were taken.
    again : set of str
        Customers with events after the moment: they stay marked.
    has_more_decisions : bool
        More decisions wait than one step takes.
    """

    as_of_us: int
    serial: int
    after: str
    customers: set[str] = field(default_factory=set)
    marks: dict[str, int] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    rows: Rows | None = None
    has_more_decisions: bool = False


def cut_due(
    connection: sa.Connection,
    cutter: CustomerCutter,
    state: KeptState,
    as_of_us: int,
    due: Collection[str],
) -> ChangedJourneys:
    """Cut the customers whose time has come, and nobody else."""
    change = ChangedJourneys(as_of_us, state.serial, state.after, {*due})
    _cut(connection, cutter, change)
    return change


def cut_changed(
    connection: sa.Connection,
    cutter: CustomerCutter,
    state: KeptState,
    as_of_us: int,
    due: Collection[str],
    shown: bool,
) -> ChangedJourneys:
    """Cut the customers whose time has come, the next marked ones, and those with decisions.

    Parameters
    ----------
    shown
        Shown decisions are steps of the lifecycle.
    """
    query = sa.select(_MARKS.customer_id, _MARKS.number).where(_MARKS.customer_id > state.after)
    marks = connection.execute(query.order_by(_MARKS.customer_id).limit(STEP)).all()
    decided = tables.decisions.c
    newer = sa.select(decided.serial, decided.customer_id, decided.activated_at)
    newer = newer.where(decided.serial > state.serial).order_by(decided.serial)
    decisions = connection.execute(newer.limit(STEP)).all()
    keys = {row.customer_id for row in marks}
    if shown:
        keys |= {row.customer_id for row in decisions if row.activated_at is not None}
    change = ChangedJourneys(
        as_of_us,
        decisions[-1].serial if decisions else state.serial,
        marks[-1].customer_id if len(marks) == STEP else "",
        {*due, *keys, *resolve_each(connection, keys).values()},
        {row.customer_id: row.number for row in marks},
        has_more_decisions=len(decisions) == STEP,
    )
    _cut(connection, cutter, change)
    return change


def _cut(connection: sa.Connection, cutter: CustomerCutter, change: ChangedJourneys) -> None:
    if change.customers:
        change.again = with_later(connection, change.customers, change.as_of_us)
        change.rows = cut_customers(connection, cutter, sorted(change.customers), change.as_of_us)


def write_change(
    connection: sa.Connection,
    before: KeptState | None,
    after: KeptState,
    change: ChangedJourneys,
    cells: pa.Table | None,
) -> None:
    """Write all of a change but its files, which are there already.

    Parameters
    ----------
    cells
        The difference of the counts; None: there is none.

    Raises
    ------
    RuntimeError
        If another process has written a change since ``before``.
    """
    if not write_state(connection, before, after):
        raise RuntimeError("Another process keeps the same journeys; this step is not written.")
    if cells is not None:
        add_cells(connection, after.build, cells)
    unmark(connection, change.marks)
    mark_journeys(connection, change.again)
    if before is None or before.build != after.build:
        connection.execute(sa.delete(tables.meta).where(tables.meta.c.key == RECOUNTED))


def unmark(connection: sa.Connection, marks: dict[str, int]) -> None:
    """Delete marks that have the number that was read."""
    rows = [{"customer_id": key, "number": number} for key, number in marks.items()]
    _UNMARK.run_many(connection, rows)


def with_later(connection: sa.Connection, customer_ids: Collection[str], as_of_us: int) -> set[str]:
    """Find the customers, among these, of whom something happens after a moment."""
    at = tables.from_micros(as_of_us)
    found = set[str]()
    for column in _LATER:
        who = column.table.c.customer_id
        query = sa.select(who).where(among(who, customer_ids), column > at).distinct()
        found |= {*connection.execute(query).scalars()}
    return found


def is_quiet(connection: sa.Connection) -> bool:
    """Return whether few customers are marked, so that there is time for other work."""
    some = sa.select(_MARKS.customer_id).limit(STEP // 2)
    return len(connection.execute(some).all()) < STEP // 2
