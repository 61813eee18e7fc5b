"""Puts a choice into words: treatment and reasons of each action, and what speaks for others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

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
from serving.policies.eligibility import EligibilityResult
from serving.policies.priority_text import PriorityTerms, no_action_texts, priority_texts
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
        return _nothing(setup, inputs, drawn, rank)
    name, channel = compiled.actions[index], inputs.request.channel
    numbers, why = _at_rank(setup, inputs, scored, index, rank)
    names = compiled.context_reader.names
    used = compiled.names_in_treatment(name, channel)
    values = {used_name: scored.decision_context.value(used_name, names) for used_name in used}
    return ChosenAction(
        action_id=name,
        rank=rank,
        treatment=compiled.treatment(name, channel, values),
        probability=drawn.probability,
        acceptance=numbers.acceptance,
        added_value=numbers.added,
        priority=numbers.priority,
        reasons=[*why, *_reasons(compiled.currency, inputs.arm, limits, drawn)],
    )


def _nothing(
    setup: DecisionSetup, inputs: DecisionInputs, drawn: SlotDraw, rank: int
) -> ChosenAction:
    """Describe `no_action`."""
    why, added = ["Nothing is shown; that costs nothing and may be worth most."], None
    if setup.compiled.remaining is not None:
        least, evenly = setup.compiled.catalog.least_no_action, inputs.arm in EVENLY
        currency = setup.compiled.currency
        why, added = no_action_texts(least, drawn.best, currency, drawn_evenly=evenly), 0.0
    return ChosenAction(
        action_id=NO_ACTION,
        rank=rank,
        treatment={},
        probability=drawn.probability,
        acceptance=0.0,
        added_value=added,
        priority=0.0,
        reasons=why,
    )


class _Numbers(NamedTuple):
    """The numbers of a shown action at its rank; ``added`` is None where it does not count."""

    acceptance: float
    added: float | None
    priority: float


def _at_rank(
    setup: DecisionSetup, inputs: DecisionInputs, scored: ScoredActions, index: int, rank: int
) -> tuple[_Numbers, list[str]]:
    """The numbers of an action and their sentences, for a rank that is looked at less."""
    compiled, unit, look = setup.compiled, setup.compiled.currency, look_of(inputs.looks, rank)
    one = _terms(setup, scored, index, inputs.remaining_value)
    added = None if scored.added is None else look * float(scored.added[index])
    if look == 1:
        texts = priority_texts(compiled, index, one, unit)
        return _Numbers(one.acceptance, added, one.priority), texts
    seen = f"Seen by {look:.1%} at rank {rank}"
    cost = float(compiled.cost[index])
    here, worth = look * one.acceptance, look * (one.priority + cost) - cost
    if compiled.formula is None:
        texts = priority_texts(compiled, index, one.looked_at(look, worth), unit)
        texts += [f"{seen}, of whom {one.acceptance:.1%} accept."]
        return _Numbers(here, added, worth), texts
    texts = priority_texts(compiled, index, one, unit)
    sum_of = f"{look:.1%} x ({one.priority:.2f} + {cost:.2f} cost) - {cost:.2f} = {worth:.2f}"
    return _Numbers(here, added, worth), [*texts, f"{seen}: {sum_of} {unit.upper()}."]


def _terms(
    setup: DecisionSetup, scored: ScoredActions, index: int, remaining_value: float | None
) -> PriorityTerms:
    """The terms of an action's priority at rank 1."""
    effects = scored.effects
    terms = PriorityTerms(
        float(scored.prediction.acceptance[index]),
        float(scored.weights[index]),
        float(scored.priority[index]),
        remaining_value=remaining_value,
        assumed=float(scored.assumed[index]),
    )
    if effects is None:
        return terms
    purchases, leaving = float(effects.purchases[index]), float(effects.leaving[index])
    return terms._replace(purchases=purchases, leaving=leaving)


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
        Of a decision that is made again, or to which conditional priors were mixed: the
        contributions to acceptance add up to it.
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
    remaining_value: float | None = None,
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
            added = None if scored.added is None else 0.0
            found.append(Candidate(action_id=name, probability=probability, added_value=added))
            continue
        terms = _terms(setup, scored, index, remaining_value)
        found.append(
            Candidate(
                action_id=name,
                probability=probability,
                acceptance=terms.acceptance,
                purchases=terms.purchases,
                leaving=terms.leaving,
                assumed=terms.assumed or None,
                remaining_value=remaining_value,
                added_value=None if scored.added is None else float(scored.added[index]),
                context_weight=terms.weight,
                priority=terms.priority,
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
