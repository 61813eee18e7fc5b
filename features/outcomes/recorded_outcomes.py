"""The time and the id under which an outcome is recorded: live ones, and those of tables."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from features.journeys.events import MAX_CLOCK_SKEW
from features.ledger import tables

MAX_CLOCK_BEHIND = MAX_CLOCK_SKEW  # a caller's clock may be behind ours by this much


def recorded_time(occurred_at: datetime, shown_at: datetime) -> datetime | None:
    """Return the time at which an outcome counts; None if it is too early for its decision.

    Clocks of callers are seconds behind, and many send whole seconds. So an outcome that is stamped
    up to `MAX_CLOCK_BEHIND` before its decision was shown counts as of the showing.
    """
    if occurred_at < shown_at - MAX_CLOCK_BEHIND:
        return None
    return max(occurred_at, shown_at)


def generated_ids(*parts: str) -> tuple[str, str]:
    """Make two ids of the parts that identify an outcome, for one that was sent without an id.

    Parts may hold colons, so other parts may make the same short id. The long one has the
    length of each part but the last, too, and no other parts make it. Take it where the short id
    is that of another outcome.
    """
    short = ":".join(parts)
    return short, f"{short}:{'-'.join(str(len(part)) for part in parts[:-1])}"


def count_at_most(connection: sa.Connection, which: sa.ColumnElement[bool], limit: int) -> int:
    """Count the recorded outcomes that fulfil a condition, up to a limit."""
    told = sa.select(tables.outcomes.c.outcome_id).where(which).limit(limit)
    count = sa.select(sa.func.count()).select_from(told.subquery())
    counted: int = connection.execute(count).scalar_one()
    return counted
