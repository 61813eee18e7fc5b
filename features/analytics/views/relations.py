"""Relations: the rows that a view counts, and that the list behind each of its numbers shows.

A view counts the rows of a relation by some of its columns. The list behind a number is the same
relation, where these columns have the values of that number. So a number is always as long as its
list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field

from features.analytics.histogram import NO_BUCKET, bucket_sql
from features.analytics.journey_data import JourneyData
from features.analytics.nodes import END_LABEL, START_LABEL
from features.analytics.tables import END, HOWS, NO_CHANNEL, NO_TYPE, START
from features.analytics.views.filters import JourneyFilter, filtered
from features.errors import InvalidRequest, quoted

Value = str | Annotated[int, Field(ge=-(2**63), lt=2**63)] | None
# How a column of numbers is told: as a node, a channel, or the way in which a journey ended. The
# number of a journey or a path is told as text, because JSON does not keep 64 bits.
Coded = Literal["node", "channel", "how", "map", "what", "type", "number"]
OTHER_STEPS, OTHER_STEPS_LABEL = 65_533, "other steps"  # nodes that are not drawn one by one
ONLY_MAP = "map = ?"
LONGEST_NUMBER = 20  # digits of 64 bits
JOURNEY_CODES: Mapping[str, Coded] = {
    "journey": "number",
    "path": "number",
    "map": "map",
    "entry": "node",
    "exit": "node",
    "how": "how",
    "entry_channel": "channel",
    "preferred_channel": "channel",
}
STEP_CODES: Mapping[str, Coded] = {
    "journey": "number",
    "map": "map",
    "node": "node",
    "next_node": "node",
    "channel": "channel",
    "what": "what",
    "type": "type",
}
TRANSITION_CODES: Mapping[str, Coded] = {"journey": "number", "from": "node", "to": "node"}
STEP_ORDER = ("at_us", "journey", "seq")
WHAT = ("event", "decision", "silence", "left")  # names of the kinds of step of `tables`


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
    order : tuple of str
        Columns that tell the rows of a list apart; rows come in their order.
    """

    name: str
    sql: str
    parameters: tuple[Any, ...]
    coded: Mapping[str, Coded]
    map: str
    computed: pa.Table | None = None
    order: tuple[str, ...] = ("at_us", "journey")

    def counts(
        self, data: JourneyData, by: Sequence[str], also: str = "count(*)"
    ) -> list[tuple[Any, ...]]:
        """Count the rows by some columns; each row of the result has these and the count.

        Parameters
        ----------
        also
            The aggregates, in SQL; the first is the count.
        """
        return data.rows(self._grouped(by, also), self.parameters, self.computed)

    def counted(
        self, data: JourneyData, by: Sequence[str], also: str = "count(*) AS n"
    ) -> dict[str, Any]:
        """Count as `counts` does, and return the columns as arrays by name."""
        return data.columns(self._grouped(by, also), self.parameters, self.computed)

    def _grouped(self, by: Sequence[str], also: str) -> str:
        keys = ", ".join(f'"{name}"' for name in by)
        grouped = f"GROUP BY {keys} ORDER BY {keys}" if by else ""
        return f"SELECT {keys}{', ' if by else ''}{also} FROM ({self.sql}) {grouped}"

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
            f"ORDER BY {', '.join(self.order)} LIMIT {int(limit)} OFFSET {int(after)}"
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
        if kind == "number":
            return str(number)
        if kind == "node":
            return node_label(data, number)
        if kind in ("channel", "type") and number == (NO_CHANNEL if kind == "channel" else NO_TYPE):
            return None
        return _names(data, kind)[number]

    def _where(self, data: JourneyData, where: Mapping[str, Value]) -> tuple[str, list[Any]]:
        parts, parameters = ["true"], []
        known = (
            data.columns(f"SELECT * FROM ({self.sql}) LIMIT 0", self.parameters, self.computed)
            if where
            else {}
        )
        for column, value in where.items():
            if column not in known:
                raise _unknown(f"where of {self.name}", column, list(known))
            coded = self._code(data, column, value)
            is_text = known[column].dtype.kind == "O"
            if coded is not None and is_text != isinstance(coded, str):
                raise InvalidRequest(
                    f"where.{column} is {quoted(value)}.",
                    expected="a text" if is_text else "a whole number",
                    remedy="Send the value as the number of the view names it.",
                )
            parts.append(f'"{column}" IS NOT DISTINCT FROM ?')
            parameters.append(coded)
        return " AND ".join(parts), parameters

    def _code(self, data: JourneyData, column: str, value: Value) -> Any:
        kind = self.coded.get(column)
        if kind is None:
            return value
        if value is None:
            return {"channel": NO_CHANNEL, "type": NO_TYPE}.get(kind)
        if kind == "number":
            digits = str(value)
            if digits.isdecimal() and len(digits) <= LONGEST_NUMBER and int(digits) < 2**64:
                return int(digits)
            raise _unknown(f"where.{column}", value, ["the number of a journey or a way"])
        if kind == "node":
            codes = {one.label: one.code for one in data.nodes.of_map(self.map)}
            codes = {START_LABEL: START, END_LABEL: END, OTHER_STEPS_LABEL: OTHER_STEPS} | codes
        else:
            codes = {name: code for code, name in enumerate(_names(data, kind))}
        if value not in codes:
            raise _unknown(f"where.{column}", value, list(codes))
        return codes[str(value)]


