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
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from features.analytics.build import build_journeys
from features.analytics.cut.customer_cutter import CustomerCutter
from features.analytics.journey_data import JourneyData
from features.analytics.journey_files import JOURNEYS
from features.analytics.upkeep.changes import (
    STEP,
    ChangedJourneys,
    cut_changed,
    cut_due,
    is_quiet,
    unmark,
    with_later,
    write_change,
)
from features.analytics.upkeep.cube import (
    cells_of,
    delete_other_builds,
    difference,
    next_build,
    write_cells,
)
from features.analytics.upkeep.kept_files import (
    build_folder,
    due_customers,
    kept_rows_of,
    merged_base,
    merged_deltas,
    next_due_us,
    remove_others,
    write_pair,
)
from features.analytics.upkeep.kept_state import (
    KeptState,
    keeping,
    kept_elsewhere,
    make_keeper,
    read_state,
    rules_of,
)
from features.business.domain import Domain
from features.identity.links import resolve_each
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.statements import in_batches
from features.progress import Progress, quiet
from features.rewards.reward_state import newest_serial

DELTAS = 24  # so many are merged into one
CHANGED_SHARE = 0.05  # of customers in deltas; from then on they are merged into the base
BETWEEN_STEPS_S = 0.05  # when an erasure may get the lock of the files
NOBODY = -1  # no version
REST_US = 60_000_000  # without a change, the data are of a newer moment after so long


