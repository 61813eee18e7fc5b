"""Folds the states of one customer as of moments, from the events that were known at each.

A live event is known from the time at which it was received. So a late event is in the state of no
moment before it came, although it had occurred: serving did not read it either.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Any

import numpy as np
from pydantic_core import from_json

from features.journeys.fold import Fold
from features.journeys.state import State
from features.states.stored_events import MICROS

# The columns of an event: customer, type, channel, time, properties, and `KNOWN_AT`.
_AT, _KNOWN = 3, 5


def states_at(
    fold: Fold, events: Sequence[Any], kept: Sequence[Any], at_us: Sequence[int]
) -> list[State | None]:
    """Fold the states of one customer or account as of moments, each from the latest kept one.

    The events before the first one that was not known yet are folded once for all moments. The few
    known events after that one are folded for each moment anew.

    Parameters
    ----------
    events : in the order of folding
        Rows of `events_in_fold_order` with the column `KNOWN_AT`.
    kept, at_us : shape (n_moments,), rising in time
        ``kept`` are states from `Fold.pack`, of all events up to some time, whenever they came.

    Returns
    -------
    list
        For each moment the state, or None if no event was known.
    """
    # From known_us[n] on, all of the first n + 1 events were known; it rises, so it is bisected.
    each_us = map(max, map(itemgetter(_AT), events), map(itemgetter(_KNOWN), events))
    known_us = list(accumulate(each_us, max))
    found: list[State | None] = []
    state, folded = None, 0
    for row, moment in zip(kept, at_us, strict=True):
        complete = bisect_right(known_us, moment)
        known = None if row is None else fold.unpack(np.asarray(row).tolist())
        if known is not None and folded < (count := _count_in(fold, known, events)) <= complete:
            state, folded = known, count
        for event in events[folded:complete]:
            state = _advance(fold, state, event)
        folded = complete
        found.append(_with_later(fold, state, events, complete, moment))
    return found


def _count_in(fold: Fold, kept: State, events: Sequence[Any]) -> int:
    """Count the events that a kept state is made of; 0 if those are not the first of ``events``.

    A late event may have come since the state was kept, or one at the instant of its last event.
    """
    if not (count := fold.events_n(kept)):
        return 0
    by_then = bisect_right(events, round(fold.last_at(kept) * MICROS), key=itemgetter(_AT))
    return by_then if by_then == count else 0


def _with_later(
    fold: Fold, state: State | None, events: Sequence[Any], complete: int, moment: int
) -> State | None:
    """Add the known events that occurred after one that was not known at the moment."""
    for place in range(complete, len(events)):
        event = events[place]
        if event[_AT] > moment:
            break
        if event[_KNOWN] <= moment:
            state = _advance(fold, state, event)
    return state


def _advance(fold: Fold, state: State | None, event: Any) -> State:
    key, kind, channel, at_us, properties, _ = event
    state = fold.empty() if state is None else state
    return fold.of(key).advance(state, kind, channel, at_us / MICROS, from_json(properties))
