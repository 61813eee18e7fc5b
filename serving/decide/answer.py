"""Puts a choice into words: treatment and reasons of each action, and what speaks for others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from features.business.catalog import NO_ACTION
from features.outcomes.examination import look_of
from serving.contract.decisions import (
    Arm,
    Candidate,
    ChosenAction,
    DecisionExplanation,
    Explanation,
    Predictions,
)
from serving.decide.decision_setup import DecisionSetup
from serving.decide.explanation import (
    explain_acceptance,
    explain_churn,
    explain_intent,
    explain_left,
    exploration_share,
    exploration_text,
)
from serving.decide.step_results import DecisionInputs, Limits, Reasoning, ScoredActions, SlotDraw
from serving.policies.arbitration import priority_text
from serving.policies.eligibility import EligibilityResult
from training.arrays import Floats, Indices
from training.bandit.stacking import Prediction

EVENLY: Mapping[Arm, str] = {
    "random": "Arm random: drawn evenly from all allowed actions.",
    "control": "Control group: drawn evenly from all allowed actions.",
}
EXPLAINED = 30  # actions whose acceptance is explained, those of the highest priority


def chosen_action(
    setup: DecisionSetup,
    inputs: DecisionInputs,
    scored: ScoredActions,
    limits: Limits,
    drawn: SlotDraw,
    rank: int,
) -> ChosenAction:
    """Describe the action of a slot: treatment, numbers and reasons."""
    compiled, index = setup.compiled, drawn.action
    if index == len(compiled.actions):
        return ChosenAction(
            action_id=NO_ACTION,
            rank=rank,
            treatment={},
            probability=drawn.probability,
            acceptance=0.0,
            priority=0.0,
            reasons=["Nothing is shown; that costs nothing and may be worth most."],
        )
    name, channel = compiled.actions[index], inputs.request.channel
    look = look_of(inputs.looks, rank)
    acceptance, priority, why = _at_rank(setup, scored, index, look, rank)
    names = compiled.context_reader.names
    used = compiled.names_in_treatment(name, channel)
    values = {used_name: scored.decision_context.value(used_name, names) for used_name in used}
    return ChosenAction(
        action_id=name,
        rank=rank,
        treatment=compiled.treatment(name, channel, values),
        probability=drawn.probability,
        acceptance=acceptance,
        priority=priority,
        reasons=[*why, *_reasons(compiled.currency, inputs.arm, limits, drawn)],
    )


def _at_rank(
    setup: DecisionSetup, scored: ScoredActions, index: int, look: float, rank: int
) -> tuple[float, float, list[str]]:
    """Acceptance, priority and their sentences, for a rank that is looked at with a probability."""
    compiled, unit = setup.compiled, setup.compiled.currency
    acceptance, weight = float(scored.prediction.acceptance[index]), float(scored.weights[index])
    priority, cost = float(scored.priority[index]), float(compiled.cost[index])
    if look == 1:
        text = priority_text(compiled, index, acceptance, weight, priority, unit)
        return acceptance, priority, [text]
    seen = f"Seen by {look:.1%} at rank {rank}"
    here, worth = look * acceptance, look * (priority + cost) - cost
    if compiled.formula is None:
        text = priority_text(compiled, index, here, weight, worth, unit)
        return here, worth, [text, f"{seen}, of whom {acceptance:.1%} accept."]
    text = priority_text(compiled, index, acceptance, weight, priority, unit)
    sum_of = f"{look:.1%} x ({priority:.2f} + {cost:.2f} cost) - {cost:.2f} = {worth:.2f}"
    return here, worth, [text, f"{seen}: {sum_of} {unit.upper()}."]


def _reasons(currency: str, arm: Arm, limits: Limits, drawn: SlotDraw) -> list[str]:
    unit = currency.upper()
    price = float(limits.pacing_result.prices[drawn.action])
    paced = []
    if price > 0:
        paced = [f"Held back by {price:.2f} {unit}, so that its volume or budget lasts all day."]
    elif price < 0:
        paced = [f"Pushed by {-price:.2f} {unit}, so that it reaches its volume of the day."]
    if arm in EVENLY:
        return [*paced, EVENLY[arm]]
    if drawn.gap > 0:
        gap = f"Tried to learn: the best action promises {drawn.gap:.2f} {unit} more."
        return [*paced, gap]
    return [*paced, "Promises most of the allowed actions."]


def reasoning(
    setup: DecisionSetup,
    inputs: DecisionInputs,
    eligibility: EligibilityResult,
    priority: Floats,
    predictions: Predictions,
    believed: Prediction | None = None,
    told: Mapping[str, Explanation] | None = None,
) -> Reasoning:
    """Compute feature contributions to churn, to each intent, and to acceptance.

    Parameters
    ----------
    believed
        Of a decision that is made again: the contributions to acceptance add up to it.
    told
        The contributions to acceptance that were told then; no model is asked for them.
    """
    models, row, known = setup.models, inputs.row, setup.model_input
    churn, intent = models.why_churn(row), models.why_intent(row)
    left = np.where(eligibility.out, -np.inf, priority)
    best = np.argsort(-left, kind="stable")[:EXPLAINED].tolist()
    best = [index for index in best if not eligibility.out[index] and priority[index] > -np.inf]
    names = [setup.compiled.actions[index] for index in best]
    channel, chances = inputs.request.channel, predictions.intent
    accepted = models.why_acceptance(row, channel, names) if names and told is None else None
    if accepted is not None and believed is not None:
        accepted = accepted.adding_up_to(believed.acceptance[best])
    if inputs.left_at:
        explained: Explanation | None = explain_left(known, inputs.left_at, inputs.decided_at)
    else:
        explained = explain_churn(churn, known, row) if churn else None
    return Reasoning(
        explained,
        [*explain_intent(intent, chances, known, row).values()] if intent and chances else [],
        told or (explain_acceptance(accepted, channel, known, row) if accepted else {}),
    )


def explanation(
    setup: DecisionSetup,
    scored: ScoredActions,
    limits: Limits,
    candidates: Indices,
    probabilities: Floats,
) -> DecisionExplanation | None:
    """Explain each candidate of the first slot, and how much is explored.

    Parameters
    ----------
    candidates, probabilities : shape (n_candidates,)

    Returns
    -------
    DecisionExplanation or None
        None if the request did not ask for it.
    """
    reasons = scored.reasons
    if reasons is None:
        return None
    names = (*setup.compiled.actions, NO_ACTION)
    share = exploration_share(probabilities, limits.adjusted[candidates])
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
                shadow_price=float(limits.pacing_result.prices[index]),
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
