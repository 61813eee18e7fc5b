"""Steps that journeys repeat: self-loops, returns, and ping-pong between channels.

A self-loop is a step on the same node as the step before. A return is a step on a node that the
journey visited before, and left in between. A ping-pong is a step on a channel that the journey
left one step before (A, B, A); steps without a channel are passed over. The time of each is the
time since the visit that it repeats.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.analytics.histogram import bucket_sql, median_p90_s
from features.analytics.journey_data import JourneyData
from features.analytics.promises.read_steps import KindSteps
from features.analytics.tables import NO_CHANNEL
from features.analytics.views import relations
from features.analytics.views.computed_tables import computed_once
from features.analytics.views.filters import JourneyFilter, filtered
from features.analytics.views.lists import Number, Numbers
from features.analytics.views.relations import STEP_ORDER, Coded, Relation

_CHANNELS = ("channel", "between_channel")
MOST_REPEATS = 10  # journeys with as many or more are counted together


@dataclass(frozen=True, slots=True)
class Repeated:
    """Repeated steps of one node, or of one pair of channels.

    Attributes
    ----------
    names : tuple of str
        The label of the node; or the channel that the journey returned to, and the one between.
    n : Number
        The steps.
    per_journey : float
        Steps per journey of the filter.
    total_s : float
        The time of all of them, in seconds.
    median_s, p90_s : float or None
    """

    names: tuple[str, ...]
    n: Number
    per_journey: float
    total_s: float
    median_s: float | None
    p90_s: float | None


@dataclass(frozen=True, slots=True)
class JourneysByRepeats:
    """Journeys with one number of repeated steps; the last one stands for `MOST_REPEATS` or more.

    Attributes
    ----------
    repeats : int
        Self-loops and returns.
    n : Number
    """

    repeats: int
    n: Number


@dataclass(frozen=True, slots=True)
class Loops:
    """Repeated steps of journeys; the most frequent first.

    Attributes
    ----------
    map : str
    journeys : Number
    with_repeat : Number
        Journeys with a self-loop or a return.
    share : float
        Of all journeys.
    by_repeats : tuple of JourneysByRepeats
        They add up to all journeys.
    self_loops, returns, ping_pong : tuple of Repeated
    all_self_loops, all_returns, all_ping_pong : Number
        Their sums.
    """

    map: str
    journeys: Number
    with_repeat: Number
    share: float
    by_repeats: tuple[JourneysByRepeats, ...]
    self_loops: tuple[Repeated, ...]
    returns: tuple[Repeated, ...]
    ping_pong: tuple[Repeated, ...]
    all_self_loops: Number
    all_returns: Number
    all_ping_pong: Number


def repeated_steps(data: JourneyData, wanted: JourneyFilter) -> Relation:
    """One row for each self-loop and each return; ``is_return`` tells them apart."""
    coded: dict[str, Coded] = {"journey": "number", "node": "node", "channel": "channel"}
    return _relation(data, wanted, "repeated_steps", ("node", "channel", "is_return"), coded)


def ping_pong(data: JourneyData, wanted: JourneyFilter) -> Relation:
    """One row for each step back on the channel of the step before the last one."""
    coded: dict[str, Coded] = {
        "journey": "number",
        "channel": "channel",
        "between_channel": "channel",
    }
    return _relation(data, wanted, "ping_pong", ("channel", "between_channel"), coded)


def journeys_by_repeats(data: JourneyData, wanted: JourneyFilter) -> Relation:
    """One row for each journey, with the number of its repeated steps."""
    whole = relations.journeys(data, wanted)
    sql = (
        f"SELECT *, least(repeats, {MOST_REPEATS})::INT AS repeats_shown, "
        "(repeats > 0)::TINYINT AS has_repeat FROM (SELECT j.*, coalesce(n, 0)::INT AS repeats "
        f"FROM ({whole.sql}) j LEFT JOIN (SELECT journey, count(*) AS n FROM computed "
        "WHERE is_return IS NOT NULL GROUP BY journey) USING (journey))"
    )
    computed = computed_once(data, "loops", wanted, _rows)
    return replace(whole, name="journeys_by_repeats", sql=sql, computed=computed)


def _relation(
    data: JourneyData,
    wanted: JourneyFilter,
    name: str,
    columns: tuple[str, ...],
    coded: dict[str, Coded],
) -> Relation:
    """Make a relation of the rows of `_rows` that have a value in the last of some columns."""
    where, parameters = filtered(data, wanted)
    sql = (
        f"SELECT journey, customer_id, at_us, seq, {', '.join(columns)}, time, "
        f"{bucket_sql('time')} AS time_bucket FROM computed JOIN "
        f"(SELECT journey, customer_id FROM journeys WHERE {where}) USING (journey) "
        f"WHERE {columns[-1]} IS NOT NULL"
    )
    computed = computed_once(data, "loops", wanted, _rows)
    return Relation(name, sql, tuple(parameters), coded, wanted.map, computed, STEP_ORDER)


def _rows(data: JourneyData, wanted: JourneyFilter) -> pa.Table:
    """Find the steps that repeat another one, and the time since that.

    Repeated steps have ``is_return``, and those back on a channel have ``between_channel``.
    """
    steps = KindSteps(data, wanted, with_channel=True)
    repeated, back = _repeated_places(steps), _back_places(steps)
    return pa.concat_tables([repeated, back], promote_options="default")


def _repeated_places(steps: KindSteps) -> pa.Table:
    visited = steps.arrays.journey.astype(np.int64) << 16 | steps.node
    # A stable sort brings the visits of a node by a journey side by side, in their order.
    order = np.argsort(visited, kind="stable")
    visited = visited[order]
    again = np.flatnonzero(visited[1:] == visited[:-1])
    before, place = order[again], order[again + 1]
    return _table(steps, before, place, is_return=(place - before > 1).astype(np.int8))


def _back_places(steps: KindSteps) -> pa.Table:
    channel, journey = steps.channel, steps.arrays.journey
    contacts = np.flatnonzero(channel != NO_CHANNEL)
    before, between, place = contacts[:-2], contacts[1:-1], contacts[2:]
    found = (channel[before] == channel[place]) & (channel[between] != channel[place])
    found &= journey[before] == journey[place]
    return _table(steps, before[found], place[found], between_channel=channel[between[found]])


def _table(
    steps: KindSteps, before: NDArray[np.int64], place: NDArray[np.int64], **own: NDArray[Any]
) -> pa.Table:
    """Make a table of some steps, each with the time since another one."""
    arrays = steps.arrays
    journey = arrays.journey[place]
    columns = {
        "journey": steps.numbers[journey],
        "at_us": arrays.at_us[place],
        "seq": (place - arrays.first[journey]).astype(np.uint32),
        "node": steps.node[place],
        "channel": steps.channel[place],
        "time": arrays.at_us[place] - arrays.at_us[before],
    }
    return pa.table(columns | own)


def loops(data: JourneyData, wanted: JourneyFilter) -> Loops:
    """Count the repeated steps of journeys, and their time.

    Raises
    ------
    InvalidRequest
        If the filter names something that the domain file does not have.
    """
    by_journey = journeys_by_repeats(data, wanted)
    counted: dict[int, int] = dict(by_journey.counts(data, ["repeats_shown"]))
    n = sum(counted.values())
    own = Numbers(by_journey, wanted).number
    steps, channels = repeated_steps(data, wanted), ping_pong(data, wanted)
    repeated = _repeated(data, steps, wanted, ("is_return", "node"), n)
    stayed = tuple(one for is_return, one in repeated if not is_return)
    returned = tuple(one for is_return, one in repeated if is_return)
    switched = tuple(one for _, one in _repeated(data, channels, wanted, _CHANNELS, n))
    step_number, channel_number = Numbers(steps, wanted).number, Numbers(channels, wanted).number
    with_repeat = n - counted.get(0, 0)
    return Loops(
        map=wanted.map,
        journeys=Numbers(relations.journeys(data, wanted), wanted).number(n),
        with_repeat=own(with_repeat, {"has_repeat": 1}),
        share=with_repeat / n if n else 0.0,
        by_repeats=tuple(
            JourneysByRepeats(repeats, own(number, {"repeats_shown": repeats}))
            for repeats, number in sorted(counted.items())
        ),
        self_loops=stayed,
        returns=returned,
        ping_pong=switched,
        all_self_loops=step_number(sum(one.n.n for one in stayed), {"is_return": 0}),
        all_returns=step_number(sum(one.n.n for one in returned), {"is_return": 1}),
        all_ping_pong=channel_number(sum(one.n.n for one in switched)),
    )


def _repeated(
    data: JourneyData,
    relation: Relation,
    wanted: JourneyFilter,
    by: tuple[str, ...],
    n_journeys: int,
) -> list[tuple[bool, Repeated]]:
    """Count the rows of a relation by some columns, and their time; the most frequent first.

    The names are the values of the columns, but for ``is_return``, which is returned apart.
    """
    found = relation.counted(data, [*by, "time_bucket"], "count(*) AS n, sum(time) AS time")
    rows: dict[tuple[Any, ...], list[int]] = {}
    for place, values in enumerate(zip(*(found[name].tolist() for name in by), strict=True)):
        rows.setdefault(values, []).append(place)
    number = Numbers(relation, wanted).number
    listed = []
    for values, places in rows.items():
        where = {
            name: relation.told(data, name, value) for name, value in zip(by, values, strict=True)
        }
        names = tuple(str(value) for name, value in where.items() if name != "is_return")
        n, time_us = int(found["n"][places].sum()), float(found["time"][places].sum())
        times = median_p90_s(found["time_bucket"][places], found["n"][places])
        made = Repeated(names, number(n, where), n / n_journeys, time_us / 1e6, *times)
        listed.append((where.get("is_return") == 1, made))
    return sorted(listed, key=lambda one: (-one[1].n.n, one[1].names))