class RefreshResult(NamedTuple):
    """The state after a refresh, and the numbers of customers who were cut and of builds."""

    state: KeptState
    customers: int
    builds: int


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
        self._next_due = NOBODY, 0  # the version for which it is known, and the time
        self._cutter, self._rules = CustomerCutter(domain), rules_of(domain)
        self._readable: tuple[str, ...] = ()  # the base that was opened once

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
        NotCounted
            If another home keeps the journeys of this ledger.
        """
        customers, builds, rounds = 0, 0, 0
        while True:
            with keeping(self._folder):
                state = self._ledger.read(read_state)
                if refused := kept_elsewhere(state, self._folder, tables.micros(clock())):
                    raise refused
                if (rebuild and not builds) or state is None or not self._is_usable(state):
                    state, builds, rounds = self._build(state, clock, progress), 1, 0
                # Through the marks once, or from the middle to the end, and once more.
                rounds = rounds or (1 if state.after == "" else 2)
                state, change, is_late = self._step(state, clock())
                customers += len(change.customers)
                if not is_late:
                    rounds -= state.after == ""
                if not (is_late or change.has_more_decisions or rounds):
                    return RefreshResult(self._tidied(state), customers, builds)
            self._pause()

    def _is_usable(self, state: KeptState) -> bool:
        """Return whether files can be read that were written by the rules of today."""
        if state.rules != self._rules or not state.are_there(self._folder):
            return False
        if state.base != self._readable:  # looked at once
            data = state.try_to_open(self._domain, self._folder)
            if data is None:
                return False
            data.close()
            self._readable = state.base
        return True

    def _step(self, state: KeptState, now: datetime) -> tuple[KeptState, ChangedJourneys, bool]:
        """Do one step.

        Returns
        -------
        state, change, is_late
            The state after it, its customers, and whether more customers are due until now.
        """
        with state.opened(self._domain, self._folder) as data:
            until_us = max(state.as_of_us, tables.micros(now))
            due, as_of_us = self._due(data, until_us)
            is_late = as_of_us < until_us
            if is_late:
                change = self._ledger.read(lambda c: cut_due(c, self._cutter, state, as_of_us, due))
            else:
                shown = self._domain.lifecycle.shown is not None
                change = self._ledger.read(
                    lambda c: cut_changed(c, self._cutter, state, as_of_us, due, shown)
                )
            taken = (change.serial, change.after) == (state.serial, state.after)
            if taken and not change.customers and as_of_us - state.as_of_us < REST_US:
                return state, change, is_late
            cells: pa.Table | None = None
            if change.rows is not None:
                before = kept_rows_of(state, self._domain, self._folder, change.customers)
                cells = difference(before, change.rows)
        after = replace(
            state,
            as_of_us=as_of_us,
            serial=change.serial,
            after=change.after,
            version=state.version + 1,
        )
        if change.rows is not None:
            name = f"{build_folder(state.build)}/delta-{after.version:09}"
            write_pair(self._folder, name, change.customers, change.rows)
            changed = state.changed + len(change.customers)
            after = replace(after, deltas=(*state.deltas, name), changed=changed)
        self._ledger.write_now(lambda c: write_change(c, state, after, change, cells))
        self._note_due(after, change, bool(due))
        if len(after.deltas) > DELTAS:
            after = self._merged(after)
        return after, change, is_late

    def _due(self, data: JourneyData, until_us: int) -> tuple[list[str], int]:
        """Find who is due until a moment; without a look at all journeys if nobody can be."""
        version, next_us = self._next_due
        if version != data.version:
            next_us = next_due_us(data)
            self._next_due = data.version, next_us
        if next_us > until_us:
            return [], until_us
        due, as_of_us = due_customers(data, until_us, STEP)
        if not due:  # who was due next is so later now
            self._next_due = data.version, next_due_us(data)
        return due, as_of_us

    def _note_due(self, after: KeptState, change: ChangedJourneys, found: bool) -> None:
        """Know when the next customer is due after a step that was written."""
        times = [self._next_due[1]]
        if change.rows is not None:
            times += [one for one in change.rows[0]["due_us"].to_pylist() if one is not None]
        self._next_due = (NOBODY if found else after.version), min(times)

    def _build(
        self, former: KeptState | None, clock: Callable[[], datetime], progress: Progress
    ) -> KeptState:
        """Cut all customers; what changes meanwhile is marked, and taken by the next step."""
        read = self._ledger.read
        build = read(next_build)
        marks = read(lambda c: dict(map(tuple, c.execute(sa.select(tables.journey_marks)).all())))
        serial, place = read(newest_serial), build_folder(build)
        folder, now = self._folder / place, clock()  # no decision up to the serial is later
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
                make_keeper(self._folder),
            )
            with state.opened(self._domain, self._folder) as data:
                write_cells(self._ledger, build, cells_of(data))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        again = set[str]()
        for some in in_batches(marks):
            keys = {*some, *read(lambda c, some=some: resolve_each(c, some)).values()}  # type: ignore[misc]
            again |= read(lambda c, keys=keys: with_later(c, keys, state.as_of_us))  # type: ignore[misc]
        change = ChangedJourneys(state.as_of_us, serial, "", again=again)
        self._ledger.write_now(lambda c: write_change(c, former, state, change, None))
        for some in in_batches(marks):
            taken = {key: marks[key] for key in some if key not in again}
            self._ledger.write_now(lambda c, taken=taken: unmark(c, taken))  # type: ignore[misc]
        delete_other_builds(self._ledger, build)
        return state

    def _merged(self, state: KeptState) -> KeptState:
        """Merge the deltas into one."""
        name = f"{build_folder(state.build)}/merged-{state.version:09}"
        merged_deltas(state, self._domain, self._folder, name)
        return self._replaced(state, state.base, (name,), state.changed)

    def _tidied(self, state: KeptState) -> KeptState:
        """Merge the deltas into the base if they are large, and remove files that do not count.

        It takes as long as the half of a build. So while many customers are marked, it waits until
        the deltas are as large as the base.
        """
        share = CHANGED_SHARE if self._ledger.read(is_quiet) else 1.0
        if state.changed > share * state.customers:
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
        change = ChangedJourneys(before.as_of_us, before.serial, before.after)
        self._ledger.write_now(lambda c: write_change(c, before, after, change, None))
        remove_others(self._folder, (*after.names, *after.former))
        return after


def refresh(
    ledger: Ledger, domain: Domain, folder: Path, now: datetime, rebuild: bool = False
) -> RefreshResult:
    """Bring the journeys of a folder and their counts up to a moment; see `Refresher.refresh`."""
    return Refresher(ledger, domain, folder).refresh(lambda: now, rebuild)
