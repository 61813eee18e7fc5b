"""Descriptions of the features of `RecencyFrequency` in plain English."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, expm1

from features.journeys.descriptions import (
    AMOUNT,
    DAYS,
    NUMBER,
    SHARE,
    TIMES,
    WEEKLY,
    FeatureDescription,
    Quantity,
    duration,
    recent_period,
)

OFTEN = "long ones counting most"  # of the mean gap at a random time


def describe_recency_frequency(
    name: str,
    noun: str,
    half_lives_days: tuple[float, ...],
    quantities: Mapping[str, Quantity],
    kinds: Mapping[str, str],
) -> dict[str, FeatureDescription]:
    """Describe the features of a `RecencyFrequency` by their names.

    Parameters
    ----------
    name, noun : str
        The prefix of the names, and the event for people.
    half_lives_days : rising
    quantities
        Label and unit of each number property, by its name.
    kinds
        Each category value for people ("status 'late'"), by its label in the names.
    """
    descriptions = _of_gaps(name, noun)
    for label, kind in kinds.items():
        descriptions |= _of_kind(f"{name}_{label}", noun, kind)
    for days in half_lives_days:
        descriptions |= _of_half_life(name, noun, days)
        for kept, quantity in quantities.items():
            descriptions[f"{name}_{kept}_mean_{days:g}d"] = _of_mean(noun, quantity, days)
        for label, kind in kinds.items():
            descriptions[f"{name}_{label}_share_{days:g}d"] = _of_share(noun, kind, days)
    for days in half_lives_days[:-1]:
        descriptions[f"{name}_trend_{days:g}d"] = _of_trend(noun, days, half_lives_days[-1])
    return descriptions


def _of_gaps(name: str, noun: str) -> dict[str, FeatureDescription]:
    """Describe the features of all events."""
    never, alone = f"no {noun} yet", f"no second {noun} yet"
    first, last = f"since the first {noun}", f"since the last {noun}"
    gap = f"between the last {noun} and the one before"
    pause, silence = f"from one {noun} to the next", f"silence since the last {noun}"
    return {
        f"{name}_known_days": FeatureDescription(f"time {first}", DAYS, f"{AMOUNT} {first}", never),
        f"{name}_silence_days": FeatureDescription(f"time {last}", DAYS, f"{AMOUNT} {last}", never),
        f"{name}_gap_days": FeatureDescription(f"time {gap}", DAYS, f"{AMOUNT} {gap}", alone),
        f"{name}_gap_mean": FeatureDescription(
            f"usual time {pause}", DAYS, f"usually {AMOUNT} {pause}", alone, to_value=expm1
        ),
        f"{name}_gap_sd": FeatureDescription(
            f"factor by which the times {pause} vary",
            TIMES,
            f"times {pause} vary by a factor of {NUMBER}",
            alone,
            to_value=exp,
        ),
        f"{name}_silence_z": FeatureDescription(
            f"{silence}, against the usual one and how much that varies",
            "standard deviations",
            f"{silence} is {AMOUNT} longer than usual",
            alone,
            phrase_if_negative=f"{silence} is {AMOUNT} shorter than usual",
        ),
        f"{name}_silence_ratio": FeatureDescription(
            f"{silence}, as a multiple of the usual one",
            TIMES,
            f"{silence} is about {NUMBER} times as long as usual",
            alone,
            to_value=exp,
        ),
    }


def _of_kind(name: str, noun: str, kind: str) -> dict[str, FeatureDescription]:
    last = f"since the last {noun} with {kind}"
    few = f"of the last few {noun} events"
    return {
        f"{name}_silence_days": FeatureDescription(
            f"time {last}", DAYS, f"{AMOUNT} {last}", f"no {noun} with {kind} yet"
        ),
        f"{name}_last_share": FeatureDescription(
            f"{kind}, its share {few}", SHARE, f"{kind} in {AMOUNT} {few}"
        ),
    }


def _of_half_life(name: str, noun: str, days: float) -> dict[str, FeatureDescription]:
    """Describe the features of one half-life."""
    recently, pause = recent_period(days), f"from one {noun} to the next"
    # With a half-life of two weeks it is up to 3.5 weeks, so not "over the last two weeks".
    weeks = f"with any {noun}, each counting half after {duration(days)}"
    return {
        f"{name}_per_week_{days:g}d": FeatureDescription(
            f"{noun}, how often a week {recently}", WEEKLY, f"{noun} {AMOUNT} {recently}"
        ),
        f"{name}_active_weeks_{days:g}d": FeatureDescription(
            f"weeks {weeks}", "weeks", f"{AMOUNT} {weeks}"
        ),
        f"{name}_wait_days_{days:g}d": FeatureDescription(
            f"average time {pause} {recently}, {OFTEN}",
            DAYS,
            f"on average {AMOUNT} {pause} {recently}, {OFTEN}",
            f"no second {noun} yet",
        ),
    }


def _of_mean(noun: str, quantity: Quantity, days: float) -> FeatureDescription:
    each = f"per {noun} on average {recent_period(days)}"
    text = AMOUNT if quantity.counts_itself else f"{quantity.label} of {AMOUNT}"
    return FeatureDescription(
        f"{quantity.description} {each}", quantity.unit, f"{text} {each}", f"no {noun} yet"
    )


def _of_share(noun: str, kind: str, days: float) -> FeatureDescription:
    recent = f"of the {noun} events {recent_period(days)}"
    return FeatureDescription(
        f"{kind}, its share {recent}", SHARE, f"{kind} in {AMOUNT} {recent}", f"no {noun} yet"
    )


def _of_trend(noun: str, days: float, longest_days: float) -> FeatureDescription:
    against = f"{recent_period(days)} as over the last {duration(longest_days)}"
    return FeatureDescription(
        f"{noun}, how many times as often {against}",
        TIMES,
        f"{noun} {NUMBER} times as often {against}",
        f"no recent {noun}",
    )
