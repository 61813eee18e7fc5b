"""Reads the features and the consents of a customer, as a decision and an activation need them.

A read of features that fails degrades one decision. Whether the whole store is down is found out by
reading the row that a build writes last. A store that is down is tried again by the decisions
themselves, after a pause, so that they do not all wait for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import numpy as np
import sqlalchemy as sa

from features.business.domain import Domain
from features.clock import monotonic_s
from features.customers.consents import consents
from features.errors import NotVisible
from features.journeys.model_input import ModelInput
from features.journeys.state import State
from features.ledger.tables import from_micros
from features.store.feast_store import CustomerFeatures, FeatureStore
from serving.decide.decision_setup import DecisionSetup, Models
from training.arrays import Floats

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


class Features(Protocol):
    """Reads a customer's features; raises `FeaturesUnknown` if the feature store cannot answer."""

    def online(self, customer_id: str) -> CustomerFeatures | None: ...


def read_features(features: Features, customer_id: str) -> tuple[CustomerFeatures | None, str]:
    """Read a customer's features, and why they could not be read; empty if they could."""
    try:
        return features.online(customer_id), ""
    except FeaturesUnknown as error:
        return None, str(error)


def is_known(model_input: ModelInput, known: CustomerFeatures | None) -> bool:
    """Return whether a customer has a past: events, or attributes; decisions are none."""
    if known is None:
        return False
    # The state of somebody whose events were all moved to another customer is empty, not None.
    events_n = 0 if known.state is None else model_input.fold.events_n(known.state)
    return bool(known.attributes) or events_n > 0


def feature_row(model_input: ModelInput, known: CustomerFeatures | None, now: datetime) -> Floats:
    """Compute the features that the models read of a customer at a time, shape (n_features,)."""
    attributes, state, account = known or CustomerFeatures({}, None)
    return np.array(model_input.read(attributes, state, now.timestamp(), account))


def left_at(model_input: ModelInput, known: CustomerFeatures | None) -> datetime | None:
    """Read when a customer left; None for one who has not left, or of whom nothing is known."""
    at_s = model_input.leaving.left_at_s(known.state) if known else None
    return None if at_s is None else from_micros(round(at_s * 1e6))


def missing(models: Models, row: Floats, known: bool, problem: str) -> list[str]:
    """List in sentences for people what a prediction lacks: models, features or a past.

    Parameters
    ----------
    row : shape (n_features,)
    known : bool
        Whether the customer has a past.
    problem
        Why the features could not be read, which is then the reason for base rates too.
    """
    return [*models.degraded, *(degraded_by(problem) or models.without_past(row, known))]


def consents_on(
    connection: sa.Connection,
    domain: Domain,
    setup: DecisionSetup,
    customer_id: str,
    channel: str,
    before: datetime | None = None,
) -> dict[str, bool]:
    """Read whether the customer consents on a channel, for each purpose of the catalogue.

    Parameters
    ----------
    before
        As of this time; None: now.
    """
    purposes = setup.compiled.catalog.purposes
    if not purposes:
        return {}
    given = {name: purpose.unless_said == "given" for name, purpose in purposes.items()}
    for word in consents(connection, customer_id, domain, before):  # the last one stands
        if word["purpose"] in given and word["channel"] in (None, channel):
            given[word["purpose"]] = word["given"]
    return given
