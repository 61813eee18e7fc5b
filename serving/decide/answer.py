"""A choice in words: what was chosen and why, what was removed and by what, what speaks for it."""

from __future__ import annotations

import numpy as np

from features.business.catalog import NO_ACTION
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.contract.decisions import (
    Candidate,
    ChosenAction,
    DecisionExplanation,
    Predictions,
    Removed,
)
from serving.decide.decision_setup import DecisionSetup
from serving.decide.explanation import (
    explain_acceptance,
    explain_churn,
    explain_intent,
    exploration_share,
    exploration_text,
)
from serving.decide.step_results import DecisionInputs, Reasoning, ScoredActions, SlotDraw
from serving.policies.arbitration import priority_text
from serving.policies.budgets import PacingResult
from serving.policies.contact_policy import ContactPolicyResult
from serving.policies.eligibility import NO_TREATMENT, EligibilityResult
from training.arrays import Floats, Indices

EXPLAINED = 30  # actions whose acceptance is explained, those of the highest priority


def chosen_action(
    setup: DecisionSetup,
    inputs: DecisionInputs,
    scored: ScoredActions,
    pacing_result: PacingResult,
    pick: SlotDraw,
    rank: int,
    arm: str,
) -> ChosenAction:
    compiled, index = setup.compiled, pick.action
    if index == len(compiled.actions):
        return ChosenAction(
            action_id=NO_ACTION,
            rank=rank,
            treatment={},
            probability=pick.chance,
            acceptance=0.0,
            priority=0.0,
            reasons=["Nothing is shown; that costs nothing and may be worth most."],
        )
    name, channel = compiled.actions[index], inputs.request.channel
    acceptance, weight = float(scored.prediction.acceptance[index]), float(scored.weights[index])
    priority = float(scored.priority[index])
    names = compiled.context_reader.names
    wanted = compiled.names_in_treatment(name, channel)
    values = {used: scored.decision_context.value(used, names) for used in wanted}
    why = priority_text(compiled, index, acceptance, weight, priority, setup.compiled.currency)
    return ChosenAction(
        action_id=name,
        rank=rank,
        treatment=compiled.treatment(name, channel, values),
        probability=pick.chance,
        acceptance=acceptance,
        priority=priority,
        reasons=[why, *_why_this(setup.compiled.currency, pacing_result, pick, arm)],
    )


def _why_this(currency: str, pacing_result: PacingResult, pick: SlotDraw, arm: str) -> list[str]:
    unit = currency.upper()
    price = float(pacing_result.prices[pick.action])
    paced = []
    if price > 0:
        paced = [f"Held back by {price:.2f} {unit}, so that its volume or budget lasts all day."]
    elif price < 0:
        paced = [f"Pushed by {-price:.2f} {unit}, so that it reaches its volume of the day."]
    if arm == "control":
        return [*paced, "Control group: drawn evenly from all allowed actions."]
    if pick.gap > 0:
        gap = f"Tried to learn: the best action promises {pick.gap:.2f} {unit} more."
        return [*paced, gap]
    return [*paced, "Promises most of the allowed actions."]


class Removals:
    """Who says of an action that it is out, in the order in which they are asked."""

    def __init__(
        self,
        compiled: CompiledCatalog,
        eligibility: EligibilityResult,
        contact_policy_result: ContactPolicyResult,
        pacing_result: PacingResult,
    ) -> None:
        self._actions = compiled.actions
        inputs: list[EligibilityResult | ContactPolicyResult | PacingResult] = [
            eligibility,
            contact_policy_result,
            pacing_result,
        ]
        # Backwards, so that the first who removes an action stands.
        first = {index: one for one in reversed(inputs) for index in one.out.nonzero()[0].tolist()}
        self._first = dict(sorted(first.items()))

    def rules(self) -> dict[str, str]:
        """The first rule that removed each action that the channel could show."""
        found = {self._actions[index]: who.rule(index) for index, who in self._first.items()}
        return {name: rule for name, rule in found.items() if rule != NO_TREATMENT}

    def in_words(self) -> list[Removed]:
        """Every action that is out, with the first rule that removed it and the value found."""
        found = []
        for index, who in self._first.items():
            said = who.why(index)
            if not isinstance(said, Removed):
                said = Removed(action_id=self._actions[index], **said._asdict())
            found.append(said)
        return found


def reasoning(
    setup: DecisionSetup,
    inputs: DecisionInputs,
    eligibility: EligibilityResult,
    priority: Floats,
    predictions: Predictions,
) -> Reasoning:
    """Feature contributions to churn, to each intent, and to the acceptance of what is allowed."""
    models, row, known = setup.models, inputs.row, setup.model_input
    churn, intent = models.why_churn(row), models.why_intent(row)
    left = np.where(eligibility.out, -np.inf, priority)
    best = np.argsort(-left, kind="stable")[:EXPLAINED].tolist()
    names = [setup.compiled.actions[index] for index in best if not eligibility.out[index]]
    channel, chances = inputs.request.channel, predictions.intent
    accepted = models.why_acceptance(row, channel, names) if names else None
    return Reasoning(
        explain_churn(churn, known, row) if churn else None,
        [*explain_intent(intent, chances, known, row).values()] if intent and chances else [],
        explain_acceptance(accepted, channel, known, row) if accepted else {},
    )


def explanation(
    setup: DecisionSetup,
    scored: ScoredActions,
    reasons: Reasoning,
    pacing_result: PacingResult,
    candidates: Indices,
    probabilities: Floats,
    adjusted: Floats,
) -> DecisionExplanation:
    """What spoke for each candidate of the first slot, and how much is tried out.

    Parameters
    ----------
    candidates, probabilities : shape (n_candidates,)
    adjusted : shape (n_actions + 1,)
        Priorities less shadow prices, what the probabilities were made of.
    """
    names = (*setup.compiled.actions, NO_ACTION)
    share = exploration_share(probabilities, adjusted[candidates])
    found = []
    for index, probability in zip(candidates.tolist(), probabilities.tolist(), strict=True):
        name = names[index]
        if name == NO_ACTION:
            found.append(Candidate(action_id=name, probability=probability))
            continue
        found.append(
            Candidate(
                action_id=name,
                probability=probability,
                acceptance=float(scored.prediction.acceptance[index]),
                context_weight=float(scored.weights[index]),
                priority=float(scored.priority[index]),
                shadow_price=float(pacing_result.prices[index]),
                contributions=reasons.acceptance.get(name),
            )
        )
    found.sort(key=lambda one: -one.probability)
    return DecisionExplanation(
        exploration=share,
        in_words=exploration_text(share),
        churn=reasons.churn,
        intent=reasons.intent,
        candidates=found,
    )
