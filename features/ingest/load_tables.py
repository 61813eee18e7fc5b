"""Loads a folder with the four contract tables into the ledger.

Every row is checked before anything is written. A report says PASS or FAIL for each table, with
the first bad row. Loading again brings attributes of customers up to date; other rows that are in
the ledger stay as they are. A load that was interrupted continues after its last batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.customers.consents import index_consents
from features.identity.relocation import relocate_all
from features.ingest.batch_writer import write_batch
from features.ingest.checks.all_rows import check_tables
from features.ingest.contract_tables import Business, ParsedRows
from features.ingest.load_report import LeftOutRows, LoadReport
from features.ingest.table_reader import ContractTable, find_tables
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.progress import Progress, quiet
from features.states.former_spellings import link_former_spellings
from features.store.text_encoding import UTF_8

# Keys of facts in the ledger, by which an interrupted load continues.
CHECKED, LOADED = "tables checked", "loaded "


def load_folder(
    folder: Path,
    ledger: Ledger,
    domain: Domain,
    catalog: Catalog,
    now: datetime,
    progress: Progress = quiet,
    dry_run: bool = False,
    encoding: str = UTF_8,
) -> list[LoadReport]:
    """Check the tables of a folder and write them to the ledger.

    A load that was interrupted continues where it stopped; one that was finished changes nothing.

    Parameters
    ----------
    folder
        Holds `customers`, `events`, `decisions`, `outcomes` as .csv, .csv.gz or .parquet; each may
        be missing. `source.yaml` may give the days by which an importer shifted all times.
    now : aware UTC
    dry_run : bool
        Check only.
    encoding : str
        Of the CSV files.

    Returns
    -------
    list of LoadReport
        One for each table found. If one failed, nothing was written.

    Raises
    ------
    InvalidData
        If the folder holds none of the tables or two files for one, or a file is not a table.
    """
    found = find_tables(folder, Business(domain, catalog), encoding)
    checked = _fingerprint(found, domain, catalog)
    if not dry_run and ledger.read(lambda c: tables.get_meta(c, CHECKED)) == checked:
        reports = [
            LoadReport(table.name, table.total, table.total, None, notes=table.notes)
            for table in found
        ]
    else:
        reports = check_tables(found, ledger, now, progress)
    if dry_run or not all(report.passed for report in reports):
        return reports
    link_former_spellings(ledger, domain, now)
    ledger.write_now(lambda connection: tables.set_meta(connection, CHECKED, checked))
    done = [
        _load(table, report.notes, ledger, now, progress)
        for table, report in zip(found, reports, strict=True)
    ]
    relocate_all(ledger)
    index_consents(ledger, domain)
    ledger.write_now(lambda connection: _note_source(connection, folder, domain))
    return done


def is_loaded(ledger: Ledger) -> bool:
    """Tell whether a folder was loaded to the end."""
    return ledger.read(lambda connection: tables.get_meta(connection, "domain")) is not None


def shift_of(ledger: Ledger) -> timedelta:
    """The time by which an importer shifted the original data; zero if it did not."""
    days = ledger.read(lambda connection: tables.get_meta(connection, "shift_days"))
    return timedelta(days=int(days or 0))


def _fingerprint(found: Sequence[ContractTable], domain: Domain, catalog: Catalog) -> str:
    """Hash of the files and of the rules that they are checked by."""
    checked = "+".join([domain.model_dump_json(), catalog.fingerprint])
    checked += "+".join(f"{table.name} {table.fingerprint}" for table in found)
    return hashlib.sha256(checked.encode()).hexdigest()


def _load(
    table: ContractTable, notes: tuple[str, ...], ledger: Ledger, now: datetime, progress: Progress
) -> LoadReport:
    begun = ledger.read(lambda c: _loaded_so_far(c, table))
    added, changed, left_out = 0, 0, LeftOutRows()
    progress(f"load {table.name}", begun, table.total)
    for number, parsed in table.batches(begun):

        def write(c: sa.Connection, parsed: ParsedRows = parsed, number: int = number) -> Any:
            tables.set_meta(c, f"{LOADED}{table.name}", f"{table.fingerprint} {number}")
            return write_batch(c, parsed, table.business, now)

        done = ledger.write_now(write)
        added, changed = added + done.new, changed + done.changed
        left_out.add(done.left_out)
        progress(f"load {table.name}", number, table.total)
    first, refused = next(iter(left_out.first.values()), None), left_out.counts.total()
    why = tuple(left_out.lines())
    return LoadReport(
        table.name, table.total, table.total, first, added, refused, begun, changed, notes, why
    )


def _loaded_so_far(connection: sa.Connection, table: ContractTable) -> int:
    noted = tables.get_meta(connection, f"{LOADED}{table.name}") or ""
    fingerprint, _, number = noted.partition(" ")
    return int(number) if fingerprint == table.fingerprint else 0


def _note_source(connection: sa.Connection, folder: Path, domain: Domain) -> None:
    tables.set_meta(connection, "domain", domain.name)
    source = folder / "source.yaml"
    if source.exists() and tables.get_meta(connection, "shift_days") is None:
        note = yaml.safe_load(source.read_text(encoding="utf-8"))
        tables.set_meta(connection, "shift_days", str(note["shift_days"]))
