"""Keeps the tables that views compute outside SQL, as long as the data that they are made of."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import pyarrow as pa

from features.analytics.journey_data import JourneyData

_kept: WeakKeyDictionary[JourneyData, dict[tuple[str, str], pa.Table]] = WeakKeyDictionary()


def computed_once(
    data: JourneyData, relation: str, kind: str, make: Callable[[JourneyData, str], pa.Table]
) -> pa.Table:
    """Return the table of a relation for a kind of journey; it is made at the first call.

    A filter selects whole journeys, so a table of all journeys of the kind serves every filter.
    """
    tables = _kept.setdefault(data, {})
    if (relation, kind) not in tables:
        tables[relation, kind] = make(data, kind)
    return tables[relation, kind]
