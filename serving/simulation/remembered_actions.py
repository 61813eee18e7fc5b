"""Remembers logged actions: each is read again whenever its silence has grown older.

A logged action changes only where its customer is erased or merged; the simulation does neither.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice

import sqlalchemy as sa

from features.outcomes.logged_actions import LoggedAction, read_logged_actions

MOST = 100_000  # decisions, of 1 kB each


class RememberedActions:
    """Reads as `read_logged_actions` does, and remembers the last decisions that it has read.

    Parameters
    ----------
    most : int
        Number of decisions that are remembered.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[tuple[str, str], list[LoggedAction]] = {}  # the newest last

    def __call__(
        self, connection: sa.Connection, decision_ids: Iterable[str], layout: str
    ) -> list[LoggedAction]:
        """Return the actions of some decisions, in the order of their serials."""
        ids, kept = dict.fromkeys(decision_ids), self._kept
        new = [one for one in ids if (one, layout) not in kept]
        kept |= {(one, layout): [] for one in new}
        for action in read_logged_actions(connection, new, layout):
            kept[action.shown.decision_id, layout].append(action)
        found = sorted(chain.from_iterable(kept[one, layout] for one in ids), key=_order)
        for key in list(islice(kept, max(len(kept) - self._most, 0))):
            del kept[key]
        return found


def _order(action: LoggedAction) -> tuple[int, int]:
    return action.serial, action.shown.rank