def node_label(data: JourneyData, code: int) -> str:
    """Return the label of a node, also of START, END and "other steps"."""
    return OTHER_STEPS_LABEL if code == OTHER_STEPS else data.nodes.label(code)


def _names(data: JourneyData, kind: Coded) -> Sequence[str]:
    """List the names of a kind of numbers, each at the place of its number."""
    nodes = data.nodes
    by_kind: dict[str, Sequence[str]] = {
        "channel": nodes.channels,
        "how": HOWS,
        "map": nodes.maps,
        "what": WHAT,
        "type": nodes.types,
    }
    return by_kind[kind]


def _unknown(field: str, value: Value, known: Sequence[str]) -> InvalidRequest:
    return InvalidRequest(
        f"{field} names {quoted(value)}.",
        expected=f"one of {', '.join(known[:40])}",
        remedy="Name one of them.",
    )


def journeys(data: JourneyData, wanted: JourneyFilter) -> Relation:
    """One row for each journey; at_us is its start.

    ``time_bucket`` is the bucket of the time from its first step to its last one, ``start_day`` the
    day of its start in `JourneyData.zone`.
    """
    where, parameters = filtered(data, wanted)
    sql = (
        f"SELECT *, start_us AS at_us, {bucket_sql('(last_us - start_us)')} AS time_bucket, "
        "strftime(timezone(?, make_timestamp(start_us)::TIMESTAMPTZ), '%Y-%m-%d') AS start_day "
        f"FROM journeys WHERE {where}"
    )
    return Relation("journeys", sql, (data.zone, *parameters), JOURNEY_CODES, wanted.map)


def customers(data: JourneyData, wanted: JourneyFilter) -> Relation:
    """One row for each customer with a journey; at_us is the start of the first one."""
    where, parameters = filtered(data, wanted)
    sql = (
        "SELECT customer_id, min(start_us) AS at_us, arg_min(journey, (start_us, journey)) AS "
        f"journey, count(*) AS journeys FROM journeys WHERE {where} GROUP BY customer_id"
    )
    return Relation("customers", sql, tuple(parameters), {"journey": "number"}, wanted.map)


def steps(data: JourneyData, wanted: JourneyFilter) -> Relation:
    """One row for each visit of a node by a journey."""
    chosen, parameters = chosen_steps(data, wanted)
    sql = f"SELECT * FROM steps WHERE {chosen}"
    return Relation("steps", sql, tuple(parameters), STEP_CODES, wanted.map, order=STEP_ORDER)


def transitions(data: JourneyData, wanted: JourneyFilter) -> Relation:
    """One row for each transition, also from START to the first step and from the last to END.

    The columns are from, to, and gap_bucket of the time between (`histogram.NO_BUCKET`: none).
    """
    chosen, parameters = chosen_steps(data, wanted)
    where, more = filtered(data, wanted)
    sql = (
        'SELECT journey, customer_id, at_us, seq + 1 AS seq, node AS "from", '
        f'next_node AS "to", gap_bucket FROM steps WHERE {chosen} UNION ALL '
        f"SELECT journey, customer_id, start_us, 0, {START}, entry, {NO_BUCKET} "
        f"FROM journeys WHERE {where}"
    )
    both = (*parameters, *more)
    return Relation("transitions", sql, both, TRANSITION_CODES, wanted.map, order=STEP_ORDER)


def chosen_steps(data: JourneyData, wanted: JourneyFilter) -> tuple[str, list[Any]]:
    """Return the condition that a step belongs to a journey of a filter, and its parameters."""
    where, parameters = filtered(data, wanted)
    if where == ONLY_MAP:  # a map alone: the steps have it, too
        return where, parameters
    chosen = f"{ONLY_MAP} AND journey IN (SELECT journey FROM journeys WHERE {where})"
    return chosen, [data.nodes.map_code(wanted.map), *parameters]
