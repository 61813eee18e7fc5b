"""Visits of which the next step is known: what two maps are compared by.

The last step of an open journey is no such visit. Where one of two periods is recent, slow
transitions are still missing in it; then ``within_days`` makes them comparable: visits count once
they are so old, and transitions if they took no longer, to within a bucket of the histogram.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from features.analytics.histogram import buckets
from features.analytics.journey_data import JourneyData
from features.analytics.tables import END, START
from features.analytics.views.comparisons.share_differences import EdgeSums
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.maps import drawn
from features.analytics.views.maps.drawn import MOST, DrawnAs
from features.analytics.views.options import read_options, told_options
from features.analytics.views.relations import Relation
from features.business.journey_rules.promises import DAY_US
from features.business.yaml_file import Days


class ComparisonDefinition(BaseModel):
    """Says how two maps are compared, and how they are drawn (as of `DrawnAs`).

    With ``version``, only journeys count that are judged by that version of what is expected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    within_days: Days | None = None
    at_most: Annotated[int, Field(ge=1, le=MOST)] | None = None
    hidden: tuple[str, ...] = ()
    version: Annotated[int, Field(ge=1, le=MOST)] | None = None

    @property
    def drawn(self) -> DrawnAs:
        """The options of both maps."""
        return DrawnAs(at_most=self.at_most, hidden=self.hidden)


def onward_relation(
    data: JourneyData, wanted: JourneyFilter, options: Mapping[str, Any]
) -> Relation:
    """Return one row for each visit of which the next step is known, also of START.

    The columns are those of `drawn.transitions`, and is_in_time: 1 if the transition took no longer
    than ``within_days``, else 0.

    Raises
    ------
    InvalidRequest
        If the options are no `ComparisonDefinition`, or if a name is unknown.
    """
    return onward(data, wanted, read_options(ComparisonDefinition, options))


def onward(data: JourneyData, wanted: JourneyFilter, definition: ComparisonDefinition) -> Relation:
    """Return the relation of `onward_relation`, by a definition that was read."""
    plain = drawn.transitions(data, wanted, told_options(definition.drawn))
    if definition.within_days is None:
        known, in_time = f'NOT ("to" = {END} AND end_us IS NULL)', "true"
    else:
        window_us = round(definition.within_days * DAY_US)
        longest = int(buckets(np.array([window_us]))[0])
        known = f'"from" = {START} OR at_us <= {data.as_of_us - window_us}'
        in_time = (
            f'CASE WHEN "from" = {START} THEN true WHEN "to" = {END} THEN '
            f"coalesce(end_us - at_us <= {window_us}, false) ELSE gap_bucket <= {longest} END"
        )
    judged = "true" if definition.version is None else f"version = {definition.version}"
    sql = (
        f"SELECT t.*, ({in_time})::TINYINT AS is_in_time FROM ({plain.sql}) t JOIN "
        f"(SELECT journey, end_us FROM journeys WHERE {judged}) USING (journey) WHERE {known}"
    )
    order = plain.order
    return Relation("onward", sql, plain.parameters, plain.coded, plain.map, None, order)


def edge_sums(
    data: JourneyData, before: Relation, after: Relation
) -> tuple[NDArray[np.int64], NDArray[np.int64], EdgeSums]:
    """Add up transitions and visits over customers, for each transition of two relations.

    Returns
    -------
    sources, targets : shape (n_edges,)
        Numbers of nodes.
    sums : EdgeSums
        Arrays of the same shape.
    """
    sides = " UNION ALL ".join(
        f'SELECT customer_id, "from", "to", is_in_time, {side} AS side FROM ({one.sql})'
        for side, one in enumerate((before, after))
    )
    products = ", ".join(
        f"sum(x.{j} * {other}.{k}) AS x{j}_{other}{k}"
        for j, k, other in (
            *(("b", "b", "x"), ("a", "a", "x"), ("a", "b", "x")),
            *((j, k, "m") for j in "ab" for k in "ab"),
        )
    )
    visits = ", ".join(f"sum({j} * {k}) AS m{j}_m{k}" for j, k in ("bb", "aa", "ab"))
    sql = f"""
        WITH t AS MATERIALIZED ({sides}), x AS (
            SELECT customer_id, "from", "to",
                count(*) FILTER (side = 0 AND is_in_time = 1)::DOUBLE AS b,
                count(*) FILTER (side = 1 AND is_in_time = 1)::DOUBLE AS a FROM t GROUP BY ALL
        ), m AS (
            SELECT customer_id, "from", count(*) FILTER (side = 0)::DOUBLE AS b,
                count(*) FILTER (side = 1)::DOUBLE AS a FROM t GROUP BY ALL
        ), edges AS (
            SELECT "from", "to", sum(x.b) AS xb, sum(x.a) AS xa, {products}
            FROM x JOIN m USING (customer_id, "from") GROUP BY ALL
        ), sources AS (
            SELECT "from", (count(*) FILTER (b > 0))::DOUBLE AS customers_b,
                (count(*) FILTER (a > 0))::DOUBLE AS customers_a, count(*)::DOUBLE AS customers,
                sum(b) AS mb, sum(a) AS ma, {visits} FROM m GROUP BY ALL
        )
        SELECT * FROM edges JOIN sources USING ("from") WHERE xb + xa > 0 ORDER BY "from", "to"
    """
    found = data.columns(sql, (*before.parameters, *after.parameters))
    sources, targets = (found.pop(name).astype(np.int64) for name in ("from", "to"))
    return sources, targets, EdgeSums(**found)
