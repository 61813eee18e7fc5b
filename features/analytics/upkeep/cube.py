"""Counts of journeys by cell, whole numbers, kept in the ledger's database.

A page without a filter is answered from them; every other one reads the files. A change of some
customers adds the difference of their cells, so the counts stay those of a count of everything.

| what | a, b | how | by start day | by entry channel and persona |
|---|---|---|---|---|
| EDGE, a transition | its two nodes | | yes | no |
| WAY, a path | its hash, less 2^63 | how the journeys ended | no | no |
| CLOSE, journeys | | how they ended | yes | yes |
| GAP, times | the two nodes | the bucket of the histogram | no | no |

With all dimensions, transitions alone would be millions of rows: 930 edges on 365 days, from 5
channels, by 3 personas. Days are those of UTC. The state of a promise depends on when it is read,
so promises are not counted here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from features.analytics.histogram import NO_BUCKET
from features.analytics.journey_data import JourneyData, connect
from features.analytics.nodes import MapNodes
from features.analytics.tables import HOWS, START
from features.analytics.upkeep.kept_state import read_state
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.statements import Statement

EDGE, WAY, CLOSE, GAP = range(4)
ANY = -1  # in place of a day, a channel or an ending by which a cell is not divided
KEYS = ("what", "map", "start_day", "entry_channel", "persona", "a", "b", "how")
HALF = 1 << 63  # from the hash of a path, which has no sign, to a number of a database
CELLS_AT_ONCE = 2_000  # written in one transaction: some 10 ms
_DAY = "CAST(floor(start_us / 86400000000.0) AS INTEGER)"
_NONE = f"{ANY} AS start_day, {ANY} AS entry_channel, '' AS persona"
_OF_DAY = f"{_DAY} AS start_day, {ANY} AS entry_channel, '' AS persona"
_CELLS = (
    f"SELECT {WAY} AS what, map, {_NONE}, CAST(CAST(path AS HUGEINT) - {HALF} AS BIGINT) AS a,"
    " 0 AS b, how, count(*) AS n FROM {journeys} GROUP BY ALL",
    f"SELECT {CLOSE} AS what, map, {_DAY} AS start_day, entry_channel,"
    " coalesce(persona, '') AS persona, 0 AS a, 0 AS b, how, count(*) AS n"
    " FROM {journeys} GROUP BY ALL",
    f"SELECT {EDGE} AS what, map, {_OF_DAY}, {START} AS a, entry AS b, {ANY} AS how,"
    " count(*) AS n FROM {journeys} GROUP BY ALL",
    f"SELECT {EDGE} AS what, one.map, {_OF_DAY}, node AS a, next_node AS b, {ANY} AS how,"
    " count(*) AS n FROM {steps} AS one JOIN {journeys} AS whole"
    " ON one.journey = whole.journey AND one.customer_id = whole.customer_id GROUP BY ALL",
    f"SELECT {GAP} AS what, map, {_NONE}, node AS a, next_node AS b, gap_bucket AS how,"
    " count(*) AS n FROM {steps}"
    f" WHERE gap_bucket <> {NO_BUCKET} GROUP BY ALL",
)
_COLUMNS = (*KEYS, "n")
_SCHEMA = pa.schema([(name, pa.string() if name == "persona" else pa.int64()) for name in _COLUMNS])
_VALUES = f"(build, {', '.join(_COLUMNS)}) VALUES (:build, {', '.join(f':{c}' for c in _COLUMNS)})"
_ADD = Statement(
    sa.text(
        f"INSERT INTO journey_cube {_VALUES} "
        f"ON CONFLICT (build, {', '.join(KEYS)}) DO UPDATE SET n = journey_cube.n + excluded.n"
    )
)
_DROP_EMPTY = Statement(
    sa.text(
        "DELETE FROM journey_cube WHERE build = :build AND n = 0 AND "
        + " AND ".join(f"{name} = :{name}" for name in KEYS)
    )
)


class MapCounts(NamedTuple):
    """The counts of one map.

    Attributes
    ----------
    as_of_us, version : int
        See `KeptState`.
    how : dict
        Journeys by how they ended.
    edges : dict
        Transitions by the labels of their nodes, with START and END.
    gaps : dict
        By the same labels, the number of times in each bucket of `histogram`.
    ways : dict
        By path and how they ended, the number of journeys.
    """

    as_of_us: int
    version: int
    how: dict[str, int]
    edges: dict[tuple[str, str], int]
    gaps: dict[tuple[str, str], dict[int, int]]
    ways: dict[tuple[int, str], int]


def cells_of(data: JourneyData) -> pa.Table:
    """Count all journeys into cells, a table with the columns `KEYS` and ``n``."""
    return pa.concat_tables([data.table(_selected(sql)).cast(_SCHEMA) for sql in _CELLS])


def difference(before: tuple[pa.Table, pa.Table], after: tuple[pa.Table, pa.Table]) -> pa.Table:
    """Count by how much the cells of some customers differ; each pair is journeys and steps."""
    connection = connect()
    for name, pair in (("old", before), ("new", after)):
        for kind, table in zip(("journeys", "steps"), pair, strict=True):
            connection.register(f"{name}_{kind}", table)
    new = " UNION ALL ".join(f"({_selected(sql, 'new_')})" for sql in _CELLS)
    old = " UNION ALL ".join(f"({_selected(sql, 'old_')})" for sql in _CELLS)
    keys = ", ".join(KEYS)
    found: pa.Table = connection.sql(
        f"SELECT {keys}, CAST(sum(n) AS BIGINT) AS n FROM"
        f" (({new}) UNION ALL (SELECT {keys}, -n AS n FROM ({old})))"
        f" GROUP BY {keys} HAVING sum(n) <> 0 ORDER BY {keys}"
    ).to_arrow_table()
    connection.close()
    return found.cast(_SCHEMA)


def _selected(sql: str, prefix: str = "") -> str:
    return sql.format(journeys=f"{prefix}journeys", steps=f"{prefix}steps")


def add_cells(connection: sa.Connection, build: int, cells: pa.Table) -> None:
    """Add to the counts of cells, or take away; a cell that is empty then has no row any more."""
    rows = [row | {"build": build} for row in cells.to_pylist()]
    _ADD.run_many(connection, rows)
    _DROP_EMPTY.run_many(connection, [row for row in rows if row["n"] < 0])


def write_cells(ledger: Ledger, build: int, cells: pa.Table) -> None:
    """Write the cells of a new build, in small steps; nobody reads them before it counts."""
    for begin in range(0, len(cells), CELLS_AT_ONCE):
        some = cells.slice(begin, CELLS_AT_ONCE)
        ledger.write_now(lambda c, some=some: add_cells(c, build, some))  # type: ignore[misc]


def delete_other_builds(ledger: Ledger, build: int | None) -> None:
    """Delete the cells of all builds but one, in small steps."""
    columns = tables.journey_cube.c
    keys = [columns[name] for name in ("build", *KEYS)]
    some = sa.select(*keys).limit(CELLS_AT_ONCE)
    some = some if build is None else some.where(columns.build != build)

    def delete(connection: sa.Connection) -> bool:
        gone = sa.delete(tables.journey_cube).where(sa.tuple_(*keys).in_(some))
        return connection.execute(gone).rowcount > 0

    while ledger.write_now(delete):
        continue


def next_build(connection: sa.Connection) -> int:
    """Return a number that no build has had."""
    last = connection.execute(sa.select(sa.func.max(tables.journey_cube.c.build))).scalar()
    state = read_state(connection)
    return max(last or 0, state.build if state else 0) + 1


def read_cells(connection: sa.Connection, build: int) -> pa.Table:
    """Read all cells of a build, as `cells_of` counts them."""
    columns = tables.journey_cube.c
    query = sa.select(*(columns[name] for name in _COLUMNS)).where(columns.build == build)
    found = connection.execute(query.execution_options(yield_per=CELLS_AT_ONCE * 10))
    parts = [
        pa.Table.from_arrays([pa.array(values) for values in zip(*rows, strict=True)], _COLUMNS)
        for rows in found.partitions()
    ]
    return pa.concat_tables([_SCHEMA.empty_table(), *(part.cast(_SCHEMA) for part in parts)])


def cube_counts(ledger: Ledger, nodes: MapNodes, name: str) -> MapCounts | None:
    """Read the counts of a map from the ledger; None if journeys were never built.

    Parameters
    ----------
    nodes
        Of the domain by which the journeys were cut; see `kept_state.rules_of`.
    name : str
        The map.
    """
    columns = tables.journey_cube.c
    keys = (columns.what, columns.a, columns.b, columns.how)

    def read(connection: sa.Connection) -> tuple[Any, list[Any]]:
        state = read_state(connection)
        mine = (columns.build == (state.build if state else 0), columns.map == nodes.map_code(name))
        total = sa.cast(sa.func.sum(columns.n), sa.BigInteger)
        query = sa.select(*keys, total).where(*mine).group_by(*keys)
        return state, list(connection.execute(query))

    state, rows = ledger.read(read)
    if state is None:
        return None
    found = MapCounts(state.as_of_us, state.version, {}, {}, {}, {})
    for what, a, b, how, n in rows:
        if what == CLOSE:
            found.how[HOWS[how]] = n
        elif what == WAY:
            found.ways[a + HALF, HOWS[how]] = n
        elif what == EDGE:
            found.edges[nodes.label(a), nodes.label(b)] = n
        else:
            found.gaps.setdefault((nodes.label(a), nodes.label(b)), {})[how] = n
    return found
