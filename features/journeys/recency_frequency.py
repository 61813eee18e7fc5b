"""Recency and frequency of one event type, or of the events on one channel.

Counts decay exponentially. They are stored as of the last event, so nothing needs to be written
while a customer has no events.
"""

from __future__ import annotations

from math import exp2, log, log1p, nan, sqrt

from features.journeys.descriptions import (
    FeatureDescription,
    Quantity,
    category_text,
    event_noun,
    humanize,
)
from features.journeys.recency_frequency_text import describe_recency_frequency
from features.journeys.state import DAY_S, WEEK_S, State

LN_2 = log(2.0)
N, FIRST_AT, LAST_AT, GAP_MEAN, GAP_M2, GAP = range(6)
HEAD = 6
DECAYED = 4  # decayed sums of every part: events, weeks with events, gaps, squared gaps
MIN_FILLED = 0.05  # least filled share of a decayed count: one new event is no high frequency
MEMORY = 0.7  # weight of the past in the share of a category: the last 3 events have 2/3
PRIOR_GAPS = 3.0  # the prior of the standard deviation counts as this many gaps
PRIOR_GAP_SD = 0.7  # prior standard deviation of log gaps: about a factor of two


class RecencyFrequency:
    """The part of the fold for recency and frequency of one kind of event.

    The numbers of its slice are, in this order: ``n, first_at, last_at, gap_mean, gap_m2, gap``;
    then for each category value its last time and its share of recent events; then for each
    half-life the decayed counts of events and of weeks with events, the decayed sums of gaps and of
    their squares, of each number, and the decayed count of each category value.

    Parameters
    ----------
    name : str
        Prefix of its fields and features.
    start : int
        Index at which its slice of the state begins.
    half_lives_days : rising
    numbers : names of number properties, summed
    values : pairs of a category property and one of its values, counted
    labels : the part of a name that stands for each of ``values``
    quantities : label and unit of each of ``numbers``
    noun : str
        The event, for people. By default it is made from the name.
    """

    def __init__(
        self,
        name: str,
        start: int,
        half_lives_days: tuple[float, ...],
        numbers: tuple[str, ...] = (),
        values: tuple[tuple[str, str], ...] = (),
        labels: tuple[str, ...] = (),
        quantities: tuple[Quantity, ...] = (),
        noun: str = "",
    ) -> None:
        self._name, self._noun, self._labels = name, noun, labels
        self._half_lives_days, self._quantities = half_lives_days, quantities
        self._start = start
        self._half_lives_s = tuple(days * DAY_S for days in half_lives_days)
        self._values = len(values)
        self._decayed = start + HEAD + 2 * len(values)
        self._width = DECAYED + len(numbers) + len(values)
        self.numbers, self.values = numbers, values
        self.fields = _fields(name, half_lives_days, numbers, labels)
        self.names = _names(name, half_lives_days, numbers, labels)
        self._without_events = self._read_empty()

    def descriptions(self) -> dict[str, FeatureDescription]:
        """Describe each feature in plain English, by its name."""
        quantities = self._quantities or (Quantity.named(name, "") for name in self.numbers)
        kinds = (f"{humanize(name)} '{category_text(value)}'" for name, value in self.values)
        return describe_recency_frequency(
            self._name,
            self._noun or event_noun(self._name),
            self._half_lives_days,
            dict(zip(self.numbers, quantities, strict=True)),
            dict(zip(self._labels, kinds, strict=True)),
        )

    def empty(self) -> State:
        """Return the slice before any event."""
        head = [0.0, nan, nan, 0.0, 0.0, nan]
        return head + [nan, 0.0] * self._values + [0.0] * (self._width * len(self._half_lives_s))

    def advance(self, state: State, at_s: float, numbers: list[float], seen: list[float]) -> None:
        """Update the slice at an event.

        Parameters
        ----------
        state : changed in place
        at_s : float
            Seconds since 1970 (UTC), not before the last event.
        numbers : shape (len(self.numbers),)
        seen : shape (len(self.values),), 1 for each category value of the event, else 0
        """
        start = self._start
        first = state[start + N] == 0.0
        last_at = at_s if first else state[start + LAST_AT]
        elapsed_s = at_s - last_at
        gap_days = elapsed_s / DAY_S
        if first:
            state[start + FIRST_AT] = at_s
        else:
            self._add_gap(state, gap_days)
        state[start + N] += 1.0
        state[start + LAST_AT] = at_s
        if seen:
            self._update_categories(state, seen, at_s, first)
        new_week = 1.0 if first or at_s // WEEK_S > last_at // WEEK_S else 0.0
        amounts = [1.0, new_week, gap_days, gap_days * gap_days, *numbers, *seen]
        begin = self._decayed
        for half_life_s in self._half_lives_s:
            keep = exp2(-elapsed_s / half_life_s)
            end = begin + self._width
            kept = state[begin:end]
            state[begin:end] = [old * keep + new for old, new in zip(kept, amounts, strict=True)]
            begin = end

    def read(self, features: list[float], state: State, at_s: float) -> None:
        """Append the features at a moment; ``nan`` where there is no such event."""
        start = self._start
        n, first_at, last_at, mean, m2, gap_days = state[start : start + HEAD]
        if n == 0.0:
            features += self._without_events
            return
        # The clock may be behind the one that stamped the event; a duration must not be negative.
        known_s, silence_s = max(at_s - first_at, 0.0), max(at_s - last_at, 0.0)
        silence_days = silence_s / DAY_S
        gap_mean, gap_sd = _gap_moments(n, mean, m2)
        silence_log = log1p(silence_days)
        features += [known_s / DAY_S, silence_days, gap_days, gap_mean, gap_sd]
        features += [(silence_log - gap_mean) / gap_sd, silence_log - gap_mean]

        index = start + HEAD
        for _ in range(self._values):
            # The order matters: max(nan, 0.0) is nan, which stands for a value never seen.
            features += [max((at_s - state[index]) / DAY_S, 0.0), state[index + 1]]
            index += 2

        per_week = []
        width = self._width
        for half_life_s in self._half_lives_s:
            count, weeks, gaps, gaps_sq = state[index : index + DECAYED]
            keep = exp2(-silence_s / half_life_s)
            per_week.append(count * keep * _weekly(known_s, half_life_s))
            # The mean gap at a random time: each gap is weighted by its length.
            features += [per_week[-1], weeks * keep, gaps_sq / gaps if gaps else nan]
            features += [amount / count for amount in state[index + DECAYED : index + width]]
            index += width
        slow = per_week[-1]  # 0 when even the slowest count has decayed to 0
        features += [recent / slow if slow else nan for recent in per_week[:-1]]

    def decayed_count(self, state: State, at_s: float) -> float:
        """Return the decayed count of events for the longest half-life."""
        if state[self._start + N] == 0.0:
            return 0.0
        silence_s = max(at_s - state[self._start + LAST_AT], 0.0)
        longest = self._decayed + self._width * (len(self._half_lives_s) - 1)
        return state[longest] * exp2(-silence_s / self._half_lives_s[-1])

    def _add_gap(self, state: State, gap_days: float) -> None:
        """Update mean and squared deviations of log gaps (Welford, 1962)."""
        start, gap = self._start, log1p(gap_days)
        delta = gap - state[start + GAP_MEAN]
        state[start + GAP_MEAN] += delta / state[start + N]
        state[start + GAP_M2] += delta * (gap - state[start + GAP_MEAN])
        state[start + GAP] = gap_days

    def _update_categories(self, state: State, seen: list[float], at_s: float, first: bool) -> None:
        """Update for each category value its last time and its share of the recent events."""
        index = self._start + HEAD
        for here in seen:
            if here:
                state[index] = at_s
            share = here if first else MEMORY * state[index + 1] + (1.0 - MEMORY) * here
            state[index + 1] = share
            index += 2

    def _read_empty(self) -> list[float]:
        lives = len(self._half_lives_s)
        per_life = [0.0, 0.0] + [nan] * (self._width - 3)
        return [nan] * 7 + [nan, 0.0] * self._values + per_life * lives + [nan] * (lives - 1)


