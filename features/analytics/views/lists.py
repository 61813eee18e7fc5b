"""Numbers of views: each comes with the query of its list, which is as long as the number.

`list_rows` reads such a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict

from features.analytics.views.filters import UNASKED, JourneyFilter
from features.analytics.views.relations import Relation, Value


class ListQuery(BaseModel):
    """The query of a list: rows of a relation in which some columns have some values.

    ``options`` are those of the relation, such as the definition of a funnel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    relation: str
    filter: JourneyFilter = JourneyFilter()
    where: Annotated[dict[str, Value], UNASKED] = {}
    options: Annotated[dict[str, Any], UNASKED] = {}


@dataclass(frozen=True, slots=True)
class Number:
    """A count, and the query of its rows.

    Attributes
    ----------
    n : int
    rows : ListQuery
        Its list has ``n`` rows.
    """

    n: int
    rows: ListQuery


class Numbers:
    """Makes the numbers that are counted over one relation.

    Parameters
    ----------
    options
        Those with which the relation was made.
    """

    def __init__(
        self, relation: Relation, wanted: JourneyFilter, options: Mapping[str, Any] | None = None
    ) -> None:
        self._name, self._wanted, self._options = relation.name, wanted, dict(options or {})

    def number(self, n: int, where: Mapping[str, Value] | None = None) -> Number:
        """Return a count of the rows in which some columns have some values."""
        query = ListQuery(
            relation=self._name,
            filter=self._wanted,
            where=dict(where or {}),
            options=self._options,
        )
        return Number(int(n), query)
