"""The one label of every decision: the value of its customer in the days of the horizon."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.value_labels.labelled_decisions import LabelledDecisions


class ValueLabel(NamedTuple):
    """The labels of some decisions: Y = margin - cost + V x (1 - leaving).

    They are provisional while the horizon lasts: margin counts the days that have passed, and
    leaving is expected. They are computed from the ledger each time, so a late or deleted event, a
    retracted outcome and an erased customer change them.

    Attributes
    ----------
    margin : shape (n,), in the domain's currency
        The margin of the customer's events after the decision, within the horizon.
    cost : shape (n,), in the domain's currency
        The cost of what was shown.
    leaving : shape (n,)
        The probability that the customer leaves within the horizon.
    remaining : shape (n,), in the domain's currency
        V: what the customer would take along by leaving.
    """

    margin: NDArray[np.float64]
    cost: NDArray[np.float64]
    leaving: NDArray[np.float64]
    remaining: NDArray[np.float64]

    @property
    def total(self) -> NDArray[np.float64]:
        """Y, shape (n,), in the domain's currency."""
        return self.margin - self.cost + self.remaining * (1 - self.leaving)


def value_labels(
    decisions: LabelledDecisions, leaving: NDArray[np.float64] | None = None
) -> ValueLabel:
    """Label decisions, those without an action like any other.

    Parameters
    ----------
    leaving : shape (n,)
        The probability of leaving that is expected of each (the surrogate). None: 1 for a customer
        who has left by now, within the horizon, else 0.
    """
    if leaving is None:
        leaving = decisions.is_left().astype(np.float64)
    return ValueLabel(decisions.margin, decisions.cost, leaving, decisions.remaining)
