"""Reads the features and the consents of a customer, as a decision and an activation need them."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import numpy as np
import sqlalchemy as sa

from features.business.domain import Domain
from features.customers.consents import consents
from features.journeys.model_input import ModelInput
from features.ledger.tables import from_micros
from features.store.feast_store import CustomerFeatures
from serving.decide.decision_setup import DecisionSetup, Models
from serving.decide.online_features import FeaturesUnknown, degraded_by
from training.arrays import Floats


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
) -> dict[str, bool]:
    """Read whether the customer consents on a channel, for each purpose of the catalogue."""
    purposes = setup.compiled.catalog.purposes
    if not purposes:
        return {}
    given = {name: purpose.unless_said == "given" for name, purpose in purposes.items()}
    for word in consents(connection, customer_id, domain):  # the last one stands
        if word["purpose"] in given and word["channel"] in (None, channel):
            given[word["purpose"]] = word["given"]
    return given
