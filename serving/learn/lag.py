"""Measures the learner's lag: how long, and how many, decisions wait to be learned from.

A decision waits from the time at which an outcome of it was received, or its silence was due for a
revision, until the learner has counted that. The queries read two partial indexes, which hold
nothing but what waits, and at most `MOST_COUNTED` rows of each.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from features.ledger import tables

MOST_COUNTED = 10_000  # decisions
BOUND = timedelta(seconds=60)  # a longer lag is said on `/readyz`


class LearnerLag(NamedTuple):
    """The age and the number of what waits for the learner.

    Attributes
    ----------
    seconds : float
        The age of what waits longest: an outcome since it was received, or a silence since it was
        due; 0 if nothing waits.
    decisions : int
        Decisions with something that waits; at most `MOST_COUNTED` are counted.
    """

    seconds: float
    decisions: int


def read_lag(connection: sa.Connection, now: datetime) -> LearnerLag:
    """Read what waits for the learner at ``now``."""
    outcomes, credits = tables.outcomes.c, tables.credits.c
    is_new, is_due = ~outcomes.learned, credits.revise_at <= now
    longest = (
        sa.select(outcomes.received_at).where(is_new).order_by(outcomes.received_at).limit(1),
        sa.select(credits.revise_at).where(is_due).order_by(credits.revise_at).limit(1),
    )
    since = [at for query in longest if (at := connection.execute(query).scalar()) is not None]
    if not since:
        return LearnerLag(0.0, 0)
    # In the order of the indexes, so that the database reads no more rows than it returns.
    first = (
        sa.select(outcomes.decision_id).where(is_new).order_by(outcomes.received_at),
        sa.select(credits.decision_id).where(is_due).order_by(credits.revise_at),
    )
    waiting = sa.union(*(sa.select(one.limit(MOST_COUNTED).subquery()) for one in first))
    found = connection.execute(sa.select(sa.func.count()).select_from(waiting.subquery()))
    seconds = max(0.0, (now - min(since)) / timedelta(seconds=1))
    return LearnerLag(seconds, min(int(found.scalar_one()), MOST_COUNTED))


def lag_sentence(lag: LearnerLag) -> str:
    """Say in a sentence that the lag is above `BOUND`; empty if it is not."""
    if lag.seconds <= BOUND / timedelta(seconds=1):
        return ""
    most = "at least " if lag.decisions >= MOST_COUNTED else ""
    who = "1 decision waits" if lag.decisions == 1 else f"{most}{lag.decisions:,} decisions wait"
    return f"learner: {who} to be learned from, for up to {lag.seconds:,.0f} s; see its log"
