"""From the ledger to Feast: a history of states for training, the newest one online.

Customers are folded in contiguous parts, side by side; a part is one parquet file, so memory
stays bounded and forgetting somebody rewrites one small file. A state is kept after each
`EVERY` events of a customer and after the last one; `point_in_time` fills in what
lies between.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import datetime
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
from features.customers.profiles import account_key, all_attributes
from features.customers.tombstones import forgotten
from features.journeys.fold import Fold
from features.journeys.journey_states import MICROS, States, events_of, in_order, publish
from features.journeys.model_input import ModelInput
from features.journeys.state import State
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.progress import Progress, quiet
from features.store.feast_store import FeatureStore
from features.store.locks import only_build, unfinished
from features.store.offline_tables import JOURNEY_SCHEMA, journey_table, profile_table
from features.store.table_files import rewrite

EVERY = 32  # events of a customer between two kept states
PART = 100_000  # events of one part, more or less
ROWS = 2_000  # of history written at a time
FETCHED = 5_000  # events read at a time
SHOWN = 250  # states put online in one transaction: decisions wait that long


class _Range(NamedTuple):
    """The customers from ``first`` to ``last``, both included, and how many events they have."""

    first: str
    last: str
    events: int


class _Folded(NamedTuple):
    """The newest states of a part, packed."""

    customer_ids: list[str]
    last_us: list[int]
    states: list[list[float]]
    events: int


def build_features(
    ledger: Ledger,
    store: FeatureStore,
    domain: Domain,
    now: datetime,
    progress: Progress = quiet,
    processes: int = 1,
) -> int:
    """Fold the whole ledger, write Feast's history and put the newest states online.

    May run beside a server: what that has shown of newer events is left alone.

    Parameters
    ----------
    now : aware UTC
    processes : int
        How many fold side by side.

    Returns
    -------
    int
        How many events were folded.
    """
    with only_build(store.journey_folder):
        return _build(ledger, store, domain, now, progress, processes)


def _build(
    ledger: Ledger,
    store: FeatureStore,
    domain: Domain,
    now: datetime,
    progress: Progress,
    processes: int,
) -> int:
    store.apply()
    model_input = ModelInput(domain)
    restated = ledger.write_now(lambda c: _begin(c, model_input.layout))
    customers = _write_profiles(ledger, store, domain, now)
    part_folder = unfinished(store.journey_folder)
    shutil.rmtree(part_folder, ignore_errors=True)
    part_folder.mkdir(parents=True)
    ranges = ledger.read(_ranges)
    total, done = sum(one.events for one in ranges), 0
    # Feast wants a file to read, even where nothing has happened yet.
    pq.write_table(JOURNEY_SCHEMA.empty_table(), part_folder / "empty.parquet")
    for folded in _fold_all(ledger.url, domain, ranges, part_folder, processes):
        _show(ledger, store, folded)
        customers |= {*folded.customer_ids}
        done += folded.events
        progress("fold events", done, total)
    if domain.account:
        _show(ledger, store, _fold_accounts(ledger, model_input.fold, part_folder))
    shutil.rmtree(store.journey_folder, ignore_errors=True)
    part_folder.replace(store.journey_folder)
    # Who was forgotten while we read is in what we wrote.
    if gone := ledger.read(lambda c: forgotten(c, customers)):
        for file in (store.profile_file, *sorted(store.journey_folder.glob("*.parquet"))):
            rewrite(file, {"customer_id": gone})
    ledger.write_now(lambda c: _end(c, now, restated))
    while ledger.write_now(lambda c: publish(c, store, States(model_input.fold), now)):
        pass
    store.mark_built(now)
    return total


def _write_profiles(ledger: Ledger, store: FeatureStore, domain: Domain, now: datetime) -> set[str]:
    """Write attributes to history and online; whose."""
    profiles = dict(sorted(ledger.read(all_attributes).items()))
    customer_ids = list(profiles)
    table = profile_table(customer_ids, list(profiles.values()), domain.profile_columns)
    part = unfinished(store.profile_file)
    pq.write_table(table, part)
    part.replace(store.profile_file)  # readers meet the old file or the new one
    for begin in range(0, len(profiles), SHOWN):

        def put(connection: sa.Connection, some: slice = slice(begin, begin + SHOWN)) -> None:
            ids = customer_ids[some]
            gone = forgotten(connection, ids)
            store.write_profiles({one: profiles[one] for one in ids if one not in gone}, now)

        ledger.write_now(put)
    return {*profiles}


def _begin(connection: sa.Connection, layout: str) -> dict[str, datetime]:
    """States of another domain file are of no use; the others have to be shown again.

    Returns
    -------
    dict
        The customers whom the history that we are about to write will be right about again, and
        since when it was not.
    """
    kept = tables.journey_states
    if tables.get_meta(connection, "layout") != layout:
        connection.execute(sa.delete(kept))
        tables.set_meta(connection, "layout", layout)
    connection.execute(sa.update(kept).values(online=False, profile_online=False))
    query = sa.select(kept.c.customer_id, kept.c.restated_at)
    found = connection.execute(query.where(kept.c.restated_at.is_not(None)))
    return {row.customer_id: row.restated_at for row in found}


def _end(connection: sa.Connection, now: datetime, restated: Mapping[str, datetime]) -> None:
    """Settle what was restated before we began to read, and not again since."""
    columns = tables.journey_states.c
    for customer_id, at in restated.items():
        same = (columns.customer_id == customer_id) & (columns.restated_at == at)
        connection.execute(sa.update(tables.journey_states).where(same).values(restated_at=None))
    tables.set_meta(connection, tables.BUILT, now.isoformat())


def _ranges(connection: sa.Connection) -> list[_Range]:
    """Neighbouring customers with some `PART` events together."""
    column = tables.events.c.customer_id
    query = sa.select(column, sa.func.count()).group_by(column).order_by(column)
    found: list[_Range] = []
    for customer_id, count in connection.execute(query):
        if found and found[-1].events + count <= PART:
            found[-1] = _Range(found[-1].first, customer_id, found[-1].events + count)
        else:
            found.append(_Range(customer_id, customer_id, count))
    return found


def _fold_all(
    url: str, domain: Domain, ranges: Sequence[_Range], folder: Path, processes: int
) -> Iterator[_Folded]:
    jobs = [(url, domain, one, folder / f"{i:05}.parquet") for i, one in enumerate(ranges)]
    if processes == 1 or len(jobs) < 2:
        yield from (_fold_part(*job) for job in jobs)
        return
    # Spawned, not forked: the ledger's threads and Feast's would not survive a fork.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(_fold_part, *job) for job in jobs[: 2 * processes]}
        rest = iter(jobs[2 * processes :])
        while running:  # a few at a time, so that results do not pile up in memory
            done = next(as_completed(running))
            running.remove(done)
            running |= {pool.submit(_fold_part, *job) for job in islice(rest, 1)}
            yield done.result()


def _fold_part(url: str, domain: Domain, part: _Range, file: Path) -> _Folded:
    """Fold the customers of one part, and write their history."""
    column = tables.events.c.customer_id
    query = in_order().where(column >= part.first, column <= part.last)
    ledger = Ledger(url)
    by_customer = groupby(ledger.stream(query, FETCHED), key=itemgetter(0))
    folded = _write_history(Fold(domain), by_customer, file)
    ledger.close()
    return folded


def _fold_accounts(ledger: Ledger, fold: Fold, folder: Path) -> _Folded:
    """Accounts are folded like customers, from the events of all their members."""
    column = tables.customers.c.account
    query = sa.select(column).where(column.is_not(None)).distinct().order_by(column)
    keys = [account_key(one) for one in ledger.read(lambda c: list(c.execute(query).scalars()))]
    told = ((key, ledger.read(partial(_rows_of, key=key))) for key in keys)
    return _write_history(fold, (one for one in told if one[1]), folder / "accounts.parquet")


def _rows_of(connection: sa.Connection, key: str) -> list[Any]:
    """Events of an account, as those of a customer look; read before the connection closes."""
    return [(key, *event[1:]) for event in events_of(connection, key)]


def _write_history(fold: Fold, events: Iterable[tuple[str, Iterable[Any]]], file: Path) -> _Folded:
    """Fold the events of each customer or account, and write the states to keep into a file."""
    rows, newest, count = _Rows(fold), _Rows(fold), 0
    with pq.ParquetWriter(file, JOURNEY_SCHEMA) as writer:
        for key, own in events:
            at_us, state = _fold_customer(fold, own, partial(rows.add, key))
            newest.add(key, at_us, state)
            count += fold.events_n(state)
            if len(rows.at_us) >= ROWS:
                writer.write_table(rows.table())
                rows = _Rows(fold)
        if rows.at_us:
            writer.write_table(rows.table())
    return _Folded(newest.customer_ids, newest.at_us, newest.states, count)


def _fold_customer(
    fold: Fold, events: Iterable[Any], keep: Callable[[int, State], None]
) -> tuple[int, State]:
    """The time of the last event and the state after it; some states on the way are kept."""
    state, last_us, since = fold.empty(), -1, 0
    for _, kind, channel, at_us, properties in events:
        # Never between two events of one instant: at that instant both have happened.
        if since >= EVERY and at_us > last_us:
            keep(last_us, state)
            since = 0
        state = fold.advance(state, kind, channel, at_us / MICROS, from_json(properties))
        last_us, since = at_us, since + 1
    keep(last_us, state)
    return last_us, state


def _show(ledger: Ledger, store: FeatureStore, folded: _Folded) -> None:
    """Put the newest states online, but for customers who were heard of, or forgotten, since."""
    for begin in range(0, len(folded.customer_ids), SHOWN):
        some = slice(begin, begin + SHOWN)

        def put(connection: sa.Connection, some: slice = some) -> None:
            column = tables.journey_states.c.customer_id
            ids = folded.customer_ids[some]
            query = sa.select(column).where(column.in_(ids))
            heard = set(connection.execute(query).scalars()) | forgotten(connection, ids)
            rows = [i for i, one in enumerate(ids, start=some.start) if one not in heard]
            store.write_packed(
                [folded.customer_ids[i] for i in rows],
                [folded.states[i] for i in rows],
                [tables.from_micros(folded.last_us[i]) for i in rows],
            )

        ledger.write_now(put)


class _Rows:
    """Rows of history, packed: a state takes a fifth of the space."""

    def __init__(self, fold: Fold) -> None:
        self._fold = fold
        self.customer_ids: list[str] = []
        self.at_us: list[int] = []
        self.states: list[list[float]] = []

    def add(self, customer_id: str, at_us: int, state: State) -> None:
        self.customer_ids.append(customer_id)
        self.at_us.append(at_us)
        self.states.append(self._fold.pack(state))

    def table(self) -> pa.Table:
        return journey_table(self.customer_ids, self.at_us, self.states)
