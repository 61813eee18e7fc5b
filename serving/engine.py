"""A whole decision on one page, in the order of its steps; no HTTP, no Feast, no MLflow.

Everything it needs is handed in: who resolves, who reads features, which models, which ledger,
and the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

import numpy as np
import sqlalchemy as sa
from pydantic_core import to_json

from features import tables
from features.catalog import NO_ACTION, Catalog
from features.domain import Domain
from features.errors import DecisionConflict, InvalidRequest
from features.identity import Spelling
from features.ledger import Ledger
from features.model_input import ModelInput
from features.store import Known
from features.tombstones import subject_of, who
from serving.arbitration import priority, reasons
from serving.contract import ChosenAction, DecideRequest, Decision, Predictions, Removed
from serving.eligibility import eligible
from training.bandit import Floats
from training.exploration import draw


class Models(Protocol):
    """What the engine asks of the models; `serving/models.py` has the real ones."""

    @property
    def versions(self) -> Mapping[str, str | None]: ...
    @property
    def degraded(self) -> Sequence[str]: ...
    def churn(self, row: Floats) -> float | None: ...
    def intent(self, row: Floats) -> dict[str, float] | None: ...
    def acceptance(self, row: Floats, channel: str) -> Mapping[str, float]: ...
    def probabilities(self, expected_reward: Floats) -> Floats: ...


class Features(Protocol):
    """Reads what is known of a customer, and says so if the feature store cannot."""

    @property
    def degraded(self) -> Sequence[str]: ...
    def online(self, customer_id: str) -> Known | None: ...


class _Candidates(NamedTuple):
    """What is known before the transaction: allowed actions, `no_action` last."""

    actions: list[str]
    acceptance: list[float]
    priority: Floats
    removed: list[Removed]


class _Pick(NamedTuple):
    """What one slot was filled with, and how far it trails the best that was left for it."""

    candidate: int
    chance: float
    gap: float


@dataclass
class Engine:
    """Decides. ``models``, ``features`` and ``catalog`` may be swapped while it runs."""

    domain: Domain
    catalog: Catalog
    model_input: ModelInput
    features: Features
    models: Models
    ledger: Ledger

    @cached_property
    def spelling(self) -> Spelling:
        """How the business spells identifiers."""
        return Spelling(self.domain)

    async def decide(self, request: DecideRequest, now: datetime) -> Decision:
        """Choose for one customer; the decision is on disk when this returns.

        Raises
        ------
        InvalidRequest, InvalidData
            If the channel, an action or an identifier is unknown to this business.
        CustomerForgotten
            If the customer was erased.
        DecisionConflict
            If ``decision_id`` was used for another customer or channel.
        """
        self._check(request)
        models = self.models  # one set for the whole decision, whatever is swapped in meanwhile
        # 1. Who is it?
        keys = self.spelling.keys(request.customer_id, request.identifiers)
        customer_id = self.ledger.read(lambda connection: who(connection, keys))
        # 2. What do we know? Read once.
        known = self.features.online(customer_id)
        row = self.row(known, now)
        # 3. What will they do?
        predictions = Predictions(churn=models.churn(row), intent=models.intent(row))
        # 4. May we? and 5. what is it worth?
        candidates = self._candidates(request, models, row)
        # 6. Choose and log, in one transaction.
        decision_id = request.decision_id or uuid4().hex

        def choose(connection: sa.Connection) -> Decision:
            # Again: a merge may have been quicker, and whom it made of two is shown everything.
            customer_id = who(connection, keys)
            subject = subject_of(connection, keys, customer_id)
            if request.decision_id:  # ours are new by construction
                earlier = _earlier(connection, decision_id, customer_id, request.channel)
                if earlier is not None:
                    return earlier
            chances, picks = _pick(models, candidates, decision_id, request.slots)
            decision = Decision(
                decision_id=decision_id,
                customer_id=customer_id,
                known=known is not None,
                decided_at=now,
                arm="policy",
                actions=[
                    self._action(candidates, pick, rank, request.channel)
                    for rank, pick in enumerate(picks, start=1)
                ],
                predictions=predictions,
                models=dict(models.versions),
                removed=candidates.removed if request.explain else None,
                degraded=[*models.degraded, *self.features.degraded],
            )
            record = self._record(request, row, candidates, chances)
            record["attribution_days"] = self._windows(decision)
            connection.execute(
                tables.decisions.insert(), self._row(decision, subject, request.channel, record)
            )
            return decision

        # 7. Answer.
        return await self.ledger.write(choose)

    def row(self, known: Known | None, now: datetime) -> Floats:
        """What the models read of a customer now, shape (n_features,)."""
        attributes, state, account = known or Known({}, None)
        return np.array(self.model_input.read(attributes, state, now.timestamp(), account))

    def _check(self, request: DecideRequest) -> None:
        if request.channel not in self.domain.channels:
            raise InvalidRequest(
                f"channel is {request.channel!r}.",
                expected=f"one of {', '.join(self.domain.channels)}",
                remedy="Correct it, or add the channel to the domain file.",
            )

    def _candidates(self, request: DecideRequest, models: Models, row: Floats) -> _Candidates:
        kept, removed = eligible(self.catalog, request)
        accepted = models.acceptance(row, request.channel)
        worth = [priority(accepted[name], self.catalog.actions[name]) for name in kept]
        return _Candidates(
            [*kept, NO_ACTION],
            [*(accepted[name] for name in kept), 0.0],
            np.array([*worth, 0.0]),
            removed,
        )

    def _action(
        self, candidates: _Candidates, pick: _Pick, rank: int, channel: str
    ) -> ChosenAction:
        name = candidates.actions[pick.candidate]
        acceptance = candidates.acceptance[pick.candidate]
        action = self.catalog.actions.get(name)
        why = (
            reasons(acceptance, action, pick.gap, self.domain.currency)
            if action
            else ["Nothing is shown; that costs nothing and may be worth most."]
        )
        return ChosenAction(
            action_id=name,
            rank=rank,
            treatment=action.treatments[channel] if action else {},
            probability=pick.chance,
            acceptance=acceptance,
            priority=float(candidates.priority[pick.candidate]),
            reasons=why,
        )

    def _record(
        self, request: DecideRequest, row: Floats, candidates: _Candidates, chances: Floats
    ) -> dict[str, Any]:
        """What repeating or judging the decision later needs, beside the answer itself."""
        return {
            "request": request.model_dump(mode="json", exclude_defaults=True),
            "features": row.tolist(),
            "features_layout": self.model_input.fingerprint,
            "candidates": candidates.actions,
            "acceptance": candidates.acceptance,
            "priority": candidates.priority.tolist(),
            "probabilities": chances.tolist(),
            "removed": {removed.action_id: removed.rule for removed in candidates.removed},
            "catalog": self.catalog.fingerprint,
        }

    def _windows(self, decision: Decision) -> dict[str, float]:
        """Of each action shown, how long its outcomes are put down to this decision."""
        shown = (chosen.action_id for chosen in decision.actions if chosen.action_id != NO_ACTION)
        return {name: self.catalog.actions[name].attribution_days for name in shown}

    def _row(
        self, decision: Decision, subject: str, channel: str, record: dict[str, Any]
    ) -> dict[str, Any]:
        first = decision.actions[0]
        window_days = max(record["attribution_days"].values(), default=0.0)
        return {
            "decision_id": decision.decision_id,
            "subject": subject,
            "customer_id": decision.customer_id,
            "decided_at": decision.decided_at,
            "channel": channel,
            "action_id": first.action_id,
            "probability": first.probability,
            "served": True,
            "window_ends_at": decision.decided_at + timedelta(days=window_days),
            "record": to_json(record, inf_nan_mode="null").decode(),
            "answer": decision.model_dump_json(),
        }


def _pick(
    models: Models, candidates: _Candidates, decision_id: str, slots: int
) -> tuple[Floats, list[_Pick]]:
    """Fill the slots one after the other, each from what is left; stop at `no_action`.

    Returns
    -------
    probabilities : shape (n_candidates,)
        Of the first slot.
    picks : list of _Pick
        Best rank first; at least one.
    """
    left = candidates.priority.copy()
    first = models.probabilities(left)
    chances, picks = first, list[_Pick]()
    nothing = len(left) - 1
    while True:
        index = draw(chances, decision_id if not picks else f"{decision_id}#{len(picks) + 1}")
        if index == nothing and picks:
            break
        picks.append(_Pick(index, float(chances[index]), float(np.nanmax(left) - left[index])))
        left[index] = np.nan
        if index == nothing or len(picks) == slots or np.isnan(left[:nothing]).all():
            break
        chances = models.probabilities(left)
    return first, picks


def _earlier(
    connection: sa.Connection, decision_id: str, customer_id: str, channel: str
) -> Decision | None:
    """The decision that was already made under this id."""
    columns = tables.decisions.c
    query = sa.select(columns.answer, columns.customer_id, columns.channel)
    found = connection.execute(query.where(columns.decision_id == decision_id)).first()
    if found is None:
        return None
    if (found.customer_id, found.channel) != (customer_id, channel) or found.answer is None:
        raise DecisionConflict(
            f"decision_id {decision_id!r} was used for customer {found.customer_id!r} "
            f"on {found.channel!r}.",
            expected="one id for one decision",
            remedy="Send a new decision_id, or none.",
        )
    return Decision.model_validate_json(found.answer)
