"""From the ledger to Feast: every customer's states so far, and the newest one online.

A customer's events are folded once, in order of time; the state after each event is a row of
the offline history, so that training can ask for any moment and gets what serving would have
read then.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np
import pyarrow.parquet as pq
import sqlalchemy as sa
from numpy.typing import NDArray
from pydantic_core import from_json

from features import ledger as tables
from features.domain import Domain
from features.ingest import Progress, quiet
from features.ledger import Ledger
from features.model_input import ModelInput
from features.store import JOURNEY_SCHEMA, FeatureStore, journey_table, profile_table

ROWS = 20_000  # of history written at a time; bounds the memory
MICROS = 1e6


def build_features(
    ledger: Ledger, store: FeatureStore, domain: Domain, until: datetime, progress: Progress = quiet
) -> int:
    """Fold the whole ledger, write Feast's history and put the newest states online.

    Parameters
    ----------
    until : aware UTC
        Rows later than this stay out of the online store.

    Returns
    -------
    int
        How many events were folded.
    """
    _write_profiles(ledger, store, domain)
    count = _write_history(ledger, store, ModelInput(domain), progress)
    store.apply()
    progress("put features online", 0, 1)
    store.materialize(until)
    progress("put features online", 1, 1)
    return count


def _write_profiles(ledger: Ledger, store: FeatureStore, domain: Domain) -> None:
    query = sa.select(tables.customers).order_by(tables.customers.c.customer_id)
    rows = ledger.read(lambda connection: connection.execute(query).all())
    attributes = [from_json(row.attributes) for row in rows]
    table = profile_table([row.customer_id for row in rows], attributes, list(domain.attributes))
    pq.write_table(table, store.profile_file)


def _write_history(
    ledger: Ledger, store: FeatureStore, model_input: ModelInput, progress: Progress
) -> int:
    count_all = sa.select(sa.func.count()).select_from(tables.events)
    total = ledger.read(lambda connection: connection.execute(count_all).scalar_one())
    count = 0
    part = store.journey_file.with_suffix(".part")
    with pq.ParquetWriter(part, JOURNEY_SCHEMA) as writer:
        for customer_ids, at_us, states in _folded(ledger, model_input):
            writer.write_table(journey_table(customer_ids, at_us, states))
            count += len(customer_ids)
            progress("fold events", count, total)
    part.replace(store.journey_file)  # readers meet the old history or the new one, never a half
    return count


def _folded(
    ledger: Ledger, model_input: ModelInput
) -> Iterator[tuple[list[str], list[int], NDArray[np.float64]]]:
    """Customers, times (microseconds) and states, `ROWS` at a time."""
    fold = model_input.fold
    # Times as the integers they are: 10 million datetimes would take longer than the fold.
    at = sa.type_coerce(tables.events.c.occurred_at, sa.BigInteger)
    query = sa.select(
        tables.events.c.customer_id, tables.events.c.type, at, tables.events.c.properties
    ).order_by(
        tables.events.c.customer_id, tables.events.c.occurred_at, tables.events.c.event_id
    )
    customer, state = None, fold.empty()
    with ledger.engine.connect().execution_options(read_only=True, yield_per=ROWS) as connection:
        for rows in connection.execute(query).partitions():
            states = np.empty((len(rows), len(fold.state_fields)))
            for row, (customer_id, event_type, at_us, properties) in enumerate(rows):
                if customer_id != customer:
                    customer, state = customer_id, fold.empty()
                state = fold.advance(state, event_type, at_us / MICROS, from_json(properties))
                states[row] = state
            yield [row[0] for row in rows], [row[2] for row in rows], states
