"""The choice itself, from facts to an answer; pure, so that a logged decision can be repeated.

`score` is all that can be done before the ledger is locked; `select` is what must be done while
it is: contact policy, pacing, probabilities, draw. The engine brings the facts and keeps the
result; replay brings the facts from the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from features.customers.contacts import Contact
from serving.catalog.decision_context import RequestContext
from serving.contract.decisions import Decision, Predictions
from serving.decide.answer import Removals, chosen_action, explanation, reasoning
from serving.decide.decision_setup import DecisionSetup
from serving.decide.step_results import DecisionInputs, ScoredActions, SelectedActions, SlotDraw
from serving.policies.arbitration import context_weights, priorities, priority_deviations
from serving.policies.budgets import PacingResult
from serving.policies.contact_policy import ContactPolicyResult
from serving.policies.control_group import arm_of, uniform_probabilities
from training.arrays import Floats
from training.bandit.exploration import draw

NOTHING = np.zeros(1)  # what `no_action` brings, and how unsure that is


def score(setup: DecisionSetup, inputs: DecisionInputs) -> ScoredActions:
    """All that needs no lock.

    Raises
    ------
    InvalidRequest
        If the request names an action that the catalogue does not have, or its context is of
        another type than described.
    """
    compiled, request, row = setup.compiled, inputs.request, inputs.row
    context_reader = compiled.context_reader
    churn, intent = setup.models.churn(row), setup.models.intent(row)
    decision_context = context_reader.read(
        row,
        RequestContext(
            channel=request.channel,
            placement=request.placement,
            context=context_reader.context(request.context),
            known=inputs.known,
            churn=churn,
            intent=intent,
            consents=inputs.consents,
            local=setup.local(row, inputs.decided_at),
        ),
    )
    holds = compiled.conditions.holds(decision_context.numbers, decision_context.texts)
    eligibility = setup.engagement_policy.evaluate(
        request, decision_context, holds, inputs.decided_at
    )
    prediction = setup.models.believe(row, request.channel)
    weights = context_weights(compiled, holds)
    priority = priorities(compiled, prediction.acceptance, weights, decision_context)
    priority_deviation = priority_deviations(compiled, prediction, weights, decision_context)
    predictions = Predictions(churn=churn, intent=intent, stage=decision_context.texts["stage"])
    reasons = (
        reasoning(setup, inputs, eligibility, priority, predictions) if request.explain else None
    )
    return ScoredActions(
        predictions,
        decision_context,
        eligibility,
        prediction,
        weights,
        priority,
        priority_deviation,
        reasons,
    )


def select(
    setup: DecisionSetup,
    inputs: DecisionInputs,
    scored: ScoredActions,
    contacts: Sequence[Contact],
    paces: Mapping[str, Any],
) -> SelectedActions:
    """What must be done while nobody else can decide for the customer.

    Parameters
    ----------
    contacts
        Of the customer (and their account), as far back as the contact policy looks.
    paces
        State of each paced volume and budget, by name.
    """
    request, now = inputs.request, inputs.decided_at
    facts = setup.facts(
        inputs.customer_id, request.channel, now, inputs.row, inputs.consents, contacts
    )
    contact_policy_result = setup.contact_policy.evaluate(facts)
    pacing_result = setup.pacer.evaluate(paces, now, scored.priority, scored.eligibility.out)
    arm = arm_of(inputs.customer_id, setup.compiled.catalog.control_group)
    # Before slots are filled, which counts.
    removed = Removals(setup.compiled, scored.eligibility, contact_policy_result, pacing_result)
    rules, in_words = removed.rules(), removed.in_words() if request.explain else None
    adjusted = np.concatenate((scored.priority - pacing_result.prices, NOTHING))
    first, picks = _pick(setup, inputs, scored, contact_policy_result, pacing_result, adjusted, arm)
    candidates = first.nonzero()[0]
    probabilities = first[candidates]
    told = scored.reasons and explanation(
        setup, scored, scored.reasons, pacing_result, candidates, probabilities, adjusted
    )
    decision = Decision(
        decision_id=inputs.decision_id,
        customer_id=inputs.customer_id,
        known=inputs.known,
        decided_at=inputs.decided_at,
        arm=arm,
        actions=[
            chosen_action(setup, inputs, scored, pacing_result, pick, rank, arm)
            for rank, pick in enumerate(picks, start=1)
        ],
        predictions=scored.predictions,
        models=dict(inputs.versions),
        removed=in_words,
        explanation=told,
        degraded=list(inputs.degraded),
        activated=request.activate,
    )
    return SelectedActions(decision, rules, candidates, probabilities, pacing_result)


def _pick(
    setup: DecisionSetup,
    inputs: DecisionInputs,
    scored: ScoredActions,
    contact_policy_result: ContactPolicyResult,
    pacing_result: PacingResult,
    adjusted: Floats,
    arm: str,
) -> tuple[Floats, list[SlotDraw]]:
    """Fill the slots one after the other, each from what is left; stop at `no_action`.

    Returns
    -------
    probabilities : shape (n_actions + 1,)
        Of the first slot.
    picks : list of SlotDraw
        Best rank first; at least one.
    """
    nothing, priority_deviation = (
        len(adjusted) - 1,
        np.concatenate((scored.priority_deviation, NOTHING)),
    )
    taken = np.zeros(nothing, dtype=bool)
    chances_of_slot: list[Floats] = []
    picks: list[SlotDraw] = []
    while len(picks) < inputs.request.slots:
        left = adjusted.copy()
        left[:nothing][
            scored.eligibility.out | contact_policy_result.out | pacing_result.out | taken
        ] = np.nan
        if picks and np.isnan(left[:nothing]).all():
            break
        control = arm == "control"
        chances = (
            uniform_probabilities(left)
            if control
            else setup.models.probabilities(left, priority_deviation)
        )
        chances_of_slot.append(chances)
        slot = f"#{len(picks) + 1}" if picks else ""
        index = draw(chances, f"{inputs.decision_id}{slot}")
        if index == nothing and picks:
            break
        best = np.fmax.reduce(left)  # passes over nan, as `nanmax` does, in a tenth of the time
        picks.append(SlotDraw(index, float(chances[index]), float(best - left[index])))
        if index == nothing:
            break
        taken[index] = True
        contact_policy_result.count(index)
        pacing_result.spend(index)
    return chances_of_slot[0], picks
