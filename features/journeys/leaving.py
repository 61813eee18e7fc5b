"""Finds out from a state whether a customer has left, and when.

A customer leaves by the event of the domain's churn (``when: happens``), and is back after an event
of `back_events`. Both times are in the state already. So the answer follows from the
customer's events in the order of time: late events, merges and erasures change it as they change
every feature.
"""

from __future__ import annotations

from math import isnan

from features.business.domain import Domain
from features.journeys.fold import Fold
from features.journeys.state import State


def back_events(domain: Domain) -> tuple[str, ...]:
    """Return the types of event after which a customer who had left is one again.

    Those of ``churn.back``. Without it the events at the stage "action", such as an order: people
    who have left visit the site and ask questions, too.
    """
    churn, left = domain.churn, domain.leaving_event
    if churn is None or left is None:
        return ()
    ordered = (name for name, known in domain.events.items() if known.stage == "action")
    return churn.back or tuple(name for name in ordered if name != left)


class Leaving:
    """Reads from states of one business when customers left.

    Attributes
    ----------
    event : str or None
        The type of event by which customers leave; None where no event says so. Then nobody is
        known to have left: a silence is a prediction.
    """

    def __init__(self, domain: Domain, fold: Fold) -> None:
        self.event = domain.leaving_event
        position = {name: index for index, name in enumerate(fold.state_fields)}
        self._left = position[f"{self.event}_last_at"] if self.event else 0
        self._back = tuple(position[f"{name}_last_at"] for name in back_events(domain))

    def left_at_s(self, state: State | None) -> float | None:
        """Return when a customer left, seconds since 1970; None for one who has not left.

        Parameters
        ----------
        state : shape (len(fold.state_fields),), or None for a customer without events

        Notes
        -----
        A customer who leaves and comes back at the same instant, as a table of days tells it, is
        back.
        """
        if self.event is None or state is None:
            return None
        left = state[self._left]
        # nan stands for no such event, and is above no time.
        return None if isnan(left) or any(state[back] >= left for back in self._back) else left
