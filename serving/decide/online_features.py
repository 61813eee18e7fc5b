"""Reads and writes online features; if the store fails, decisions are made without features."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

from features.errors import NotVisible
from features.journeys.state import State
from features.store.feast_store import CustomerFeatures, FeatureStore

log = logging.getLogger(__name__)


class OnlineFeatures:
    """The online feature store, as the engine and ingestion use it; implements `Features`.

    Parameters
    ----------
    store
        None if it could not be opened.
    problem
        A sentence that says why the store could not be opened.
    """

    def __init__(self, store: FeatureStore | None, problem: str = "") -> None:
        self._store = store
        self._problem = problem
        self.refresh()

    @property
    def degraded(self) -> tuple[str, ...]:
        """Sentences for people that say what is wrong; empty if nothing is."""
        return (f"features: {self._problem}",) if self._problem else ()

    def online(self, customer_id: str) -> CustomerFeatures | None:
        """Read a customer's features; None if there are none, or the store fails."""
        if self._store is None or self._problem:
            return None
        try:
            return self._store.online(customer_id)
        except Exception as error:  # whatever the store behind Feast raises
            log.exception("The feature store failed")
            self._problem = f"the online store failed ({type(error).__name__}); see the log"
            return None

    def state(self, customer_id: str) -> State | None:
        """Read a customer's journey state; None if there is none."""
        known = self.online(customer_id)
        return known.state if known else None

    def write_packed(
        self, customer_ids: Sequence[str], packed: Sequence[list[float]], at: Sequence[datetime]
    ) -> None:
        """Write states online; see `FeatureStore.write_packed`.

        Raises
        ------
        NotVisible
            If the store cannot be used.
        """
        self._usable().write_packed(customer_ids, packed, at)

    def write_profiles(self, profiles: Mapping[str, Mapping[str, str]], at: datetime) -> None:
        """Write attributes online (`FeatureStore.write_profiles`); raises like `write_packed`."""
        self._usable().write_profiles(profiles, at)

    def erase(self, customer_ids: Sequence[str], at_most: int | None = None) -> bool:
        """Erase customers; see `FeatureStore.erase`. Raises like `write_packed`."""
        return self._usable().erase(customer_ids, at_most)

    def _usable(self) -> FeatureStore:
        if self._store is None or self._problem:
            raise NotVisible(
                f"The feature store cannot be used: {self._problem}.",
                expected="a store that shows events to the next decision",
                remedy="What was sent is kept. Send it again when /readyz names no such problem.",
            )
        return self._store

    def refresh(self) -> None:
        """Check again whether the store can be used."""
        if self._store is None:
            return
        try:
            self._problem = self._store.why_unusable() or ""
        except Exception as error:
            log.exception("The feature store failed")
            self._problem = f"the online store failed ({type(error).__name__}); see the log"
