"""Planned against actual: which journeys went the expected way, and where others left it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from features.analytics.views.lists import Number

# skipped: a later step of the way came, before one that may not be left out.
# again: a step of the way that had come before. extra: a step that is not on the way, or after its
# end. stopped: the journey closed before the end of the way.
DeviationKind = Literal["skipped", "again", "extra", "stopped"]


@dataclass(frozen=True, slots=True)
class Deviation:
    """The first deviation of some journeys from the expected way.

    Attributes
    ----------
    kind : str
    expected : str or None
        The step of the way that should have come; None after the end of the way.
    found : str or None
        The node that came instead; None if the journey stopped.
    n : Number
    share : float
        Of the journeys that deviate.
    """

    kind: DeviationKind
    expected: str | None
    found: str | None
    n: Number
    share: float


@dataclass(frozen=True, slots=True)
class ConformanceView:
    """One version of an expected way, and the journeys that are judged by it.

    Attributes
    ----------
    journey : str
        The kind of journey.
    version : int
        `since` is its first day, as 2026-09-01.
    way : tuple of str
        The steps as the domain file names them; one with ``?`` may be left out.
    journeys : Number
        conforming + on_the_way + deviating.
    conforming : Number
        Closed, after the whole way and nothing else.
    on_the_way : Number
        Open, and without a deviation so far.
    share : float or None
        conforming / (conforming + deviating); None if none is decided.
    deviations : tuple of Deviation
        The most frequent first.
    other_deviations : Number
        The journeys with a deviation that is not among them.
    distinct : int
        Number of different deviations.
    """

    journey: str
    version: int
    since: str
    way: tuple[str, ...]
    journeys: Number
    conforming: Number
    on_the_way: Number
    deviating: Number
    share: float | None
    deviations: tuple[Deviation, ...]
    other_deviations: Number
    distinct: int
