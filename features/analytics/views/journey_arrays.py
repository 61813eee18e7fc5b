"""The journeys of a filter and some of their steps, as arrays: one journey after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.analytics.journey_data import JourneyData
from features.analytics.views.filters import JourneyFilter, filtered
from features.analytics.views.funnels.funnel_definition import Matches


@dataclass(frozen=True)
class JourneyArrays:
    """Journeys, and those of their steps that were asked for, in the order of the ledger.

    Attributes
    ----------
    table : pa.Table
        The columns journey, customer_id, start_us, end_us, how and entry; a row for each journey.
    first, after : shape (n,)
        Rows of the first of these steps of each journey, and of the one after the last; equal if it
        has none.
    node, next_node, at_us : shape (n_steps,)
    type : shape (n_steps,) or None
        None if no name needs it.
    """

    table: pa.Table
    first: NDArray[np.int64]
    after: NDArray[np.int64]
    node: NDArray[np.uint16]
    next_node: NDArray[np.uint16]
    at_us: NDArray[np.int64]
    type: NDArray[np.uint16] | None

    @property
    def start_us(self) -> NDArray[np.int64]:
        """The start of each journey, shape (n,)."""
        return _column(self.table, "start_us")

    @property
    def how(self) -> NDArray[np.uint8]:
        """The place in `HOWS` of each journey, shape (n,)."""
        return _column(self.table, "how").astype(np.uint8)

    def closed_us(self, as_of_us: int) -> NDArray[np.int64]:
        """Return when each journey was over; of open ones, ``as_of_us``."""
        ends = self.table["end_us"].fill_null(as_of_us).to_numpy()
        return np.asarray(ends, np.int64)

    def rows_of(self, named: Matches) -> NDArray[np.int64]:
        """Return the rows of the steps that a name means, rising."""
        return named.rows(self.node, self.type)

    def node_after(self, row: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Return the node after one row of each journey; the row before its first one means START.

        Parameters
        ----------
        row : shape (n,)
        """
        found = _column(self.table, "entry").astype(np.uint16)
        some = row >= self.first
        found[some] = self.next_node[row[some]]
        return found


def journey_arrays(data: JourneyData, wanted: JourneyFilter, named: Matches) -> JourneyArrays:
    """Read the journeys of a filter, and their steps that some names mean."""
    where, parameters = filtered(data, wanted)
    table = data.table(
        "SELECT journey, customer_id, start_us, end_us, how, entry, steps FROM journeys "
        f"WHERE {where}",
        parameters,
    )
    after = np.cumsum(_column(table, "steps").astype(np.int64))
    begin = after - _column(table, "steps").astype(np.int64)
    is_named = [f"node IN ({', '.join(map(str, named.nodes))})"] if named.nodes else []
    is_named += [f"type IN ({', '.join(map(str, named.types))})"] if named.types else []
    found = data.columns(
        f'SELECT "begin" + seq AS place, node, next_node, at_us{", type" if named.types else ""} '
        f"FROM steps JOIN computed USING (journey) WHERE {' OR '.join(is_named) or 'false'}",
        (),
        pa.table({"journey": table["journey"], "begin": begin}),
    )
    place = found["place"]
    if (place[1:] < place[:-1]).any():  # where journeys of a customer run side by side
        order = np.argsort(place, kind="stable")
        found = {name: column[order] for name, column in found.items()}
    first = np.searchsorted(found["place"], begin)
    return JourneyArrays(
        table,
        first,
        np.append(first, len(place))[1:],
        found["node"],
        found["next_node"],
        found["at_us"],
        found.get("type"),
    )


def _column(table: pa.Table, name: str) -> NDArray[np.int64]:
    return np.asarray(table[name].to_numpy())
