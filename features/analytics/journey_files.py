"""The Parquet files of journeys and steps: pairs of files, each with whole customers.

A *base* has all customers. A *delta* has all that is true of some customers, and replaces what
former files say of them; it names them in a third file, as some may have no journeys any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from features.analytics.stored_columns import (
    stored_journeys,
    stored_steps,
    stored_steps_schema,
)
from features.store.locks import partial_path

JOURNEYS, STEPS, CUSTOMERS = ".journeys.parquet", ".steps.parquet", ".customers.parquet"
# Columns with a value of its own in most rows: a dictionary of them would only add to their size.
# By tries with ten million events, these take 60 % of the bytes that Parquet's default takes.
_ENCODED = {
    "at_us": "BYTE_STREAM_SPLIT",
    "start_us": "DELTA_BINARY_PACKED",
    "last_us": "BYTE_STREAM_SPLIT",
    "seq": "BYTE_STREAM_SPLIT",
    "journey": "PLAIN",
    "path": "PLAIN",
}


class FilePair(NamedTuple):
    """The journeys and the steps of the same customers."""

    journeys: Path
    steps: Path

    @property
    def customers(self) -> Path:
        """The file that names the customers of a delta, one column ``customer_id``."""
        name = self.journeys.name.removesuffix(JOURNEYS)
        return self.journeys.with_name(name + CUSTOMERS)

    @property
    def bytes(self) -> int:
        """The size of both files."""
        return self.journeys.stat().st_size + self.steps.stat().st_size


def pair_at(folder: Path, name: str) -> FilePair:
    """Name the files of a base part or a delta."""
    return FilePair(folder / f"{name}{JOURNEYS}", folder / f"{name}{STEPS}")


def pairs_in(folder: Path) -> list[FilePair]:
    """List the pairs of a folder, in the order of their names."""
    found = sorted(folder.glob(f"*{JOURNEYS}"))
    return [pair_at(folder, one.name.removesuffix(JOURNEYS)) for one in found]


def write_delta(
    folder: Path, name: str, customer_ids: Iterable[str], journeys: pa.Table, steps: pa.Table
) -> FilePair:
    """Write all that is true of some customers; a reader sees whole files.

    Parameters
    ----------
    name
        Deltas count in the order of their names.
    customer_ids
        Also those who have no journeys (any more).
    """
    folder.mkdir(parents=True, exist_ok=True)
    pair = pair_at(folder, name)
    named = pa.table({"customer_id": pa.array(sorted(customer_ids), pa.string())})
    _write(named, pair.customers)
    write_files(pair, journeys, steps)
    return pair


def write_files(pair: FilePair, journeys: pa.Table, steps: pa.Table) -> None:
    """Write all journeys of some customers; a reader sees whole files.

    Both tables are in the order of `tables`.
    """
    # The journeys come last: `pairs_in` finds a pair by them.
    _write(stored_steps(steps), pair.steps)
    _write(stored_journeys(journeys), pair.journeys)


def _write(table: pa.Table, file: Path) -> None:
    part = partial_path(file)
    pq.write_table(table, part, **_options(table.schema))
    part.replace(file)


class PairWriter:
    """Writes a pair in several parts, so that memory stays bounded.

    Attributes
    ----------
    pair : FilePair
    customers : set of str
        Those who were written.
    steps_n : int
        The number of steps that were written.
    """

    def __init__(self, pair: FilePair, journeys: pa.Schema, steps: pa.Schema) -> None:
        self.pair = pair
        self.customers: set[str] = set()
        self.steps_n = 0
        self._writers = [
            pq.ParquetWriter(file, schema, **_options(schema))
            for file, schema in zip(pair, (journeys, stored_steps_schema(steps)), strict=True)
        ]

    def write(self, journeys: pa.Table, steps: pa.Table) -> None:
        """Write all journeys of further customers."""
        stored = stored_journeys(journeys), stored_steps(steps)
        for writer, table in zip(self._writers, stored, strict=True):
            writer.write_table(table)
        for chunk in journeys["customer_id"].chunks:
            self.customers.update(chunk.dictionary.to_pylist())
        self.steps_n += len(steps)

    def close(self) -> None:
        """Finish both files."""
        for writer in self._writers:
            writer.close()


def _options(schema: pa.Schema) -> dict[str, Any]:
    encoded = {name: how for name, how in _ENCODED.items() if name in schema.names}
    plain = [name for name in schema.names if name not in encoded]
    return {"compression": "zstd", "use_dictionary": plain, "column_encoding": encoded}
