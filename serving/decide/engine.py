"""The engine makes a whole decision: read the inputs, score the actions, select and append.

Each step is one function, whose result, one object, is handed to the next. Only the last step runs
inside the one ledger transaction that makes the decision final.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial

from features.business.domain import Domain
from features.identity.keys import KeyNormalizer
from features.journeys.model_input import ModelInput
from features.ledger.ledger import Ledger
from serving.contract.decisions import DecideRequest, Decision
from serving.decide.choice import score, select
from serving.decide.customer_inputs import Features
from serving.decide.decision_record import append_selected, decision_rows, select_and_append
from serving.decide.decision_setup import DecisionSetup
from serving.decide.inputs import InputReader, new_decision_id
from serving.decide.limit_inputs import read_limit_inputs
from serving.decide.step_results import (
    CompleteDecision,
    DecisionInputs,
    LimitInputs,
    ScoredActions,
)

SELECTIONS = 2  # outside the transaction, before it is done inside


@dataclass
class Engine:
    """Makes decisions. ``setup`` may be replaced while the engine runs."""

    domain: Domain
    model_input: ModelInput
    features: Features
    ledger: Ledger
    setup: DecisionSetup

    @cached_property
    def inputs(self) -> InputReader:
        """The reader of inputs, of the same business and stores."""
        return InputReader(self.domain, self.model_input, self.features, self.ledger)

    @property
    def normalizer(self) -> KeyNormalizer:
        """The normaliser of identifiers, by the rules of the domain file."""
        return self.inputs.normalizer

    async def decide(self, request: DecideRequest, now: datetime) -> Decision:
        """Decide for one customer; the decision is on disk when this returns.

        Raises
        ------
        InvalidRequest, InvalidData
            If the channel, an action, the context or an identifier is unknown to this business.
        CustomerForgotten
            If the customer was erased.
        DecisionConflict
            If ``decision_id`` was used for another customer, or with another request.
        """
        setup = self.setup  # the same for the whole decision, even if it is replaced meanwhile
        keys, decision_id = self.inputs.check(request), new_decision_id(request, now)
        while True:
            inputs = await self.inputs.read(setup, request, keys, now, decision_id)
            scored = score(setup, inputs)
            decision = await self._select_and_append(setup, inputs, scored)
            if decision is not None:
                return decision
            # The customer was merged since the inputs were read, so they are read again.

    async def _select_and_append(
        self, setup: DecisionSetup, inputs: DecisionInputs, scored: ScoredActions
    ) -> Decision | None:
        """Select outside the transaction; after some changes meanwhile, inside it."""
        customer_id, channel = inputs.customer_id, inputs.request.channel
        now, out = inputs.decided_at, scored.eligibility.out
        read = await self.ledger.read_briefly(
            lambda connection: read_limit_inputs(connection, setup, customer_id, channel, now, out)
        )
        for _ in range(SELECTIONS):
            selected = select(setup, inputs, scored, read)
            complete = CompleteDecision(setup, inputs, scored, read, selected)
            rows = decision_rows(complete)
            append = partial(append_selected, complete=complete, rows=rows)
            answer = await self.ledger.write(append, brief=True)
            if not isinstance(answer, LimitInputs):
                return answer
            read = answer
        inside = partial(select_and_append, setup=setup, inputs=inputs, scored=scored)
        return await self.ledger.write(inside)
