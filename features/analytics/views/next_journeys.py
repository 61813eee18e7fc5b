"""Which journey follows: after a journey that ended so, what the customer begins next, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from features.analytics.views.lists import Number

# Beside the kinds: no other journey began within the days; the customer left first; or neither has
# happened yet, and the days are not over.
NEVER_NEXT, LEFT_NEXT, NOT_YET = "never", "left", "nothing yet"


@dataclass(frozen=True)
class NextRow:
    """Journeys of one kind that ended in one way.

    Attributes
    ----------
    kind, how : str
    journeys : Number
    nexts : mapping
        For each column of `NextJourneys` the journeys that it follows; they sum to ``journeys``.
    """

    kind: str
    how: str
    journeys: Number
    nexts: Mapping[str, Number]


@dataclass(frozen=True)
class NextJourneys:
    """A row for each kind and way of ending, a column for what came next.

    Attributes
    ----------
    within_days : float
    columns : tuple of str
        The kinds, then ``left``, ``nothing yet`` and ``never``.
    rows : tuple of NextRow
    """

    within_days: float
    columns: tuple[str, ...]
    rows: tuple[NextRow, ...]
