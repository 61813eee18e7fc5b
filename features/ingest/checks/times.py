"""Refuses rows whose time has not come, and outcomes before their decisions, as the API does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from features.ingest.cells import bad_cell
from features.ingest.contract_tables import ParsedRows
from features.ingest.load_report import LeftOutRows, of_no_decision
from features.journeys.events import MAX_CLOCK_SKEW
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.statements import select_in_batches
from features.ledger.tables import micros
from features.outcomes.recorded_outcomes import MAX_CLOCK_BEHIND, recorded_time

_TIMES = {
    tables.customers: "as_of",
    tables.decisions: "decided_at",
    tables.outcomes: "occurred_at",
}


def refuse_times_to_come(parsed: ParsedRows, now: datetime) -> None:
    """Refuse a parsed row whose time has not come, but for `MAX_CLOCK_SKEW`.

    Raises
    ------
    InvalidData
        Names the column and the time.
    """
    times = [("occurred_at", event.occurred_at) for event in parsed.events]
    for table, rows in parsed.rows.items():
        times += [(_TIMES[table], row[_TIMES[table]]) for row in rows if row.get(_TIMES[table])]
    for column, at in times:
        if at > now + MAX_CLOCK_SKEW:
            raise bad_cell(column, at.isoformat(), "a time that has passed")


@dataclass
class DecisionTimes:
    """The times at which decisions of the folder and of the ledger were shown, in microseconds.

    The ledger is asked once for each part of the outcomes. The first time that a decision is told
    counts, as another row with its id is left out. Nothing is kept unless the times are ``needed``.
    """

    ledger: Ledger
    needed: bool = True
    left_out: LeftOutRows = field(default_factory=LeftOutRows)
    # None: a decision that was not shown
    _at_us: dict[str, int | None] = field(default_factory=dict)

    def add(self, parsed: ParsedRows) -> None:
        """Note the decisions among parsed rows."""
        for row in parsed.rows.get(tables.decisions, ()) if self.needed else ():
            self._at_us.setdefault(row["decision_id"], micros(row["decided_at"]))

    def look_up(self, parsed: Iterable[ParsedRows]) -> None:
        """Read from the ledger the decisions that parsed outcomes name and the folder lacks."""
        named = {row["decision_id"] for one in parsed for row in one.rows.get(tables.outcomes, ())}
        missing = sorted(named - self._at_us.keys())
        if not missing:
            return
        columns = tables.decisions.c
        query = sa.select(columns.decision_id, columns.activated_at)

        def read(connection: sa.Connection) -> None:
            for row in select_in_batches(connection, query, columns.decision_id, missing):
                shown_at = row.activated_at
                self._at_us[row.decision_id] = None if shown_at is None else micros(shown_at)

        self.ledger.read(read)

    def check(self, parsed: ParsedRows) -> None:
        """Check a parsed outcome, and note one of no decision; rows of other tables are passed.

        Raises
        ------
        InvalidData
            If it occurred more than `MAX_CLOCK_BEHIND` before its decision was shown.
        """
        for row in parsed.rows.get(tables.outcomes, ()):
            if row["decision_id"] not in self._at_us:
                self.left_out.add([of_no_decision(row["decision_id"])])
            at_us = self._at_us.get(row["decision_id"])
            if at_us is None:
                continue
            shown_at = tables.from_micros(at_us)
            if recorded_time(row["occurred_at"], shown_at) is None:
                raise bad_cell(
                    "occurred_at",
                    row["occurred_at"].isoformat(),
                    f"at most {MAX_CLOCK_BEHIND.seconds // 60} minutes before "
                    f"{shown_at.isoformat()}, when decision {row['decision_id']!r} was shown",
                )
