"""Refuses worlds of impossible sizes, and actions that are not allowed."""

from __future__ import annotations

import numpy as np

from features.errors import InvalidSetting
from training.arrays import Ints
from training.simulation.business import MAX_DAYS, Arrivals

MAX_CUSTOMERS = 10**7


def check_size(customers: int, days: int) -> None:
    """Refuse a world without customers, or with too many days.

    Raises
    ------
    InvalidSetting
        If there are no customers, or more than `MAX_DAYS` days.
    """
    for name, value, most in (("customers", customers, MAX_CUSTOMERS), ("days", days, MAX_DAYS)):
        if not 1 <= value <= most:
            raise InvalidSetting(
                f"{name} is {value!r}.",
                expected=f"a whole number from 1 to {most:,}",
                remedy=f"Correct {name}; 500 customers for 30 days take seconds.",
            )


def check_allowed(arrivals: Arrivals, actions: Ints) -> None:
    """Refuse actions that are not allowed.

    Raises
    ------
    InvalidSetting
        If an action is not allowed.
    """
    rows = np.arange(len(arrivals.customer))
    if not arrivals.allowed[rows, actions].all():
        forbidden = int((~arrivals.allowed[rows, actions]).sum())
        raise InvalidSetting(
            f"{forbidden} of {len(rows)} actions are not allowed.",
            expected="actions that are allowed for their arrivals",
            remedy="Choose among the allowed actions of each arrival.",
        )
