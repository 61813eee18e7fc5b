"""The fold: how a customer's events become the state we keep and the features a model reads.

    state = fold.advance(state, event)      # at each event, in order of time
    features = fold.read(state, at)         # at any later moment, without new events

This is the one arithmetic for training and serving. A state is a row of plain numbers anchored
at the last event of each type; ``read`` lets them decay to the moment asked for, so that the
features of a silent customer go on changing although nothing is written. Pure: no clock, no
input, no output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp2, log, log1p, nan, sqrt
from typing import Any

from features.domain import Domain, EventType, slug

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
LN_2 = log(2.0)
N, FIRST_AT, LAST_AT, GAP_MEAN, GAP_M2, GAP = range(6)  # kept once for each event type
HEAD = 6
RHYTHM = 4  # numbers that every event type keeps for each half-life
YOUNG = 0.05  # a memory is at least this full, so that one event is not read as a storm
MEMORY = 0.7  # weight of the past when a category is seen: the last 3 events make two thirds
PRIOR_GAPS = 3.0  # the assumed spread counts like this many gaps
PRIOR_GAP_SD = 0.7  # spread of log gaps assumed before there are any: about a factor of two

State = list[float]


@dataclass(frozen=True, slots=True)
class _Part:
    """Where one event type keeps its numbers in a state, in this order.

    ``n, first_at, last_at, gap_mean, gap_m2, gap``; then for each category value its last time
    and its share of recent events; then for each half-life the decayed counts of events and of
    weeks with events, the decayed sums of gaps and of their squares, of each number, and the
    decayed count of each category value.
    """

    name: str
    start: int
    numbers: tuple[str, ...]
    values: tuple[tuple[str, str], ...]
    half_lives_s: tuple[float, ...]

    @property
    def decayed(self) -> int:
        """Index of the first decayed counter."""
        return self.start + HEAD + 2 * len(self.values)

    @property
    def width(self) -> int:
        """Decayed counters of one half-life."""
        return RHYTHM + len(self.numbers) + len(self.values)

    @property
    def end(self) -> int:
        return self.decayed + self.width * len(self.half_lives_s)


class Fold:
    """The fold compiled for one business.

    Parameters
    ----------
    domain
        Names the event types, the properties to remember and the half-lives.

    Attributes
    ----------
    state_fields : tuple of str
        Name of each number of a state; ``_at`` are seconds since 1970 (UTC).
    feature_names : tuple of str
        Name of each feature that `read` returns, in its order.
    """

    def __init__(self, domain: Domain) -> None:
        self._half_lives_days = domain.half_lives_days
        half_lives_s = tuple(days * DAY_S for days in domain.half_lives_days)
        parts: dict[str, _Part] = {}
        start = 0
        for name, event in domain.events.items():
            numbers, values = _remembered(event)
            parts[name] = _Part(name, start, numbers, values, half_lives_s)
            start = parts[name].end
        self._parts = parts
        self.state_fields = tuple(
            field for part in parts.values() for field in _state_fields(part, self._half_lives_days)
        )
        self.feature_names = tuple(
            name for part in parts.values() for name in _feature_names(part, self._half_lives_days)
        )
        self._empty = [field for part in parts.values() for field in _empty(part)]

    def empty(self) -> State:
        """The state of a customer of whom nothing is known."""
        return self._empty.copy()

    def advance(
        self, state: State, event_type: str, at_s: float, properties: Mapping[str, Any]
    ) -> State:
        """The state after one more event.

        Parameters
        ----------
        state : shape (len(state_fields),)
            Left as it is.
        event_type : str
            One of the domain's event types.
        at_s : float
            Seconds since 1970 (UTC), not before the events already folded.
        properties
            Values by name; what is missing counts as 0 or as no category.
        """
        state = state.copy()
        part = self._parts[event_type]
        start = part.start
        first = state[start + N] == 0.0
        last_at = at_s if first else state[start + LAST_AT]
        gap_days = (at_s - last_at) / DAY_S
        if first:
            state[start + FIRST_AT] = at_s
        else:
            _add_gap(state, part, gap_days)
            _decay(state, part, at_s - last_at)
        state[start + N] += 1.0
        state[start + LAST_AT] = at_s

        new_week = 1.0 if first or at_s // WEEK_S > last_at // WEEK_S else 0.0
        seen = [1.0 if properties.get(name) == value else 0.0 for name, value in part.values]
        _remember(state, part, seen, at_s, first)
        numbers = [float(properties.get(name) or 0.0) for name in part.numbers]
        _add(state, part, [1.0, new_week, gap_days, gap_days * gap_days, *numbers, *seen])
        return state

    def read(self, state: State, at_s: float) -> list[float]:
        """The features at a moment.

        Parameters
        ----------
        state : shape (len(state_fields),)
            The state after the last event before or at the moment.
        at_s : float
            The moment, seconds since 1970 (UTC).

        Returns
        -------
        shape (len(feature_names),)
            ``nan`` where the customer has no such past.
        """
        features: list[float] = []
        for part in self._parts.values():
            _read_part(features, part, state, at_s)
        return features


def _remembered(event: EventType) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    kept = {name: prop for name, prop in event.properties.items() if prop.remembered}
    numbers = tuple(name for name, prop in kept.items() if prop.type == "number")
    values = tuple((name, value) for name, prop in kept.items() for value in prop.values)
    return numbers, values


def _state_fields(part: _Part, half_lives_days: tuple[float, ...]) -> list[str]:
    name = part.name
    fields = [f"{name}_n", f"{name}_first_at", f"{name}_last_at"]
    fields += [f"{name}_gap_mean", f"{name}_gap_m2", f"{name}_gap_days"]
    for prop, value in part.values:
        fields += [f"{name}_{prop}_{slug(value)}_last_at", f"{name}_{prop}_{slug(value)}_share"]
    for days in half_lives_days:
        fields += [f"{name}_{kept}_{days:g}d" for kept in ("n", "weeks", "gap", "gap_sq")]
        fields += [f"{name}_{prop}_{days:g}d" for prop in part.numbers]
        fields += [f"{name}_{prop}_{slug(value)}_{days:g}d" for prop, value in part.values]
    return fields


def _empty(part: _Part) -> list[float]:
    head = [0.0, nan, nan, 0.0, 0.0, nan]
    return head + [nan, 0.0] * len(part.values) + [0.0] * (part.end - part.decayed)


def _add_gap(state: State, part: _Part, gap_days: float) -> None:
    """Mean and squared deviations of log gaps, one at a time (Welford, 1962)."""
    start, gap = part.start, log1p(gap_days)
    delta = gap - state[start + GAP_MEAN]
    state[start + GAP_MEAN] += delta / state[start + N]
    state[start + GAP_M2] += delta * (gap - state[start + GAP_MEAN])
    state[start + GAP] = gap_days


def _decay(state: State, part: _Part, elapsed_s: float) -> None:
    """Let the counters fade from the last event to this one."""
    at = part.decayed
    for half_life_s in part.half_lives_s:
        keep = exp2(-elapsed_s / half_life_s)
        for index in range(at, at + part.width):
            state[index] *= keep
        at += part.width


def _remember(state: State, part: _Part, seen: list[float], at_s: float, first: bool) -> None:
    """When each category value was last seen, and its share of the recent events."""
    index = part.start + HEAD
    for here in seen:
        if here:
            state[index] = at_s
        share = here if first else MEMORY * state[index + 1] + (1.0 - MEMORY) * here
        state[index + 1] = share
        index += 2


def _add(state: State, part: _Part, amounts: list[float]) -> None:
    """Add this event to the counters of every half-life."""
    at = part.decayed
    for _ in part.half_lives_s:
        for offset, amount in enumerate(amounts):
            state[at + offset] += amount
        at += part.width


def _feature_names(part: _Part, half_lives_days: tuple[float, ...]) -> list[str]:
    name = part.name
    names = [f"{name}_known_days", f"{name}_silence_days", f"{name}_gap_days"]
    names += [f"{name}_gap_mean", f"{name}_gap_sd", f"{name}_silence_z", f"{name}_silence_ratio"]
    for prop, value in part.values:
        value = f"{name}_{prop}_{slug(value)}"
        names += [f"{value}_silence_days", f"{value}_last_share"]
    for days in half_lives_days:
        names += [f"{name}_{read}_{days:g}d" for read in ("per_week", "active_weeks", "wait_days")]
        names += [f"{name}_{prop}_mean_{days:g}d" for prop in part.numbers]
        names += [f"{name}_{prop}_{slug(value)}_share_{days:g}d" for prop, value in part.values]
    names += [f"{name}_trend_{days:g}d" for days in half_lives_days[:-1]]
    return names


def _read_part(features: list[float], part: _Part, state: State, at_s: float) -> None:
    start = part.start
    n, first_at, last_at, mean, m2, gap_days = state[start : start + HEAD]
    if n == 0.0:
        features += _nothing(part)
        return
    # A clock that runs behind the one that stamped the event must not turn silence negative.
    known_s, silence_s = max(at_s - first_at, 0.0), max(at_s - last_at, 0.0)
    silence_days = silence_s / DAY_S
    gap_mean, gap_sd = _rhythm(n, mean, m2)
    silence_log = log1p(silence_days)
    features += [known_s / DAY_S, silence_days, gap_days, gap_mean, gap_sd]
    features += [(silence_log - gap_mean) / gap_sd, silence_log - gap_mean]

    index = start + HEAD
    for _ in part.values:
        # In this order: max(nan, 0.0) is nan, as it should be for what was never seen.
        features += [max((at_s - state[index]) / DAY_S, 0.0), state[index + 1]]
        index += 2

    per_week = []
    index, width = part.decayed, part.width
    for half_life_s in part.half_lives_s:
        count, weeks, gaps, gaps_sq = state[index : index + RHYTHM]
        keep = exp2(-silence_s / half_life_s)
        per_week.append(count * keep * _weekly(known_s, half_life_s))
        # Mean gap as met by a visitor at a random time: long gaps count by their length.
        features += [per_week[-1], weeks * keep, gaps_sq / gaps if gaps else nan]
        features += [amount / count for amount in state[index + RHYTHM : index + width]]
        index += width
    slow = per_week[-1]  # 0 when even the longest memory has forgotten
    features += [recent / slow if slow else nan for recent in per_week[:-1]]


def _weekly(known_s: float, half_life_s: float) -> float:
    """Turns a decayed count into events per week.

    A memory that began ``known_s`` ago has filled to 1 - 2^(-known/half-life) of what it would
    hold in the long run; without this, every customer seems to speed up while a data set is young.
    """
    full = max(1.0 - exp2(-known_s / half_life_s), YOUNG)
    return LN_2 * WEEK_S / half_life_s / full


def _rhythm(n: float, gap_mean: float, gap_m2: float) -> tuple[float, float]:
    """Mean and spread of log gaps; the spread is drawn to a prior while gaps are few."""
    gaps = n - 1.0
    if gaps == 0.0:
        return nan, nan
    return gap_mean, sqrt((gap_m2 + PRIOR_GAPS * PRIOR_GAP_SD**2) / (gaps + PRIOR_GAPS))


def _nothing(part: _Part) -> list[float]:
    lives = len(part.half_lives_s)
    per_life = [0.0, 0.0] + [nan] * (part.width - 3)
    return [nan] * 7 + [nan, 0.0] * len(part.values) + per_life * lives + [nan] * (lives - 1)
