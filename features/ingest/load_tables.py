"""From a folder with the four contract tables to the ledger.

Loading checks every row before anything is written, reports PASS or FAIL for each table with
the first offender, and may be repeated: rows that are there already stay as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
import yaml

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.customers.contacts import note_contacts, update_outcomes_at
from features.customers.identity import link_all, resolve_each
from features.customers.profiles import all_accounts_of
from features.customers.tombstones import forgotten
from features.errors import InvalidData
from features.ingest.contract_tables import READERS, Business, ParsedRows, Row, contacts_of
from features.ingest.live_events import append
from features.journeys.journey_states import delete_states, request_refold
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.progress import Progress, quiet
from features.store.table_files import open_table

BATCH = 20_000  # rows written in one transaction at most
KEYS = 30_000  # customers and identifiers in one transaction; databases take some 32,000 at once
CHECKED, LOADED = "tables checked", "loaded "  # facts in the ledger, for a load that is cut off
UNREADABLE = (pa.ArrowInvalid, UnicodeDecodeError, OSError)


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What the check of one table found, and what was then brought in.

    Attributes
    ----------
    added : int
        Rows that were new.
    refused : int
        Rows left out: of forgotten customers, or an event id that is there with another content.
    resumed_at : int
        Rows that an earlier load of the same file had brought in.
    """

    table: str
    rows: int
    good: int
    first_offender: str | None
    added: int = 0
    refused: int = 0
    resumed_at: int = 0

    @property
    def passed(self) -> bool:
        return self.good == self.rows

    def __str__(self) -> str:
        verdict = "PASS" if self.passed else "FAIL"
        text = f"{verdict}  {self.table:<10} {self.good:>9,} of {self.rows:,} rows are good"
        if not self.passed:
            return f"{text}; first: {self.first_offender}"
        text += f"; {self.added:,} new" if self.added else ""
        text += f"; {self.refused:,} left out: {self.first_offender}" if self.refused else ""
        begun = 0 < self.resumed_at < self.rows
        return text + (f"; began at row {self.resumed_at + 1:,}" if begun else "")


