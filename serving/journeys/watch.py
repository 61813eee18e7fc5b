"""Keeps the process of journeys running, and says on `/readyz` what is wrong with them."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from features.analytics.upkeep.kept_state import KeptState, kept_elsewhere, read_state
from features.analytics.upkeep.recount import Recounted, read_recounted
from features.ledger import tables
from features.ledger.ledger import Ledger
from serving.journeys.process import PROBLEM
from serving.learn.child_process import ChildProcess

OLD = timedelta(minutes=5)


class JourneysWatch:
    """Looks after the journeys of one server; only its first worker keeps the process.

    Parameters
    ----------
    old : timedelta
        Journeys that were counted longer ago are a problem.

    Attributes
    ----------
    problems : list of str
        One sentence for each, as of the last look.
    """

    def __init__(self, ledger: Ledger, folder: Path, old: timedelta = OLD) -> None:
        self._ledger, self._folder, self._old = ledger, folder, old
        self._process = ChildProcess("journeys", "serving.journeys.process")
        self.problems: list[str] = []

    def keep_alive(self, now_s: float) -> None:
        """Start the process if it does not run; see `ChildProcess.run_on`."""
        self._process.run_on(now_s)

    def look(self, now: datetime) -> None:
        """Read from the ledger what is wrong."""
        state, recounted, problem = self._ledger.read(_noted)
        found = [one for one in (self._process.problem, problem) if one]
        if elsewhere := kept_elsewhere(state, self._folder, tables.micros(now)):
            found.append(f"journeys: {elsewhere}")
        if state is not None:
            as_of = tables.from_micros(state.as_of_us)
            if now - as_of > self._old:
                minutes = (now - as_of) // timedelta(minutes=1)
                found.append(f"journeys: counted up to {minutes:,} minutes ago")
        if recounted is not None and recounted.differences:
            found.append(_differs(recounted))
        self.problems = found

    def stop(self) -> None:
        """End the process."""
        self._process.stop()


def _noted(
    connection: sa.Connection,
) -> tuple[KeptState | None, Recounted | None, str | None]:
    problem = tables.get_meta(connection, PROBLEM)
    return read_state(connection), read_recounted(connection), problem


def _differs(recounted: Recounted) -> str:
    first, *others = recounted.differences
    more = f", and {len(others)} more" if others else ""
    at = recounted.at.isoformat(timespec="minutes")
    remedy = "the next night builds them again; so does a deletion of the home's folder 'journeys'"
    return f"journeys: the recount of {at} differs: {first}{more}; {remedy}"
