"""Actions that a guardrail has switched off: no decision may show them until somebody lifts it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from serving.contract.decisions import Removed


class Stop(NamedTuple):
    """The guardrail that switched an action off, and when."""

    guardrail: str
    stopped_at: datetime

    @property
    def rule(self) -> str:
        """The name of the rule that removes the action."""
        return f"guardrails.{self.guardrail}"

    def removal(self, action_id: str) -> Removed:
        """The removal of the action from a decision, in words."""
        at = self.stopped_at.isoformat(timespec="seconds")
        reason = f"the guardrail {self.guardrail} switched it off at {at}, until somebody lifts it"
        return Removed(action_id=action_id, rule=self.rule, reason=reason)


Stops = Mapping[str, Stop]  # by action


def stops_to_json(stops: Stops) -> dict[str, tuple[str, str]]:
    """Write stops for the record of a decision; inverse of `stops_from_json`."""
    return {
        name: (one.guardrail, one.stopped_at.isoformat()) for name, one in sorted(stops.items())
    }


def stops_from_json(kept: Mapping[str, tuple[str, str]]) -> dict[str, Stop]:
    """Read the stops from the record of a decision."""
    return {
        name: Stop(guardrail, datetime.fromisoformat(at)) for name, (guardrail, at) in kept.items()
    }
