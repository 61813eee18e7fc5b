"""Sets harm aside that cannot be counted, so that the other harm is counted.

The event, or the decision before it, cannot be read. Its mark stays under another kind, which no
step takes, until the server starts anew: the program may have changed. Other guardrails count that
harm if they can; what they have counted they do not count again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from features.ledger import tables
from features.outcomes.harm_marks import EVENT, SILENCE
from serving.learn.set_aside import may_be_of_a_decision

log = logging.getLogger(__name__)

NAMED = 3  # marks in a sentence
ASIDE = {EVENT: f"{EVENT} set aside", SILENCE: f"{SILENCE} set aside"}
_BACK = {aside: kind for kind, aside in ASIDE.items()}
_MARKS = tables.guardrail_marks.c
_IS_ASIDE = _MARKS.kind.in_(list(_BACK))


@contextmanager
def caught(mark: Any, aside: list[Any]) -> Iterator[None]:
    """Add a mark to others if its harm cannot be counted; a failure of the database is raised."""
    try:
        yield
    except Exception as error:
        if not may_be_of_a_decision(error):
            raise
        if mark not in aside:
            aside.append(mark)
        named = f"the event {mark.key!r}" if mark.kind == EVENT else "a silence"
        log.error("Harm is set aside, not counted: that of %s", named, exc_info=error)


def set_aside(connection: sa.Connection, marks: Iterable[Any]) -> None:
    """Keep marks whose harm cannot be counted."""
    _move(connection, marks, ASIDE)


def try_again(connection: sa.Connection) -> None:
    """Mark again all that was set aside."""
    _move(connection, _all_aside(connection), _BACK)
    connection.execute(sa.delete(tables.guardrail_marks).where(_IS_ASIDE))


def _move(connection: sa.Connection, marks: Iterable[Any], kinds: dict[str, str]) -> None:
    rows = [{**mark._asdict(), "kind": kinds[mark.kind]} for mark in marks]
    tables.insert_new(connection, tables.guardrail_marks, rows)


def _all_aside(connection: sa.Connection) -> Sequence[Any]:
    return connection.execute(sa.select(tables.guardrail_marks).where(_IS_ASIDE)).all()


def read_set_aside(connection: sa.Connection) -> tuple[int, list[str]]:
    """Count the harm that is set aside, and name some of it."""
    counted = sa.select(sa.func.count()).select_from(tables.guardrail_marks).where(_IS_ASIDE)
    count: int = connection.execute(counted).scalar_one()
    query = sa.select(_MARKS.kind, _MARKS.key).where(_IS_ASIDE).order_by(_MARKS.due_at, _MARKS.key)
    rows = connection.execute(query.limit(NAMED)) if count else ()
    return count, [f"{_BACK[row.kind]} {row.key!r}" for row in rows]


def harm_set_aside_sentence(count: int, some: Sequence[str]) -> str:
    """Say in a sentence which harm is set aside; empty if there is none."""
    if not count:
        return ""
    more = ", ..." if count > len(some) else ""
    of = "1 event or silence" if count == 1 else f"{count:,} events and silences"
    return (
        f"guardrails: the harm of {of} is set aside and not counted: {', '.join(some)}{more}; see "
        "the log; tried again when the server starts"
    )
