"""Planned against actual: which journeys went the expected way, and where others left it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from features.analytics.journey_data import JourneyData
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.lists import Number, Numbers
from features.analytics.views.promised.conformities import conformities, ways_of
from features.analytics.views.relations import Value
from features.business.journey_rules.kinds import Expected

# skipped: a later step of the way came, before one that may not be left out.
# again: a step of the way that had come before. extra: a step that is not on the way, or after its
# end. stopped: the journey closed before the end of the way.
DeviationKind = Literal["skipped", "again", "extra", "stopped"]


@dataclass(frozen=True, slots=True)
class Deviation:
    """The first deviation of some journeys from the expected way.

    Attributes
    ----------
    kind : str
    expected : str or None
        The step of the way that should have come; None after the end of the way.
    found : str or None
        The node that came instead; None if the journey stopped.
    n : Number
    share : float
        Of the journeys that deviate.
    """

    kind: DeviationKind
    expected: str | None
    found: str | None
    n: Number
    share: float


@dataclass(frozen=True, slots=True)
class ConformanceView:
    """One version of an expected way, and the journeys that are judged by it.

    Attributes
    ----------
    journey : str
        The kind of journey.
    version : int
        `since` is its first day, as 2026-09-01.
    way : tuple of str
        The steps as the domain file names them; one with ``?`` may be left out.
    journeys : Number
        conforming + on_the_way + deviating.
    conforming : Number
        Closed, after the whole way and nothing else.
    on_the_way : Number
        Open, and without a deviation so far.
    share : float or None
        conforming / (conforming + deviating); None if none is decided.
    deviations : tuple of Deviation
        The most frequent first.
    other_deviations : Number
        The journeys with a deviation that is not among them.
    distinct : int
        Number of different deviations.
    """

    journey: str
    version: int
    since: str
    way: tuple[str, ...]
    journeys: Number
    conforming: Number
    on_the_way: Number
    deviating: Number
    share: float | None
    deviations: tuple[Deviation, ...]
    other_deviations: Number
    distinct: int


def conformance(
    data: JourneyData, wanted: JourneyFilter, limit: int = 10
) -> tuple[ConformanceView, ...]:
    """Compare the journeys of a kind with its expected way; none without one.

    A journey is judged by the version in force when it began.

    Parameters
    ----------
    limit
        How many different deviations are told; the journeys with others are counted together.

    Raises
    ------
    InvalidRequest
        If the filter names something that the domain file does not have.
    """
    options = {"deviations": limit}
    relation = conformities(data, wanted, options)
    rows = [_Row(*row) for row in relation.counts(data, _Row._fields[:-1])]
    numbers = Numbers(relation, wanted, options)
    return tuple(
        _view(data, wanted.map, one, [row for row in rows if row.version == one.version], numbers)
        for one in ways_of(data.domain, wanted.map)
    )


class _Row(NamedTuple):
    """Some journeys of a version; the columns of `conformities`, and their number."""

    version: int
    state: str
    deviation: DeviationKind | None
    expected: str | None
    found: int | None
    is_other: int | None
    n: int


def _view(
    data: JourneyData, kind: str, expected: Expected, rows: Sequence[_Row], numbers: Numbers
) -> ConformanceView:
    version: dict[str, Value] = {"version": expected.version}

    def number(of: Sequence[_Row], **where: Value) -> Number:
        return numbers.number(sum(row.n for row in of), {**version, **where})

    def of_state(state: str) -> Number:
        return number([row for row in rows if row.state == state], state=state)

    conforming, deviating = of_state("conforming"), of_state("deviating")
    deviations = [row for row in rows if row.deviation is not None]
    told = sorted((row for row in deviations if not row.is_other), key=lambda row: -row.n)
    decided = conforming.n + deviating.n
    return ConformanceView(
        journey=kind,
        version=expected.version,
        since=expected.since.isoformat(),
        way=expected.way,
        journeys=number(rows),
        conforming=conforming,
        on_the_way=of_state("on_the_way"),
        deviating=deviating,
        share=conforming.n / decided if decided else None,
        deviations=tuple(_deviation(data, row, number, deviating.n) for row in told),
        other_deviations=number([row for row in deviations if row.is_other], is_other=1),
        distinct=len(deviations),
    )


def _deviation(
    data: JourneyData, row: _Row, number: Callable[..., Number], deviating: int
) -> Deviation:
    found = None if row.found is None else data.nodes.label(row.found)
    where = {"deviation": row.deviation, "expected": row.expected, "found": found}
    assert row.deviation is not None
    return Deviation(row.deviation, row.expected, found, number([row], **where), row.n / deviating)
