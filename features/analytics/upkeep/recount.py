"""Counts everything again from the events, and compares it with the files and the counts kept.

The files of one state are held by links while others change them. A customer whose past changed
meanwhile differs rightly; so each customer who differs is looked at once more, with the lock of the
files held, before it counts.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from os import link
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from features.analytics.build import build_journeys, cut_customers
from features.analytics.journey_data import JourneyData, connect
from features.analytics.journey_files import FilePair, pair_at
from features.analytics.nodes import MapNodes
from features.analytics.tables import HOWS
from features.analytics.upkeep.cube import CLOSE, EDGE, KEYS, WAY, cells_of, read_cells
from features.analytics.upkeep.kept_files import rows_of
from features.analytics.upkeep.kept_state import (
    RECOUNTED,
    KeptState,
    keeping,
    read_state,
    rules_of,
)
from features.business.domain import Domain
from features.errors import InvalidData
from features.identity.links import resolve_each
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.progress import Progress, quiet
from features.store.locks import file_lock

PLACE = "recount"  # folder of the files of a recount
NAMED = 20  # differences that are told, at most
LOOKED_AT = 1_000  # customers who differ and are looked at again, at most
TRIES = 5  # to link the files before others replace them
_NAMES = {CLOSE: "journeys", EDGE: "transitions", WAY: "ways"}


class Recounted(NamedTuple):
    """The result of the last recount: when, the moment of the data, and what differed."""

    at: datetime
    as_of_us: int
    differences: list[str]


def recount(
    ledger: Ledger, domain: Domain, folder: Path, now: datetime, progress: Progress = quiet
) -> list[str]:
    """Compare what is kept with a count of everything; the result is noted in the ledger.

    Returns
    -------
    list of str
        A sentence for each difference, `NAMED` at most.

    Raises
    ------
    InvalidData
        If journeys were not built yet, or for another domain file.
    InvalidSetting
        If another recount is running.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / PLACE
    with file_lock(folder / f"{PLACE}.lock", wait=False):
        shutil.rmtree(place, ignore_errors=True)
        try:
            state, cells = _linked(ledger, domain, folder, place / "kept")
            with state.opened(domain, place / "kept") as kept:
                found = list(_cell_differences(cells, cells_of(kept), MapNodes(domain)))
                as_of = tables.from_micros(state.as_of_us)
                built = build_journeys(ledger, domain, place / "fresh", as_of, progress)
                with _opened(domain, state, built.pairs) as fresh:
                    suspects = _customers_who_differ(kept, fresh)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        found += _file_differences(ledger, domain, folder, suspects)
        result = Recounted(now, state.as_of_us, found[:NAMED])
        ledger.write_now(lambda c: _note(c, result, state.build))
    return result.differences


def read_recounted(connection: sa.Connection) -> Recounted | None:
    """Read the result of the last recount; None if there was none since the last build."""
    noted = tables.get_meta(connection, RECOUNTED)
    if noted is None:
        return None
    content = json.loads(noted)
    at = datetime.fromisoformat(content["at"])
    return Recounted(at, content["as_of_us"], content["differences"])


def discard_recount(folder: Path) -> None:
    """Remove the files of a recount that was cut off.

    Raises
    ------
    InvalidSetting
        If a recount is running.
    """
    if folder.exists():
        with file_lock(folder / f"{PLACE}.lock", wait=False):
            shutil.rmtree(folder / PLACE, ignore_errors=True)


def _note(connection: sa.Connection, result: Recounted, build: int) -> None:
    state = read_state(connection)
    if state is not None and state.build == build:  # else what was compared is no more
        content = {**result._asdict(), "at": result.at.isoformat()}
        tables.set_meta(connection, RECOUNTED, json.dumps(content))


def _linked(
    ledger: Ledger, domain: Domain, folder: Path, place: Path
) -> tuple[KeptState, pa.Table]:
    """Read the counts, and link the files of the same state."""

    def read(connection: sa.Connection) -> tuple[KeptState | None, pa.Table | None]:
        state = read_state(connection)
        return state, read_cells(connection, state.build) if state else None

    for _ in range(TRIES):
        state, cells = ledger.read(read)
        if state is None or state.rules != rules_of(domain):
            break
        shutil.rmtree(place, ignore_errors=True)
        try:
            for name in state.names:
                _link(pair_at(folder, name), pair_at(place, name))
        except FileNotFoundError:
            continue
        return state, cells
    raise InvalidData(
        "Journeys were not built yet, or for another domain file.",
        expected="journeys that are kept up to date",
        remedy="Start 'nba serve', which builds them, and try again.",
    )


