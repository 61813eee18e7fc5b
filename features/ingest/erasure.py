"""Erases a customer from the ledger, the online store, the offline tables and imported files.

The ledger and the online store are first: nobody reads the customer from then on. The files are
cleaned in the background (`Erasure.finish`), once for all erasures that wait. If the process ends
in between, the next start continues. A tombstone remains, a keyed hash of each key.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from features.clock import monotonic_s, utc_now
from features.customers.erasure_scope import Confirmation
from features.errors import InvalidSetting
from features.identity.erasing import devices_of_others
from features.identity.tombstones import forgotten, readmit
from features.ingest.erase_rows import (
    ErasedRows,
    begin_erasure,
    erase_some,
    read_tables_again,
    remove_other_keys,
)
from features.ingest.erasure_log import (
    ErasureStatus,
    UnfinishedErasure,
    erasure_statuses,
    finish_erasures,
    note_problems,
    unfinished_erasures,
)
from features.ingest.old_erasure_notes import adopt_old_notes, has_old_notes
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.store.free_space import AT_ONCE, is_wiped_at_once, wipe_free_space
from features.store.locks import discard_partial_build, file_lock
from features.store.table_files import is_table, rewrite

log = logging.getLogger(__name__)

ROWS_WITHIN_S = 3.0  # a call deletes rows for so long; the rest is deleted in the background
RECORDS_AT_ONCE = 100  # steps of `remove_other_keys` in one call of `finish`
ONLINE_STORE, LEDGER = "the online store", "the ledger"  # names among the problems of an erasure


class ErasableStore(Protocol):
    """An online store that customers can be deleted from."""

    def erase(self, customer_ids: Sequence[str], at_most: int | None = None) -> bool: ...


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """The counts of rows erased from the ledger so far, and the id of the erasure."""

    erasure_id: str
    keys: list[str]
    rows: ErasedRows


@dataclass
class Erasure:
    """Forgets customers, and readmits them.

    Parameters
    ----------
    home
        The folder of the offline tables and the imported files.
    also
        By name of what else holds rows of customers: deletes customers by their keys. It raises if
        it could not, and is called again later.

    Attributes
    ----------
    problems : mapping
        By name of a file, why forgotten customers may still be in it, as of the last `finish`.
    """

    ledger: Ledger
    online: ErasableStore
    home: Path
    clock: Callable[[], datetime] = utc_now
    also: Mapping[str, Callable[[Collection[str]], None]] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    def forget(
        self, keys: Sequence[str], now: datetime, confirmation: Confirmation | None = None
    ) -> ErasureResult:
        """Erase the customers of the keys; all their keys are refused from now on.

        Their rows are deleted from the ledger and the online store; those of a very long history,
        and files, are left to `finish`.

        Parameters
        ----------
        confirmation
            Of the named keys that are erased; None: the erasure needs none.

        Raises
        ------
        CustomerForgotten
            If they were forgotten already.
        IdentityUnknown
            If nothing is stored under any of the keys.
        NotConfirmed
            If there are several named keys, and ``confirmation`` does not repeat them.
        """
        erasure_id, all_keys = self.ledger.write_now(
            lambda c: begin_erasure(c, keys, now, confirmation)
        )
        rows = self._erase_rows(erasure_id, ROWS_WITHIN_S)
        try:
            self.online.erase(all_keys, 0)
        except Exception as error:  # `finish` tries again, and names the problem
            # The text of the error may hold the keys.
            log.warning("A customer is still in the online store (%s)", type(error).__name__)
        return ErasureResult(erasure_id, all_keys, rows)

    def readmit(self, keys: Sequence[str]) -> int:
        """Accept the keys again; the number of them that were refused before."""
        now = self.clock()
        for one in self.ledger.read(lambda c: unfinished_erasures(c, now)):
            if not one.rows_erased:  # or rows to come would be deleted with the old ones
                self._erase_rows(one.erasure_id)

        def accept(connection: sa.Connection) -> int:
            read_tables_again(connection)
            return readmit(connection, keys)

        return self.ledger.write_now(accept)

    def statuses(self, erasure_id: str | None = None) -> list[ErasureStatus]:
        """Read the status of one erasure, or of all, the oldest first."""
        columns = tables.erasures.c
        where = sa.true() if erasure_id is None else columns.erasure_id == erasure_id
        return self.ledger.read(lambda connection: erasure_statuses(connection, where))

    def finish(self, at_most: int | None = AT_ONCE) -> bool:
        """Clean the files of all erasures that wait; files that cannot be read are set aside.

        If another process is cleaning files, this one leaves them to it.

        Returns
        -------
        bool
            Whether no erasure waits any more.
        """
        now = self.clock()
        if self.ledger.read(lambda c: has_old_notes(c) or bool(unfinished_erasures(c, now))):
            try:
                # Of two that write a file anew, the later would bring back the rows that the other
                # has left out.
                with file_lock(self.home / "erasing.lock", wait=at_most is None):
                    self.ledger.write_now(adopt_old_notes)
                    self._finish(self.ledger.read(lambda c: unfinished_erasures(c, now)), at_most)
            except InvalidSetting:
                return False
        waiting = self.ledger.read(
            lambda c: erasure_statuses(c, tables.erasures.c.finished_at.is_(None))
        )
        self.problems = {name: why for one in waiting for name, why in one.problems.items()}
        return not waiting

    def compact(self) -> bool:
        """Write all files anew, of any size; return whether no deleted data is left in them."""
        self.finish(at_most=None)
        online, ledger = self.online.erase([]), self.ledger.compact()
        return online and ledger

    def _finish(self, waiting: Sequence[UnfinishedErasure], at_most: int | None) -> None:
        if not waiting:
            return
        for _ in range(RECORDS_AT_ONCE):
            if remove_other_keys(self.ledger):
                break
        else:
            if at_most is not None:  # the rest at the next call, so that a server can stop
                return
            while not remove_other_keys(self.ledger):
                pass
        discard_partial_build(self.home / "feast" / "customer_journey")
        for one in waiting:
            if not one.rows_erased:
                self._erase_rows(one.erasure_id)
        now = self.clock()
        # Read again: the decisions are noted as they are deleted.
        ids = {one.erasure_id for one in waiting}
        again = self.ledger.read(lambda c: unfinished_erasures(c, now))
        waiting = [one for one in again if one.erasure_id in ids]
        problems = self._clean_files(waiting)
        self._erase_online(waiting, at_most, problems)
        wiped = wipe_free_space(self.ledger.engine, AT_ONCE if at_most is None else at_most)
        if not wiped and self.ledger.read(is_wiped_at_once):
            for erasure_id in ids:
                problems[erasure_id][LEDGER] = "is read for long; deleted bytes may remain"
        now = self.clock()

        def note(connection: sa.Connection) -> None:
            for erasure_id, found in problems.items():
                note_problems(connection, erasure_id, found, now)
            finish_erasures(connection, sorted(ids - problems.keys()), now)

        self.ledger.write_now(note)

    def _erase_rows(self, erasure_id: str, within_s: float | None = None) -> ErasedRows:
        rows, began = ErasedRows(), monotonic_s()
        while not rows.done and (within_s is None or monotonic_s() - began < within_s):
            before = monotonic_s()
            rows = rows.plus(erase_some(self.ledger, erasure_id, self.clock()))
            if not rows.done:  # others write for half of the time
                time.sleep(monotonic_s() - before)
        return rows

    def _erase_online(
        self,
        waiting: Sequence[UnfinishedErasure],
        at_most: int | None,
        problems: dict[str, dict[str, str]],
    ) -> None:
        """Delete the keys from the online store, but not those of readmitted customers."""
        keys = {key for one in waiting for key in one.keys}
        try:
            self.online.erase(sorted(self.ledger.read(lambda c: forgotten(c, keys))), at_most)
        except Exception as error:
            log.warning("Customers are still in the online store (%s)", type(error).__name__)
            for one in waiting:
                problems[one.erasure_id][ONLINE_STORE] = _reason(error)

    def _clean_files(self, waiting: Sequence[UnfinishedErasure]) -> dict[str, dict[str, str]]:
        """Rewrite the files once for all; by erasure, the files that could not be rewritten."""
        problems: dict[str, dict[str, str]] = defaultdict(dict)
        noted = sorted({key for one in waiting for key in one.keys})
        shared = self.ledger.read(lambda c: devices_of_others(c, noted))
        for name, clean in self._places(shared):
            # After the first attempt, only the files that could not be read are left.
            mine = [one for one in waiting if not one.tried or name in one.problems]
            try:
                if mine:
                    clean(mine)
            except FileNotFoundError:  # a build has replaced it, without forgotten customers
                continue
            except Exception as error:  # it must not keep the other files from being cleaned
                log.warning("%s cannot be cleaned (%s)", name, type(error).__name__)
                for one in mine:
                    problems[one.erasure_id][name] = _reason(error)
        return problems

    def _places(
        self, shared: Set[str]
    ) -> Iterator[tuple[str, Callable[[Sequence[UnfinishedErasure]], None]]]:
        """Name all that has to be cleaned, each with what cleans it of some erasures.

        Parameters
        ----------
        shared
            Devices that others use, too.
        """
        for file in self._files():
            yield str(file.relative_to(self.home)), partial(_clean, file, shared)
        for name, forget in self.also.items():
            yield name, partial(_clean_also, forget)

    def _files(self) -> Iterator[Path]:
        feast = self.home / "feast"
        yield from sorted(feast.glob("*.parquet"))
        yield from sorted(feast.glob("customer_journey/*.parquet"))
        yield from sorted(filter(is_table, (self.home / "sources").glob("**/*")))


def _clean(file: Path, shared: Set[str], mine: Sequence[UnfinishedErasure]) -> None:
    keys = {key for one in mine for key in one.keys}
    decided = {name for one in mine for name in one.decision_ids}
    rewrite(file, {"customer_id": keys, "identifiers": keys - shared, "decision_id": decided})


def _clean_also(
    forget: Callable[[Collection[str]], None], mine: Sequence[UnfinishedErasure]
) -> None:
    forget({key for one in mine for key in one.keys})


def _reason(error: Exception) -> str:
    """Say in a few words why a file cannot be cleaned; the cells of the file are not repeated."""
    return f"cannot be cleaned ({type(error).__name__})"
