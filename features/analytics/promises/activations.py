"""Judges a promise in many journeys at once, over arrays of their steps.

An activation is what is judged: a step that the promise speaks of, or the whole journey. The
meaning of the six templates is that of the fold (`features.journeys.promises`). Here no loop runs
over steps: a template looks up, for all activations at once, the step that decides them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.analytics.promises.step_arrays import (
    NEVER,
    NO_TIME,
    JourneySteps,
    contains,
    next_time,
    one_at_a_time,
)
from features.business.journey_rules.promises import Promise

STATES = ("kept", "broken", "open", "void")
KEPT, BROKEN, OPEN, VOID = range(4)


@dataclass(frozen=True, slots=True)
class Activations:
    """Activations of a promise, in the order of journeys and steps; arrays of shape (n,).

    Attributes
    ----------
    journey
        A place in the arrays by journey.
    state
        A place in `STATES`.
    activated_us, due_us, resolved_us
        When it began, is due, and was decided; `NO_TIME`: it has no such time.
    came_us
        The time of the step that was promised or forbidden; `NO_TIME` if none came.
    lateness_us
        How much later than due it came, below 0 if earlier; `NO_TIME` where nothing is promised to
        come, or it did not come.
    """

    journey: NDArray[np.int32]
    state: NDArray[np.uint8]
    activated_us: NDArray[np.int64]
    due_us: NDArray[np.int64]
    resolved_us: NDArray[np.int64]
    came_us: NDArray[np.int64]
    lateness_us: NDArray[np.int64]


def judge(
    promise: Promise,
    steps: JourneySteps,
    places: Mapping[str, NDArray[np.int64]],
    among: NDArray[np.bool_],
    as_of_us: int,
    told_us: NDArray[np.int64] | None = None,
) -> Activations:
    """Judge a promise in some of the journeys, as of a moment.

    Parameters
    ----------
    places
        By each key of `Promise.steps`, the places of the steps that it names, in their order.
    among : shape (n_journeys,)
        True for the journeys to which the promise was made.
    as_of_us : int
        No step and no end of a journey is later.
    told_us : shape (n_steps,), optional
        The times that a property of the steps tells; `NO_TIME` where it tells none.
    """
    mine = {key: at[among[steps.journey[at]]] for key, at in places.items()}
    match promise.template:
        case "response":
            return _response(promise, steps, mine["after"], mine["comes"], as_of_us, told_us)
        case "precedence":
            return _precedence(promise, steps, mine["before"], mine["comes"])
        case "absence":
            return _limited(promise, steps, mine["never"], 0, among, as_of_us)
        case "at_most":
            most = promise.no_more_than or 0
            return _limited(promise, steps, mine["of"], most, among, as_of_us)
        case "never_again":
            return _never_again(promise, steps, mine["after"], mine["never"], as_of_us)
        case "chain":
            return _chain(promise, steps, mine["after"], mine["next"], as_of_us)


def _response(
    promise: Promise,
    steps: JourneySteps,
    after: NDArray[np.int64],
    comes: NDArray[np.int64],
    as_of_us: int,
    told_us: NDArray[np.int64] | None,
) -> Activations:
    due_us = _due(promise, steps.at_us[after])
    if told_us is not None:
        told = told_us[after]
        due_us = np.where(told == NO_TIME, due_us, told)
    begun, again = one_at_a_time(steps, after, comes, due_us)
    due_us, begins = due_us[begun], after[begun]
    came_us = next_time(steps, begins, comes)
    came_us[again] = NO_TIME  # another first step came before, and closed this one
    has_come = came_us != NO_TIME
    state, resolved_us = _waiting(steps, begins, due_us, as_of_us)
    late = again | (has_come & (came_us > due_us))
    state[late], resolved_us[late] = BROKEN, due_us[late]
    kept = has_come & (came_us <= due_us)
    state[kept], resolved_us[kept] = KEPT, came_us[kept]
    return _made(steps, begins, state, due_us, resolved_us, came_us, came_us - due_us)


def _never_again(
    promise: Promise,
    steps: JourneySteps,
    after: NDArray[np.int64],
    never: NDArray[np.int64],
    as_of_us: int,
) -> Activations:
    due_us = _due(promise, steps.at_us[after])
    begun, again = one_at_a_time(steps, after, never, due_us)
    due_us, begins = due_us[begun], after[begun]
    came_us = next_time(steps, begins, never)
    came_us[again] = NO_TIME
    close_us = steps.close_us[steps.journey[begins]]
    has_come = came_us != NO_TIME
    broken = has_come & (came_us <= due_us)
    kept = ~broken & (has_come | again | (close_us != NEVER) | (due_us < as_of_us))
    state = np.select([broken, kept], [BROKEN, KEPT], OPEN).astype(np.uint8)
    # A step after the due time is later than it, so is a close after such a step.
    resolved_us = np.select([broken, kept], [came_us, np.minimum(due_us, close_us)], NO_TIME)
    came_us[~broken] = NO_TIME
    return _made(steps, begins, state, due_us, resolved_us, came_us)


def _chain(
    promise: Promise,
    steps: JourneySteps,
    after: NDArray[np.int64],
    follows: NDArray[np.int64],
    as_of_us: int,
) -> Activations:
    due_us = _due(promise, steps.at_us[after])
    following = after + 1
    is_last = following == steps.first[steps.journey[after] + 1]
    following_us = np.where(is_last, NO_TIME, steps.at_us[np.where(is_last, after, following)])
    is_meant = contains(follows, following) & ~is_last
    state, resolved_us = _waiting(steps, after, due_us, as_of_us)
    broken = ~is_last
    state[broken] = BROKEN
    resolved_us[broken] = np.minimum(following_us, due_us)[broken]
    kept = is_meant & (following_us <= due_us)
    state[kept], resolved_us[kept] = KEPT, following_us[kept]
    came_us = np.where(is_meant, following_us, NO_TIME)
    return _made(steps, after, state, due_us, resolved_us, came_us, came_us - due_us)


def _precedence(
    promise: Promise, steps: JourneySteps, before: NDArray[np.int64], comes: NDArray[np.int64]
) -> Activations:
    earliest = np.full(len(steps.close_us), len(steps.at_us), np.int64)
    earliest[steps.journey[comes[::-1]]] = comes[::-1]  # of several, the first one is written last
    found = earliest[steps.journey[before]]
    has_come = found <= before
    at_us = steps.at_us[before]
    came_us = np.where(has_come, steps.at_us[np.where(has_come, found, before)], NO_TIME)
    lateness_us = came_us + (promise.time_us or 0) - at_us
    state = np.where(has_come & (lateness_us <= 0), KEPT, BROKEN).astype(np.uint8)
    none = np.full(len(before), NO_TIME)
    return _made(steps, before, state, none, at_us, came_us, lateness_us)


def _limited(
    promise: Promise,
    steps: JourneySteps,
    counted: NDArray[np.int64],
    most: int,
    among: NDArray[np.bool_],
    as_of_us: int,
) -> Activations:
    """Judge steps that may come ``most`` times in a journey, or in its first days."""
    journeys = np.flatnonzero(among)
    begins = steps.first[journeys]
    start_us, close_us = steps.at_us[begins], steps.close_us[journeys]
    due_us = np.full(len(journeys), NEVER)
    if promise.time_us is not None:
        due_us = start_us + promise.time_us
    owners = steps.journey[counted]
    place = np.searchsorted(owners, journeys) + most  # of the first step that is too many
    found = place < len(counted)
    found[found] = owners[place[found]] == journeys[found]
    came_us = np.full(len(journeys), NO_TIME)
    came_us[found] = steps.at_us[counted[place[found]]]
    broken = found & (came_us <= due_us)
    came_us[~broken] = NO_TIME
    kept = ~broken & ((close_us != NEVER) | (due_us < as_of_us))
    state = np.select([broken, kept], [BROKEN, KEPT], OPEN).astype(np.uint8)
    resolved_us = np.select([broken, kept], [came_us, np.minimum(due_us, close_us)], NO_TIME)
    due_us = np.where(due_us == NEVER, NO_TIME, due_us)
    return _made(steps, begins, state, due_us, resolved_us, came_us)


def _waiting(
    steps: JourneySteps, begins: NDArray[np.int64], due_us: NDArray[np.int64], as_of_us: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return states and times of what did not come: void if the journey closed before it was due.

    If it is due and open, it is broken once its due time has passed.
    """
    close_us = steps.close_us[steps.journey[begins]]
    void = close_us < due_us
    is_open = (close_us == NEVER) & (due_us >= as_of_us)
    state = np.select([void, is_open], [VOID, OPEN], BROKEN).astype(np.uint8)
    return state, np.select([void, is_open], [close_us, NO_TIME], due_us)


def _due(promise: Promise, at_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return when activations are due; the templates that ask for it have a time."""
    return at_us + (promise.time_us or 0)


def _made(
    steps: JourneySteps,
    begins: NDArray[np.int64],
    state: NDArray[np.uint8],
    due_us: NDArray[np.int64],
    resolved_us: NDArray[np.int64],
    came_us: NDArray[np.int64],
    lateness_us: NDArray[np.int64] | None = None,
) -> Activations:
    none = came_us == NO_TIME
    late = np.full(len(begins), NO_TIME) if lateness_us is None else lateness_us
    return Activations(
        journey=steps.journey[begins],
        state=state,
        activated_us=steps.at_us[begins],
        due_us=due_us,
        resolved_us=resolved_us,
        came_us=came_us,
        lateness_us=np.where(none, NO_TIME, late),
    )
