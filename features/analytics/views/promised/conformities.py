"""The relation of conformities: one row for each journey that is judged by an expected way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from features.analytics.journey_data import JourneyData
from features.analytics.nodes import MapNodes
from features.analytics.promises.expected_way import (
    CONFORMITIES,
    DEVIATIONS,
    NO_STEP,
    NOT_ANY,
    ExpectedWay,
    WayStep,
)
from features.analytics.promises.read_steps import KindSteps
from features.analytics.views.computed_tables import computed_once
from features.analytics.views.filters import JourneyFilter, filtered
from features.analytics.views.maps.drawn import MOST
from features.analytics.views.promised.activations import named
from features.analytics.views.relations import Relation
from features.business.domain import Domain
from features.business.journey_rules.kinds import OPTIONAL, Expected
from features.errors import InvalidRequest, quoted

_SCHEMA = pa.schema(
    [
        ("journey", pa.uint64()),
        ("version", pa.int32()),
        ("state", pa.uint8()),
        ("deviation", pa.uint8()),
        ("expected", pa.uint16()),
        ("found", pa.uint16()),
        ("at_us", pa.int64()),
    ]
)


def ways_of(domain: Domain, kind: str) -> list[Expected]:
    """List the versions that have a way, of a kind of journey; other maps have none."""
    known = domain.journey_kinds.get(kind)
    return [one for one in (known.expected if known else ()) if one.way]


def way_steps(nodes: MapNodes, kind: str, expected: Expected) -> tuple[WayStep, ...]:
    """Read the steps of a way; ``shipped?`` is an optional one, unless a step has that name."""
    known = {*nodes.events_of(kind), *(one.label for one in nodes.of_map(kind))}
    return tuple(
        WayStep(name)
        if name in known or not name.endswith(OPTIONAL)
        else WayStep(name.removesuffix(OPTIONAL), optional=True)
        for name in expected.way
    )


def conformities(data: JourneyData, wanted: JourneyFilter, options: Mapping[str, Any]) -> Relation:
    """One row for each journey with an expected way; at_us is when it deviated, or its end so far.

    The column state is one of `CONFORMITIES`, deviation one of `DEVIATIONS` or null; expected is
    the step of the way that should have come, and found the node that came instead. With
    ``{deviations: 10}``, is_other is 1 but for the 10 most frequent deviations of a version.

    Raises
    ------
    InvalidRequest
        If an option is unknown or wrong.
    """
    where, parameters = filtered(data, wanted)
    sql = (
        f"SELECT journey, customer_id, at_us, how, version, {named('state', CONFORMITIES)}, "
        f"{named('deviation', DEVIATIONS)}, "
        "list_extract(?::VARCHAR[], expected + 1) AS expected, found FROM computed JOIN "
        f"(SELECT journey, customer_id, how FROM journeys WHERE {where}) USING (journey)"
    )
    if (most := _deviations(options)) is not None:
        keys = "version, deviation, expected, found"
        same = " AND ".join(f"t.{key} IS NOT DISTINCT FROM d.{key}" for key in keys.split(", "))
        sql = (
            f"WITH t AS ({sql}), n AS (SELECT {keys}, count(*) AS n FROM t "
            f"WHERE deviation IS NOT NULL GROUP BY {keys}), d AS (SELECT *, row_number() OVER "
            "(PARTITION BY version ORDER BY n DESC, deviation, expected, found) AS place FROM n) "
            f"SELECT t.*, (place > {most})::TINYINT AS is_other FROM t LEFT JOIN d ON {same}"
        )
    return Relation(
        name="conformities",
        sql=sql,
        parameters=(_expected_names(data, wanted.map), *parameters),
        coded={"journey": "number", "how": "how", "found": "node"},
        map=wanted.map,
        computed=computed_once(data, "conformities", wanted, _compared),
    )


def _deviations(options: Mapping[str, Any]) -> int | None:
    """Read how many deviations are told; None if nothing is said."""
    if not options:
        return None
    most = options.get("deviations")
    if [*options] != ["deviations"] or type(most) is not int or not 0 <= most <= MOST:
        raise InvalidRequest(
            f"options are {quoted(dict(options))}.",
            expected="deviations with a number of 0 or more",
            remedy="Send the query of the list as the view returned it.",
        )
    return most


def _expected_names(data: JourneyData, kind: str) -> list[str]:
    """List the steps of all ways of a kind; a number in the column expected is a place here."""
    ways = ways_of(data.domain, kind)
    steps = (step for one in ways for step in way_steps(data.nodes, kind, one))
    return list(dict.fromkeys(step.name for step in steps))


def _compared(data: JourneyData, wanted: JourneyFilter) -> pa.Table:
    return pa.concat_tables([_SCHEMA.empty_table(), *_by_version(data, wanted)])


def _by_version(data: JourneyData, wanted: JourneyFilter) -> Iterator[pa.Table]:
    """Yield the journeys of each version that has a way."""
    kind = wanted.map
    if not ways_of(data.domain, kind):
        return
    steps = KindSteps(data, wanted)
    places = {name: place for place, name in enumerate(_expected_names(data, kind))}
    in_force = steps.versions_in_force()
    names, classes = steps.classes(list(places))
    for place, expected in enumerate(data.domain.journey_kinds[kind].expected):
        if not expected.way:
            continue
        way = way_steps(data.nodes, kind, expected)
        journeys = np.flatnonzero(in_force == place)
        found = ExpectedWay(way, names).compare(steps.arrays, classes, journeys)
        of_way = np.array([*(places[one.name] for one in way), 0])
        asked = np.minimum(found.expected, len(way))
        columns = {
            "journey": steps.numbers[journeys],
            "version": np.full(len(journeys), expected.version, np.int32),
            "state": found.conformity,
            "deviation": found.deviation,
            "expected": pa.array(of_way[asked], pa.uint16(), mask=found.expected == NOT_ANY),
            "found": pa.array(steps.node[found.found], pa.uint16(), mask=found.found == NO_STEP),
            "at_us": found.at_us,
        }
        yield pa.table(columns, schema=_SCHEMA)
