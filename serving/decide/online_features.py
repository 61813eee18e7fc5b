"""Reads and writes online features; if they cannot be read, decisions are made without them.

A read that fails degrades one decision. Whether the whole store is down is found out by reading the
row that a build writes last. A store that is down is tried again by the decisions themselves, after
a pause, so that they do not all wait for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from features.clock import monotonic_s
from features.errors import NotVisible
from features.journeys.state import State
from features.store.feast_store import CustomerFeatures, FeatureStore

log = logging.getLogger(__name__)
PAUSE_S = 0.5  # between two attempts to read from a store that is down
NOTHING_BUILT = "the online store is empty; run 'nba build'"


class FeaturesUnknown(Exception):
    """The features of a customer could not be read; the reason is half a sentence."""


def degraded_by(problem: str) -> tuple[str, ...]:
    """Say in a sentence for people why features are unknown; empty if they are known."""
    return (f"features: {problem}",) if problem else ()


class OnlineFeatures:
    """The online feature store, as the engine and ingestion use it; implements `Features`.

    Parameters
    ----------
    store
        None if it could not be opened.
    problem
        A sentence that says why the store could not be opened.
    clock
        Seconds that only rise.
    """

    def __init__(
        self,
        store: FeatureStore | None,
        problem: str = "",
        clock: Callable[[], float] = monotonic_s,
    ) -> None:
        self._store = store
        self._problem = problem
        self._clock = clock
        self._tried_at = 0.0
        self.refresh()

    @property
    def degraded(self) -> tuple[str, ...]:
        """Sentences for people that say what is wrong with the store; empty if nothing is."""
        return degraded_by(self._problem)

    def online(self, customer_id: str) -> CustomerFeatures | None:
        """Read a customer's features; None if the store holds nothing of the customer.

        Raises
        ------
        FeaturesUnknown
            If the store is down, or this customer's row cannot be read.
        """
        store = self._usable()
        if store is None:
            raise FeaturesUnknown(self._problem)
        try:
            found = store.online(customer_id)
            # An unknown customer and a store that lost its rows look alike.
            if found is None and not store.is_filled():
                self._problem = NOTHING_BUILT
        except Exception as error:  # whatever the store behind Feast raises
            log.exception("The features of a customer could not be read")
            self.refresh()
            reason = f"the row of the customer cannot be read ({type(error).__name__}); see the log"
            raise FeaturesUnknown(self._problem or reason) from error
        if self._problem:
            raise FeaturesUnknown(self._problem)
        return found

    def state(self, customer_id: str) -> State | None:
        """Read a customer's journey state; None if there is none, or it cannot be read."""
        try:
            known = self.online(customer_id)
        except FeaturesUnknown:
            return None
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
        self._writable().write_packed(customer_ids, packed, at)

    def write_profiles(self, profiles: Mapping[str, Mapping[str, str]], at: datetime) -> None:
        """Write attributes online (`FeatureStore.write_profiles`); raises like `write_packed`."""
        self._writable().write_profiles(profiles, at)

    def erase(self, customer_ids: Sequence[str], at_most: int | None = None) -> bool:
        """Erase customers; see `FeatureStore.erase`. Raises like `write_packed`."""
        return self._writable().erase(customer_ids, at_most)

    def refresh(self) -> None:
        """Check again whether the store can be used."""
        if self._store is None:
            return
        self._tried_at = self._clock()
        try:
            self._problem = self._store.why_unusable() or ""
        except Exception as error:
            log.exception("The feature store failed")
            self._problem = f"the online store failed ({type(error).__name__}); see the log"

    def _usable(self) -> FeatureStore | None:
        """Return the store; None if it is down, also after another attempt."""
        if self._problem and self._clock() >= self._tried_at + PAUSE_S:
            self.refresh()
        return None if self._problem else self._store

    def _writable(self) -> FeatureStore:
        store = self._usable()
        if store is None:
            raise NotVisible(
                f"The feature store cannot be used: {self._problem}.",
                expected="a store that shows events to the next decision",
                remedy="What was sent is kept. Send it again when /readyz names no such problem.",
            )
        return store