@dataclass(frozen=True)
class _Table:
    """One table of the folder."""

    name: str
    path: Path
    business: Business

    @cached_property
    def total(self) -> int:
        try:
            return int(open_table(self.path).count_rows())
        except UNREADABLE as error:
            raise _unreadable(self.path, error) from error

    @cached_property
    def fingerprint(self) -> str:
        """Of the whole file: a second for each gigabyte, and no change in its middle is missed."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    def parsed(self, after: int = 0) -> Iterator[tuple[int, ParsedRows]]:
        """Batches of rows from the one after ``after`` on: number of the last row, and content."""
        parsed, number, done = ParsedRows(), after, after
        for number, row in _rows(self.path, after):
            READERS[self.name](row, self.business, parsed)
            if number - done == BATCH or len(parsed.keys) >= KEYS:
                yield number, parsed
                parsed, done = ParsedRows(), number
        if number > done:
            yield number, parsed


def load_folder(
    folder: Path,
    ledger: Ledger,
    domain: Domain,
    catalog: Catalog,
    now: datetime,
    progress: Progress = quiet,
    dry_run: bool = False,
) -> list[LoadReport]:
    """Check the tables of a folder and bring them into the ledger.

    A load that was cut off goes on where it stopped; one that was finished changes nothing.

    Parameters
    ----------
    folder
        Holds `customers`, `events`, `decisions`, `outcomes` as .csv or .parquet; each may be
        missing. `source.yaml` may say by how many days an importer shifted all times.
    now : aware UTC

    Returns
    -------
    list of Report
        One for each table found. If one failed, nothing was written.

    Raises
    ------
    InvalidData
        If the folder holds none of the tables.
    """
    business = Business(domain, catalog)
    found = [_Table(name, path, business) for name in READERS if (path := _find(folder, name))]
    if not found:
        raise InvalidData(
            f"{folder} holds none of the contract tables.",
            expected=f"some of {', '.join(READERS)} as .csv or .parquet",
            remedy="Name the folder that holds them.",
        )
    checked = "+".join([domain.model_dump_json(), catalog.fingerprint])
    checked += "+".join(f"{table.name} {table.fingerprint}" for table in found)
    checked = hashlib.sha256(checked.encode()).hexdigest()
    if not dry_run and ledger.read(lambda c: tables.get_meta(c, CHECKED)) == checked:
        reports = [LoadReport(table.name, table.total, table.total, None) for table in found]
    else:
        reports = [_check(table, progress) for table in found]
    if dry_run or not all(report.passed for report in reports):
        return reports
    ledger.write_now(lambda connection: tables.set_meta(connection, CHECKED, checked))
    done = [_load(table, ledger, now, progress) for table in found]
    ledger.write_now(lambda connection: _note_source(connection, folder, domain))
    return done


def is_loaded(ledger: Ledger) -> bool:
    """Whether a folder was loaded to the end."""
    return ledger.read(lambda connection: tables.get_meta(connection, "domain")) is not None


def shift_of(ledger: Ledger) -> timedelta:
    """By how much an importer moved the times of the original data; zero if it did not."""
    days = ledger.read(lambda connection: tables.get_meta(connection, "shift_days"))
    return timedelta(days=int(days or 0))


def _find(folder: Path, name: str) -> Path | None:
    paths = (folder / f"{name}.{ending}" for ending in ("parquet", "csv"))
    return next((path for path in paths if path.exists()), None)


def _rows(path: Path, after: int = 0) -> Iterator[tuple[int, Row]]:
    """Row number and row, without the cells that are empty, from the one after ``after`` on."""
    number = 0
    try:
        for batch in open_table(path).to_batches(batch_size=BATCH):
            if number + len(batch) <= after:
                number += len(batch)
                continue
            for row in batch.to_pylist():
                number += 1
                if number > after:
                    full = {k: v for k, v in row.items() if v is not None and v != "" and v == v}
                    yield number, full
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InvalidData:
    return InvalidData(
        f"{path} cannot be read: {' '.join(str(error).split())}.",
        expected="a table with a header and the same number of cells in each row",
        remedy="Correct the file and load it again.",
    )


def _check(table: _Table, progress: Progress) -> LoadReport:
    rows, good, first = 0, 0, None
    for rows, row in _rows(table.path):
        try:
            READERS[table.name](row, table.business, ParsedRows())
            good += 1
        except InvalidData as error:
            first = first or f"row {rows}: {error}"
        if rows % BATCH == 0:
            progress(f"check {table.name}", rows, table.total)
    progress(f"check {table.name}", table.total, table.total)
    return LoadReport(table.name, rows, good, first)


def _load(table: _Table, ledger: Ledger, now: datetime, progress: Progress) -> LoadReport:
    begun = ledger.read(lambda c: _loaded_so_far(c, table))
    added, refused, first = 0, 0, None
    progress(f"load {table.name}", begun, table.total)
    for number, parsed in table.parsed(begun):

        def bring_in(c: sa.Connection, parsed: ParsedRows = parsed, number: int = number) -> Any:
            tables.set_meta(c, f"{LOADED}{table.name}", f"{table.fingerprint} {number}")
            return _bring_in(c, parsed, table.business, now)

        new, left_out = ledger.write_now(bring_in)
        added, refused = added + new, refused + len(left_out)
        first = first or next(iter(left_out), None)
        progress(f"load {table.name}", number, table.total)
    return LoadReport(table.name, table.total, table.total, first, added, refused, begun)


def _loaded_so_far(connection: sa.Connection, table: _Table) -> int:
    fingerprint, _, number = (tables.get_meta(connection, f"{LOADED}{table.name}") or "").partition(
        " "
    )
    return int(number) if fingerprint == table.fingerprint else 0


def _bring_in(
    connection: sa.Connection, parsed: ParsedRows, business: Business, now: datetime
) -> tuple[int, list[str]]:
    """Write a batch; how many rows were new, and why others were left out."""
    kept, left_out = _without_forgotten(connection, parsed)
    strangers = _strangers(connection, kept.rows.get(tables.customers, ()))
    counts = [tables.insert_new(connection, table, rows) for table, rows in kept.rows.items()]
    shown = contacts_of(kept.rows.get(tables.decisions, ()), business.catalog)
    note_contacts(connection, shown)
    told_of = {row["decision_id"] for row in kept.rows.get(tables.outcomes, ())}
    update_outcomes_at(connection, sorted(told_of))
    merged = link_all(connection, business.normalizer, kept.links, "the table of customers", now)
    done = append(connection, business.normalizer, kept.events, now)
    left_out += [str(error) for error in done.refused.values()]
    gone = {one.loser for one in merged} | done.gone
    behind = resolve_each(connection, strangers)
    changed = {one.survivor for one in merged} | done.restated | {*done.news}
    changed |= {behind.get(stranger, stranger) for stranger in strangers}
    _have_refolded(connection, changed - gone, gone, now)
    return sum(counts) + sum(map(len, done.news.values())), left_out


def _without_forgotten(
    connection: sa.Connection, parsed: ParsedRows
) -> tuple[ParsedRows, list[str]]:
    """Rows about forgotten customers stay out (events are seen to by `append`)."""
    erased = forgotten(connection, parsed.keys)
    named = parsed.keys - erased if tables.decisions in parsed.rows else ()
    behind = resolve_each(connection, named)
    decided = _decided(connection, parsed.rows.get(tables.outcomes, ()))
    kept, left_out = ParsedRows(events=parsed.events), list[str]()
    for table, rows in parsed.rows.items():
        for row in rows:
            subject = row.get("subject") or row.get("customer_id", "")
            if subject in erased:
                left_out.append(f"a row of {table.name} is about a forgotten customer")
            elif table is tables.outcomes and row["decision_id"] not in decided:
                left_out.append(f"decision_id {row['decision_id']!r} is not in the ledger")
            else:
                if table is tables.decisions:
                    row = row | {"customer_id": behind.get(subject, subject)}
                elif table is tables.outcomes:  # it need not name the action: there is only one
                    row = row | {"action_id": row["action_id"] or decided[row["decision_id"]]}
                kept.rows.setdefault(table, []).append(row)
    for customer_id, identifier in parsed.links:
        if identifier in erased and customer_id not in erased:
            left_out.append(f"an identifier of {customer_id!r} is of a forgotten customer")
    kept.links = [pair for pair in parsed.links if not erased & {*pair}]
    return kept, left_out


def _strangers(connection: sa.Connection, customers: Sequence[Row]) -> set[str]:
    """The customers of whom the ledger has no facts yet."""
    column = tables.customers.c.customer_id
    named = {row["customer_id"] for row in customers}
    return named - {*connection.execute(sa.select(column).where(column.in_(named))).scalars()}


def _decided(connection: sa.Connection, outcomes: Sequence[Row]) -> dict[str, str]:
    """The decisions that outcomes speak of, those that the ledger has, and their first actions."""
    columns = tables.decisions.c
    query = sa.select(columns.decision_id, columns.action_id)
    query = query.where(columns.decision_id.in_({row["decision_id"] for row in outcomes}))
    return {row.decision_id: row.action_id for row in connection.execute(query)}


def _have_refolded(
    connection: sa.Connection, changed: set[str], gone: set[str], now: datetime
) -> None:
    """Features that were built already are wrong about these customers until they are refolded."""
    if tables.get_meta(connection, tables.FEATURES_BUILT) is None:
        return
    delete_states(connection, gone)
    request_refold(connection, [*changed, *sorted(all_accounts_of(connection, changed))], now)


def _note_source(connection: sa.Connection, folder: Path, domain: Domain) -> None:
    tables.set_meta(connection, "domain", domain.name)
    source = folder / "source.yaml"
    if source.exists() and tables.get_meta(connection, "shift_days") is None:
        note = yaml.safe_load(source.read_text(encoding="utf-8"))
        tables.set_meta(connection, "shift_days", str(note["shift_days"]))
