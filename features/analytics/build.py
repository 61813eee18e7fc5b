"""Builds the files of journeys and steps from the ledger, and cuts some customers anew."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from features.analytics.cut.customer_cutter import CustomerCutter, CustomerPasts
from features.analytics.cut.stored_pasts import all_pasts, past_of
from features.analytics.journey_files import FilePair, PairWriter, pair_at
from features.business.domain import Domain
from features.identity.relocation import relocate_all
from features.identity.tombstones import forgotten
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.progress import Progress, quiet
from features.store.locks import partial_path
from features.store.table_files import rewrite

STEPS_OF_A_FILE = 2_000_000  # more or less: an erasure rewrites files of some 10 MB
EVENTS_N = sa.select(sa.func.count()).select_from(tables.events)


class BuiltFiles(NamedTuple):
    """The files of a base, and the number of customers, journeys and steps in them."""

    pairs: tuple[FilePair, ...]
    customers: int
    journeys: int
    steps: int


def build_journeys(
    ledger: Ledger, domain: Domain, folder: Path, as_of: datetime, progress: Progress = quiet
) -> BuiltFiles:
    """Cut the journeys of all customers and write them into a folder, which is replaced whole.

    Parameters
    ----------
    folder
        Files of an earlier build in it are deleted.
    as_of : aware UTC
        Events and shown decisions after it are left out.
    """
    relocate_all(ledger)  # events are cut under the customer with whom they are stored
    as_of_us = tables.micros(as_of)
    total = ledger.read(lambda c: int(c.execute(EVENTS_N).scalar_one()))
    pasts = _reported(all_pasts(ledger, as_of_us), total, progress)
    return write_pasts(ledger, domain, pasts, folder, as_of_us)


def write_pasts(
    ledger: Ledger, domain: Domain, pasts: Iterable[CustomerPasts], folder: Path, as_of_us: int
) -> BuiltFiles:
    """Cut parts of the past and write their journeys into a folder; see `build_journeys`."""
    part = partial_path(folder)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    cutter = CustomerCutter(domain)
    names: list[str] = []
    customers_n = journeys_n = steps_n = 0
    writer: PairWriter | None = None
    for past in pasts:
        journeys, steps = cutter.tables(past, as_of_us)
        if writer is None:
            names.append(f"{len(names):05}")
            writer = PairWriter(pair_at(part, names[-1]), journeys.schema, steps.schema)
        writer.write(journeys, steps)
        customers_n += len(past.customers)
        journeys_n, steps_n = journeys_n + len(journeys), steps_n + len(steps)
        if writer.steps_n >= STEPS_OF_A_FILE:
            _close(writer, ledger)
            writer = None
    if writer is not None:
        _close(writer, ledger)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
    pairs = tuple(pair_at(folder, name) for name in names)
    return BuiltFiles(pairs, customers_n, journeys_n, steps_n)


def cut_customers(
    connection: sa.Connection,
    domain: Domain | CustomerCutter,
    customer_ids: Collection[str],
    as_of_us: int,
) -> tuple[pa.Table, pa.Table]:
    """Cut the journeys of some customers, as `build_journeys` does.

    Parameters
    ----------
    domain
        Or a cutter of it: to make one takes some milliseconds.
    customer_ids
        Those who are no customers (any more) have no journeys.

    Returns
    -------
    journeys, steps
        See `tables`.
    """
    cutter = domain if isinstance(domain, CustomerCutter) else CustomerCutter(domain)
    return cutter.tables(past_of(connection, customer_ids, as_of_us), as_of_us)


def _close(writer: PairWriter, ledger: Ledger) -> None:
    """Finish a pair, without customers who were forgotten while their events were read."""
    writer.close()
    if gone := ledger.read(lambda c: forgotten(c, writer.customers)):
        for file in writer.pair:
            rewrite(file, {"customer_id": gone})


def _reported(
    pasts: Iterable[CustomerPasts], total: int, progress: Progress
) -> Iterator[CustomerPasts]:
    done = 0
    for past in pasts:
        yield past
        done += len(past.events)
        progress("cut journeys", done, total)
