"""Keeps the tables that views compute outside SQL, as long as the data that they are made of."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import pyarrow as pa

from features.analytics.journey_data import JourneyData
from features.analytics.views.filters import JourneyFilter

_kept: WeakKeyDictionary[JourneyData, dict[str, tuple[JourneyFilter, pa.Table]]]
_kept = WeakKeyDictionary()


def computed_once(
    data: JourneyData,
    relation: str,
    wanted: JourneyFilter,
    make: Callable[[JourneyData, JourneyFilter], pa.Table],
) -> pa.Table:
    """Return the table of a relation for some journeys; it is made if the last one was for others.

    A view and the lists of its numbers read the same journeys. One table is kept for each relation,
    because that of ten million steps takes some hundred megabytes.
    """
    tables = _kept.setdefault(data, {})
    before = tables.get(relation)
    if before is None or before[0] != wanted:
        tables[relation] = wanted, make(data, wanted)
    return tables[relation][1]
