"""Reads the inputs of a decision: customer, consents and features, before the ledger is locked."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import sqlalchemy as sa

from features.business.domain import Domain
from features.errors import InvalidRequest
from features.identity.keys import KeyNormalizer
from features.identity.tombstones import Found, find_customer
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.tables import micros
from features.ledger.writing.unwaiting import Version, version_of
from serving.contract.decisions import DecideRequest
from serving.decide.customer_inputs import (
    Features,
    consents_on,
    feature_row,
    is_known,
    left_at,
    missing,
    read_features,
)
from serving.decide.decision_setup import DecisionSetup
from serving.decide.step_results import DecisionInputs
from serving.policies.arms import arm_of


@dataclass
class InputReader:
    """Reads what a decision rests on; each input is read once a decision."""

    domain: Domain
    model_input: ModelInput
    features: Features
    ledger: Ledger
    _secret: str = field(default="", init=False, repr=False)

    @cached_property
    def normalizer(self) -> KeyNormalizer:
        """The normaliser of identifiers, by the rules of the domain file."""
        return KeyNormalizer(self.domain)

    async def read(
        self,
        setup: DecisionSetup,
        request: DecideRequest,
        keys: tuple[str, ...],
        now: datetime,
        decision_id: str,
    ) -> DecisionInputs:
        """Find the customer behind the keys, and read consents and features.

        Raises
        ------
        CustomerForgotten
            If the customer was erased.
        """

        def find(
            connection: sa.Connection,
        ) -> tuple[Version | None, Found, Mapping[str, bool]]:
            version = version_of(connection)  # before all that is read
            if not self._secret:  # it never changes
                self._secret = tables.get_meta(connection, tables.DRAW_SECRET) or ""
                assert self._secret  # `Ledger` has made it when it was opened
            found = find_customer(connection, keys)
            agreed = consents_on(connection, self.domain, setup, found.customer_id, request.channel)
            return version, found, agreed

        # Both are read without a transaction. `select_and_append` looks again at who the customer
        # is; if a merge came between, the inputs are read anew.
        version, found, agreed = await self.ledger.read_briefly(find)
        return self.with_features(setup, request, keys, now, decision_id, found, agreed, version)

    def with_features(
        self,
        setup: DecisionSetup,
        request: DecideRequest,
        keys: tuple[str, ...],
        now: datetime,
        decision_id: str,
        whose: Found,
        agreed: Mapping[str, bool],
        version: Version | None = None,
        secret: str = "",
    ) -> DecisionInputs:
        """Read the features of a customer who was found, and collect all inputs.

        Parameters
        ----------
        agreed
            By purpose, whether the customer consents.
        version
            See `DecisionInputs`.
        secret
            That of the draws; empty: as it was read last.
        """
        customer_id, subject = whose
        found, problem = read_features(self.features, customer_id)
        known, row = is_known(self.model_input, found), feature_row(self.model_input, found, now)
        left, attributes = left_at(self.model_input, found), found.attributes if found else {}
        return DecisionInputs(
            decision_id=decision_id,
            seed=draw_seed(secret or self._secret, decision_id),
            request=request,
            keys=keys,
            customer_id=customer_id,
            subject=subject,
            decided_at=now,
            known=known,
            row=row,
            consents=agreed,
            versions=setup.versions,
            degraded=missing(setup.models, row, known, problem),
            features_problem=problem,
            version=version,
            left_at=left,
            looks=_looks(setup, request),
            arm=arm_of(customer_id, setup.compiled.catalog.arms),
            stops=setup.stops,
            remaining_value=setup.remaining_value(row, attributes, left),
        )

    def check(self, request: DecideRequest) -> tuple[str, ...]:
        """Refuse a request that this business cannot answer; return its keys, as they are spelled.

        Raises
        ------
        InvalidRequest, InvalidData
            If the channel or an identifier is unknown to this business.
        """
        if request.channel not in self.domain.channels:
            raise InvalidRequest(
                f"channel is {request.channel!r}.",
                expected=f"one of {', '.join(self.domain.channels)}",
                remedy="Correct it, or add the channel to the domain file.",
            )
        return self.normalizer.asked(request.customer_id, request.identifiers)


def _looks(setup: DecisionSetup, request: DecideRequest) -> tuple[float, ...]:
    """The probability that each rank is looked at; empty where all are 1, as rank 1 is."""
    looks = tuple(setup.models.looks(request.channel)[: request.slots])
    return () if all(look == 1 for look in looks) else looks


def draw_seed(secret: str, decision_id: str) -> str:
    """Mix a secret of the ledger into the id of a decision, so that no caller can foresee its draw.

    A caller may choose the id, and would else search for one that draws what the caller likes; the
    logged probabilities would not be those of the draw (HMAC, RFC 2104, with SHA-256).
    """
    return hmac.new(secret.encode(), decision_id.encode(), hashlib.sha256).hexdigest()


def new_decision_id(request: DecideRequest, now: datetime) -> str:
    """Return the id that the caller gave, or draw a new one that begins with the time.

    Three indexes of the ledger are sorted by decision. Ids that rise with time are put side by
    side, so the decisions of a commit change the same pages (as in UUID version 7, RFC 9562).
    """
    return request.decision_id or f"{micros(now):014x}{os.urandom(9).hex()}"
