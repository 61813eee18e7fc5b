"""The engine makes a whole decision: read the inputs, score the actions, select and append.

Each step is one function; the engine calls it once and hands its result, one object, to the next.
`select_and_append` runs inside the one ledger transaction that makes the decision final.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial

from features.business.domain import Domain
from features.customers.keys import KeyNormalizer
from features.journeys.model_input import ModelInput
from features.ledger.ledger import Ledger
from serving.contract.decisions import DecideRequest, Decision
from serving.decide.choice import score
from serving.decide.decision_record import select_and_append
from serving.decide.decision_setup import DecisionSetup
from serving.decide.inputs import Features, InputReader, new_decision_id


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
            If ``decision_id`` was used for another customer or channel.
        """
        setup = self.setup  # the same for the whole decision, even if it is replaced meanwhile
        keys, decision_id = self.inputs.check(request), new_decision_id(request)
        while True:
            inputs = self.inputs.read(setup, request, keys, now, decision_id)
            scored = score(setup, inputs)
            append = partial(select_and_append, setup=setup, inputs=inputs, scored=scored)
            decision = await self.ledger.write(append)
            if decision is not None:
                return decision
            # The customer was merged since the inputs were read, so they are read again.
