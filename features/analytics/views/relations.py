"""Relations: the rows that a view counts, and that the list behind each of its numbers shows.

A view counts the rows of a relation by some of its columns. The list behind a number is the same
relation, where these columns have the values of that number. So a number is always as long as its
list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from features.analytics.journey_data import JourneyData
from features.analytics.nodes import END_LABEL, START_LABEL
from features.analytics.tables import END, HOWS, NO_CHANNEL, START
from features.analytics.views.filters import JourneyFilter, filtered

Value = str | int | None
# How a column of numbers is told: as a node, a channel, or the way in which a journey ended.
Coded = Literal["node", "channel", "how"]


@dataclass(frozen=True)
class Relation:
    """Rows of journeys, of steps, or of what is made of them.

    Attributes
    ----------
    name : str
        As the query of a list names it.
    sql : str
        A SELECT; one row for each thing that is counted. It has at least the columns journey,
        customer_id and at_us.
    parameters : tuple
    coded : mapping
        The columns whose numbers stand for names.
    map : str
        The map whose nodes they are.
    computed : table or None
        Rows that SQL cannot make; the SELECT reads them by the name ``computed``.
    """

    name: str
    sql: str
    parameters: tuple[Any, ...]
    coded: Mapping[str, Coded]
    map: str
    computed: pa.Table | None = None

    def counts(
        self, data: JourneyData, by: Sequence[str], also: str = "count(*)"
    ) -> list[tuple[Any, ...]]:
        """Count the rows by some columns; each row of the result has these and the count.

        Parameters
        ----------
        also
            The aggregates, in SQL; the first is the count.
        """
        keys = ", ".join(f'"{name}"' for name in by)
        grouped = f"GROUP BY {keys} ORDER BY {keys}" if by else ""
        comma = ", " if by else ""
        sql = f"SELECT {keys}{comma}{also} FROM ({self.sql}) {grouped}"
        return data.rows(sql, self.parameters, self.computed)

    def count(self, data: JourneyData, where: Mapping[str, Value]) -> int:
        """Count the rows in which some columns have some values, given by name."""
        condition, more = self._where(data, where)
        sql = f"SELECT count(*) FROM ({self.sql}) WHERE {condition}"
        return int(data.rows(sql, [*self.parameters, *more], self.computed)[0][0])

    def rows(
        self, data: JourneyData, where: Mapping[str, Value], limit: int, after: int = 0
    ) -> list[dict[str, Any]]:
        """List the rows in which some columns have some values, in a fixed order.

        Parameters
        ----------
        after
            The number of rows to leave out.
        """
        condition, more = self._where(data, where)
        sql = (
            f"SELECT * FROM ({self.sql}) WHERE {condition} "
            f"ORDER BY at_us, journey LIMIT {int(limit)} OFFSET {int(after)}"
        )
        found = data.columns(sql, [*self.parameters, *more], self.computed)
        names = list(found)
        columns = [found[name].tolist() for name in names]
        return [
            {name: self.told(data, name, value) for name, value in zip(names, row, strict=True)}
            for row in zip(*columns, strict=True)
        ]

    def told(self, data: JourneyData, column: str, value: Any) -> Any:
        """Tell a value of a column: the name that a number stands for, or the value itself."""
        if value is None or column not in self.coded:
            return value
        kind, number = self.coded[column], int(value)
        if kind == "node":
            return data.nodes.label(number)
        if kind == "how":
            return HOWS[number]
        return None if number == NO_CHANNEL else data.nodes.channels[number]

    def _where(self, data: JourneyData, where: Mapping[str, Value]) -> tuple[str, list[Any]]:
        parts, parameters = ["true"], []
        for column, value in where.items():
            coded = self._coded(data, column, value)
            parts.append(f'"{column}" IS NOT DISTINCT FROM ?')
            parameters.append(coded)
        return " AND ".join(parts), parameters

    def _coded(self, data: JourneyData, column: str, value: Value) -> Any:
        kind = self.coded.get(column)
        if kind == "node" and isinstance(value, str):
            ends = {START_LABEL: START, END_LABEL: END}
            return ends[value] if value in ends else data.nodes.code(self.map, value)
        if kind == "how" and isinstance(value, str):
            return HOWS.index(value)
        if kind == "channel":
            return NO_CHANNEL if value is None else data.nodes.channels.index(str(value))
        return value


def journeys(data: JourneyData, wanted: JourneyFilter) -> Relation:
    """One row for each journey; at_us is its start."""
    where, parameters = filtered(data, wanted)
    sql = f"SELECT *, start_us AS at_us FROM journeys WHERE {where}"
    coded: dict[str, Coded] = {
        "entry": "node",
        "exit": "node",
        "how": "how",
        "entry_channel": "channel",
        "preferred_channel": "channel",
    }
    return Relation("journeys", sql, tuple(parameters), coded, wanted.map)


def steps(data: JourneyData, wanted: JourneyFilter) -> Relation:
    """One row for each visit of a node by a journey."""
    where, parameters = filtered(data, wanted)
    sql = f"SELECT * FROM steps WHERE journey IN (SELECT journey FROM journeys WHERE {where})"
    coded: dict[str, Coded] = {"node": "node", "next_node": "node", "channel": "channel"}
    return Relation("steps", sql, tuple(parameters), coded, wanted.map)


def transitions(data: JourneyData, wanted: JourneyFilter) -> Relation:
    """One row for each transition, also from START to the first step and from the last to END.

    The columns are from, to, and gap_bucket of the time between (`histogram.NO_BUCKET`: none).
    """
    where, parameters = filtered(data, wanted)
    chosen = f"journey IN (SELECT journey FROM journeys WHERE {where})"
    sql = (
        'SELECT journey, customer_id, at_us, seq + 1 AS seq, node AS "from", '
        f'next_node AS "to", gap_bucket FROM steps WHERE {chosen} UNION ALL '
        f"SELECT journey, customer_id, at_us, 0, {START}, node, 65535 FROM steps "
        f"WHERE seq = 0 AND {chosen}"
    )
    coded: dict[str, Coded] = {"from": "node", "to": "node"}
    return Relation("transitions", sql, (*parameters, *parameters), coded, wanted.map)
