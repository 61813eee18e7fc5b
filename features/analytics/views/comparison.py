"""The difference of two maps: two periods, two personas, or the expected way and the real one."""

from __future__ import annotations

from dataclasses import dataclass

from features.analytics.views.lists import Number


@dataclass(frozen=True)
class ComparedEdge:
    """A transition on both maps.

    Attributes
    ----------
    source, target : str
        Labels, also START and END.
    before, after : Number
        Transitions on each map.
    share_before, share_after : float or None
        The part of the visits of the source that went on to the target; None: it had no visits.
    difference, low, high : float or None
        ``share_after - share_before`` with its interval of 95 %; None if it cannot be told.
    p_value, adjusted : float or None
        Of no difference; and adjusted for the number of transitions (Benjamini and Yekutieli).
    is_changed : bool
        True if ``adjusted`` is at most 5 %.
    words : str
        The difference in a sentence.
    """

    source: str
    target: str
    before: Number
    after: Number
    share_before: float | None
    share_after: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    adjusted: float | None
    is_changed: bool
    words: str


@dataclass(frozen=True)
class MapComparison:
    """Two maps that lie on each other.

    Attributes
    ----------
    before, after : Number
        Journeys on each map.
    edges : tuple of ComparedEdge
        All transitions of both maps: the changed ones first, by the size of the difference.
    tested : int
        Transitions that were tested.
    """

    map: str
    before: Number
    after: Number
    edges: tuple[ComparedEdge, ...]
    tested: int
