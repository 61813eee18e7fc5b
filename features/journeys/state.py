"""What the parts of the fold have in common: the state, its units, and the shape of a part.

A state is one flat list of numbers; each part of the fold keeps its own stretch of it, says what
the numbers are called, moves them at an event, and reads features from them at any moment.
"""

from __future__ import annotations

from typing import Protocol

from features.journeys.descriptions import FeatureDescription

State = list[float]

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S


class FoldPart(Protocol):
    """A stretch of the state. How an event moves it differs from part to part.

    Its first number is 0 as long as it is as empty as `empty` makes it.
    """

    @property
    def fields(self) -> tuple[str, ...]:
        """Name of each number it keeps; ``_at`` are seconds since 1970 (UTC)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each feature it reads."""

    def descriptions(self) -> dict[str, FeatureDescription]:
        """Describe each feature in plain English, by its name; for explanations only."""

    def empty(self) -> State:
        """Its numbers while nothing has happened, shape (len(fields),)."""

    def read(self, features: list[float], state: State, at_s: float) -> None:
        """Append its features at a moment, shape (len(names),)."""
