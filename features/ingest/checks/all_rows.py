"""Checks all rows of the tables of a folder, before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import islice

from features.errors import InvalidData
from features.ingest.checks.swallowed_rows import refuse_swallowed_rows
from features.ingest.checks.table_columns import proposal
from features.ingest.checks.times import DecisionTimes, refuse_times_to_come
from features.ingest.checks.told_customers import ToldCustomers
from features.ingest.contract_tables import ParsedRows, is_retired
from features.ingest.load_report import LeftOutRows, LoadReport
from features.ingest.table_reader import ContractTable
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.progress import Progress

# Parsed at once; the ledger is asked for their decisions in one statement. Python's collector of
# garbage takes a quarter of the time if thousands of parsed rows are kept.
PART_ROWS = 100
MOST_NAMED = 5  # retired actions that a note names


def check_tables(
    found: Sequence[ContractTable], ledger: Ledger, now: datetime, progress: Progress
) -> list[LoadReport]:
    """Check all rows, by table, against the domain, the catalogue, the time and each other.

    Raises
    ------
    InvalidData
        If a file is not a table.
    """
    times = DecisionTimes(ledger, needed=any(table.name == "outcomes" for table in found))
    return [_check(table, times, now, progress) for table in found]


def _check(
    table: ContractTable, times: DecisionTimes, now: datetime, progress: Progress
) -> LoadReport:
    done, good, first, told = 0, 0, None, ToldCustomers()
    retired: Counter[str] = Counter()
    rows, layout, empty = table.rows(), table.csv_layout, 0
    while part := list(islice(rows, PART_ROWS)):
        all_parsed: list[tuple[int, ParsedRows | InvalidData]] = []
        for number, row in part:
            empty += not row
            try:
                if layout:
                    refuse_swallowed_rows(row, *layout)
                parsed = ParsedRows()
                table.parse(row, parsed)
                all_parsed.append((number, parsed))
            except InvalidData as error:
                all_parsed.append((number, error))
        times.look_up(one for _, one in all_parsed if isinstance(one, ParsedRows) and one.rows)
        for number, one in all_parsed:
            try:
                if isinstance(one, InvalidData):
                    raise one
                refuse_times_to_come(one, now)
                if one.rows:  # events are most rows and have none
                    told.check(number, one)
                    times.check(one)
                    times.add(one)
                    decisions = one.rows.get(tables.decisions, ())
                    retired.update(row["action_id"] for row in decisions)
                good += 1
            except InvalidData as error:
                first = first or f"row {number}: {error}"
        done += len(part)
        progress(f"check {table.name}", done, table.total)
    notes = [*table.notes, *_of_retired(retired, table)]
    if empty:
        notes.append(f"{empty:,} rows have no cell and are not read")
    left_out = times.left_out if table.name == "outcomes" else LeftOutRows()
    refused, why = left_out.counts.total(), tuple(left_out.lines())
    return LoadReport(
        table.name, done, good, first, refused=refused, notes=tuple(notes), left_out=why
    )


def _of_retired(actions: Counter[str], table: ContractTable) -> list[str]:
    """Name the actions that the catalogue does not have, with the number of their rows."""
    catalog = table.business.catalog
    retired = {one: count for one, count in actions.items() if is_retired(one, catalog)}
    lines = [
        f"action {one!r} is not in the catalogue; its {count:,} rows are those of a retired action"
        f"{proposal(one, catalog.actions)}"
        for one, count in list(retired.items())[:MOST_NAMED]
    ]
    more = len(retired) - MOST_NAMED
    return [*lines, f"{more:,} more actions are not in the catalogue"] if more > 0 else lines
