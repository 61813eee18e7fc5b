"""Judges promises, and cuts journeys, by brute force: slow, and straight from the definitions.

It shares no code with the fold or with the analytics, which are compared with it. Each question is
answered from the whole list of events up to a moment; nothing is kept between two moments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from features.business.journey_rules.promises import Promise

State = Literal["kept", "broken", "open", "void"]
How = Literal["ended", "left", "lapsed", "open"]


@dataclass(frozen=True)
class OracleStep:
    """A step of a journey: its time, and the names by which a promise may call it."""

    at_us: int
    names: frozenset[str]
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """An activation of a promise as of a moment."""

    state: State
    activated_us: int
    due_us: int | None = None
    resolved_us: int | None = None
    lateness_us: int | None = None


@dataclass(frozen=True)
class OracleEvent:
    """An event of one customer, with what the domain file says of it."""

    at_us: int
    kind: str
    step: Literal["starts", "moves", "ends"]
    names: frozenset[str] = frozenset()
    case: str | None = None
    leaves: bool = False
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class OracleJourney:
    """A journey as of a moment; ``close_us`` is None while it is open."""

    kind: str
    case: str | None
    steps: list[OracleStep]
    how: How = "open"
    close_us: int | None = None


def cut(
    events: Sequence[OracleEvent], lapses_us: Mapping[str, int | None], at_us: int
) -> list[OracleJourney]:
    """Cut the events of one customer, in their order, as of a moment; by the first step."""
    journeys: list[OracleJourney] = []
    past = [event for event in events if event.at_us <= at_us]
    for number, event in enumerate(past):
        _lapse(journeys, past[:number], event.kind, lapses_us[event.kind], event.at_us)
        step = OracleStep(event.at_us, event.names, event.properties)
        mine = [one for one in journeys if one.kind == event.kind and one.how == "open"]
        if event.case is not None:
            mine = [one for one in mine if one.case == event.case]
        if mine and not (event.step == "starts" and event.case is None):
            journey = mine[-1]
        else:
            journey = OracleJourney(event.kind, event.case, [])
            journeys.append(journey)
        journey.steps.append(step)
        if event.step == "ends":
            journey.how, journey.close_us = "ended", event.at_us
        if event.leaves:
            for kind, lapse_us in lapses_us.items():
                _lapse(journeys, past[: number + 1], kind, lapse_us, event.at_us)
            for one in journeys:
                if one.how == "open":
                    one.how, one.close_us = "left", event.at_us
    for kind, lapse_us in lapses_us.items():
        _lapse(journeys, past, kind, lapse_us, at_us)
    return journeys


def _lapse(
    journeys: list[OracleJourney],
    past: Sequence[OracleEvent],
    kind: str,
    lapse_us: int | None,
    at_us: int,
) -> None:
    times = [event.at_us for event in past if event.kind == kind]
    if lapse_us is None or not times or at_us - times[-1] <= lapse_us:
        return
    for one in journeys:
        if one.kind == kind and one.how == "open":
            one.how, one.close_us = "lapsed", times[-1] + lapse_us


def judge(
    promise: Promise, steps: Sequence[OracleStep], close_us: int | None, at_us: int
) -> list[Judged]:
    """Judge a promise in one journey as of a moment.

    Parameters
    ----------
    steps
        Those of the journey, in their order; the first one opens it.
    close_us
        When the journey ended or lapsed, or the customer left; None if it is open at the moment.
    """
    past = [step for step in steps if step.at_us <= at_us]
    if close_us is not None and close_us > at_us:
        close_us = None
    if not past:
        return []
    match promise.template:
        case "response":
            return _response(promise, past, close_us, at_us)
        case "precedence":
            return _precedence(promise, past)
        case "absence":
            return [_limited(promise, promise.never, 0, past, close_us, at_us)]
        case "at_most":
            most = promise.no_more_than or 0
            return [_limited(promise, promise.of, most, past, close_us, at_us)]
        case "never_again":
            return _never_again(promise, past, close_us, at_us)
        case "chain":
            return _chain(promise, past, close_us, at_us)


def _response(
    promise: Promise, steps: Sequence[OracleStep], close_us: int | None, at_us: int
) -> list[Judged]:
    found: list[Judged] = []
    place = 0
    while place < len(steps):
        step = steps[place]
        if promise.after not in step.names:
            place += 1
            continue
        due_us = due(promise, step)
        # The next step that resolves it: the one that was promised, or another first one too late.
        until = len(steps)
        for later in range(place + 1, len(steps)):
            one = steps[later]
            if promise.comes in one.names or (promise.after in one.names and one.at_us > due_us):
                until = later
                break
        if until < len(steps) and promise.comes in steps[until].names:
            came_us = steps[until].at_us
            late_us = came_us - due_us
            if came_us <= due_us:
                found.append(Judged("kept", step.at_us, due_us, came_us, late_us))
            else:
                found.append(Judged("broken", step.at_us, due_us, due_us, late_us))
        elif until < len(steps):
            found.append(Judged("broken", step.at_us, due_us, due_us))
        else:
            found.append(_waiting(step.at_us, due_us, close_us, at_us))
        place = until
    return found


def _waiting(activated_us: int, due_us: int, close_us: int | None, at_us: int) -> Judged:
    """Judge an activation for which nothing came."""
    if close_us is not None:
        if close_us < due_us:
            return Judged("void", activated_us, due_us, close_us)
        return Judged("broken", activated_us, due_us, due_us)
    if due_us < at_us:
        return Judged("broken", activated_us, due_us, due_us)
    return Judged("open", activated_us, due_us)


def _precedence(promise: Promise, steps: Sequence[OracleStep]) -> list[Judged]:
    found: list[Judged] = []
    before_us = promise.time_us or 0
    for place, step in enumerate(steps):
        if promise.before not in step.names:
            continue
        came = [one.at_us for one in steps[: place + 1] if promise.comes in one.names]
        late_us = came[0] + before_us - step.at_us if came else None
        state: State = "kept" if late_us is not None and late_us <= 0 else "broken"
        found.append(Judged(state, step.at_us, None, step.at_us, late_us))
    return found


def _limited(
    promise: Promise,
    name: str | None,
    most: int,
    steps: Sequence[OracleStep],
    close_us: int | None,
    at_us: int,
) -> Judged:
    """Judge what must not come more than ``most`` times in a journey, or in its first days."""
    start_us = steps[0].at_us
    due_us = None if promise.time_us is None else start_us + promise.time_us
    times = [one.at_us for one in steps if name in one.names]
    times = [one for one in times if due_us is None or one <= due_us]
    if len(times) > most:
        return Judged("broken", start_us, due_us, times[most])
    ends = [one for one in (close_us, due_us) if one is not None]
    end_us = min(ends) if ends else None
    if close_us is not None or (due_us is not None and due_us < at_us):
        return Judged("kept", start_us, due_us, end_us)
    return Judged("open", start_us, due_us)


def _never_again(
    promise: Promise, steps: Sequence[OracleStep], close_us: int | None, at_us: int
) -> list[Judged]:
    found: list[Judged] = []
    place = 0
    while place < len(steps):
        step = steps[place]
        if promise.after not in step.names:
            place += 1
            continue
        due_us = due(promise, step)
        until = len(steps)
        for later in range(place + 1, len(steps)):
            one = steps[later]
            if promise.never in one.names or (promise.after in one.names and one.at_us > due_us):
                until = later
                break
        if until < len(steps) and promise.never in steps[until].names:
            again_us = steps[until].at_us
            if again_us <= due_us:
                found.append(Judged("broken", step.at_us, due_us, again_us))
            else:
                found.append(Judged("kept", step.at_us, due_us, due_us))
        elif until < len(steps) or (close_us is None and due_us < at_us):
            found.append(Judged("kept", step.at_us, due_us, due_us))
        elif close_us is not None:
            found.append(Judged("kept", step.at_us, due_us, min(close_us, due_us)))
        else:
            found.append(Judged("open", step.at_us, due_us))
        place = until
    return found


def _chain(
    promise: Promise, steps: Sequence[OracleStep], close_us: int | None, at_us: int
) -> list[Judged]:
    found: list[Judged] = []
    for place, step in enumerate(steps):
        if promise.after not in step.names:
            continue
        due_us = due(promise, step)
        if place + 1 == len(steps):
            found.append(_waiting(step.at_us, due_us, close_us, at_us))
            continue
        following = steps[place + 1]
        if promise.next in following.names and following.at_us <= due_us:
            late_us = following.at_us - due_us
            found.append(Judged("kept", step.at_us, due_us, following.at_us, late_us))
        else:
            late = following.at_us - due_us if promise.next in following.names else None
            found.append(Judged("broken", step.at_us, due_us, min(following.at_us, due_us), late))
    return found


def due(promise: Promise, step: OracleStep) -> int:
    """Tell when something is due that a step has promised, microseconds since 1970."""
    value = step.properties.get(promise.within.property) if promise.within else None
    if isinstance(value, int | float):
        return round(value * 1_000_000)
    if isinstance(value, str):
        try:
            told = datetime.fromisoformat(value)
        except ValueError:
            told = None
        if told is not None and told.tzinfo is not None:
            return round(told.timestamp() * 1_000_000)
    assert promise.time_us is not None
    return step.at_us + promise.time_us
