"""From the ledger to Feast: every customer's states so far, and the newest one online.

A customer's events are folded once, in order of time; the state after each event is a row of
the offline history, so that training can ask for any moment and gets what serving would have
read then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from pydantic_core import from_json

from features import ledger as tables
from features.domain import Domain
from features.journey import State
from features.ledger import Ledger
from features.model_input import ModelInput
from features.progress import Progress, quiet
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
    part = store.journey_file.with_suffix(".part")
    fold, rows, count = model_input.fold, _Rows(), 0
    customer, state = None, fold.empty()
    with pq.ParquetWriter(part, JOURNEY_SCHEMA) as writer:
        for events in _ordered(ledger):
            for customer_id, event_type, at_us, properties in events:
                if customer_id != customer:
                    customer, state = customer_id, fold.empty()
                state = fold.advance(state, event_type, at_us / MICROS, from_json(properties))
                rows.add(customer_id, at_us, state)
            rest = rows.last()
            if rows.at_us:
                writer.write_table(rows.table())
            rows = rest
            count += len(events)
            progress("fold events", count, total)
        if rows.at_us:
            writer.write_table(rows.table())
    part.replace(store.journey_file)  # readers meet the old history or the new one, never a half
    return count


class _Rows:
    """History rows waiting to be written; of several at one instant only the last one counts.

    Feast's point-in-time join takes any one of two rows with the same customer and time.
    """

    def __init__(self) -> None:
        self.customer_ids: list[str] = []
        self.at_us: list[int] = []
        self.states: list[State] = []

    def add(self, customer_id: str, at_us: int, state: State) -> None:
        if self.at_us and (self.at_us[-1], self.customer_ids[-1]) == (at_us, customer_id):
            self.states[-1] = state
            return
        self.customer_ids.append(customer_id)
        self.at_us.append(at_us)
        self.states.append(state)

    def table(self) -> pa.Table:
        return journey_table(self.customer_ids, self.at_us, np.array(self.states))

    def last(self) -> _Rows:
        """The row that the next event may still replace."""
        rest = _Rows()
        rest.add(self.customer_ids.pop(), self.at_us.pop(), self.states.pop())
        return rest


def _ordered(ledger: Ledger) -> Iterator[Sequence[tuple[str, str, int, str]]]:
    """Customer, type, time (microseconds) and properties of all events, `ROWS` at a time."""
    columns = tables.events.c
    # Times as the integers they are: 10 million datetimes would take longer than the fold.
    at = sa.type_coerce(columns.occurred_at, sa.BigInteger)
    query = sa.select(columns.customer_id, columns.type, at, columns.properties).order_by(
        columns.customer_id, columns.occurred_at, columns.event_id
    )
    with ledger.engine.connect().execution_options(read_only=True, yield_per=ROWS) as connection:
        yield from connection.execute(query).partitions()
