"""Reads some customers of the files of journeys, merges deltas into the base, and tidies up."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.analytics.journey_data import JourneyData
from features.analytics.journey_files import FilePair, pair_at, write_delta, write_files
from features.analytics.upkeep.kept_state import KeptState
from features.business.domain import Domain

Rows = tuple[pa.Table, pa.Table]  # journeys and steps
RANGES = 4  # in which some customers are read
NEVER = 1 << 62  # microseconds since 1970


def rows_of(data: JourneyData, customer_ids: Collection[str]) -> Rows:
    """Read the journeys and the steps of some customers.

    Files are in the order of customers. So customers who stand together are read a range at a time,
    and the parts of files outside of the range are not read.
    """
    named = sorted(customer_ids)
    each = -(-len(named) // RANGES) or 1
    ranges = [named[begin : begin + each] for begin in range(0, len(named), each)] or [[""]]
    some = "customer_id BETWEEN ? AND ? AND customer_id IN (SELECT unnest(?))"
    journeys, steps = (
        pa.concat_tables(
            [
                data.table(f"SELECT * FROM {name} WHERE {some}", [one[0], one[-1], one])
                for one in ranges
            ]
        )
        for name in ("journeys", "steps")
    )
    return journeys, steps


def kept_rows_of(
    state: KeptState, domain: Domain, folder: Path, customer_ids: Collection[str]
) -> Rows:
    """Read the same from the one file in which each customer counts; others are not opened."""
    left, parts = {*customer_ids}, list[Rows]()
    for name in reversed(state.deltas):
        pair = pair_at(folder, name)
        if mine := left & {*_named_by(pair)}:
            parts.append(_rows_in(domain, [pair], mine))
            left -= mine
    parts.append(_rows_in(domain, [pair_at(folder, name) for name in state.base], left))
    journeys, steps = (pa.concat_tables(some) for some in zip(*parts, strict=True))
    return journeys, steps


def _rows_in(domain: Domain, pairs: Sequence[FilePair], customer_ids: Collection[str]) -> Rows:
    with JourneyData.of_files(domain, pairs, [], 0, 0) as data:
        return rows_of(data, customer_ids)


def next_due_us(data: JourneyData) -> int:
    """Return the first time at which a journey changes without an event; `NEVER` if none does."""
    [(at_us,)] = data.rows("SELECT min(due_us) FROM journeys")
    return NEVER if at_us is None else int(at_us)


def due_customers(data: JourneyData, until_us: int, most: int) -> tuple[list[str], int]:
    """Find the customers one of whose journeys changes until a moment, without an event.

    A silence counts from its moment on, a lapse after it; both are found at their moment.

    Returns
    -------
    customer_ids, until_us
        If there are more than ``most``, those of the first times, and the last of these times, but
        a later moment than that of the data.
    """
    due = "SELECT customer_id, min(due_us) AS at_us FROM journeys WHERE due_us <= ? GROUP BY 1"
    found = data.rows(f"{due} ORDER BY at_us LIMIT ?", [until_us, most + 1])
    if len(found) <= most:
        return [name for name, _ in found], until_us
    last_us = max(int(found[most - 1][1]), min(data.as_of_us + 1, until_us))
    return [name for name, _ in data.rows(due, [last_us])], last_us


def merged_deltas(state: KeptState, domain: Domain, folder: Path, name: str) -> FilePair:
    """Write all deltas into one."""
    pairs = [pair_at(folder, one) for one in state.deltas]
    customers = sorted({one for pair in pairs for one in _named_by(pair)})
    with state.opened(domain, folder) as data:
        rows = _sorted_rows(data, customers)
    return write_pair(folder, name, customers, rows)


def merged_base(state: KeptState, domain: Domain, folder: Path, prefix: str) -> list[str]:
    """Write base and deltas as a new base; return the names of its pairs.

    Each pair keeps its customers. Those who are in deltas alone get a pair of their own.
    """
    deltas = [pair_at(folder, name) for name in state.deltas]
    rest = {one for pair in deltas for one in _named_by(pair)}
    names = list[str]()
    for number, name in enumerate(state.base):
        old, new = pair_at(folder, name), f"{prefix}-{number:05}"
        with JourneyData.of_files(domain, [old], deltas, state.as_of_us, state.version) as data:
            query = f"SELECT DISTINCT customer_id FROM read_parquet('{old.journeys}')"
            mine = [one for (one,) in data.rows(query)]
            rest -= {*mine}
            is_last = number == len(state.base) - 1
            if mine or (is_last and not names and not rest):
                names.append(new)
                write_files(pair_at(folder, new), *_sorted_rows(data, mine))
            if is_last and rest:
                names.append(f"{prefix}-{number + 1:05}")
                write_files(pair_at(folder, names[-1]), *_sorted_rows(data, rest))
    return names


def write_pair(folder: Path, name: str, customer_ids: Collection[str], rows: Rows) -> FilePair:
    """Write a delta whose name may have a folder in it."""
    file = pair_at(folder, name).journeys
    return write_delta(file.parent, Path(name).name, customer_ids, *rows)


def remove_others(folder: Path, names: Sequence[str]) -> None:
    """Remove all files of journeys but some pairs, and folders that are empty then."""
    pairs = [pair_at(folder, name) for name in names]
    kept = {file for one in pairs for file in (*one, one.customers)}
    for file in sorted(folder.glob("build-*/*")):
        if file not in kept:
            file.unlink(missing_ok=True)
    for place in sorted(folder.glob("build-*")):
        if not any(place.iterdir()):
            place.rmdir()


def build_folder(build: int) -> str:
    """Name the folder of a build's files; they are told by it from those of a folder of caches."""
    return f"build-{build:06}"


def _named_by(pair: FilePair) -> list[str]:
    found: list[str] = pq.read_table(pair.customers)["customer_id"].to_pylist()
    return found


def _sorted_rows(data: JourneyData, customer_ids: Collection[str]) -> Rows:
    journeys, steps = rows_of(data, customer_ids)
    return (
        journeys.sort_by([("customer_id", "ascending"), ("journey", "ascending")]),
        steps.sort_by(
            [("customer_id", "ascending"), ("journey", "ascending"), ("seq", "ascending")]
        ),
    )
