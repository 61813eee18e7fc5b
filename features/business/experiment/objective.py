"""The objective: what a customer is worth, as the domain file says.

The value of a customer over some days is the margin of the events of these days, less the costs of
what was shown, less the remaining value of the customer if the customer has left. Who leaves is
said by the domain's definition of churn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from features.business.event_types import Attribute, EventType
from features.business.yaml_file import Frozen, Name
from features.business.yaml_mistakes import Mistakes
from features.business.yaml_types import NAME

MARGIN = (
    "a share of what is spent (greater than 0, at most 1), or the name of a property, "
    "or a mapping from event.property to a share"
)
SHARE = "a share from -10 to 10 that is not 0; that of a refund is negative"
MOST_REMAINING = 1e9
REMAINING = (
    "a number from 0 to 1,000,000,000, or the name of an attribute, "
    "or a mapping with keys of attribute, times, otherwise"
)


class RemainingValue(Frozen):
    """The value that a customer who leaves takes along: a number attribute, ``times`` a factor.

    ``otherwise`` is the remaining value where the attribute is unknown, or none is named.
    """

    attribute: Name | None = None
    times: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = 1.0
    otherwise: Annotated[float, Field(ge=0, le=MOST_REMAINING, allow_inf_nan=False)] = 0.0


class Objective(Frozen):
    """The value of a customer, in the domain's currency.

    Attributes
    ----------
    margin
        A share of all that events measure as spend; or a property, the sum of which is the margin;
        or, for each ``event.property``, the share of it that is margin. A refund has a negative
        share.
    remaining_value
        In the file also a number, or the name of an attribute.
    horizon_days
        The days over which the effect of a decision is followed.
    """

    margin: float | str | dict[str, float] = 1.0
    remaining_value: RemainingValue = RemainingValue()
    horizon_days: Annotated[int, Field(ge=1, le=365)] = 28

    # The types of a union would each refuse a wrong value: there would be a mistake for each.
    @field_validator("margin", mode="before")
    @classmethod
    def _one_of_three(cls, sent: Any) -> Any:
        if isinstance(sent, dict):
            mistakes = Mistakes()
            for name, share in sent.items():
                if not (_is_number(share) and share and -10 <= share <= 10):
                    mistakes.add((str(name),), SHARE)
            mistakes.refuse()
        elif not ((_is_number(sent) and 0 < sent <= 1) or _is_name(sent)):
            raise ValueError(MARGIN)
        return sent

    @field_validator("remaining_value", mode="before")
    @classmethod
    def _number_or_name(cls, sent: Any) -> Any:
        if isinstance(sent, dict | RemainingValue):
            return sent
        if _is_number(sent) and 0 <= sent <= MOST_REMAINING:
            return {"otherwise": sent}
        if _is_name(sent):
            return {"attribute": sent}
        raise ValueError(REMAINING)

    def shares(self, events: Mapping[str, EventType]) -> dict[str, dict[str, float]]:
        """Return the share of each property that is margin, by the type of event.

        Parameters
        ----------
        events
            The domain's types of event.
        """
        found: dict[str, dict[str, float]] = {}
        for event, name, measures_spend in _numbers(events):
            if isinstance(self.margin, dict):
                share = self.margin.get(f"{event}.{name}", 0.0)
            elif isinstance(self.margin, str):
                share = float(name == self.margin)
            else:
                share = self.margin * measures_spend
            if share:
                found.setdefault(event, {})[name] = share
        return found

    def check(
        self,
        events: Mapping[str, EventType],
        attributes: Mapping[str, Attribute],
        mistakes: Mistakes,
    ) -> None:
        """Collect the names that the domain does not have, and shares of 0."""
        if isinstance(self.margin, str):
            names = dict.fromkeys(name for _, name, _ in _numbers(events))
            mistakes.unknown_value("objective.margin", self.margin, names)
        elif isinstance(self.margin, dict):
            known = [f"{event}.{name}" for event, name, _ in _numbers(events)]
            mistakes.unknown("objective.margin", self.margin, known)
        named = self.remaining_value.attribute
        if named is not None:
            numbers = [name for name, one in attributes.items() if one.type == "number"]
            mistakes.unknown_value("objective.remaining_value", named, numbers)


def _is_number(sent: Any) -> bool:
    return isinstance(sent, int | float) and not isinstance(sent, bool)


def _is_name(sent: Any) -> bool:
    return isinstance(sent, str) and len(sent) <= 60 and re.fullmatch(NAME, sent) is not None


def _numbers(events: Mapping[str, EventType]) -> Iterator[tuple[str, str, bool]]:
    """Yield the properties that are numbers: event, property, and whether it measures spend."""
    for event, described in events.items():
        for name, known in described.properties.items():
            if known.type == "number":
                yield event, name, known.measures == "spend"
