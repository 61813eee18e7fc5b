"""Forgets a customer: in the ledger, online, in the history and in the imported tables.

The ledger goes first and notes what is still to be done in the files; if we are cut off in
between, the next start goes on there. What stays is a tombstone, a keyed hash of each key.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import sqlalchemy as sa

from features import tables
from features.errors import NotVisible
from features.identity import keys_of, resolve
from features.ledger import Ledger
from features.load import LOADED
from features.profiles import accounts_of
from features.states import drop, restate
from features.tombstones import lift, raise_tombstones, refuse_forgotten

ERASING = "erasing "  # begins the name of a fact: files that still have to be cleaned
AT_ONCE = 200_000_000  # bytes of a file that is written anew while the service runs


class Online(Protocol):
    """What we ask of the feature store here."""

    def erase(self, customer_ids: Sequence[str], at_most: int | None = None) -> bool: ...


@dataclass(frozen=True, slots=True)
class Erased:
    """What was taken out of the ledger."""

    keys: list[str]
    decision_ids: list[str]
    events: int
    outcomes: int
    learned: int  # outcomes that the bandit had counted
    lingers: bool = False  # in the free space of files that are too large to be written anew now


@dataclass(frozen=True)
class Erasure:
    """Forgets customers, and lets them come back.

    Parameters
    ----------
    home
        The folder of feature files and imported tables.
    """

    ledger: Ledger
    online: Online
    home: Path

    def forget(self, keys: Sequence[str], now: datetime) -> Erased:
        """Erase the customer behind the keys; they are refused from now on.

        Raises
        ------
        CustomerForgotten
            If they were forgotten already.
        NotVisible
            If the feature store cannot erase now, or a build is writing a file; the regular look
            of the service, or its next start, will see to it.
        """
        erased = self.ledger.write_now(lambda connection: _erase(connection, keys, now))
        return replace(erased, lingers=not self.finish())

    def lift(self, keys: Sequence[str]) -> int:
        """Take the keys in again; how many of them were refused."""

        def take_in(connection: sa.Connection) -> int:
            _read_tables_again(connection)
            return lift(connection, keys)

        return self.ledger.write_now(take_in)

    def finish(self, at_most: int | None = AT_ONCE) -> bool:
        """Clean the files of all whom the ledger has forgotten; whether nothing lingers."""
        if not self.ledger.read(_to_do):
            return True
        with self._alone():
            return self._finish(at_most)

    def _finish(self, at_most: int | None) -> bool:
        clean = True
        to_do = self.ledger.read(_to_do)
        for name, note in to_do:
            keys, decision_ids = json.loads(note)
            clean &= self.online.erase(keys, at_most)
            gone = {"customer_id": {*keys}, "identifiers": {*keys}, "decision_id": {*decision_ids}}
            for file in self._files():
                _rewrite_or_wait(file, gone)
            done = sa.delete(tables.meta).where(tables.meta.c.key == name)
            self.ledger.write_now(lambda connection, done=done: connection.execute(done))  # type: ignore[misc]
        if to_do:
            clean &= self.ledger.compact(at_most)
        return clean

    def compact(self) -> None:
        """Write the files anew, however large they are."""
        self.finish(at_most=None)
        self.online.erase([])
        self.ledger.compact()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time, in all workers: of two who write a file anew, the later would bring back
        whom the other has taken out."""
        with (self.home / "erasing.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _files(self) -> Iterator[Path]:
        feast = self.home / "feast"
        yield from sorted(feast.glob("*.parquet"))
        yield from sorted(feast.glob("customer_journey*/*.parquet"))
        for ending in ("parquet", "csv"):
            yield from sorted((self.home / "sources").glob(f"**/*.{ending}"))


def _erase(connection: sa.Connection, keys: Sequence[str], now: datetime) -> Erased:
    refuse_forgotten(connection, keys)
    customer_id = resolve(connection, keys)
    all_keys = list(dict.fromkeys([*keys_of(connection, customer_id), *keys]))
    accounts = accounts_of(connection, [customer_id]).values()
    decided = tables.decisions.c
    query = sa.select(decided.decision_id).where(decided.customer_id == customer_id)
    decision_ids = list(connection.execute(query).scalars())

    def delete(table: sa.Table, where: sa.ColumnElement[bool]) -> int:
        return connection.execute(sa.delete(table).where(where)).rowcount

    mine = sa.select(decided.decision_id).where(decided.customer_id == customer_id)
    learned = delete(tables.credits, tables.credits.c.decision_id.in_(mine))
    outcomes = delete(tables.outcomes, tables.outcomes.c.decision_id.in_(mine))
    delete(tables.decisions, decided.customer_id == customer_id)
    events = delete(tables.events, tables.events.c.customer_id == customer_id)
    delete(tables.customers, tables.customers.c.customer_id.in_(all_keys))
    delete(tables.identities, tables.identities.c.key.in_(all_keys))
    sides = tables.links.c.left.in_(all_keys) | tables.links.c.right.in_(all_keys)
    delete(tables.links, sides)
    drop(connection, all_keys)
    restate(connection, accounts, now)
    raise_tombstones(connection, all_keys, now)
    _read_tables_again(connection)
    note = json.dumps([all_keys, decision_ids])
    tables.set_meta(connection, f"{ERASING}{now.isoformat()}", note)
    return Erased(all_keys, decision_ids, events, outcomes, learned)


def _read_tables_again(connection: sa.Connection) -> None:
    """Have a table that was loaded before read from its first row if it is loaded again: it leaves
    the rows of the forgotten out and says so, and brings in those of who came back."""
    loaded = tables.meta.c.key.startswith(LOADED, autoescape=True)
    connection.execute(sa.delete(tables.meta).where(loaded))


def _to_do(connection: sa.Connection) -> list[Any]:
    query = sa.select(tables.meta.c.key, tables.meta.c.value)
    query = query.where(tables.meta.c.key.startswith(ERASING, autoescape=True))
    return list(connection.execute(query))


def _rewrite_or_wait(file: Path, gone: dict[str, set[str]]) -> None:
    try:
        _rewrite(file, gone)
    except pa.ArrowInvalid as error:
        raise NotVisible(
            f"{file.name} in {file.parent.name} cannot be read: 'nba build' may be writing it.",
            expected="whole files",
            remedy="The ledger has forgotten them; the files follow by themselves after the build.",
        ) from error


def _rewrite(file: Path, gone: dict[str, set[str]]) -> None:
    """The same file without the rows of the forgotten, if it has any."""
    read, write = _HOW[file.suffix]
    table = read(file)
    keep = pa.array([True] * len(table), pa.bool_())
    for column in gone.keys() & {*table.column_names}:
        values = table[column].cast(pa.string())
        if column == "identifiers":  # several in one cell
            named = [bool(gone[column] & {*str(cell or "").split()}) for cell in values.to_pylist()]
            keep = pc.and_(keep, pc.invert(pa.array(named, pa.bool_())))
        else:
            found = pc.is_in(values, value_set=pa.array(sorted(gone[column]), pa.string()))
            keep = pc.and_(keep, pc.invert(found))
    if not pc.all(keep).as_py():
        part = file.with_suffix(".part")
        write(table.filter(keep), part)
        part.replace(file)


def _read_csv(file: Path) -> pa.Table:
    with file.open(encoding="utf-8-sig") as opened:
        header = opened.readline().strip().replace('"', "").split(",")
    texts = pa_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()))
    return pa_csv.read_csv(file, convert_options=texts)


_HOW: dict[str, tuple[Callable[[Path], pa.Table], Callable[[pa.Table, Path], None]]] = {
    ".parquet": (pq.read_table, pq.write_table),
    ".csv": (_read_csv, pa_csv.write_csv),
}
