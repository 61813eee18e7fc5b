"""Removes actions by whether the customer has left.

Customers who have left get no promotion and no retention but those that the catalogue keeps for
them (``for: left``); nobody else gets these.
"""

from __future__ import annotations

import numpy as np

from serving.catalog.compiled_catalog import CompiledCatalog
from serving.policies.contact_counts import ContactFacts
from serving.policies.policy_result import FixedRemovals, same_for_all

COURTING = ("promotion", "retention")  # kinds of action that court a customer
HAS_LEFT = "customer.left"  # rules without a key in the file
LEFT_UNKNOWN = "customer.left.features_unknown"
ONLY_FOR = "for"


class LeaverRules:
    """The rules about customers who have left, compiled for a catalogue."""

    def __init__(self, compiled: CompiledCatalog) -> None:
        actions = compiled.catalog.actions.values()
        self._for_left = np.array([action.only_for == "left" for action in actions])
        self._courting = compiled.mask(kinds=COURTING) & ~self._for_left
        self._customers_leave = compiled.customers_leave

    def removals(self, facts: ContactFacts) -> list[FixedRemovals]:
        """List what is removed from one decision."""
        if facts.left_at is not None:
            date = f"{facts.left_at:%Y-%m-%d}"
            text = f"the customer left on {date}; promotion and retention wait until they are back"
            return [same_for_all(HAS_LEFT, self._courting, (text, date))]
        if not self._customers_leave:
            return []
        found = []
        if facts.features_problem:
            text = (
                "it is unknown whether the customer has left, because the features could not be "
                "read; nothing is offered meanwhile"
            )
            found = [same_for_all(LEFT_UNKNOWN, self._courting, (text, facts.features_problem))]
        reason = "it is for customers who have left, and this one is not known to have left", "left"
        return [*found, same_for_all(ONLY_FOR, self._for_left, reason)]
