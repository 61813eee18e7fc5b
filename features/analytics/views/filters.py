"""The filter of all views: it selects whole journeys, so all counts of a view agree."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from features.analytics.journey_data import JourneyData
from features.analytics.tables import ATTRIBUTE, HOWS, NO_CHANNEL
from features.business.journey_rules.goals import OTHERS
from features.errors import InvalidRequest, quoted
from features.ledger.tables import micros

# Of a filter as JSON: an answer repeats its filter with each of some thousand numbers.
MOST_SIGNS = 4_000
How = Literal["ended", "left", "lapsed", "open"]


# Left out of the JSON: an answer repeats the filter with each of its numbers.
UNASKED = Field(exclude_if=lambda wanted: not wanted)


class JourneyFilter(BaseModel):
    """Selects journeys. Attributes and persona are those at the start of a journey."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    map: str = "lifecycle"
    # The journey began then or later, and before. A day is its midnight on the business's clock.
    since: Annotated[AwareDatetime | date | None, UNASKED] = None
    until: Annotated[AwareDatetime | date | None, UNASKED] = None
    how: Annotated[tuple[How, ...], UNASKED] = ()
    entry_channel: Annotated[tuple[str | None, ...], UNASKED] = ()
    case: Annotated[tuple[str | None, ...], UNASKED] = ()
    account: Annotated[tuple[str | None, ...], UNASKED] = ()
    persona: Annotated[tuple[str, ...], UNASKED] = ()
    attributes: Annotated[
        dict[str, Annotated[tuple[str | None, ...], Field(min_length=1)]], UNASKED
    ] = {}
    through: Annotated[str | None, UNASKED] = None  # a node that the journey visited


def filtered(data: JourneyData, wanted: JourneyFilter) -> tuple[str, list[Any]]:
    """Return the condition on the columns of `journeys`, and its parameters.

    Raises
    ------
    InvalidRequest
        If the filter names something that the domain file does not have, or is too long.
    """
    signs = len(wanted.model_dump_json())
    if signs > MOST_SIGNS:
        raise InvalidRequest(
            f"filter has {signs:,} signs as JSON.",
            expected=f"at most {MOST_SIGNS:,}",
            remedy="Name fewer or shorter values.",
        )
    map_code = _place("map", wanted.map, data.nodes.maps)
    parts, parameters = ["map = ?"], [map_code]
    for sign, moment in ((">=", wanted.since), ("<", wanted.until)):
        if moment is not None:
            parts.append(f"start_us {sign} ?")
            parameters.append(begin_us(moment, data.zone))
    channels = [
        NO_CHANNEL if name is None else _place("entry_channel", name, data.nodes.channels)
        for name in wanted.entry_channel
    ]
    chosen: list[tuple[str, Iterable[Any]]] = [
        ("how", [HOWS.index(one) for one in wanted.how]),
        ("entry_channel", channels),
        ("case", wanted.case),
        ("account", wanted.account),
        ("persona", wanted.persona),
    ]
    for persona in wanted.persona:
        _place("persona", persona, (*data.domain.personas, OTHERS))
    for name, told in wanted.attributes.items():
        _place("attributes", name, tuple(data.domain.attributes))
        chosen.append((f"{ATTRIBUTE}{name}", told))
    for column, values in chosen:
        if listed := list(values):
            some, more = among(column, listed)
            parts.append(some)
            parameters += more
    if wanted.through is not None:
        labels = tuple(one.label for one in data.nodes.of_map(wanted.map))
        _place("through", wanted.through, labels)
        parts.append("journey IN (SELECT journey FROM steps WHERE node = ?)")
        parameters.append(data.nodes.code(wanted.map, wanted.through))
    return " AND ".join(parts), parameters


def begin_us(moment: datetime | date, zone: str) -> int:
    """Return a time, or the midnight with which a day begins in a zone, as microseconds."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time(), ZoneInfo(zone))
    return micros(moment)


def among(column: str, values: Iterable[Any]) -> tuple[str, list[Any]]:
    """Return the condition that a column has one of some values, of which None is unknown."""
    known = [value for value in values if value is not None]
    parts = [f'"{column}" IN ({", ".join("?" * len(known))})'] if known else []
    if len(known) < len(list(values)):
        parts.append(f'"{column}" IS NULL')
    return f"({' OR '.join(parts)})", known


def _place(field: str, name: str, known: tuple[str, ...]) -> int:
    if name not in known:
        raise InvalidRequest(
            f"{field} is {quoted(name)}.",
            expected=f"one of {', '.join(known[:40])}",
            remedy="Name one of them.",
        )
    return known.index(name)
