"""Reads features as of any moment in the past: exactly those that serving read then.

At a moment, the events that had occurred and that the ledger had received count; an imported event
counts as received when it occurred. The offline table keeps a state after every few events of a
customer. The events between a kept state and the moment are folded from the ledger, so a moment
may be any time, and the table takes a thirtieth of the space. Kept states that are out of date (a
late event, a merge) are skipped, and the customer is folded from its first event; see
`known_states.states_at`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from features.business.domain import Domain
from features.customers.attribute_history import attribute_versions, attributes_at
from features.customers.profiles import ACCOUNT, account_key
from features.datasets.known_states import states_at
from features.journeys.model_input import ModelInput
from features.journeys.state import State
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.states.stored_events import KNOWN_AT, events_in_fold_order, events_of
from features.store.feast_store import FeatureStore

CUSTOMERS_AT_ONCE = 500  # whose events are read in one query


class PointInTimeFeatures:
    """Reads features as of moments, from kept states and the events since; a `HistoricalFeatures`.

    Parameters
    ----------
    ledger
        Holds the events.
    store
        Holds the kept states and the attributes.
    """

    def __init__(self, ledger: Ledger, store: FeatureStore, domain: Domain) -> None:
        self._ledger = ledger
        self._store = store
        self._fold = ModelInput(domain).fold
        self._account = domain.account
        self._columns = domain.profile_columns

    def as_of(self, moments: pd.DataFrame, service: str) -> pd.DataFrame:
        """Read features as of moments; see `HistoricalFeatures.as_of`."""
        restated = self._ledger.read(_restated)  # first: a build that ends now clears the marks
        known = self._store.as_of(moments, service)
        self._correct_profiles(known, restated)
        known["state"] = self._states(moments, known["state"].tolist(), restated)
        if self._account:
            accounts = known[self._account]
            known["account_state"] = self._account_states(moments, accounts, service, restated)
        return known

    def _correct_profiles(self, known: pd.DataFrame, restated: set[str]) -> None:
        """Read the attributes as of each moment anew of customers who changed since the build.

        They were merged or split, or an attribute of theirs has changed.
        """
        places = np.flatnonzero(known["customer_id"].isin(restated))
        owners = known["customer_id"].iloc[places].tolist()
        versions = self._ledger.read(lambda c: attribute_versions(c, sorted({*owners})))
        at_us = known["event_timestamp"].iloc[places].dt.as_unit("us").astype(np.int64)
        pairs = zip(owners, at_us, strict=True)
        found = [attributes_at(versions[one], moment) for one, moment in pairs]
        for name in self._columns:
            values = known[name].to_numpy(dtype=object, copy=True)
            values[places] = [attributes.get(name) for attributes in found]
            known[name] = values

    def _account_states(
        self, moments: pd.DataFrame, accounts: pd.Series[Any], service: str, restated: set[str]
    ) -> NDArray[np.object_]:
        """The state of the account of each customer as of each moment; None without an account."""
        found = np.full(len(moments), None, dtype=object)
        members = np.flatnonzero(accounts.notna())
        if len(members):
            rows = moments.iloc[members].copy()
            rows["customer_id"] = [account_key(name) for name in accounts.iloc[members]]
            kept = self._store.as_of(rows, service)["state"].tolist()
            for place, state in zip(members, self._states(rows, kept, restated), strict=True):
                found[place] = state
        return found

    def _states(self, moments: pd.DataFrame, kept: list[Any], restated: set[str]) -> pd.Series[Any]:
        """The state as of each moment, from the kept one and the events since."""
        at_us = np.asarray(moments["event_timestamp"].dt.as_unit("us").astype(np.int64))
        places_of: dict[str, list[int]] = {}
        for place in np.argsort(at_us, kind="stable"):
            places_of.setdefault(moments["customer_id"].iloc[place], []).append(int(place))
        states: list[State | None] = [None] * len(moments)
        for customer_id, events in self._events(list(places_of)):
            places = places_of[customer_id]
            rows = [None if customer_id in restated else kept[place] for place in places]
            found = states_at(self._fold, events, rows, [int(at_us[place]) for place in places])
            for place, state in zip(places, found, strict=True):
                states[place] = state
        return pd.Series(states, dtype=object)  # numbered from 0, as `known` is

    def _events(self, customer_ids: list[str]) -> Iterator[tuple[str, list[Any]]]:
        """Yield each customer's events in order; customers without events are left out."""
        for account in (key for key in customer_ids if key.startswith(ACCOUNT)):
            rows = self._ledger.read(lambda c, key=account: list(events_of(c, key, KNOWN_AT)))  # type: ignore[misc]
            yield account, [(account, *row[1:]) for row in rows]
        customer_ids = [key for key in customer_ids if not key.startswith(ACCOUNT)]
        for begin in range(0, len(customer_ids), CUSTOMERS_AT_ONCE):
            some = customer_ids[begin : begin + CUSTOMERS_AT_ONCE]
            query = events_in_fold_order(KNOWN_AT).where(tables.events.c.customer_id.in_(some))
            rows = self._ledger.read(lambda c, query=query: c.execute(query).all())  # type: ignore[misc]
            start = 0
            for end in range(1, len(rows) + 1):
                if end == len(rows) or rows[end][0] != rows[start][0]:
                    yield rows[start][0], list(rows[start:end])
                    start = end


def _restated(connection: sa.Connection) -> set[str]:
    columns = tables.journey_states.c
    query = sa.select(columns.customer_id).where(columns.restated_at.is_not(None))
    return set(connection.execute(query).scalars())
