"""Builds the feature store from the ledger: offline tables for training, newest states online."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import sqlalchemy as sa

from features.business.domain import Domain
from features.customers.attribute_history import all_attribute_versions
from features.customers.profiles import attributes_of_each
from features.identity.relocation import relocate_all
from features.identity.tombstones import forgotten
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.progress import Progress, quiet
from features.states.checkpoints import Checkpoint, keep_checkpoints
from features.states.journey_states import JourneyStates
from features.states.publishing import publish_all
from features.states.stored_events import START, count_events
from features.store.feast_store import FeatureStore
from features.store.fold_parts import FoldedPart, customer_ranges, fold_accounts, fold_ranges
from features.store.locks import build_lock, partial_path
from features.store.offline_tables import JOURNEY_SCHEMA, profile_table
from features.store.table_files import rewrite

ONLINE_AT_ONCE = 50  # customers written online in one transaction, which decisions wait for: 20 ms


def build_features(
    ledger: Ledger,
    store: FeatureStore,
    domain: Domain,
    now: datetime,
    progress: Progress = quiet,
    processes: int = 1,
) -> int:
    """Fold the whole ledger, write the offline tables and put the newest states online.

    May run beside a server: states that the server wrote online meanwhile are not overwritten.

    Parameters
    ----------
    now : aware UTC
    processes : int
        The number of processes that fold in parallel.

    Returns
    -------
    int
        The number of events folded.

    Raises
    ------
    InvalidSetting
        If another build is running.
    """
    with build_lock(store.journey_folder):
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
    relocate_all(ledger)  # events are folded under the customer with whom they are stored
    model_input = ModelInput(domain)
    restated = ledger.write_now(lambda c: _begin(c, model_input.layout))
    customers = _write_profiles(ledger, store, domain, now)
    folder = partial_path(store.journey_folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ranges = ledger.read(customer_ranges)
    total, done = sum(one.events for one in ranges), 0
    # Feast needs a file to read, even if there are no events yet.
    pq.write_table(JOURNEY_SCHEMA.empty_table(), folder / "empty.parquet")
    for folded in fold_ranges(ledger.url, domain, ranges, folder, processes):
        _write_online(ledger, store, folded)
        customers |= {*folded.customer_ids}
        done += folded.events
        progress("fold events", done, total)
    if domain.account:
        _write_online(ledger, store, fold_accounts(ledger, model_input.fold, folder))
    _replace_tables(ledger, store, folder, customers)
    ledger.write_now(lambda c: _end(c, now, restated))
    publish_all(ledger, store, JourneyStates(model_input.fold), now)
    store.mark_built(now)
    return total


def _replace_tables(ledger: Ledger, store: FeatureStore, folder: Path, customers: set[str]) -> None:
    """Put the new tables in place of the old ones, without customers forgotten meanwhile."""
    shutil.rmtree(store.journey_folder, ignore_errors=True)
    folder.replace(store.journey_folder)
    # A customer who was forgotten while events were read is still in the tables just written.
    if gone := ledger.read(lambda c: forgotten(c, customers)):
        for file in (store.profile_file, *sorted(store.journey_folder.glob("*.parquet"))):
            rewrite(file, {"customer_id": gone})


def _write_profiles(ledger: Ledger, store: FeatureStore, domain: Domain, now: datetime) -> set[str]:
    """Write the attributes of all customers, offline and online; the ids of the customers."""
    versions = dict(sorted(ledger.read(all_attribute_versions).items()))
    customer_ids = list(versions)
    rows = [(one, *version) for one, own in versions.items() for version in own]
    owners, from_us, attributes = zip(*rows, strict=True) if rows else ((), (), ())
    table = profile_table(owners, from_us, attributes, domain.profile_columns)
    part = partial_path(store.profile_file)
    pq.write_table(table, part)
    part.replace(store.profile_file)  # readers see the old file or the new one
    for begin in range(0, len(customer_ids), ONLINE_AT_ONCE):

        def put(
            connection: sa.Connection, some: slice = slice(begin, begin + ONLINE_AT_ONCE)
        ) -> None:
            ids = customer_ids[some]
            gone = forgotten(connection, ids)
            # Read again: what a server has written online meanwhile must not be overwritten.
            there = attributes_of_each(connection, (one for one in ids if one not in gone))
            store.write_profiles(there, now)

        ledger.write_now(put)
    return {*versions}


def _begin(connection: sa.Connection, layout: str) -> dict[str, datetime]:
    """Delete states of another layout, and mark the others as not online.

    Returns
    -------
    dict
        Customers whose past had changed since the last build, and when it did. The new tables
        will be right about them.
    """
    kept = tables.journey_states
    if tables.get_meta(connection, "layout") != layout:
        connection.execute(sa.delete(kept))
        connection.execute(sa.delete(tables.journey_checkpoints))
        tables.set_meta(connection, "layout", layout)
    # Who was set aside is folded again: the program or the domain file may have changed.
    waiting = {"online": False, "profile_online": False, "problem": None}
    connection.execute(sa.update(kept).values(waiting))
    query = sa.select(kept.c.customer_id, kept.c.restated_at)
    found = connection.execute(query.where(kept.c.restated_at.is_not(None)))
    return {row.customer_id: row.restated_at for row in found}


def _end(connection: sa.Connection, now: datetime, restated: Mapping[str, datetime]) -> None:
    """Clear the marks of ``restated``, but for customers whose past changed during the build."""
    columns = tables.journey_states.c
    for customer_id, at in restated.items():
        same = (columns.customer_id == customer_id) & (columns.restated_at == at)
        connection.execute(sa.update(tables.journey_states).where(same).values(restated_at=None))
    tables.set_meta(connection, tables.FEATURES_BUILT, now.isoformat())


def _write_online(ledger: Ledger, store: FeatureStore, folded: FoldedPart) -> None:
    """Put newest states online, but not of customers with later events, or forgotten, meanwhile."""
    for begin in range(0, len(folded.customer_ids), ONLINE_AT_ONCE):
        some = slice(begin, begin + ONLINE_AT_ONCE)

        def put(connection: sa.Connection, some: slice = some) -> None:
            column = tables.journey_states.c.customer_id
            ids = folded.customer_ids[some]
            query = sa.select(column).where(column.in_(ids))
            skipped = set(connection.execute(query).scalars()) | forgotten(connection, ids)
            rows = [i for i, one in enumerate(ids, start=some.start) if one not in skipped]
            store.write_packed(
                [folded.customer_ids[i] for i in rows],
                [folded.states[i] for i in rows],
                [tables.from_micros(folded.last_us[i]) for i in rows],
            )

        ledger.write_now(put)
    for key, (events, checkpoints) in folded.checkpoints.items():
        keep = partial(_keep_checkpoints, key=key, events=events, checkpoints=checkpoints)
        ledger.write_now(keep)


def _keep_checkpoints(
    connection: sa.Connection, key: str, events: int, checkpoints: Sequence[Checkpoint]
) -> None:
    """Store the checkpoints of a customer, unless events have come into their past meanwhile."""
    last = checkpoints[-1]
    if count_events(connection, key, START, last.position) == events:
        keep_checkpoints(connection, key, checkpoints, last.events_n)
