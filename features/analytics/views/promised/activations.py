"""The relation of activations: one row for each time that a promise was made in a journey.

They are judged for the journeys of a filter. A filter selects whole journeys, so it changes no
verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.analytics.histogram import NO_BUCKET, buckets
from features.analytics.journey_data import JourneyData
from features.analytics.promises.activations import KEPT, OPEN, STATES, Activations, judge
from features.analytics.promises.read_steps import KindSteps
from features.analytics.promises.step_arrays import NO_TIME
from features.analytics.views.computed_tables import computed_once
from features.analytics.views.filters import JourneyFilter, filtered
from features.analytics.views.relations import Relation
from features.business.domain import Domain
from features.business.journey_rules.kinds import Expected
from features.business.journey_rules.promises import DAY_US, Promise, Template

# How the step came that was promised: in half of the time or less, in time, or too late.
TIMINGS = ("exceeded", "in_time", "late")
DUE_IN = ("day", "later")  # when an open one is due
NONE = 255  # no timing, or no due time
SOMETHING_COMES: frozenset[Template] = frozenset(("response", "precedence", "chain"))
_SCHEMA = pa.schema(
    [
        ("journey", pa.uint64()),
        ("promise", pa.uint8()),
        ("state", pa.uint8()),
        ("timing", pa.uint8()),
        ("due_in", pa.uint8()),
        ("activated_us", pa.int64()),
        ("due_us", pa.int64()),
        ("resolved_us", pa.int64()),
        ("came_us", pa.int64()),
        ("lateness_bucket", pa.uint16()),
    ]
)


@dataclass(frozen=True, slots=True)
class NamedPromise:
    """A promise of one version of what is expected of a kind of journey."""

    name: str
    expected: Expected
    place: int  # of the version
    promise: Promise


def promises_of(domain: Domain, kind: str) -> list[NamedPromise]:
    """List the promises of all versions of a kind of journey, in the order of the file.

    A map that is not that of a kind has none.
    """
    known = domain.journey_kinds.get(kind)
    return [
        NamedPromise(name, expected, place, promise)
        for place, expected in enumerate(known.expected if known else ())
        for name, promise in expected.promises.items()
    ]


def activations(data: JourneyData, wanted: JourneyFilter) -> Relation:
    """One row for each activation of a promise; at_us is when it was decided, or is due.

    The columns promise and version name the promise; state is one of `STATES`, timing one of
    `TIMINGS`, due_in one of `DUE_IN`, each null where there is none. Of a precedence, due_us is the
    time until which the other step had to come.
    """
    where, parameters = filtered(data, wanted)
    made = promises_of(data.domain, wanted.map)
    names = [one.name for one in made]
    versions = [one.expected.version for one in made]
    late = "(came_us - due_us) / 1e6"
    sql = (
        "SELECT journey, customer_id, coalesce(resolved_us, due_us, activated_us) AS at_us, "
        "list_extract(?::VARCHAR[], promise + 1) AS promise, "
        "list_extract(?::INTEGER[], promise + 1) AS version, "
        f"{named('state', STATES)}, {named('timing', TIMINGS)}, {named('due_in', DUE_IN)}, "
        "activated_us, due_us, resolved_us, came_us, "
        f"CASE WHEN lateness_bucket < {NO_BUCKET} THEN {late} END AS lateness_s, "
        f"CASE WHEN state = {OPEN} THEN (due_us - {data.as_of_us}) / 3.6e9 END AS hours_left "
        "FROM computed JOIN "
        f"(SELECT journey, customer_id FROM journeys WHERE {where}) USING (journey)"
    )
    return Relation(
        name="activations",
        sql=sql,
        parameters=(names, versions, *parameters),
        coded={"journey": "number"},
        map=wanted.map,
        computed=computed_once(data, "activations", wanted, _judged),
        order=("at_us", "journey", "promise", "activated_us"),
    )


def activation_counts(data: JourneyData, wanted: JourneyFilter) -> list[tuple[int, ...]]:
    """Count the rows of `activations` by promise, state, timing, due time and lateness.

    Returns
    -------
    list of tuples
        Place in `promises_of`, the places in `STATES`, `TIMINGS` and `DUE_IN` (`NONE`: none), the
        bucket of the time between due time and step (`histogram.NO_BUCKET`: none), and the count.
    """
    keys = "promise, state, timing, due_in, lateness_bucket"
    sql = f"SELECT {keys}, count(*) FROM computed GROUP BY {keys} ORDER BY {keys}"
    return data.rows(sql, (), computed_once(data, "activations", wanted, _judged))


def named(column: str, names: tuple[str, ...]) -> str:
    """Name the numbers of a column, in SQL."""
    cases = " ".join(f"WHEN {code} THEN '{name}'" for code, name in enumerate(names))
    return f"CASE {column} {cases} END AS {column}"


def _judged(data: JourneyData, wanted: JourneyFilter) -> pa.Table:
    return pa.concat_tables([_SCHEMA.empty_table(), *_by_promise(data, wanted)])


def _by_promise(data: JourneyData, wanted: JourneyFilter) -> Iterator[pa.Table]:
    """Yield the activations of each promise of a kind."""
    made = promises_of(data.domain, wanted.map)
    if not made:
        return
    told = dict.fromkeys(one.name for one in made if one.promise.within is not None)
    steps = KindSteps(data, wanted, tuple(told))
    version = steps.versions_in_force()
    for code, one in enumerate(made):
        promise = one.promise
        found = judge(
            promise,
            steps.arrays,
            {key: steps.places(step) for key, step in promise.steps.items()},
            version == one.place,
            data.as_of_us,
            steps.told_us(one.name) if promise.within is not None else None,
        )
        yield _columns(promise, code, steps.numbers[found.journey], found, data.as_of_us)


def _columns(
    promise: Promise, code: int, numbers: NDArray[np.uint64], found: Activations, as_of_us: int
) -> pa.Table:
    due_us = found.due_us
    if promise.template == "precedence":
        due_us = found.activated_us - (promise.time_us or 0)
    columns = {
        "journey": numbers,
        "promise": np.full(len(numbers), code, np.uint8),
        "state": found.state,
        "timing": _timing(promise, found),
        "due_in": _due_in(found, as_of_us),
        "activated_us": found.activated_us,
        "due_us": _nullable(due_us),
        "resolved_us": _nullable(found.resolved_us),
        "came_us": _nullable(found.came_us),
        "lateness_bucket": _lateness(found),
    }
    return pa.table(columns, schema=_SCHEMA)


def _timing(promise: Promise, found: Activations) -> NDArray[np.uint8]:
    if promise.template not in SOMETHING_COMES:
        return np.full(len(found.state), NONE, np.uint8)
    came = found.came_us != NO_TIME
    kept = came & (found.state == KEPT)
    if promise.template == "precedence":
        time_us = promise.time_us or 0
        exceeds = (time_us > 0) & (found.activated_us - found.came_us >= 2 * time_us)
    else:
        exceeds = 2 * (found.came_us - found.activated_us) <= found.due_us - found.activated_us
    choices = [TIMINGS.index(one) for one in ("exceeded", "in_time", "late")]
    return np.select([kept & exceeds, kept, came], choices, NONE).astype(np.uint8)


def _due_in(found: Activations, as_of_us: int) -> NDArray[np.uint8]:
    due = (found.state == OPEN) & (found.due_us != NO_TIME)
    soon = due & (found.due_us - as_of_us <= DAY_US)
    return np.select([soon, due], [0, 1], NONE).astype(np.uint8)


def _lateness(found: Activations) -> NDArray[np.uint16]:
    bucket = np.full(len(found.state), NO_BUCKET, np.uint16)
    known = found.lateness_us != NO_TIME
    bucket[known] = buckets(np.abs(found.lateness_us[known]))
    return bucket


def _nullable(times_us: NDArray[np.int64]) -> Any:
    return pa.array(times_us, mask=times_us == NO_TIME)
