"""Erases a customer from the ledger, the online store, the offline tables and imported files.

The ledger is first: the same transaction notes the files that are still to be cleaned. If the
process ends in between, the next start continues. A tombstone remains, a keyed hash of each key.
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
from features.customers.relocation import finish_relocation
from features.customers.tombstones import add_tombstones, readmit, refuse_forgotten
from features.errors import NotVisible
from features.ingest.load_tables import LOADED
from features.journeys.journey_states import delete_states, request_refold
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.store.locks import discard_partial_build, file_lock
from features.store.table_files import rewrite

ERASING = "erasing "  # prefix of facts in the ledger: customers whose files are not clean yet
AT_ONCE = 200_000_000  # bytes; larger files are not written anew while the service runs


class ErasableStore(Protocol):
    """An online store that customers can be deleted from."""

    def erase(self, customer_ids: Sequence[str], at_most: int | None = None) -> bool: ...


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """The counts of rows erased from the ledger, and whether bytes remain in files."""

    keys: list[str]
    decision_ids: list[str]
    events: int
    outcomes: int
    learned: int  # credits that the bandit had learned
    bytes_remain: bool = False  # bytes remain in the free space of files larger than `AT_ONCE`


@dataclass(frozen=True)
class Erasure:
    """Forgets customers, and readmits them.

    Parameters
    ----------
    home
        The folder of the offline tables and the imported files.
    """

    ledger: Ledger
    online: ErasableStore
    home: Path

    def forget(self, keys: Sequence[str], now: datetime) -> ErasureResult:
        """Erase the customers of the keys; all their keys are refused from now on.

        Raises
        ------
        CustomerForgotten
            If they were forgotten already.
        NotVisible
            If the feature store cannot erase now, or a build is writing a file. The service tries
            again at regular times and at its next start.
        """
        erased = self.ledger.write_now(lambda connection: _erase(connection, keys, now))
        return replace(erased, bytes_remain=not self.finish())

    def readmit(self, keys: Sequence[str]) -> int:
        """Accept the keys again; the number of them that were refused before."""

        def accept(connection: sa.Connection) -> int:
            _read_tables_again(connection)
            return readmit(connection, keys)

        return self.ledger.write_now(accept)

    def finish(self, at_most: int | None = AT_ONCE) -> bool:
        """Clean the files of all customers that the ledger has erased.

        Returns
        -------
        bool
            Whether no bytes remain in the free space of files.
        """
        if not self.ledger.read(_pending):
            return True
        # One worker at a time: of two that write a file anew, the later would bring back the rows
        # that the other has left out.
        with file_lock(self.home / "erasing.lock", wait=True):
            return self._finish(at_most)

    def _finish(self, at_most: int | None) -> bool:
        clean = True
        discard_partial_build(self.home / "feast" / "customer_journey")
        for name, note in self.ledger.read(_pending):
            keys, decision_ids = json.loads(note)
            clean &= self.online.erase(keys, at_most)
            gone = {"customer_id": {*keys}, "identifiers": {*keys}, "decision_id": {*decision_ids}}
            for file in self._files():
                _rewrite(file, gone)
            done = sa.delete(tables.meta).where(tables.meta.c.key == name)
            self.ledger.write_now(lambda connection, done=done: connection.execute(done))  # type: ignore[misc]
        return self.ledger.compact(at_most) and clean

    def compact(self) -> None:
        """Write all files anew, of any size."""
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
    # Each key by itself: the keys may belong to several customers.
    customers = list(dict.fromkeys(resolve(connection, [key]) for key in keys))
    finish_relocation(connection, customers)
    all_keys = [key for customer_id in customers for key in keys_of(connection, customer_id)]
    accounts = all_accounts_of(connection, customers)
    decided = tables.decisions.c
    mine = sa.select(decided.decision_id).where(decided.customer_id.in_(customers))
    decision_ids = list(connection.execute(mine).scalars())

    def delete(table: sa.Table, where: sa.ColumnElement[bool]) -> int:
        return connection.execute(sa.delete(table).where(where)).rowcount

    # Other decisions that shared an outcome with the erased ones get a larger share of its credit,
    # so their outcomes are learned again.
    columns = tables.outcomes.c
    shared = sa.select(columns.shared_id).where(
        columns.decision_id.in_(mine), columns.shared_id.is_not(None)
    )
    learn_again = sa.update(tables.outcomes).where(columns.shared_id.in_(shared))
    connection.execute(learn_again.values(learned=False))
    credits = tables.credits.c
    delete(tables.credits, credits.decision_id.in_(mine) & (credits["count"] == 0))
    learned = delete(tables.credits, credits.decision_id.in_(mine))
    outcomes = delete(tables.outcomes, tables.outcomes.c.decision_id.in_(mine))
    delete(tables.contacts, tables.contacts.c.customer_id.in_(customers))
    delete(tables.decisions, decided.customer_id.in_(customers))
    events = delete(tables.events, tables.events.c.customer_id.in_(customers))
    delete(tables.customers, tables.customers.c.customer_id.in_(all_keys))
    delete(tables.account_members, tables.account_members.c.customer_id.in_(customers))
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
    """Forget how far tables were loaded, so that the next load reads them from their first row.

    It leaves out the rows of forgotten customers and reports them, and loads those of readmitted
    customers.
    """
    loaded = tables.meta.c.key.startswith(LOADED, autoescape=True)
    connection.execute(sa.delete(tables.meta).where(loaded))


def _pending(connection: sa.Connection) -> list[Any]:
    query = sa.select(tables.meta.c.key, tables.meta.c.value)
    query = query.where(tables.meta.c.key.startswith(ERASING, autoescape=True))
    return list(connection.execute(query))


def _rewrite(file: Path, gone: dict[str, set[str]]) -> None:
    try:
        rewrite(file, gone)
    except pa.ArrowInvalid as error:
        raise NotVisible(
            f"{file.name} in {file.parent.name} cannot be read; another process may be writing it.",
            expected="whole files",
            remedy="The ledger has forgotten them; the service cleans the files later by itself.",
        ) from error
