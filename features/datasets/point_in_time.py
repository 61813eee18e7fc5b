"""What was known of customers at any moment in the past: exactly what serving read then.

The history keeps a state now and then; here the few events between a kept state and the moment
are folded from the ledger, so a moment may lie anywhere and the history takes a thirtieth of the
space. Rows that the ledger has outgrown (a late event, a merge) are passed over, and the customer
is folded from the beginning. A row is trusted, but counted: it has to be made of as many events
as there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray
from pydantic_core import from_json

from features.business.domain import Domain
from features.customers.profiles import ACCOUNT, account_key, attributes_of
from features.journeys.fold import Fold
from features.journeys.journey_states import MICROS, events_in_fold_order, events_of
from features.journeys.model_input import ModelInput
from features.journeys.state import State
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.store.feast_store import FeatureStore

ASKED = 500  # customers whose events are read at a time


class PointInTimeFeatures:
    """What was known of customers at any moment; see `dataset.PointInTimeFeatures`.

    Parameters
    ----------
    ledger, store
        Hold the events since a kept state, and the kept states.
    """

    def __init__(self, ledger: Ledger, store: FeatureStore, domain: Domain) -> None:
        self._ledger = ledger
        self._store = store
        self._fold = ModelInput(domain).fold
        self._account = domain.account
        self._columns = domain.profile_columns

    def as_of(self, moments: pd.DataFrame, service: str) -> pd.DataFrame:
        """See `dataset.PointInTimeFeatures.as_of`."""
        known = self._store.as_of(moments, service)
        restated = self._ledger.read(_restated)
        self._correct_profiles(known, restated)
        known["state"] = self._states(moments, known["state"].tolist(), restated)
        if self._account:
            accounts = known[self._account]
            known["account_state"] = self._of_accounts(moments, accounts, service, restated)
        return known

    def _correct_profiles(self, known: pd.DataFrame, restated: set[str]) -> None:
        """Customers who were merged or parted since the build have other attributes now."""
        changed = sorted(restated & {*known["customer_id"]})
        now = self._ledger.read(lambda c: {one: attributes_of(c, one) for one in changed})
        for customer_id, attributes in now.items():
            mine = (known["customer_id"] == customer_id).to_numpy()
            for name in self._columns:
                known.loc[mine, name] = attributes.get(name)

    def _of_accounts(
        self, moments: pd.DataFrame, accounts: pd.Series[Any], service: str, restated: set[str]
    ) -> NDArray[np.object_]:
        """The state of the account of each customer who belongs to one, at each moment."""
        found = np.full(len(moments), None, dtype=object)
        members = np.flatnonzero(accounts.notna())
        if len(members):
            asked = moments.iloc[members].copy()
            asked["customer_id"] = [account_key(name) for name in accounts.iloc[members]]
            kept = self._store.as_of(asked, service)["state"].tolist()
            for place, state in zip(members, self._states(asked, kept, restated), strict=True):
                found[place] = state
        return found

    def _states(self, moments: pd.DataFrame, kept: list[Any], restated: set[str]) -> pd.Series[Any]:
        """The state at each moment, from the kept one and the events since."""
        at_us = np.asarray(moments["event_timestamp"].dt.as_unit("us").astype(np.int64))
        asked: dict[str, list[int]] = {}
        for place in np.argsort(at_us, kind="stable"):
            asked.setdefault(moments["customer_id"].iloc[place], []).append(int(place))
        states: list[State | None] = [None] * len(moments)
        for customer_id, events in self._events(list(asked)):
            places = asked[customer_id]
            rows = [None if customer_id in restated else kept[place] for place in places]
            found = _complete(self._fold, events, rows, [int(at_us[place]) for place in places])
            for place, state in zip(places, found, strict=True):
                states[place] = state
        return pd.Series(states, dtype=object)  # numbered from 0, as `known` is

    def _events(self, customer_ids: list[str]) -> Iterator[tuple[str, list[Any]]]:
        """Each customer's events in order; customers without any are left out."""
        for account in (key for key in customer_ids if key.startswith(ACCOUNT)):
            rows = self._ledger.read(lambda c, key=account: list(events_of(c, key)))  # type: ignore[misc]
            yield account, [(account, *row[1:]) for row in rows]
        customer_ids = [key for key in customer_ids if not key.startswith(ACCOUNT)]
        for begin in range(0, len(customer_ids), ASKED):
            some = customer_ids[begin : begin + ASKED]
            query = events_in_fold_order().where(tables.events.c.customer_id.in_(some))
            rows = self._ledger.read(lambda c, query=query: c.execute(query).all())  # type: ignore[misc]
            start = 0
            for end in range(1, len(rows) + 1):
                if end == len(rows) or rows[end][0] != rows[start][0]:
                    yield rows[start][0], list(rows[start:end])
                    start = end


def _complete(
    fold: Fold, events: Sequence[Any], kept: Sequence[Any], at_us: Sequence[int]
) -> list[State | None]:
    """The state at each moment, from the latest kept one and the events since.

    Parameters
    ----------
    events : of one customer, in order
    kept, at_us : shape (n_moments,), rising in time; ``kept`` as `Fold.pack` leaves states
    """
    found: list[State | None] = []
    state, folded_us, index = None, -1, 0
    for row, moment in zip(kept, at_us, strict=True):
        known = None if row is None else fold.unpack(np.asarray(row).tolist())
        if known is not None and (kept_us := round(fold.last_at(known) * MICROS)) > folded_us:
            by_then = bisect_right(events, kept_us, key=itemgetter(3))
            if by_then == fold.events_n(known):  # not so if one came at the instant of the last
                state, folded_us = known, kept_us
        while index < len(events) and events[index][3] <= moment:
            _, kind, channel, event_us, properties = events[index]
            if event_us > folded_us:
                state = fold.empty() if state is None else state
                state = fold.advance(state, kind, channel, event_us / MICROS, from_json(properties))
            index += 1
        if index:
            folded_us = max(folded_us, events[index - 1][3])
        found.append(state)
    return found


def _restated(connection: sa.Connection) -> set[str]:
    columns = tables.journey_states.c
    query = sa.select(columns.customer_id).where(columns.restated_at.is_not(None))
    return set(connection.execute(query).scalars())