def _link(source: FilePair, target: FilePair) -> None:
    target.journeys.parent.mkdir(parents=True, exist_ok=True)
    for one, other in ((source.journeys, target.journeys), (source.steps, target.steps)):
        link(one, other)
    if source.customers.exists():
        link(source.customers, target.customers)


@contextmanager
def _opened(domain: Domain, state: KeptState, pairs: Collection[FilePair]) -> Iterator[JourneyData]:
    with JourneyData.of_files(domain, list(pairs), [], state.as_of_us, state.version) as data:
        yield data


def _cell_differences(kept: pa.Table, counted: pa.Table, nodes: MapNodes) -> Iterator[str]:
    """Compare the counts with those of the files."""
    connection, keys = connect(), ", ".join(KEYS)
    connection.register("kept", kept)
    connection.register("counted", counted)
    query = (
        f"SELECT {keys}, coalesce(kept.n, 0), coalesce(counted.n, 0)"
        f" FROM kept FULL JOIN counted USING ({keys})"
        f" WHERE coalesce(kept.n, 0) <> coalesce(counted.n, 0) ORDER BY {keys}"
    )
    for *cell, mine, theirs in connection.execute(query).fetchmany(NAMED):
        yield f"{_named(cell, nodes)}: the count is {mine:,}; the files have {theirs:,}"
    connection.close()


def _named(cell: list[Any], nodes: MapNodes) -> str:
    what, name, day, _, persona, a, b, how = cell
    text = f"{_NAMES.get(what, 'times')} of {nodes.maps[name]}"
    if what in (CLOSE, WAY):
        text += f", {HOWS[how]}"
    else:
        text += f", {nodes.label(a)} to {nodes.label(b)}"
    text += f", {persona}" if persona else ""
    return text + (f", begun on day {day} since 1970" if day >= 0 else "")


def _customers_who_differ(kept: JourneyData, fresh: JourneyData) -> list[str]:
    """Find the customers whose rows differ, by the sum of the hashes of their rows."""
    found = set[str]()
    for name in ("journeys", "steps"):
        query = (
            "SELECT customer_id, count(*) AS n, CAST(sum(hash(one)) AS VARCHAR) AS hashed"
            f" FROM {name} AS one GROUP BY customer_id"
        )
        connection = connect()
        connection.register("kept", kept.table(query))
        connection.register("fresh", fresh.table(query))
        differ = "SELECT DISTINCT customer_id FROM ((TABLE kept EXCEPT TABLE fresh) UNION ALL"
        rows = connection.execute(f"{differ} (TABLE fresh EXCEPT TABLE kept))").fetchall()
        found |= {customer_id for (customer_id,) in rows}
        connection.close()
    return sorted(found)


def _file_differences(
    ledger: Ledger, domain: Domain, folder: Path, suspects: list[str]
) -> list[str]:
    """Compare the files with the events once more, of customers who wait for no refresh."""
    if not suspects:
        return []
    some = suspects[:LOOKED_AT]
    with keeping(folder):
        state = ledger.read(read_state)
        if state is None or state.rules != rules_of(domain):
            return []
        rows, waiting = ledger.read(lambda c: _cut_again(c, domain, state, some))
        with state.opened(domain, folder) as data:
            kept = rows_of(data, some)
    with (
        JourneyData.of_tables(domain, *kept, state.as_of_us) as one,
        JourneyData.of_tables(domain, *rows, state.as_of_us) as other,
    ):
        wrong = [who for who in _customers_who_differ(one, other) if who not in waiting]
    return [f"the files of {len(wrong):,} customers differ from their events"] if wrong else []


def _cut_again(
    connection: sa.Connection, domain: Domain, state: KeptState, some: list[str]
) -> tuple[tuple[pa.Table, pa.Table], set[str]]:
    """Cut some customers, and find those, of all, who wait for a refresh."""
    decided = tables.decisions.c
    newer = sa.select(decided.customer_id).where(decided.serial > state.serial)
    marked = sa.select(tables.journey_marks.c.customer_id)
    keys = {*connection.execute(marked).scalars(), *connection.execute(newer).scalars()}
    waiting = keys | {*resolve_each(connection, keys).values()}
    return cut_customers(connection, domain, some, state.as_of_us), waiting
