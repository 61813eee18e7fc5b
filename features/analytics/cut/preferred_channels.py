"""Finds the preferred channel of a customer at the start of each journey.

It is the channel of most of the customer's events before. There is none if there were no events, or
if two channels had as many.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.analytics.cut.journey_log import JourneyLog, StepLabels
from features.analytics.tables import EVENT, NO_CHANNEL


def preferred_channels(
    log: JourneyLog, labels: StepLabels, start_us: NDArray[np.int64], channels_n: int
) -> NDArray[np.int64]:
    """Return the preferred channel at the start of each journey of a log, shape (n_journeys,).

    Parameters
    ----------
    start_us : shape (n_journeys,)
    channels_n
        The number of channels of the business.
    """
    customer, maps = np.asarray(log.customer, np.int64), np.asarray(log.map, np.int64)
    journey, label = np.asarray(log.journey, np.int64), np.asarray(log.label, np.int64)
    columns = labels.columns()
    # The lifecycle, which has the last number, has each event once.
    of_life = (columns["what"] == EVENT) & (columns["map"] == columns["map"].max(initial=0))
    events = np.flatnonzero(of_life[label])
    channel, at_us = columns["channel"][label[events]], np.asarray(log.at_us, np.int64)[events]
    owner = customer[journey[events]]
    begin = np.asarray(log.first_event, np.int64)[customer]
    end = _first_of_instant(np.asarray(log.events_before, np.int64), begin, at_us, owner, start_us)
    counts = np.empty((channels_n, len(maps)), np.int64)
    for code in range(channels_n):
        so_far = np.concatenate([[0], np.cumsum(channel == code)])
        counts[code] = so_far[end] - so_far[begin]
    most = counts.max(axis=0, initial=0)
    is_clear = (most > 0) & ((counts == most).sum(axis=0) == 1)
    found: NDArray[np.int64] = np.where(is_clear, counts.argmax(axis=0), NO_CHANNEL)
    return found


def _first_of_instant(
    before: NDArray[np.int64],
    begin: NDArray[np.int64],
    at_us: NDArray[np.int64],
    owner: NDArray[np.int64],
    start_us: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Step back over the events of the same instant: they are not before the start."""
    if not len(at_us):
        return before
    is_new = np.ones(len(at_us), bool)
    is_new[1:] = (np.diff(at_us) != 0) | (np.diff(owner) != 0)
    first = np.maximum.accumulate(np.where(is_new, np.arange(len(at_us)), 0))
    last = np.maximum(before - 1, 0)
    found: NDArray[np.int64] = np.where(
        (before > begin) & (at_us[last] == start_us), first[last], before
    )
    return found
