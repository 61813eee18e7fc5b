"""Forgets a customer: in the ledger, online, in the history and in the imported tables.

The ledger goes first and notes what is still to be done in the files; if we are cut off in
between, the next start goes on there. What stays is a tombstone, a keyed hash of each key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import sqlalchemy as sa

from features.customers.identity import keys_of, resolve
from features.customers.profiles import all_accounts_of
from features.customers.tombstones import add_tombstones, readmit, refuse_forgotten
from features.errors import NotVisible
from features.ingest.load_tables import LOADED
from features.journeys.journey_states import delete_states, request_refold
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.store.locks import discard_partial_build, file_lock
from features.store.table_files import rewrite

ERASING = "erasing "  # begins the name of a fact: files that still have to be cleaned
AT_ONCE = 200_000_000  # bytes of a file that is written anew while the service runs


class Online(Protocol):
    """What we ask of the feature store here."""

    def erase(self, customer_ids: Sequence[str], at_most: int | None = None) -> bool: ...


@dataclass(frozen=True, slots=True)
class ErasureResult:
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

    def forget(self, keys: Sequence[str], now: datetime) -> ErasureResult:
        """Erase whoever stands behind the keys; they are refused from now on.

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

    def readmit(self, keys: Sequence[str]) -> int:
        """Let a forgotten customer come back; say how many of the keys were refused."""

        def take_in(connection: sa.Connection) -> int:
            _read_tables_again(connection)
            return readmit(connection, keys)

        return self.ledger.write_now(take_in)

    def finish(self, at_most: int | None = AT_ONCE) -> bool:
        """Clean the files of all whom the ledger has forgotten; whether nothing lingers."""
        if not self.ledger.read(_to_do):
            return True
        # One at a time, in all workers: of two who write a file anew, the later would bring back
        # whom the other has taken out.
        with file_lock(self.home / "erasing.lock", wait=True):
            return self._finish(at_most)

    def _finish(self, at_most: int | None) -> bool:
        clean = True
        discard_partial_build(self.home / "feast" / "customer_journey")
        for name, note in self.ledger.read(_to_do):
            keys, decision_ids = json.loads(note)
            clean &= self.online.erase(keys, at_most)
            gone = {"customer_id": {*keys}, "identifiers": {*keys}, "decision_id": {*decision_ids}}
            for file in self._files():
                _rewrite(file, gone)
            done = sa.delete(tables.meta).where(tables.meta.c.key == name)
            self.ledger.write_now(lambda connection, done=done: connection.execute(done))  # type: ignore[misc]
        return self.ledger.compact(at_most) and clean

    def compact(self) -> None:
        """Write the files anew, however large they are."""
        self.finish(at_most=None)
        self.online.erase([])
        self.ledger.compact()

    def _files(self) -> Iterator[Path]:
        feast = self.home / "feast"
        yield from sorted(feast.glob("*.parquet"))
        yield from sorted(feast.glob("customer_journey/*.parquet"))
        for ending in ("parquet", "csv"):
            yield from sorted((self.home / "sources").glob(f"**/*.{ending}"))


def _erase(connection: sa.Connection, keys: Sequence[str], now: datetime) -> ErasureResult:
    refuse_forgotten(connection, keys)
    # Each key by itself: whoever stands behind one of them is meant.
    customers = list(dict.fromkeys(resolve(connection, [key]) for key in keys))
    all_keys = [key for customer_id in customers for key in keys_of(connection, customer_id)]
    accounts = all_accounts_of(connection, customers)
    decided = tables.decisions.c
    mine = sa.select(decided.decision_id).where(decided.customer_id.in_(customers))
    decision_ids = list(connection.execute(mine).scalars())

    def delete(table: sa.Table, where: sa.ColumnElement[bool]) -> int:
        return connection.execute(sa.delete(table).where(where)).rowcount

    # Who shared in their outcomes has a larger share now.
    told = tables.outcomes.c
    shared = sa.select(told.shared_id).where(
        told.decision_id.in_(mine), told.shared_id.is_not(None)
    )
    inputs_again = sa.update(tables.outcomes).where(told.shared_id.in_(shared))
    connection.execute(inputs_again.values(learned=False))
    learned = delete(tables.credits, tables.credits.c.decision_id.in_(mine))
    outcomes = delete(tables.outcomes, tables.outcomes.c.decision_id.in_(mine))
    delete(tables.contacts, tables.contacts.c.customer_id.in_(customers))
    delete(tables.decisions, decided.customer_id.in_(customers))
    events = delete(tables.events, tables.events.c.customer_id.in_(customers))
    delete(tables.customers, tables.customers.c.customer_id.in_(all_keys))
    delete(tables.identities, tables.identities.c.key.in_(all_keys))
    sides = tables.links.c.left.in_(all_keys) | tables.links.c.right.in_(all_keys)
    delete(tables.links, sides)
    delete_states(connection, all_keys)
    request_refold(connection, sorted(accounts), now)
    add_tombstones(connection, all_keys, now)
    _read_tables_again(connection)
    note = json.dumps([all_keys, decision_ids])
    tables.set_meta(connection, f"{ERASING}{now.isoformat()}", note)
    return ErasureResult(all_keys, decision_ids, events, outcomes, learned)


def _read_tables_again(connection: sa.Connection) -> None:
    """Have a table that was loaded before read from its first row if it is loaded again: it leaves
    the rows of the forgotten out and says so, and brings in those of who came back."""
    loaded = tables.meta.c.key.startswith(LOADED, autoescape=True)
    connection.execute(sa.delete(tables.meta).where(loaded))


def _to_do(connection: sa.Connection) -> list[Any]:
    query = sa.select(tables.meta.c.key, tables.meta.c.value)
    query = query.where(tables.meta.c.key.startswith(ERASING, autoescape=True))
    return list(connection.execute(query))


def _rewrite(file: Path, gone: dict[str, set[str]]) -> None:
    try:
        rewrite(file, gone)
    except pa.ArrowInvalid as error:
        raise NotVisible(
            f"{file.name} in {file.parent.name} cannot be read; somebody may be writing it.",
            expected="whole files",
            remedy="The ledger has forgotten them; the files follow by themselves.",
        ) from error
