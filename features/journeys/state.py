"""The state of the fold, its units, and the protocol of its parts.

A state is one flat list of numbers. Each part of the fold has its own slice of it: it names the
numbers, updates them at an event, and reads features from them at any moment. The memory of open
journeys grows, so it has one place of the list, where a tuple of numbers stands (the type of the
list does not say so, as all other parts may rely on numbers); see `promises.journey_memory`.
"""

from __future__ import annotations

from typing import Protocol

from features.journeys.descriptions import FeatureDescription

State = list[float]

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
SECOND_US = 1_000_000


class FoldPart(Protocol):
    """A slice of the state. Each part has its own method to update it at an event.

    The first number of the slice is 0 as long as the slice is that of `empty`.
    """

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the numbers of the slice; ``_at`` are seconds since 1970 (UTC)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features that are read from the slice."""

    def descriptions(self) -> dict[str, FeatureDescription]:
        """Describe each feature in plain English, by its name; for explanations only."""

    def empty(self) -> State:
        """Return the slice before any event, shape (len(fields),)."""

    def read(self, features: list[float], state: State, at_s: float) -> None:
        """Append the features at a moment, shape (len(names),)."""
