"""Makes the features of some customers as they are now, as decisions about them would read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from features.customers.profiles import accounts_of, attributes_of_each
from features.journeys.fold import Fold
from features.journeys.model_input import ModelInput
from features.journeys.state import State
from features.states.checkpoints import from_bytes, latest_checkpoint
from features.states.refolding import CannotFold, begin_after, fold_rows, position_of
from features.states.state_rows import stored_states
from features.states.stored_events import events_after
from features.store.feast_store import CustomerFeatures

PAGE = 500  # events read at once


class CustomerRow(NamedTuple):
    """The features of one customer, and whether the customer has left.

    Attributes
    ----------
    row : shape (n_features,)
    """

    row: NDArray[np.float64]
    has_left: bool


def customer_row(
    model_input: ModelInput, known: CustomerFeatures | None, now: datetime
) -> CustomerRow:
    """Make the features of a customer at a time from what is known; None: nothing is."""
    attributes, state, account = known or CustomerFeatures({}, None)
    row = np.array(model_input.read(attributes, state, now.timestamp(), account))
    return CustomerRow(row, model_input.leaving.left_at_s(state) is not None)


def read_customers(
    connection: sa.Connection, model_input: ModelInput, customer_ids: Iterable[str]
) -> dict[str, CustomerFeatures]:
    """Read attributes and states of customers from the ledger.

    The states are those that wait there; of a customer without events since the last `nba build`
    the events are folded from the last checkpoint on. A customer who is set aside, because an event
    cannot be folded, is missing.
    """
    names = list(dict.fromkeys(customer_ids))
    attributes, accounts = attributes_of_each(connection, names), accounts_of(connection, names)
    keys = [*names, *dict.fromkeys(accounts.values())]
    states = _states(connection, model_input.fold, keys)
    return {
        name: CustomerFeatures(attributes[name], states[name], states.get(accounts.get(name, "")))
        for name in names
        if name in states
    }


def _states(
    connection: sa.Connection, fold: Fold, keys: Iterable[str]
) -> Mapping[str, State | None]:
    """Read the state of each key; those that cannot be folded are missing."""
    stored = stored_states(connection, keys)
    found: dict[str, State | None] = {}
    for key in keys:
        row = stored.get(key)
        if row is not None and row.problem is not None:
            continue
        state = None if row is None or row.state is None else from_bytes(fold, row.state)
        try:
            found[key] = _folded(connection, fold, key) if state is None else state
        except CannotFold:
            continue
    return found


def _folded(connection: sa.Connection, fold: Fold, key: str) -> State | None:
    """Fold the events of a customer or account; None for one without events."""
    position, state = begin_after(fold, latest_checkpoint(connection, key))
    begun = position
    while rows := events_after(connection, key, position, PAGE):
        state, position = fold_rows(fold.of(key), state, rows), position_of(rows[-1])
    return None if position == begun and not fold.events_n(state) else state