def _fields(
    name: str, half_lives_days: tuple[float, ...], numbers: tuple[str, ...], labels: tuple[str, ...]
) -> tuple[str, ...]:
    fields = [f"{name}_n", f"{name}_first_at", f"{name}_last_at"]
    fields += [f"{name}_gap_mean", f"{name}_gap_m2", f"{name}_gap_days"]
    for label in labels:
        fields += [f"{name}_{label}_last_at", f"{name}_{label}_share"]
    for days in half_lives_days:
        fields += [f"{name}_{kept}_{days:g}d" for kept in ("n", "weeks", "gap", "gap_sq")]
        fields += [f"{name}_{kept}_{days:g}d" for kept in (*numbers, *labels)]
    return tuple(fields)


def _names(
    name: str, half_lives_days: tuple[float, ...], numbers: tuple[str, ...], labels: tuple[str, ...]
) -> tuple[str, ...]:
    names = [f"{name}_known_days", f"{name}_silence_days", f"{name}_gap_days"]
    names += [f"{name}_gap_mean", f"{name}_gap_sd", f"{name}_silence_z", f"{name}_silence_ratio"]
    for label in labels:
        names += [f"{name}_{label}_silence_days", f"{name}_{label}_last_share"]
    for days in half_lives_days:
        names += [f"{name}_{read}_{days:g}d" for read in ("per_week", "active_weeks", "wait_days")]
        names += [f"{name}_{number}_mean_{days:g}d" for number in numbers]
        names += [f"{name}_{label}_share_{days:g}d" for label in labels]
    names += [f"{name}_trend_{days:g}d" for days in half_lives_days[:-1]]
    return tuple(names)


def _weekly(known_s: float, half_life_s: float) -> float:
    """Compute the factor that turns a decayed count into events per week.

    A count that began ``known_s`` ago has filled to 1 - 2^(-known/half-life) of its limit. Without
    this correction, the frequency of every customer would seem to rise while data are new.
    """
    filled = max(1.0 - exp2(-known_s / half_life_s), MIN_FILLED)
    return LN_2 * WEEK_S / half_life_s / filled


def _gap_moments(n: float, gap_mean: float, gap_m2: float) -> tuple[float, float]:
    """Compute mean and standard deviation of log gaps; the latter shrinks to a prior."""
    gaps = n - 1.0
    if gaps == 0.0:
        return nan, nan
    return gap_mean, sqrt((gap_m2 + PRIOR_GAPS * PRIOR_GAP_SD**2) / (gaps + PRIOR_GAPS))
