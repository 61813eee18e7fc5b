"""The columns of journeys and steps as files keep them, and the SQL that reads them.

An event is a step of its kind of journey and of the lifecycle. A file has one row for both: the
columns of the kind, and beside them those of the lifecycle, which begin with ``life_``. A step of
the lifecycle that is no event has no kind. Rows are in the order of the lifecycles.

Numbers that mostly follow from another column are kept as the difference to it, which is mostly the
same number: a node of a kind from that of the lifecycle, the end of a journey from its last step.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.analytics.tables import EVENT

LIFE = "life_"
OF_EACH = ("journey", "seq", "node", "next_node", "gap_bucket")  # both steps have their own
SHARED = ("customer_id", "at_us", "channel", "what", "type")
# By column, the one to which the difference is kept; 16 bits without a sign, so it may wrap.
FROM = {
    "node": "life_node",
    "next_node": "life_next_node",
    "gap_bucket": "life_gap_bucket",
    "type": "life_node",
}
_FROM_LAST = ("end_us", "due_us")


def stored_steps_schema(steps: pa.Schema) -> pa.Schema:
    """Return the columns of a file of steps, from those of `tables`."""
    more = (steps.field(name).with_name(f"{LIFE}{name}") for name in (*OF_EACH, "map"))
    return pa.schema([*steps, *more])


def stored_steps(steps: pa.Table) -> pa.Table:
    """Put the two steps of each event into one row.

    Parameters
    ----------
    steps
        All steps of some customers, in the order of `tables`.
    """
    steps = steps.unify_dictionaries().combine_chunks()
    maps = steps["map"].to_numpy()
    # Each event is a step of the lifecycle, whose number is the highest.
    is_life = maps == maps.max(initial=0)
    life, kind = np.flatnonzero(is_life), np.flatnonzero(~is_life)
    is_event = steps["what"].to_numpy()[life] == EVENT
    pair = np.full(len(life), -1, np.int64)
    order = _in_time(steps, life[is_event])
    pair[np.flatnonzero(is_event)[order]] = kind[_in_time(steps, kind)]
    of_kind, of_life = pa.array(pair, mask=pair < 0), pa.array(life)
    schema = stored_steps_schema(steps.schema)
    columns = {}
    for name in schema.names:
        of_both = name.removeprefix(LIFE)
        from_life = name != of_both or name in SHARED
        columns[name] = steps[of_both].take(of_life if from_life else of_kind)
    for name, other in FROM.items():
        columns[name] = pa.array(
            _filled(columns[name]) - _filled(columns[other]),
            mask=columns[name].is_null().to_numpy(),
        )
    return pa.table(columns, schema=schema)


def steps_sql(steps: pa.Schema, source: str) -> str:
    """Return the SELECT that makes the columns of `tables` from those of files."""
    kind, life = (
        ", ".join(f'{_expression(name, of_life)} AS "{name}"' for name in steps.names)
        for of_life in (False, True)
    )
    return (
        f"SELECT {kind} FROM {source} WHERE journey IS NOT NULL "
        f"UNION ALL SELECT {life} FROM {source}"
    )


def _expression(name: str, of_life: bool) -> str:
    if name in FROM and (name in SHARED or not of_life):
        return f'((("{name}"::UINTEGER) + {FROM[name]}) & 65535)::USMALLINT'
    if not of_life or name in SHARED:
        return f'"{name}"'
    # No promise is about the lifecycle, so none of its steps tells a time.
    return f"{LIFE}{name}" if name in (*OF_EACH, "map") else "NULL"


def stored_journeys(journeys: pa.Table) -> pa.Table:
    """Replace times by their differences to earlier ones."""
    last = journeys["last_us"]
    columns = {"last_us": pc.subtract(last, journeys["start_us"])}
    columns |= {name: pc.subtract(journeys[name], last) for name in _FROM_LAST}
    for name, column in columns.items():
        journeys = journeys.set_column(journeys.schema.get_field_index(name), name, column)
    return journeys


def journeys_sql(source: str) -> str:
    """Return the SELECT that makes the columns of `tables` from those of files."""
    last = "start_us + last_us"
    ends = "".join(f", {last} + {name} AS {name}" for name in _FROM_LAST)
    return f"SELECT * REPLACE ({last} AS last_us{ends}) FROM {source}"


def _filled(column: pa.ChunkedArray) -> NDArray[np.uint16]:
    found: NDArray[np.uint16] = column.fill_null(0).to_numpy()
    return found


def _in_time(steps: pa.Table, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort events by customer and time; of one instant, so that equal ones stand at one place."""
    customer, at_us = _customers(steps)[rows], steps["at_us"].to_numpy()[rows]
    later = (np.diff(customer) > 0) | ((np.diff(customer) == 0) & (np.diff(at_us) > 0))
    if later.all():  # as lifecycles without two events at one time are
        return np.arange(len(rows))
    kinds = steps["type"].to_numpy()[rows].astype(np.int64) << 8
    kinds += steps["channel"].to_numpy()[rows]
    found: NDArray[np.int64] = np.lexsort((kinds, at_us, customer))
    return found


def _customers(steps: pa.Table) -> NDArray[np.int32]:
    """Number the customers, who may be texts or a dictionary."""
    column = steps["customer_id"].combine_chunks()
    coded = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()
    found: NDArray[np.int32] = coded.indices.to_numpy()
    return found
