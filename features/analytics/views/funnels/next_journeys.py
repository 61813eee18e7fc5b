"""Counts what a customer begins next after a journey, by its kind and by how it ended.

The next journey is the first one of the same customer that begins when the journey has ended or
later; of one moment, in the order of the ledger. Journeys that ran beside it do not count. What
comes first within the days decides: another journey, or that the customer leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from features.analytics.cut.journey_columns import JOURNEY_BITS
from features.analytics.journey_data import JourneyData
from features.analytics.tables import HOWS
from features.analytics.views.filters import JourneyFilter, filtered
from features.analytics.views.lists import Number, Numbers
from features.analytics.views.options import read_options, told_options
from features.analytics.views.relations import Coded, Relation
from features.business.journey_rules.kinds import LIFECYCLE
from features.business.journey_rules.promises import DAY_US
from features.business.yaml_file import Days
from features.errors import InvalidRequest, quoted

# Columns beside the kinds, of which none has a space in its name. The customer left before another
# journey; neither happened, and the days are not over; neither happened within the days.
LEFT_NEXT, NOT_YET, NOTHING_CAME = "customer left", "nothing yet", "nothing came"
WITHIN_DAYS = 90.0


class NextDefinition(BaseModel):
    """Says how long a next journey is waited for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    within_days: Days = WITHIN_DAYS


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
        The kinds, then ``customer left``, ``nothing yet`` and ``nothing came``.
    rows : tuple of NextRow
        In the order of the domain file and of `HOWS`, without those that have no journey.
    """

    within_days: float
    columns: tuple[str, ...]
    rows: tuple[NextRow, ...]


def next_journeys(
    data: JourneyData, wanted: JourneyFilter, definition: NextDefinition | None = None
) -> NextJourneys:
    """Count what came next after journeys that are over.

    The journeys are those of the filter's map; of `LIFECYCLE`, those of all kinds. Then ``through``
    is a node of any kind, and kinds without that node have no journeys.

    Raises
    ------
    InvalidRequest
        If the filter names something that the domain file does not have.
    """
    definition = definition or NextDefinition()
    relation = _relation(data, wanted, definition)
    number = Numbers(relation, wanted, told_options(definition)).number
    counts = {
        (data.nodes.maps[kind], HOWS[how], after): n
        for kind, how, after, n in relation.counts(data, ["map", "how", "next"])
    }
    columns = (*data.domain.journey_kinds, LEFT_NEXT, NOT_YET, NOTHING_CAME)
    rows = []
    for kind in data.domain.journey_kinds:
        for how in HOWS:
            found = {after: counts.get((kind, how, after), 0) for after in columns}
            if any(found.values()):
                row = {"map": kind, "how": how}
                nexts = {after: number(n, row | {"next": after}) for after, n in found.items()}
                rows.append(NextRow(kind, how, number(sum(found.values()), row), nexts))
    return NextJourneys(definition.within_days, columns, tuple(rows))


def next_relation(data: JourneyData, wanted: JourneyFilter, options: Mapping[str, Any]) -> Relation:
    """Return one row for each journey that is over; at_us is when it ended.

    The columns are map, how, next (a column of `NextJourneys`) and next_us (when; null: never).

    Raises
    ------
    InvalidRequest
        If the options are no `NextDefinition`, or if a name is unknown.
    """
    return _relation(data, wanted, read_options(NextDefinition, options))


def _relation(data: JourneyData, wanted: JourneyFilter, definition: NextDefinition) -> Relation:
    kinds = _kinds(data, wanted)
    chosen = [filtered(data, wanted.model_copy(update={"map": kind})) for kind in kinds]
    where = " OR ".join(f"({condition})" for condition, _ in chosen)
    parameters = [value for _, values in chosen for value in values]
    names = " ".join(
        f"WHEN {data.nodes.map_code(kind)} THEN '{kind}'" for kind in data.domain.journey_kinds
    )
    lifecycle, left = data.nodes.map_code(LIFECYCLE), HOWS.index("left")
    order = f"::HUGEINT << {JOURNEY_BITS}) + journey % {1 << JOURNEY_BITS}"
    window_us, as_of_us = round(definition.within_days * DAY_US), data.as_of_us
    sql = f"""
        WITH past AS (
            SELECT journey, customer_id, map, how, end_us, (end_us{order} AS place
            FROM journeys WHERE end_us IS NOT NULL AND ({where})
        ), began AS (
            SELECT customer_id, map, start_us, (start_us{order} AS place
            FROM journeys WHERE map <> {lifecycle}
        ), gone AS (
            SELECT customer_id, end_us FROM journeys WHERE map = {lifecycle} AND how = {left}
        ), joined AS (
            SELECT past.*, CASE began.map {names} END AS kind, began.start_us AS began_us,
                gone.end_us AS left_us, past.end_us + {window_us} AS until_us
            FROM past
            ASOF LEFT JOIN began
            ON past.customer_id = began.customer_id AND past.place < began.place
            ASOF LEFT JOIN gone
            ON past.customer_id = gone.customer_id AND past.end_us <= gone.end_us
        )
        SELECT journey, customer_id, map, how, end_us AS at_us, CASE
            WHEN left_us <= least(until_us, began_us) THEN '{LEFT_NEXT}'
            WHEN began_us <= until_us THEN kind
            WHEN until_us >= {as_of_us} THEN '{NOT_YET}'
            ELSE '{NOTHING_CAME}' END AS next,
            CASE WHEN least(left_us, began_us) <= until_us THEN least(left_us, began_us) END
            AS next_us
        FROM joined
    """
    coded: dict[str, Coded] = {"journey": "number", "map": "map", "how": "how"}
    return Relation("next_journeys", sql, tuple(parameters), coded, wanted.map)


def _kinds(data: JourneyData, wanted: JourneyFilter) -> list[str]:
    """List the kinds of which a filter selects journeys."""
    if wanted.map != LIFECYCLE:
        return [wanted.map]
    kinds, through = [*data.domain.journey_kinds], wanted.through
    if through is None:
        return kinds
    labels = {kind: [one.label for one in data.nodes.of_map(kind)] for kind in kinds}
    found = [kind for kind in kinds if through in labels[kind]]
    if not found:
        known = dict.fromkeys(label for kind in kinds for label in labels[kind])
        raise InvalidRequest(
            f"through is {quoted(through)}.",
            expected=f"a node of a kind of journey: {', '.join([*known][:40])}",
            remedy="Name one of them, or leave it out.",
        )
    return found
