"""A whole decision on one page, in the order of its steps; no HTTP, no Feast, no MLflow.

Everything it needs is handed in: who reads features, what is decided with, which ledger, and the
time. The choice itself is pure and stands in `choice`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Protocol
from uuid import uuid4

import numpy as np
import sqlalchemy as sa

from features.business.domain import Domain
from features.customers.consents import consents
from features.customers.identity import Spelling
from features.customers.tombstones import subject_of, who
from features.errors import DecisionConflict, InvalidRequest
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.store.feast_store import Known
from serving.contract.decisions import DecideRequest, Decision
from serving.decide.choice import score, select
from serving.decide.decision_record import append_decision, contacts_of, paces_of
from serving.decide.decision_setup import DecisionSetup
from serving.decide.step_results import DecisionInputs, ScoredActions
from training.arrays import Floats


class Features(Protocol):
    """Reads what is known of a customer, and says so if the feature store cannot."""

    @property
    def degraded(self) -> Sequence[str]: ...
    def online(self, customer_id: str) -> Known | None: ...


@dataclass
class Engine:
    """Decides. ``setup`` and ``features`` may be swapped while it runs."""

    domain: Domain
    model_input: ModelInput
    features: Features
    ledger: Ledger
    setup: DecisionSetup

    @cached_property
    def spelling(self) -> Spelling:
        """How the business spells identifiers."""
        return Spelling(self.domain)

    async def decide(self, request: DecideRequest, now: datetime) -> Decision:
        """Choose for one customer; the decision is on disk when this returns.

        Raises
        ------
        InvalidRequest, InvalidData
            If the channel, an action, the context or an identifier is unknown to this business.
        CustomerForgotten
            If the customer was erased.
        DecisionConflict
            If ``decision_id`` was used for another customer or channel.
        """
        self._check(request)
        setup = self.setup  # one for the whole decision, whatever is swapped in meanwhile
        keys = self.spelling.keys(request.customer_id, request.identifiers)
        decision_id = request.decision_id or uuid4().hex
        while True:
            # 1. Who is it, and what do we know? Read once.
            inputs = self._asked(setup, request, keys, decision_id, now)
            # 2. What will they do, may we, and what is it worth?
            scored = score(setup, inputs)
            # 3. Should we now? Choose and log, in one transaction.
            decided = await self.ledger.write(
                lambda connection, inputs=inputs, scored=scored: self._settle(  # type: ignore[misc]
                    connection, setup, keys, inputs, scored
                )
            )
            if decided is not None:
                return decided
            # A merge was quicker: whom it made of two is somebody else than we looked at.

    def row(self, known: Known | None, now: datetime) -> Floats:
        """What the models read of a customer now, shape (n_features,)."""
        attributes, state, account = known or Known({}, None)
        return np.array(self.model_input.read(attributes, state, now.timestamp(), account))

    def consents(
        self, connection: sa.Connection, setup: DecisionSetup, customer_id: str, channel: str
    ) -> dict[str, bool]:
        """Whether consent is given on a channel, for each purpose of the catalogue."""
        purposes = setup.compiled.catalog.purposes
        if not purposes:
            return {}
        given = {name: purpose.unless_said == "given" for name, purpose in purposes.items()}
        for word in consents(connection, customer_id, self.domain):  # the last one stands
            if word["purpose"] in given and word["channel"] in (None, channel):
                given[word["purpose"]] = word["given"]
        return given

    def _check(self, request: DecideRequest) -> None:
        if request.channel not in self.domain.channels:
            raise InvalidRequest(
                f"channel is {request.channel!r}.",
                expected=f"one of {', '.join(self.domain.channels)}",
                remedy="Correct it, or add the channel to the domain file.",
            )

    def _asked(
        self,
        setup: DecisionSetup,
        request: DecideRequest,
        keys: tuple[str, ...],
        decision_id: str,
        now: datetime,
    ) -> DecisionInputs:
        def read(connection: sa.Connection) -> tuple[str, Mapping[str, bool]]:
            customer_id = who(connection, keys)
            return customer_id, self.consents(connection, setup, customer_id, request.channel)

        # If who that is changes between the two questions, `_settle` sees it, and we ask again.
        customer_id, agreed = self.ledger.glance(read)
        known = self.features.online(customer_id)
        return DecisionInputs(
            decision_id=decision_id,
            request=request,
            customer_id=customer_id,
            decided_at=now,
            known=known is not None,
            row=self.row(known, now),
            consents=agreed,
            versions=setup.models.versions,
            degraded=[*setup.models.degraded, *self.features.degraded],
        )

    def _settle(
        self,
        connection: sa.Connection,
        setup: DecisionSetup,
        keys: tuple[str, ...],
        inputs: DecisionInputs,
        scored: ScoredActions,
    ) -> Decision | None:
        """None if the keys lead to another customer by now."""
        request = inputs.request
        if who(connection, keys) != inputs.customer_id:
            return None
        if request.decision_id:  # ours are new by construction
            earlier = _earlier(connection, inputs)
            if earlier is not None:
                return earlier
        contacts = contacts_of(
            connection,
            setup,
            self.domain.account is not None,
            inputs.customer_id,
            inputs.decided_at,
        )
        paces = paces_of(connection, setup, scored.eligibility.out)
        selected = select(setup, inputs, scored, contacts, paces)
        subject = subject_of(connection, keys, inputs.customer_id)
        fingerprint = self.model_input.fingerprint
        append_decision(
            connection, setup, inputs, scored, selected, contacts, paces, subject, fingerprint
        )
        return selected.decision


def _earlier(connection: sa.Connection, inputs: DecisionInputs) -> Decision | None:
    """The decision that was already made under this id."""
    columns, channel = tables.decisions.c, inputs.request.channel
    query = sa.select(columns.answer, columns.customer_id, columns.channel)
    found = connection.execute(query.where(columns.decision_id == inputs.decision_id)).first()
    if found is None:
        return None
    if (found.customer_id, found.channel) != (inputs.customer_id, channel) or found.answer is None:
        raise DecisionConflict(
            f"decision_id {inputs.decision_id!r} was used for customer {found.customer_id!r} "
            f"on {found.channel!r}.",
            expected="one id for one decision",
            remedy="Send a new decision_id, or none.",
        )
    return Decision.model_validate_json(found.answer)
