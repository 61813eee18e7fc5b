"""Updates the bandit's state with credits: adds new ones, takes old ones back, recounts all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa

from features.business.domain import Domain
from features.journeys.model_input import ModelInput
from features.ledger.ledger import Ledger
from features.outcomes.credit_rules import Credit
from serving.learn.credits import (
    BATCH,
    CreditChange,
    LoggedAction,
    credited_decisions,
    newest_shown_decisions,
    read_credits,
    read_logged_actions,
)
from training.bandit.bandit_state import BanditState, OutcomeBatch
from training.bandit.encoder import Encoder
from training.params import BanditParams


class BanditUpdates:
    """Makes a new `BanditState` from an old one and the credits of a ledger; changes neither."""

    def __init__(self, ledger: Ledger, domain: Domain, params: BanditParams) -> None:
        self._ledger = ledger
        self._domain = domain
        self._params = params
        self._input = ModelInput(domain)

    @property
    def layout(self) -> str:
        """Fingerprint of the features' names and order."""
        return self._input.fingerprint

    def blank(self) -> BanditState:
        """The state before the first outcome."""
        return BanditState.blank(Encoder.blank(self._domain.channels), self._params)

    def fits(self, state: BanditState) -> bool:
        """True if the domain has every feature that the state's encoder reads."""
        return set(state.encoder.features) <= set(self._input.names)

    def apply(self, state: BanditState, changes: Sequence[CreditChange]) -> BanditState:
        """Take the old credits back and add the new ones."""
        learned = [one for one in changes if one.old != one.new]
        counted = [
            (one.action, Credit(one.old.acceptance, -one.old.count)) for one in learned if one.old
        ]
        counted += [(one.action, one.new) for one in learned if one.new]
        return state.learn(self._outcomes(counted, state))

    def recount(self, state: BanditState) -> BanditState:
        """Add all credits of the ledger."""
        ids = self._ledger.read(credited_decisions)
        for start in range(0, len(ids), BATCH):
            credited = self._credited(ids[start : start + BATCH])
            changes = [CreditChange(action, None, credit) for action, credit in credited]
            state = self.apply(state, changes)
        return state

    def refit_trees(self, state: BanditState) -> BanditState:
        """Fit the trees to the newest shown decisions; takes seconds.

        Not to the newest reported outcomes: most of those are acceptances. The silences among the
        decisions weigh as much as they count.
        """
        count = self._params.trees.newest
        ids = self._ledger.read(lambda connection: newest_shown_decisions(connection, count))
        counted = [
            credited
            for start in range(0, len(ids), BATCH)
            for credited in self._credited(ids[start : start + BATCH])
        ]
        return state.with_trees(self._outcomes(counted, state), state.counted)

    def _credited(self, decision_ids: Sequence[str]) -> list[tuple[LoggedAction, Credit]]:
        """The shown actions of some decisions that have a credit, each with it."""

        def read(connection: sa.Connection) -> list[tuple[LoggedAction, Credit]]:
            written = read_credits(connection, decision_ids)
            actions = read_logged_actions(connection, decision_ids, self.layout)
            return [
                (action, found.credit)
                for action in actions
                if (found := written.get(action.shown.key)) and found.credit
            ]

        return self._ledger.read(read)

    def _outcomes(
        self, counted: Sequence[tuple[LoggedAction, Credit]], state: BanditState
    ) -> OutcomeBatch:
        """Arrange actions, each with its credit, as `BanditState.learn` reads them."""
        index = {name: number for number, name in enumerate(self._input.names)}
        columns = [index[name] for name in state.encoder.features]
        n_experts = len(state.errors.products)
        unknown = [np.nan] * n_experts  # also for a decision that was made with other experts
        predictions = [
            action.expert_predictions if len(action.expert_predictions) == n_experts else unknown
            for action, _ in counted
        ]
        rows = [action.row[columns] for action, _ in counted]
        return OutcomeBatch(
            rows=np.array(rows).reshape(len(counted), len(columns)),
            channels=[action.channel for action, _ in counted],
            actions=[action.shown.action_id for action, _ in counted],
            acceptance=np.array([credit.acceptance for _, credit in counted], dtype=np.float64),
            count=np.array([credit.count for _, credit in counted], dtype=np.float64),
            at=np.array([action.serial for action, _ in counted], dtype=np.float64),
            expert_predictions=np.array(predictions, dtype=np.float64).reshape(-1, n_experts),
        )
