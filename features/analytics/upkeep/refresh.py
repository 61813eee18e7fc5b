"""Keeps the files and the counts of journeys up to date: what has changed is cut anew, in steps.

A step takes some customers: those who are marked because something of their past changed, those
who were shown something, and those one of whose journeys changes by passing time. It cuts them from
one snapshot of the ledger and writes them into a delta of the files. One short transaction then
adds the difference of their counts, deletes the marks, and notes the files. So a step that is cut
off by a crash changes nothing, and its marks are taken again. A mark that came after the snapshot
has another number, and stays.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from features.analytics.build import build_journeys, cut_customers
from features.analytics.journey_files import JOURNEYS
from features.analytics.upkeep.cube import (
    add_cells,
    cells_of,
    delete_other_builds,
    difference,
    next_build,
    write_cells,
)
from features.analytics.upkeep.kept_files import (
    Rows,
    build_folder,
    due_customers,
    merged_base,
    merged_deltas,
    remove_others,
    rows_of,
    write_pair,
)
from features.analytics.upkeep.kept_state import (
    RECOUNTED,
    KeptState,
    keeping,
    read_state,
    rules_of,
    write_state,
)
from features.business.domain import Domain
from features.identity.links import resolve_each
from features.ledger import tables
from features.ledger.derived_tables import mark_journeys
from features.ledger.ledger import Ledger
from features.ledger.statements import Statement, among, in_batches
from features.outcomes.reward_state import newest_serial
from features.progress import Progress, quiet

STEP = 1_000  # marks and decisions of a step, and customers whose journeys are due
DELTAS = 24  # so many are merged into one
CHANGED_SHARE = 0.05  # of customers in deltas; from then on they are merged into the base
BETWEEN_STEPS_S = 0.05  # when an erasure may get the lock of the files
REST_US = 60_000_000  # without a change, the data are of a newer moment after so long
_MARKS = tables.journey_marks.c
_UNMARK = Statement(
    sa.text("DELETE FROM journey_marks WHERE customer_id = :customer_id AND number = :number")
)
_LATER = (tables.events.c.occurred_at, tables.contacts.c.shown_at)


class RefreshResult(NamedTuple):
    """What a refresh did: the state after it, and the numbers of customers and of builds."""

    state: KeptState
    customers: int
    builds: int


@dataclass
class _Step:
    """What a step has read and computed.

    Attributes
    ----------
    marks
        Keys and numbers of the marks that were taken.
    again
        Customers with events after the moment of the step: they stay marked.
    has_more_decisions : bool
        More decisions wait than one step takes.
    """

    as_of_us: int
    serial: int
    after: str
    customers: set[str]
    marks: dict[str, int] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    rows: Rows | None = None
    has_more_decisions: bool = False


class Refresher:
    """Keeps the journeys of one business in one folder."""

    def __init__(
        self,
        ledger: Ledger,
        domain: Domain,
        folder: Path,
        pause: Callable[[], None] = lambda: time.sleep(BETWEEN_STEPS_S),
    ) -> None:
        self._ledger, self._domain, self._folder = ledger, domain, folder
        self._pause = pause
        self._rules = rules_of(domain)

    def refresh(
        self,
        clock: Callable[[], datetime],
        rebuild: bool = False,
        progress: Progress = quiet,
    ) -> RefreshResult:
        """Bring everything up to date; build it all if there is nothing yet.

        All marks that are there at the beginning are taken. ``clock`` is asked before each step.

        Raises
        ------
        LedgerDown
            If the ledger does not answer; what was done so far stays.
        """
        customers, builds, rounds = 0, 0, 0
        while True:
            with keeping(self._folder):
                state = self._ledger.read(read_state)
                if (rebuild and not builds) or state is None or not self._is_usable(state):
                    state, builds, rounds = self._build(state, clock(), progress), 1, 0
                # Through the marks once, or from the middle to the end, and once more.
                rounds = rounds or (1 if state.after == "" else 2)
                state, count, more = self._step(state, clock())
                customers += count
                rounds -= state.after == ""
                if not more and rounds <= 0:
                    return RefreshResult(self._tidied(state), customers, builds)
            self._pause()

    def _is_usable(self, state: KeptState) -> bool:
        """Return whether files are there that were written by the rules of today."""
        return state.rules == self._rules and state.are_there(self._folder)

    def _step(self, state: KeptState, now: datetime) -> tuple[KeptState, int, bool]:
        """Do one step.

        Returns
        -------
        state, customers, more
            The state after it, the number of customers that were cut, and whether time has to
            pass, or decisions to be taken, in a further step.
        """
        with state.opened(self._domain, self._folder) as data:
            until_us = max(state.as_of_us, tables.micros(now))
            due, as_of_us = due_customers(data, until_us, STEP)
            step = self._ledger.read(lambda c: self._cut(c, state, as_of_us, due))
            is_late = as_of_us < until_us
            if not step.customers and not is_late:
                rests = as_of_us - state.as_of_us < REST_US and step.serial == state.serial
                if rests and not step.marks and step.after == state.after:
                    return state, 0, False
            cells: pa.Table | None = None
            if step.rows is not None:
                cells = difference(rows_of(data, step.customers), step.rows)
        after = replace(
            state,
            as_of_us=as_of_us,
            serial=step.serial,
            after=step.after,
            version=state.version + 1,
        )
        if step.rows is not None:
            name = f"{build_folder(state.build)}/delta-{after.version:09}"
            write_pair(self._folder, name, step.customers, step.rows)
            after = replace(
                after,
                deltas=(*state.deltas, name),
                changed=state.changed + len(step.customers),
            )
        self._ledger.write_now(lambda c: _write(c, state, after, step, cells))
        if len(after.deltas) > DELTAS:
            after = self._merged(after)
        return after, len(step.customers), is_late or step.has_more_decisions

    def _cut(
        self, connection: sa.Connection, state: KeptState, as_of_us: int, due: Collection[str]
    ) -> _Step:
        """Read what has changed and cut its customers, from one snapshot."""
        query = sa.select(_MARKS.customer_id, _MARKS.number).where(_MARKS.customer_id > state.after)
        marks = connection.execute(query.order_by(_MARKS.customer_id).limit(STEP)).all()
        decided = tables.decisions.c
        newer = sa.select(decided.serial, decided.customer_id, decided.activated_at)
        newer = newer.where(decided.serial > state.serial).order_by(decided.serial)
        decisions = connection.execute(newer.limit(STEP)).all()
        serial = decisions[-1].serial if decisions else state.serial
        keys = {row.customer_id for row in marks}
        if self._domain.lifecycle.shown is not None:
            keys |= {row.customer_id for row in decisions if row.activated_at is not None}
        customers = {*due, *keys, *resolve_each(connection, keys).values()}
        is_full = len(marks) == STEP
        step = _Step(
            as_of_us,
            serial,
            marks[-1].customer_id if is_full else "",
            customers,
            {row.customer_id: row.number for row in marks},
            has_more_decisions=len(decisions) == STEP,
        )
        if customers:
            step.again = _with_later(connection, customers, as_of_us)
            step.rows = cut_customers(connection, self._domain, sorted(customers), as_of_us)
        return step

    def _build(self, former: KeptState | None, now: datetime, progress: Progress) -> KeptState:
        """Cut all customers; what changes meanwhile is marked, and taken by the next step."""
        read = self._ledger.read
        build = read(next_build)
        marks = read(lambda c: dict(map(tuple, c.execute(sa.select(tables.journey_marks)).all())))
        serial, place = read(newest_serial), build_folder(build)
        folder = self._folder / place
        try:
            built = build_journeys(self._ledger, self._domain, folder, now, progress)
            base = tuple(
                f"{place}/{pair.journeys.name.removesuffix(JOURNEYS)}" for pair in built.pairs
            )
            state = KeptState(
                self._rules,
                build,
                base,
                (),
                former.names if former else (),
                tables.micros(now),
                former.version + 1 if former else 1,
                serial,
                "",
                built.customers,
                0,
            )
            with state.opened(self._domain, self._folder) as data:
                write_cells(self._ledger, build, cells_of(data))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        again = set[str]()
        for some in in_batches(marks):
            keys = {*some, *read(lambda c, some=some: resolve_each(c, some)).values()}  # type: ignore[misc]
            again |= read(lambda c, keys=keys: _with_later(c, keys, state.as_of_us))  # type: ignore[misc]
        step = _Step(state.as_of_us, serial, "", set(), again=again)
        self._ledger.write_now(lambda c: _write(c, former, state, step, None))
        for some in in_batches(marks):
            taken = {key: marks[key] for key in some if key not in again}
            self._ledger.write_now(lambda c, taken=taken: _unmark(c, taken))  # type: ignore[misc]
        delete_other_builds(self._ledger, build)
        return state

    def _merged(self, state: KeptState) -> KeptState:
        """Merge the deltas into one."""
        name = f"{build_folder(state.build)}/merged-{state.version:09}"
        merged_deltas(state, self._domain, self._folder, name)
        return self._replaced(state, state.base, (name,), state.changed)

    def _tidied(self, state: KeptState) -> KeptState:
        """Merge the deltas into the base if they are large, and remove files that do not count."""
        if state.changed > CHANGED_SHARE * state.customers:
            prefix = f"{build_folder(state.build)}/base-{state.version:09}"
            names = merged_base(state, self._domain, self._folder, prefix)
            state = self._replaced(state, tuple(names), (), 0)
        remove_others(self._folder, (*state.names, *state.former))
        return state

    def _replaced(
        self, before: KeptState, base: tuple[str, ...], deltas: tuple[str, ...], changed: int
    ) -> KeptState:
        """Note other files with the same rows."""
        after = replace(before, base=base, deltas=deltas, former=before.names, changed=changed)
        step = _Step(before.as_of_us, before.serial, before.after, set())
        self._ledger.write_now(lambda c: _write(c, before, after, step, None))
        remove_others(self._folder, (*after.names, *after.former))
        return after


def refresh(
    ledger: Ledger, domain: Domain, folder: Path, now: datetime, rebuild: bool = False
) -> RefreshResult:
    """Bring the journeys of a folder and their counts up to a moment; see `Refresher.refresh`."""
    return Refresher(ledger, domain, folder).refresh(lambda: now, rebuild)


def _write(
    connection: sa.Connection,
    before: KeptState | None,
    after: KeptState,
    step: _Step,
    cells: pa.Table | None,
) -> None:
    """Write all of a step.

    Raises
    ------
    RuntimeError
        If another process has written a step since.
    """
    if not write_state(connection, before, after):
        raise RuntimeError("Another process keeps the same journeys; this step is not written.")
    if cells is not None:
        add_cells(connection, after.build, cells)
    _unmark(connection, step.marks)
    mark_journeys(connection, step.again)
    if before is None or before.build != after.build:
        connection.execute(sa.delete(tables.meta).where(tables.meta.c.key == RECOUNTED))


def _unmark(connection: sa.Connection, marks: dict[str, int]) -> None:
    rows = [{"customer_id": key, "number": number} for key, number in marks.items()]
    _UNMARK.run_many(connection, rows)


def _with_later(
    connection: sa.Connection, customer_ids: Collection[str], as_of_us: int
) -> set[str]:
    """Find the customers, among these, of whom something happens after a moment."""
    at = tables.from_micros(as_of_us)
    found = set[str]()
    for column in _LATER:
        who = column.table.c.customer_id
        query = sa.select(who).where(among(who, customer_ids), column > at).distinct()
        found |= {*connection.execute(query).scalars()}
    return found
