"""Looks at customers again some days after a decision, in small steps.

A step finds the decisions that are due and reads their customers without the lock. One short
transaction then writes what it has seen, with the position of the looks. A process that is killed
between the two has done nothing, and one that comes second writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from features.journeys.model_input import ModelInput
from features.ledger.ledger import Ledger
from features.store.feast_store import CustomerFeatures
from features.value_labels.customer_rows import customer_row
from features.value_labels.later_features import due_decisions, write_looks

STEP = 500  # decisions, at most: some 0.1 s, and some milliseconds of the lock

ReadCustomers = Callable[[sa.Connection, Collection[str]], Mapping[str, CustomerFeatures]]


class LookStep(NamedTuple):
    """A step of looks that was done.

    Attributes
    ----------
    went_on : bool
        The position of the looks is another than before, so more may wait.
    is_full : bool
        The step could take no more.
    """

    went_on: bool
    is_full: bool


class CustomerLooks:
    """Looks at the customers of one ledger.

    Parameters
    ----------
    read_customers
        Reads what is known of some customers now; of one who is missing, nothing is written.
        A server reads it from the ledger; a simulation has it in memory.
    """

    def __init__(
        self, ledger: Ledger, model_input: ModelInput, read_customers: ReadCustomers
    ) -> None:
        self._ledger = ledger
        self._input = model_input
        self._read_customers = read_customers

    def step(self, now: datetime, size: int = STEP) -> LookStep:
        """Do one step.

        Parameters
        ----------
        size : int
            Decisions of the step, at most.
        """
        layout = self._input.fingerprint
        due = self._ledger.read(lambda c: due_decisions(c, layout, now, size))
        if due.after == due.before:
            return LookStep(went_on=False, is_full=False)
        names = {one.customer_id for one in due.decisions}
        known = self._ledger.read(lambda c: self._read_customers(c, names))
        seen = {name: customer_row(self._input, one, now) for name, one in known.items()}
        self._ledger.write_now(lambda c: write_looks(c, due, seen, layout, now))
        # The numbers of decisions may have gaps: then a step seems full sooner.
        passed = due.after.serial - due.before.serial
        return LookStep(went_on=True, is_full=max(passed, len(due.decisions)) >= size)
