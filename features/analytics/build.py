"""Builds the files of journeys and steps from the ledger, and cuts some customers anew."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import sqlalchemy as sa
from pydantic_core import from_json

from features.analytics.cut.cut_journey import PastEvent
from features.analytics.cut.cutting import Cutter
from features.analytics.cut.journey_columns import JourneyColumns
from features.analytics.journey_files import FilePair, pair_at, write_table
from features.analytics.nodes import MapNodes
from features.business.domain import Domain
from features.identity.relocation import relocate_all
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.progress import Progress, quiet
from features.states.stored_events import events_of
from features.store.locks import partial_path

CUSTOMERS_AT_ONCE = 1_000


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
    part = partial_path(folder)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    as_of_us, column = tables.micros(as_of), tables.events.c.customer_id
    query = sa.select(column).distinct().order_by(column)
    names = ledger.read(lambda c: list(c.execute(query).scalars()))
    pairs: list[FilePair] = []
    journeys_n = steps_n = 0
    for begin in range(0, max(len(names), 1), CUSTOMERS_AT_ONCE):
        some = names[begin : begin + CUSTOMERS_AT_ONCE]
        journeys, steps = ledger.read(lambda c, some=some: cut_customers(c, domain, some, as_of_us))  # type: ignore[misc]
        pair = pair_at(part, f"{len(pairs):05}")
        write_table(journeys, pair.journeys)
        write_table(steps, pair.steps)
        pairs.append(pair_at(folder, f"{len(pairs):05}"))
        journeys_n, steps_n = journeys_n + len(journeys), steps_n + len(steps)
        progress("cut journeys", begin + len(some), len(names))
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
    return BuiltFiles(tuple(pairs), len(names), journeys_n, steps_n)


def cut_customers(
    connection: sa.Connection, domain: Domain, customer_ids: Collection[str], as_of_us: int
) -> tuple[pa.Table, pa.Table]:
    """Cut the journeys of some customers, as `build_journeys` does.

    Parameters
    ----------
    customer_ids
        Those who are no customers (any more) have no journeys.

    Returns
    -------
    journeys, steps
        See `tables`.
    """
    nodes = MapNodes(domain)
    cutter, columns = Cutter(domain, nodes), JourneyColumns(domain, nodes)
    for customer_id in sorted(customer_ids):
        events = [
            PastEvent(row[0], row[1], row[2], row[3], from_json(row[4]))
            for row in events_of(connection, customer_id)
            if row[3] <= as_of_us
        ]
        columns.add(customer_id, None, cutter.cut(events, (), as_of_us))
    return columns.tables()
