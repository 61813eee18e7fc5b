"""The journeys of a filter and their steps, as arrays: one journey after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.analytics.journey_data import JourneyData
from features.analytics.tables import END
from features.analytics.views.filters import JourneyFilter, filtered


@dataclass(frozen=True)
class JourneyArrays:
    """Journeys and their steps, in the order of the steps' file.

    Attributes
    ----------
    table : pa.Table
        The columns journey, customer_id, start_us, end_us and how; a row for each journey.
    first, after : shape (n,)
        The rows of the first step of each journey, and of the one after its last.
    node, at_us : shape (n_steps,)
    type : shape (n_steps,) or None
        None if it was not asked for.
    """

    table: pa.Table
    first: NDArray[np.int64]
    after: NDArray[np.int64]
    node: NDArray[np.uint16]
    at_us: NDArray[np.int64]
    type: NDArray[np.uint16] | None

    def closed_us(self, as_of_us: int) -> NDArray[np.int64]:
        """Return when each journey was over; of open ones, ``as_of_us``."""
        return self.table["end_us"].fill_null(as_of_us).to_numpy()  # type: ignore[no-any-return]

    def node_after(self, row: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Return the node after a row of each journey, shape (n,); `END` after the last one."""
        there = row + 1 < self.after
        return np.where(there, self.node[np.where(there, row + 1, 0)], END).astype(np.uint16)


def journey_arrays(data: JourneyData, wanted: JourneyFilter, with_type: bool) -> JourneyArrays:
    """Read the journeys of a filter and their steps."""
    where, parameters = filtered(data, wanted)
    chosen = data.table(
        f"SELECT journey, customer_id, start_us, end_us, how FROM journeys WHERE {where}",
        parameters,
    )
    more = ", type" if with_type else ""
    found = data.columns(
        f"SELECT journey, seq, node, at_us{more} FROM steps "
        f"WHERE journey IN (SELECT journey FROM journeys WHERE {where})",
        parameters,
    )
    if not _one_after_another(found["journey"], found["seq"]):
        order = np.lexsort((found["seq"], found["journey"]))
        found = {name: column[order] for name, column in found.items()}
    first = np.flatnonzero(found["seq"] == 0)
    after = np.append(first, len(found["seq"]))[1:]
    places = _places(chosen["journey"].to_numpy(), found["journey"][first])
    return JourneyArrays(
        chosen.take(pa.array(places)),
        first,
        after,
        found["node"],
        found["at_us"],
        found["type"] if with_type else None,
    )


def _one_after_another(journey: NDArray[np.uint64], seq: NDArray[np.uint32]) -> bool:
    """Tell whether the steps of each journey stand together, in their order."""
    goes_on = (journey[1:] == journey[:-1]) & (seq[1:] == seq[:-1] + 1)
    return bool((goes_on | (seq[1:] == 0)).all())


def _places(known: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the place of each wanted journey among the known ones."""
    if np.array_equal(known, wanted):
        return np.arange(len(known))
    order = np.argsort(known)
    return order[np.searchsorted(known[order], wanted)]
