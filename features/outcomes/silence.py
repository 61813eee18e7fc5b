"""Defines the ages at which a silent action is counted, and queues shown actions for them.

A shown action without an outcome of acceptance is *silent*. An acceptance may still come, so a
silence of age g counts as F(g) of a no, where F is the action's `DelayCurve`. The count is revised
at a few fixed ages, which are fractions of the attribution window. Between two ages it is constant,
so sums over silences stay sums.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from features.ledger import tables
from features.ledger.statements import Statement
from features.outcomes.credit_rules import ShownAction

FRACTIONS = (0.0, 1 / 64, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
# A silence counts as of the middle of its interval.
MIDDLES = tuple((begin + end) / 2 for begin, end in zip(FRACTIONS, FRACTIONS[1:], strict=False))
_COLUMNS = ("decision_id", "action_id", "acceptance", "count", "revise_at")
_QUEUE = Statement(tables.credits.insert(), _COLUMNS)


class SilentInterval(NamedTuple):
    """An interval between two ages of a silent action.

    Attributes
    ----------
    number : int
        From 0, the index of its first age in `FRACTIONS`.
    begin_at : datetime
        The time at which the action reached that age.
    end_at : datetime or None
        The time of the next revision; None: the window has ended, so the silence counts fully.
    """

    number: int
    begin_at: datetime
    end_at: datetime | None


def silent_interval(shown: ShownAction, now: datetime) -> SilentInterval:
    """Return the interval of a silent action at ``now``; the first one before it was shown."""
    window = shown.ends_at - shown.shown_at
    times = [shown.shown_at + fraction * window for fraction in FRACTIONS]
    number = max(bisect_right(times, now) - 1, 0)
    is_last = number == len(times) - 1
    return SilentInterval(number, times[number], None if is_last else times[number + 1])


def queue_silences(
    connection: sa.Connection, decision_id: str, action_ids: Iterable[str], shown_at: datetime
) -> None:
    """Queue the actions that a decision shows, so that the learner counts their silence."""
    row = {"decision_id": decision_id, "acceptance": 0.0, "count": 0.0, "revise_at": shown_at}
    for action_id in action_ids:
        _QUEUE.run(connection, {**row, "action_id": action_id})
