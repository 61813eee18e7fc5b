"""Defines the results of ingesting events: of one call, and of a part of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from features.errors import InvalidEvent


@dataclass(frozen=True, slots=True, order=True)
class Rejection:
    """An event that was rejected: its index in the call, the wrong field, and the reason."""

    index: int
    field: str
    error: str


@dataclass(frozen=True, slots=True)
class IngestResult:
    """The result of ingesting the events of one call."""

    accepted: int
    duplicates: int
    rejected: list[Rejection]


@dataclass(slots=True)
class AppendedEvents:
    """The results of appending events, by their places in the call.

    Attributes
    ----------
    accepted, duplicates
        With the customer of each event.
    touched
        Customers and accounts whose states must be shown.
    """

    accepted: dict[int, str] = field(default_factory=dict)
    duplicates: dict[int, str] = field(default_factory=dict)
    refused: dict[int, InvalidEvent] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)

    def add(self, other: AppendedEvents) -> None:
        """Add the results of further events of the call."""
        self.accepted |= other.accepted
        self.duplicates |= other.duplicates
        self.refused |= other.refused
        self.touched |= other.touched


def not_visible(place: int, key: str, problem: str) -> Rejection:
    """Make the rejection of an event that is kept, but whose customer is set aside.

    Parameters
    ----------
    place : int
        The index of the event in its call.
    problem : str
        The sentence that says which event of the customer cannot be folded.
    """
    return Rejection(
        place,
        "customer_id",
        f"The event is kept, but the past of customer {key!r} cannot be folded. {problem} "
        "Expected a past that fits the domain file. Correct the domain file and restart, or "
        "forget the customer.",
    )
