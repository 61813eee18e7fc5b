"""The relations as a map draws them: without hidden nodes, and with rare ones counted together.

A transition through a hidden node goes on to the next step that is not hidden. So visits of other
nodes, journeys and times stay as they are. Nodes beyond the most visited ones are one node, "other
steps". The most visited ones are those of all data of the map: the same for each filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from features.analytics.histogram import NO_BUCKET, bucket_sql
from features.analytics.journey_data import JourneyData
from features.analytics.tables import END, START
from features.analytics.views import relations
from features.analytics.views.filters import JourneyFilter, filtered
from features.analytics.views.options import read_options
from features.analytics.views.relations import OTHER_STEPS, Relation
from features.errors import InvalidRequest, quoted

MOST = 2**53  # the largest number that JSON keeps for everybody


class DrawnAs(BaseModel):
    """The options of the relations of a map: the nodes and transitions that are drawn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_most: Annotated[int, Field(ge=1, le=MOST)] | None = (
        None  # nodes; the others are "other steps"
    )
    hidden: tuple[str, ...] = ()  # nodes
    at_least: Annotated[int, Field(ge=1, le=MOST)] = 1  # a transition that is rarer is "other ways"


def hidden_codes(data: JourneyData, map_name: str, hidden: tuple[str, ...]) -> list[int]:
    """Return the numbers of hidden nodes.

    Raises
    ------
    InvalidRequest
        If the map has no such node.
    """
    codes = {one.label: one.code for one in data.nodes.of_map(map_name)}
    for label in hidden:
        if label not in codes:
            raise InvalidRequest(
                f"hidden names {quoted(label)}.",
                expected=f"nodes of the map {map_name}: {', '.join([*codes][:40])}",
                remedy="Name one of them.",
            )
    return sorted({codes[label] for label in hidden})


def drawn_codes(data: JourneyData, map_name: str, drawn: DrawnAs) -> tuple[list[int], list[int]]:
    """Return the nodes that are drawn one by one, and those that are "other steps".

    They are nodes that somebody visited, in all data of the map, the most visited first: a filter
    moves none.
    """
    hidden = hidden_codes(data, map_name, drawn.hidden)
    counted = relations.steps(data, JourneyFilter(map=map_name)).counts(data, ["node"])
    visited = sorted((-n, node) for node, n in counted if node not in hidden)
    codes = [int(node) for _, node in visited]
    most = len(codes) if drawn.at_most is None else drawn.at_most
    return codes[:most], codes[most:]


def journeys(data: JourneyData, wanted: JourneyFilter, options: Mapping[str, Any]) -> Relation:
    """One row for each journey; entry and exit are as they are drawn."""
    plain = relations.journeys(data, wanted)
    merged = _merged(data, wanted, read_options(DrawnAs, options), plain.sql, ("entry", "exit"))
    return replace(plain, sql=merged)


def steps(data: JourneyData, wanted: JourneyFilter, options: Mapping[str, Any]) -> Relation:
    """One row for each visit of a node that is not hidden."""
    drawn = read_options(DrawnAs, options)
    plain = relations.steps(data, wanted)
    sql = plain.sql
    if hidden := hidden_codes(data, wanted.map, drawn.hidden):
        sql = _without(plain.sql, hidden)
    return replace(plain, sql=_merged(data, wanted, drawn, sql, ("node", "next_node")))


def visited(data: JourneyData, wanted: JourneyFilter, options: Mapping[str, Any]) -> Relation:
    """One row for each node that a journey visited, however often; at_us is the first visit."""
    of = steps(data, wanted, options)
    sql = (
        "SELECT journey, node, any_value(customer_id) AS customer_id, min(at_us) AS at_us, "
        f"count(*) AS visits FROM ({of.sql}) GROUP BY journey, node"
    )
    coded = {"journey": of.coded["journey"], "node": of.coded["node"]}
    return Relation(
        "visited", sql, of.parameters, coded, wanted.map, order=("at_us", "journey", "node")
    )


def transitions(data: JourneyData, wanted: JourneyFilter, options: Mapping[str, Any]) -> Relation:
    """One row for each transition between steps that are not hidden; see `relations.transitions`.

    ``is_rare`` is 1 where the transition is rarer than ``at_least``.
    """
    drawn = read_options(DrawnAs, options)
    plain = relations.transitions(data, wanted)
    sql, parameters = plain.sql, plain.parameters
    if hidden := hidden_codes(data, wanted.map, drawn.hidden):
        sql, parameters = _transitions_without(data, wanted, hidden)
    sql = _merged(data, wanted, drawn, sql, ("from", "to"))
    if drawn.at_least == 1:
        sql = f"SELECT *, 0::TINYINT AS is_rare FROM ({sql})"
    else:
        sql = (
            f"WITH t AS NOT MATERIALIZED ({sql}) SELECT t.*, is_rare FROM t JOIN "
            f'(SELECT "from", "to", (count(*) < {drawn.at_least})::TINYINT AS is_rare FROM t '
            'GROUP BY "from", "to") USING ("from", "to")'
        )
    return replace(plain, sql=sql, parameters=parameters)


def _merged(
    data: JourneyData, wanted: JourneyFilter, drawn: DrawnAs, sql: str, columns: tuple[str, ...]
) -> str:
    """Give the nodes that are not drawn one by one the number of "other steps"."""
    others = [] if drawn.at_most is None else drawn_codes(data, wanted.map, drawn)[1]
    if not others:
        return sql
    listed = ", ".join(map(str, others))
    replaced = (
        f'(CASE WHEN "{name}" IN ({listed}) THEN {OTHER_STEPS} ELSE "{name}" END)::USMALLINT '
        f'AS "{name}"'
        for name in columns
    )
    return f"SELECT * REPLACE ({', '.join(replaced)}) FROM ({sql})"


def _without(sql: str, hidden: list[int]) -> str:
    """Leave hidden nodes out of steps, and join the steps around them."""
    gap = "(lead(at_us) OVER w - at_us)"
    return (
        f"SELECT * REPLACE (coalesce(lead(node) OVER w, {END})::USMALLINT AS next_node, "
        f"coalesce({bucket_sql(gap)}, {NO_BUCKET}) AS gap_bucket) FROM ({sql}) "
        f"WHERE node NOT IN ({', '.join(map(str, hidden))}) "
        "WINDOW w AS (PARTITION BY journey ORDER BY seq)"
    )


def _transitions_without(
    data: JourneyData, wanted: JourneyFilter, hidden: list[int]
) -> tuple[str, tuple[Any, ...]]:
    """Return the transitions around hidden nodes; START goes to END if no other node is left."""
    steps_of, (where, more) = relations.steps(data, wanted), filtered(data, wanted)
    listed = ", ".join(map(str, hidden))
    sql = (
        'SELECT journey, customer_id, at_us, seq + 1 AS seq, node AS "from", next_node AS "to", '
        f"gap_bucket FROM ({_without(steps_of.sql, hidden)}) UNION ALL "
        f"SELECT journey, customer_id, start_us, 0, {START}, coalesce(first_node, {END}), "
        f"{NO_BUCKET} FROM journeys LEFT JOIN (SELECT journey, arg_min(node, seq) AS first_node "
        f"FROM ({steps_of.sql}) WHERE node NOT IN ({listed}) GROUP BY journey) USING (journey) "
        f"WHERE {where}"
    )
    return sql, (*steps_of.parameters, *steps_of.parameters, *more)
