"""Tells when something is due that a step of a journey has promised."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any

from features.business.journey_rules.promises import Promise

_SECOND_US = 1_000_000
_YEARS = range(1970, 2200)  # a told time outside is a mistake, as an event's would be
_LAST_US = round(datetime.fromisoformat("2200-01-01T00:00:00Z").timestamp()) * _SECOND_US


def due_us(promise: Promise, at_us: int, properties: Mapping[str, Any]) -> int | None:
    """Return when an activation of a promise is due, microseconds since 1970.

    Parameters
    ----------
    promise
        Its time begins with the step; with ``within: {property: ...}`` it is the told one.
    at_us : int
        The time of the step that activates the promise.
    properties
        Those of the step. Where the property tells no time, ``else_days`` holds.

    Returns
    -------
    int or None
        None if the promise has no time.
    """
    if promise.within is not None:
        told = told_us(properties.get(promise.within.property))
        if told is not None:
            return told
    return None if promise.time_us is None else at_us + promise.time_us


def told_us(value: Any) -> int | None:
    """Read a time that a property tells, microseconds since 1970; None if it tells none.

    A text tells one in ISO 8601 with a time zone, such as 2026-11-22T10:00Z; a number tells
    seconds since 1970. Times before 1970 or after 2199 are none.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
        if moment.tzinfo is None or moment.year not in _YEARS:
            return None
        value_us = round(moment.timestamp() * _SECOND_US)
    elif isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
        value_us = round(value * _SECOND_US)
    else:
        return None
    return value_us if 0 <= value_us < _LAST_US else None
