"""Features across all event types: sessions, channel preference, spend and feedback scores."""

from __future__ import annotations

from math import exp2, log, nan

from features.business.event_types import SCALES
from features.journeys.descriptions import (
    AMOUNT,
    DAYS,
    SHARE,
    FeatureDescription,
    humanize,
    recent_period,
    scale_unit,
)
from features.journeys.recency_frequency import RecencyFrequency
from features.journeys.state import DAY_S, WEEK_S, State

MINUTE_S = 60.0
NO_EVENT = "no event yet"


class Sessions:
    """Counts of all events of a customer, and of the events of the current session.

    Parameters
    ----------
    session_s : float
        A session ends after this time without an event.
    """

    fields = ("events_n", "first_at", "last_at", "session_at", "session_n", "sessions_n")
    names = (
        *("events_n", "known_days", "silence_days"),
        *("session_events", "session_minutes", "sessions_n"),
    )

    def __init__(self, start: int, session_s: float) -> None:
        self._start = start
        self._session_s = session_s

    def descriptions(self) -> dict[str, FeatureDescription]:
        """Describe each feature in plain English, by its name."""
        return {
            "events_n": FeatureDescription("events in all", "events", f"{AMOUNT} in all"),
            "known_days": FeatureDescription(
                "time since the first event", DAYS, f"{AMOUNT} since the first event", NO_EVENT
            ),
            "silence_days": FeatureDescription(
                "time since the last event", DAYS, f"{AMOUNT} since the last event", NO_EVENT
            ),
            "session_events": FeatureDescription(
                "events in the session under way", "events", f"{AMOUNT} in the session under way"
            ),
            "session_minutes": FeatureDescription(
                "length of the session under way",
                "minutes",
                f"{AMOUNT} into the session under way",
                "no session under way",
            ),
            "sessions_n": FeatureDescription("sessions in all", "sessions", f"{AMOUNT} in all"),
        }

    def empty(self) -> State:
        """Return the slice before any event."""
        return [0.0, nan, nan, nan, 0.0, 0.0]

    def advance(self, state: State, at_s: float) -> None:
        """Update the slice at an event of any type."""
        start = self._start
        n, first_at, last_at, session_at, session_n, sessions_n = state[start : start + 6]
        if n == 0.0:
            first_at = at_s
        if n == 0.0 or at_s - last_at > self._session_s:
            session_at, session_n, sessions_n = at_s, 0.0, sessions_n + 1.0
        state[start : start + 6] = [
            *(n + 1.0, first_at, at_s, session_at, session_n + 1.0, sessions_n)
        ]

    def read(self, features: list[float], state: State, at_s: float) -> None:
        """Append the features at a moment."""
        start = self._start
        n, first_at, last_at, session_at, session_n, sessions_n = state[start : start + 6]
        if n == 0.0:
            features += [0.0, nan, nan, 0.0, nan, 0.0]
            return
        silence_s = max(at_s - last_at, 0.0)
        features += [n, max(at_s - first_at, 0.0) / DAY_S, silence_s / DAY_S]
        if silence_s > self._session_s:
            features += [0.0, nan, sessions_n]
        else:
            features += [session_n, max(at_s - session_at, 0.0) / MINUTE_S, sessions_n]

    def last_at(self, state: State) -> float:
        """Return the time of the last event, seconds since 1970; nan before the first event."""
        return state[self._start + 2]

    def events_n(self, state: State) -> int:
        """Return the number of events."""
        return int(state[self._start])


class ChannelPreference:
    """The share of each channel in the events; this part has no slice of the state.

    Parameters
    ----------
    channels : by name, the part of the fold for each channel
    """

    fields: tuple[str, ...] = ()

    def __init__(self, channels: dict[str, RecencyFrequency]) -> None:
        self._channels = tuple(channels.values())
        self.names = tuple(f"channel_{name}_preference" for name in channels)
        self._labels = tuple(humanize(name) for name in channels)

    def descriptions(self) -> dict[str, FeatureDescription]:
        """Describe each feature in plain English, by its name."""
        found = (
            FeatureDescription(
                f"share of the channel {channel} in the remembered events",
                SHARE,
                f"{AMOUNT} of the remembered events came through the channel {channel}",
                "no event remembered",
            )
            for channel in self._labels
        )
        return dict(zip(self.names, found, strict=True))

    def empty(self) -> State:
        """Return an empty slice."""
        return []

    def read(self, features: list[float], state: State, at_s: float) -> None:
        """Append the share of each channel in the decayed counts; nan if all counts are 0."""
        counts = [channel.decayed_count(state, at_s) for channel in self._channels]
        total = sum(counts)
        features += [count / total if total else nan for count in counts]


