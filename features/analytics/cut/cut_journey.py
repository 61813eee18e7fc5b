"""A journey of one customer while it is cut, and its steps."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from features.analytics.tables import EVENT


class PastEvent(NamedTuple):
    """An event of a customer, in the order of folding."""

    event_id: str
    type: str
    channel: str
    at_us: int
    properties: dict[str, Any]


class Step(NamedTuple):
    """A step of a journey; the numbers are those of `MapNodes` and `tables`."""

    at_us: int
    node: int
    channel: str | None
    what: int = EVENT
    type: str | None = None
    properties: dict[str, Any] | None = None  # of an event


@dataclass(slots=True)
class CutJourney:
    """A journey of one customer.

    Attributes
    ----------
    order : (int, str, int)
        Its place among the journeys of the customer: time and id of its first event, and its map.
    how : str
        See `tables.HOWS`.
    end_us : int or None
        When it ended, lapsed, or the customer left; None while it is open.
    due_us : int or None
        When it changes without an event; None: never.
    """

    map: str
    order: tuple[int, str, int]
    case: str | None = None
    steps: list[Step] = field(default_factory=list)
    how: str = "open"
    end_us: int | None = None
    due_us: int | None = None

    @property
    def start_us(self) -> int:
        """The time of its first step."""
        return self.order[0]

    @property
    def path(self) -> int:
        """A hash of its nodes in their order: journeys with the same one went the same way."""
        nodes = b"".join(step.node.to_bytes(2, "big") for step in self.steps)
        return int.from_bytes(hashlib.blake2b(nodes, digest_size=8).digest(), "big")

    def close(self, how: str, at_us: int) -> None:
        """End it."""
        self.how, self.end_us, self.due_us = how, at_us, None
