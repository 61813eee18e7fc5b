"""Sets decisions aside that the learner cannot learn from, so that the others are learned.

A step that fails is tried three times, then with half of its decisions, and so on, until the one is
found that makes it fail. That one is set aside: no step reads it until an outcome of it comes or
the learner starts anew, as the program or the domain file may have changed. It is then tried alone.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import datetime
from pathlib import Path
from traceback import walk_tb

import sqlalchemy as sa

from features.errors import LedgerDown
from features.ledger import tables
from features.ledger.statements import among

TRIES = 3  # of a step before it is halved
IN_A_ROW = 20  # decisions set aside; if the next one fails as well, it is none of a decision's
NAMED = 3  # decisions in a sentence
_ASIDE = tables.learner_set_aside.c
_ROOT = f"{Path(__file__).resolve().parents[2]}/"


class StepSize:
    """Chooses how many decisions the next step takes.

    Parameters
    ----------
    most : int
        As long as no step fails.
    """

    def __init__(self, most: int) -> None:
        self._most = self.most = most
        self._failures = self._given_up = 0

    def gives_up(self, error: Exception, decisions: int, is_retried: bool) -> bool:
        """Note that a step has failed; from the third time on, halve it.

        Parameters
        ----------
        decisions : int
            The number of decisions in the step.
        is_retried : bool
            The step is of a decision that was set aside before.

        Returns
        -------
        bool
            True if its only decision is to be set aside; False to try again.
        """
        if not may_be_of_a_decision(error) or not decisions:
            return False
        self._failures += 1
        if self._failures >= TRIES:
            self.most = max(1, min(self.most, decisions) // 2)
        if decisions > 1 or not (is_retried or self._failures >= TRIES):
            return False
        self._given_up += not is_retried
        return self._given_up <= IN_A_ROW

    def went_on(self, has_learned: bool) -> None:
        """Note that a step was written, or that its only decision was set aside instead."""
        self.most = min(self._most, 2 * self.most)
        if self.most == self._most:
            self._failures = 0
        if has_learned:
            self._given_up = 0


def may_be_of_a_decision(error: Exception) -> bool:
    """Return whether a failure may be that of a decision, and not one of the database or disk."""
    elsewhere = (
        LedgerDown,
        OSError,
        *(sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError),
        sa.exc.TimeoutError,
    )
    return not isinstance(error, elsewhere)


def problem_of(error: Exception) -> str:
    """Say where a decision failed; without the text of the error, which may hold its content."""
    ours = [
        frame.f_code.co_filename
        for frame, _ in walk_tb(error.__traceback__)
        if frame.f_code.co_filename.startswith(_ROOT)
    ]
    return f"{type(error).__name__} in {Path(ours[-1]).name}" if ours else type(error).__name__


def set_aside(
    connection: sa.Connection, decision_ids: Sequence[str], problem: str, now: datetime
) -> None:
    """Note that decisions cannot be learned from; one that was erased meanwhile is left out."""
    column = tables.decisions.c.decision_id
    there = connection.execute(sa.select(column).where(among(column, decision_ids))).scalars()
    rows = [{"decision_id": one, "set_aside_at": now, "problem": problem} for one in there]
    tables.upsert(connection, tables.learner_set_aside, rows)


def set_aside_among(connection: sa.Connection, decision_ids: Sequence[str]) -> Set[str]:
    """Return those of some decisions that are set aside."""
    query = sa.select(_ASIDE.decision_id).where(among(_ASIDE.decision_id, decision_ids))
    return set(connection.execute(query).scalars())


def take_back(connection: sa.Connection, decision_ids: Sequence[str]) -> None:
    """Note that decisions have been learned from."""
    mine = among(_ASIDE.decision_id, decision_ids)
    connection.execute(tables.learner_set_aside.delete().where(mine))


def all_set_aside(connection: sa.Connection) -> list[str]:
    """Read the ids of all decisions that are set aside, the first ones first."""
    query = sa.select(_ASIDE.decision_id).order_by(_ASIDE.set_aside_at, _ASIDE.decision_id)
    return list(connection.execute(query).scalars())


def read_learner_set_aside(connection: sa.Connection) -> tuple[int, list[tuple[str, str]]]:
    """Count the decisions that are set aside, and read some of them with their problems."""
    counted = sa.select(sa.func.count()).select_from(tables.learner_set_aside)
    count: int = connection.execute(counted).scalar_one()
    query = sa.select(_ASIDE.decision_id, _ASIDE.problem).order_by(_ASIDE.set_aside_at)
    rows = connection.execute(query.limit(NAMED)) if count else ()
    return count, [(row.decision_id, row.problem) for row in rows]


def learner_set_aside_sentence(count: int, some: Sequence[tuple[str, str]]) -> str:
    """Say in a sentence which decisions are set aside; empty if there are none."""
    if not count:
        return ""
    named = ", ".join(f"{name!r} ({problem})" for name, problem in some)
    more = ", ..." if count > len(some) else ""
    one = "1 decision is" if count == 1 else f"{count:,} decisions are"
    again = "tried again with its next outcome" if count == 1 else "tried again with their outcomes"
    return (
        f"learner: {one} set aside and not learned from: {named}{more}; see the log of the "
        f"learner; {again}, and when the server starts"
    )