class Spend:
    """Spend: money that came in, over all event types.

    Parameters
    ----------
    currency : str
        Suffix of the names of fields and features.
    half_lives_days : rising
    """

    def __init__(self, start: int, currency: str, half_lives_days: tuple[float, ...]) -> None:
        self._start = start
        self._half_lives_s = tuple(days * DAY_S for days in half_lives_days)
        self._half_lives_days, self._currency = half_lives_days, currency
        lives = [f"{days:g}d" for days in half_lives_days]
        self.fields = (
            *("spend_n", f"spend_total_{currency}", f"spend_last_{currency}", "spend_last_at"),
            *(f"spend_{currency}_{life}" for life in lives),
        )
        self.names = (
            *(f"spend_total_{currency}", f"spend_mean_{currency}", f"spend_last_{currency}"),
            *(f"spend_per_week_{currency}_{life}" for life in lives),
        )

    def descriptions(self) -> dict[str, FeatureDescription]:
        """Describe each feature in plain English, by its name."""
        currency, never = self._currency, "nothing spent yet"
        unit = currency.upper()
        descriptions = {
            f"spend_total_{currency}": FeatureDescription(
                "spent in all", unit, f"{AMOUNT} spent in all"
            ),
            f"spend_mean_{currency}": FeatureDescription(
                "spent each time, on average", unit, f"{AMOUNT} spent each time, on average", never
            ),
            f"spend_last_{currency}": FeatureDescription(
                "spent the last time", unit, f"{AMOUNT} spent the last time", never
            ),
        }
        for days in self._half_lives_days:
            descriptions[f"spend_per_week_{currency}_{days:g}d"] = FeatureDescription(
                f"spent a week {recent_period(days)}",
                f"{unit} a week",
                f"{AMOUNT} spent {recent_period(days)}",
            )
        return descriptions

    def empty(self) -> State:
        """Return the slice before any payment."""
        return [0.0, 0.0, nan, nan] + [0.0] * len(self._half_lives_s)

    def advance(self, state: State, at_s: float, amount: float) -> None:
        """Update the slice at a payment."""
        start = self._start
        elapsed_s = at_s - state[start + 3] if state[start] else 0.0
        state[start] += 1.0
        state[start + 1] += amount
        state[start + 2] = amount
        state[start + 3] = at_s
        for index, half_life_s in enumerate(self._half_lives_s, start=start + 4):
            state[index] = state[index] * exp2(-elapsed_s / half_life_s) + amount

    def read(self, features: list[float], state: State, at_s: float) -> None:
        """Append the features at a moment."""
        start = self._start
        n, total, last, last_at = state[start : start + 4]
        features += [total, total / n if n else nan, last]
        silence_s = max(at_s - last_at, 0.0) if n else 0.0
        for index, half_life_s in enumerate(self._half_lives_s, start=start + 4):
            weekly = log(2.0) * WEEK_S / half_life_s
            features.append(state[index] * exp2(-silence_s / half_life_s) * weekly)


class Feedback:
    """The scores that a customer gave in one measure (nps, csat, ces, rating).

    Parameters
    ----------
    measure : str
        Part of the names of fields and features.
    half_life_days : float
        Time after which a score has half its weight in the mean.
    """

    def __init__(self, start: int, measure: str, half_life_days: float) -> None:
        self._start = start
        self._measure = measure
        self._half_life_s = half_life_days * DAY_S
        self.fields = tuple(
            f"feedback_{measure}_{kept}" for kept in ("n", "last", "last_at", "weight", "sum")
        )
        self.names = tuple(
            f"feedback_{measure}_{read}" for read in ("n", "last", "mean", "silence_days")
        )

    def descriptions(self) -> dict[str, FeatureDescription]:
        """Describe each feature in plain English, by its name."""
        name, label = f"feedback_{self._measure}", humanize(self._measure)
        scale, never = scale_unit(*SCALES[self._measure]), f"no score for {label} yet"
        answer = f"since the last score for {label}"
        return {
            f"{name}_n": FeatureDescription(
                f"scores for {label} in all", "scores", f"{AMOUNT} for {label} in all"
            ),
            f"{name}_last": FeatureDescription(
                f"the last score for {label}",
                scale,
                f"{AMOUNT} in the last score for {label}",
                never,
            ),
            f"{name}_mean": FeatureDescription(
                f"scores for {label} on average, the latest counting most",
                scale,
                f"{AMOUNT} in the scores for {label} on average, the latest counting most",
                never,
            ),
            f"{name}_silence_days": FeatureDescription(
                f"time {answer}", DAYS, f"{AMOUNT} {answer}", never
            ),
        }

    def empty(self) -> State:
        """Return the slice before any score."""
        return [0.0, nan, nan, 0.0, 0.0]

    def advance(self, state: State, at_s: float, score: float) -> None:
        """Update the slice at a score."""
        start = self._start
        keep = exp2(-(at_s - state[start + 2]) / self._half_life_s) if state[start] else 0.0
        state[start] += 1.0
        state[start + 1] = score
        state[start + 2] = at_s
        state[start + 3] = state[start + 3] * keep + 1.0
        state[start + 4] = state[start + 4] * keep + score

    def read(self, features: list[float], state: State, at_s: float) -> None:
        """Append the features at a moment; both sums of the mean decay alike."""
        n, last, last_at, weight, total = state[self._start : self._start + 5]
        if n == 0.0:
            features += [0.0, nan, nan, nan]
            return
        features += [n, last, total / weight, max(at_s - last_at, 0.0) / DAY_S]
