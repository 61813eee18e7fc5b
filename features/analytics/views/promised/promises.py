"""The promises of a kind of journey: how often each was kept and broken, and what is due."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from features.analytics.histogram import NO_BUCKET, percentile_us
from features.analytics.journey_data import JourneyData
from features.analytics.promises.activations import BROKEN, KEPT, STATES
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.lists import Number, Numbers
from features.analytics.views.promised.activations import (
    SOMETHING_COMES,
    TIMINGS,
    NamedPromise,
    activation_counts,
    activations,
    promises_of,
)
from features.analytics.views.promised.promise_words import promise_words
from features.analytics.views.relations import Value
from features.business.journey_rules.promises import Template

DUE_ROWS = 20  # of each promise
Row = tuple[int, ...]  # of `activation_counts`


@dataclass(frozen=True, slots=True)
class DueActivation:
    """An open activation of a promise that has a time.

    Attributes
    ----------
    customer_id : str
    journey : str
        Its number.
    activated_us, due_us : int
        Microseconds since 1970.
    hours_left : float
        From the moment of the data.
    """

    customer_id: str
    journey: str
    activated_us: int
    due_us: int
    hours_left: float


@dataclass(frozen=True, slots=True)
class PromiseView:
    """One version of a promise over the journeys that are judged by it.

    Attributes
    ----------
    name, journey : str
        Its name, and the kind of journey.
    version : int
        Of what is expected of the kind; `since` is its first day, as 2026-09-01.
    template, words, owner : str
        The words say it as in ``ordered, then delivery within 3 days`` where the file has none.
    activations : Number
        kept + broken + open + void.
    kept_share : float or None
        kept / (kept + broken); None if none was decided.
    late, late_median_s, late_p90_s : Number, float or None
        Broken ones for which the step came too late, and how much.
    early_median_s, early_p90_s : float or None
        How much before its due time the step came, of the kept ones.
    exceeded : Number or None
        Kept in half of the time or less; of a precedence, with twice the time or more. None for
        templates in which nothing is to come.
    due_soon : Number
        Open ones that are due within 24 hours.
    due : tuple of DueActivation
        The next ones that are due.
    """

    name: str
    journey: str
    version: int
    since: str
    template: Template
    words: str
    owner: str
    activations: Number
    kept: Number
    broken: Number
    open: Number
    void: Number
    kept_share: float | None
    late: Number
    late_median_s: float | None
    late_p90_s: float | None
    early_median_s: float | None
    early_p90_s: float | None
    exceeded: Number | None
    due_soon: Number
    due: tuple[DueActivation, ...]


def promises(
    data: JourneyData, wanted: JourneyFilter, due_rows: int = DUE_ROWS
) -> tuple[PromiseView, ...]:
    """Count what became of the promises of a kind of journey; none of a map that is not of a kind.

    A journey is judged by the version in force when it began.

    Parameters
    ----------
    due_rows
        How many of the next ones that are due are listed for each promise.

    Raises
    ------
    InvalidRequest
        If the filter names something that the domain file does not have.
    """
    rows = activation_counts(data, wanted)
    due = _next_due(data, wanted, due_rows)
    numbers = Numbers(activations(data, wanted), wanted)
    return tuple(
        _view(
            one,
            [row for row in rows if row[0] == place],
            due.get((one.name, one.expected.version), ()),
            numbers,
            wanted.map,
        )
        for place, one in enumerate(promises_of(data.domain, wanted.map))
    )


def _view(
    one: NamedPromise,
    rows: Sequence[Row],
    due: tuple[DueActivation, ...],
    numbers: Numbers,
    kind: str,
) -> PromiseView:
    own: dict[str, Value] = {"promise": one.name, "version": one.expected.version}

    def number(of: Collection[Row], **where: Value) -> Number:
        return numbers.number(sum(row[-1] for row in of), {**own, **where})

    by_state = [[row for row in rows if row[1] == state] for state in range(len(STATES))]
    kept, broken, is_open, void = (
        number(of, state=name) for of, name in zip(by_state, STATES, strict=True)
    )
    timed = {name: [row for row in rows if row[2] == timing] for timing, name in enumerate(TIMINGS)}
    exceeded = number(timed["exceeded"], timing="exceeded")
    decided = kept.n + broken.n
    return PromiseView(
        name=one.name,
        journey=kind,
        version=one.expected.version,
        since=one.expected.since.isoformat(),
        template=one.promise.template,
        words=one.promise.words or promise_words(one.promise),
        owner=one.promise.owner,
        activations=number(rows),
        kept=kept,
        broken=broken,
        open=is_open,
        void=void,
        kept_share=kept.n / decided if decided else None,
        late=number(timed["late"], timing="late"),
        late_median_s=_percentile_s(by_state[BROKEN], 0.5),
        late_p90_s=_percentile_s(by_state[BROKEN], 0.9),
        early_median_s=_percentile_s(by_state[KEPT], 0.5),
        early_p90_s=_percentile_s(by_state[KEPT], 0.9),
        exceeded=exceeded if one.promise.template in SOMETHING_COMES else None,
        due_soon=number([row for row in rows if row[3] == 0], due_in="day"),
        due=due,
    )


def _percentile_s(rows: Sequence[Row], share: float) -> float | None:
    """Return a percentile of the times between due time and step, in seconds."""
    known = [(row[4], row[5]) for row in rows if row[4] != NO_BUCKET]
    found, counts = np.array(known, np.int64).reshape(-1, 2).T
    time_us = percentile_us(found, counts, share)
    return None if time_us is None else time_us / 1e6


def _next_due(
    data: JourneyData, wanted: JourneyFilter, limit: int
) -> dict[tuple[str, int], tuple[DueActivation, ...]]:
    """Return the open activations that are due next, by promise and version."""
    relation = activations(data, wanted)
    sql = (
        "SELECT promise, version, customer_id, journey, activated_us, due_us, hours_left "
        f"FROM ({relation.sql}) WHERE state = 'open' AND due_us IS NOT NULL "
        "QUALIFY row_number() OVER (PARTITION BY promise, version ORDER BY due_us, journey) "
        f"<= {int(limit)} ORDER BY due_us, journey"
    )
    found: dict[tuple[str, int], list[DueActivation]] = {}
    for promise, version, *rest in data.rows(sql, relation.parameters, relation.computed):
        customer_id, journey, activated_us, due_us, hours_left = rest
        one = DueActivation(customer_id, str(journey), activated_us, due_us, hours_left)
        found.setdefault((promise, version), []).append(one)
    return {key: tuple(ones) for key, ones in found.items()}
