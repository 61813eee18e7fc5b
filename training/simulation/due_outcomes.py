"""Lists the outcomes of shown actions of which a service is told, and how many days later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from training.arrays import Ints
from training.simulation.business import MAX_DAYS, ActionOutcomes


class DueOutcome(NamedTuple):
    """An acceptance, or its return.

    Attributes
    ----------
    row : int
        Of the arrival to whom the action was shown.
    after_days : int
        Days from the decision until it is told.
    is_return : bool
        Retracts the acceptance.
    """

    row: int
    after_days: int
    is_return: bool


def due_outcomes(actions: Ints, outcomes: ActionOutcomes) -> Iterator[DueOutcome]:
    """Yield the acceptances of actions that were shown, shape (n,), each before its return.

    Of what is ignored nothing is told: silence counts.
    """
    for row in np.flatnonzero((actions > 0) & outcomes.accepted).tolist():
        yield DueOutcome(row, int(outcomes.accepted_after_days[row]), is_return=False)
        returned = int(outcomes.returned_after_days[row])
        if returned <= MAX_DAYS:
            yield DueOutcome(row, returned, is_return=True)
