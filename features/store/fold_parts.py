"""Folds the events of all customers in parts, in parallel, and writes each part to a parquet file.

A part is a contiguous range of customers, so memory stays bounded, and erasing a customer rewrites
one small file. A state is kept after each `KEEP_EVERY` events of a customer and after the last one;
`PointInTimeFeatures` folds the few events between a kept state and a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from itertools import groupby, islice
from multiprocessing import get_context
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from pydantic_core import from_json

from features.business.domain import Domain
from features.customers.profiles import ACCOUNT, account_key
from features.journeys.fold import Fold
from features.journeys.state import State
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.states.checkpoints import MANY, Checkpoint, add_checkpoint
from features.states.stored_events import (
    LAST_ID,
    MICROS,
    Position,
    events_in_fold_order,
    events_of,
)
from features.store.offline_tables import JOURNEY_SCHEMA, journey_table

KEEP_EVERY = 32  # events of a customer between two kept states
PART_EVENTS = 100_000  # events of one part, more or less
ROWS_AT_ONCE = 2_000  # kept states written to the file at a time
EVENTS_AT_ONCE = 5_000  # events read from the ledger at a time


class CustomerRange(NamedTuple):
    """The customers from ``first`` to ``last``, both included, and the number of their events."""

    first: str
    last: str
    events: int


class FoldedPart(NamedTuple):
    """The newest state of each customer of a part, packed, and the number of folded events.

    Attributes
    ----------
    checkpoints : dict
        Of the customers with long histories, and of accounts; with the number of their events.
    """

    customer_ids: list[str]
    last_us: list[int]
    states: list[list[float]]
    events: int
    checkpoints: dict[str, tuple[int, list[Checkpoint]]]


def customer_ranges(connection: sa.Connection) -> list[CustomerRange]:
    """Divide all customers, sorted by id, into ranges of about `PART_EVENTS` events."""
    column = tables.events.c.customer_id
    query = sa.select(column, sa.func.count()).group_by(column).order_by(column)
    found: list[CustomerRange] = []
    for customer_id, count in connection.execute(query):
        if found and found[-1].events + count <= PART_EVENTS:
            found[-1] = CustomerRange(found[-1].first, customer_id, found[-1].events + count)
        else:
            found.append(CustomerRange(customer_id, customer_id, count))
    return found


def fold_ranges(
    url: str, domain: Domain, ranges: Sequence[CustomerRange], folder: Path, processes: int
) -> Iterator[FoldedPart]:
    """Fold each range into its own file in a folder; yield the parts as they are finished.

    Parameters
    ----------
    url : str
        Of the ledger.
    processes : int
        The number of processes that fold in parallel.
    """
    jobs = [(url, domain, one, folder / f"{i:05}.parquet") for i, one in enumerate(ranges)]
    if processes == 1 or len(jobs) < 2:
        yield from (_fold_range(*job) for job in jobs)
        return
    # Spawned, not forked: the ledger's threads and Feast's would not survive a fork.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(_fold_range, *job) for job in jobs[: 2 * processes]}
        rest = iter(jobs[2 * processes :])
        while running:  # a few at a time, so that results do not pile up in memory
            done = next(as_completed(running))
            running.remove(done)
            running |= {pool.submit(_fold_range, *job) for job in islice(rest, 1)}
            yield done.result()


def fold_accounts(ledger: Ledger, fold: Fold, folder: Path) -> FoldedPart:
    """Fold each account like a customer, from the events of all its members."""
    column = tables.customers.c.account
    query = sa.select(column).where(column.is_not(None)).distinct().order_by(column)
    keys = [account_key(one) for one in ledger.read(lambda c: list(c.execute(query).scalars()))]
    events = ((key, ledger.read(partial(_account_events, key=key))) for key in keys)
    return _write_part(fold, (one for one in events if one[1]), folder / "accounts.parquet")


def _fold_range(url: str, domain: Domain, part: CustomerRange, file: Path) -> FoldedPart:
    column = tables.events.c.customer_id
    query = events_in_fold_order().where(column >= part.first, column <= part.last)
    ledger = Ledger(url)
    by_customer = groupby(ledger.stream(query, EVENTS_AT_ONCE), key=itemgetter(0))
    folded = _write_part(Fold(domain), by_customer, file)
    ledger.close()
    return folded


def _account_events(connection: sa.Connection, key: str) -> list[Any]:
    """Events of an account, in the form of a customer's; read before the connection closes."""
    return [(key, *event[1:]) for event in events_of(connection, key)]


def _write_part(fold: Fold, events: Iterable[tuple[str, Iterable[Any]]], file: Path) -> FoldedPart:
    """Fold the events of each customer or account, and write the kept states into a file."""
    rows, newest, count = _Rows(fold), _Rows(fold), 0
    checkpoints: dict[str, tuple[int, list[Checkpoint]]] = {}
    with pq.ParquetWriter(file, JOURNEY_SCHEMA) as writer:
        for key, own in events:
            kept: list[Checkpoint] = []
            folded = _fold_customer(fold.of(key), own, partial(_keep, rows, kept, key))
            newest.add(key, folded.last_us, folded.state)
            count += fold.events_n(folded.state)
            if folded.events >= MANY or key.startswith(ACCOUNT):
                checkpoints[key] = folded.events, kept
            if len(rows.at_us) >= ROWS_AT_ONCE:
                writer.write_table(rows.table())
                rows = _Rows(fold)
        if rows.at_us:
            writer.write_table(rows.table())
    return FoldedPart(newest.customer_ids, newest.at_us, newest.states, count, checkpoints)


def _fold_customer(
    fold: Fold, events: Iterable[Any], keep: Callable[[int, State], None]
) -> _FoldedCustomer:
    """Fold all events of a customer.

    Parameters
    ----------
    keep
        Called with the time and the state of each state to keep.
    """
    state, last_us, since, count = fold.empty(), -1, 0, 0
    for _, kind, channel, at_us, properties in events:
        # Never between two events of one instant: at that instant both have happened.
        if since >= KEEP_EVERY and at_us > last_us:
            keep(last_us, state)
            since = 0
        state = fold.advance(state, kind, channel, at_us / MICROS, from_json(properties))
        last_us, since, count = at_us, since + 1, count + 1
    keep(last_us, state)
    return _FoldedCustomer(last_us, state, count)


def _keep(rows: _Rows, kept: list[Checkpoint], key: str, at_us: int, state: State) -> None:
    """Keep a state as a row of the offline table and as a checkpoint."""
    rows.add(key, at_us, state)
    add_checkpoint(kept, rows.fold, Position(at_us, LAST_ID), state)


class _FoldedCustomer(NamedTuple):
    """The time of the last event of a customer, the state after it, and the number of events."""

    last_us: int
    state: State
    events: int


class _Rows:
    """Rows of the offline table, packed: a state takes a fifth of the space."""

    def __init__(self, fold: Fold) -> None:
        self.fold = fold
        self.customer_ids: list[str] = []
        self.at_us: list[int] = []
        self.states: list[list[float]] = []

    def add(self, customer_id: str, at_us: int, state: State) -> None:
        self.customer_ids.append(customer_id)
        self.at_us.append(at_us)
        self.states.append(self.fold.pack(state))

    def table(self) -> pa.Table:
        return journey_table(self.customer_ids, self.at_us, self.states)
