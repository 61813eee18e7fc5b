"""The choice of actions, from inputs to an answer, without input or output.

`score` does what needs neither contacts nor pacing states. `select` does the rest: contact policy,
pacing, probabilities, draw. The engine and replay call the same two functions, so a logged
decision can be made again.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from features.outcomes.examination import look_of
from serving.catalog.decision_context import DecisionContext, RequestContext
from serving.contract.decisions import Decision, Explanation, Predictions
from serving.decide.answer import chosen_action, explanation, reasoning
from serving.decide.beliefs import predict, with_priors
from serving.decide.decision_setup import DecisionSetup
from serving.decide.step_results import (
    ActionPredictions,
    DecisionInputs,
    LimitInputs,
    Limits,
    ScoredActions,
    SelectedActions,
    SlotDraw,
)
from serving.policies.arbitration import (
    added_values,
    caused_values,
    context_weights,
    priorities,
    priorities_at,
    priority_deviations,
)
from serving.policies.arms import (
    DRAWN_EVENLY,
    uniform_probabilities,
    with_experiment,
    with_least_no_action,
)
from serving.policies.policy_result import Removals
from training.arrays import Floats
from training.bandit.exploration import draw

NOTHING = np.zeros(1)  # the priority of `no_action`, and its standard deviation
LEFT = 1.0  # the churn of a customer who has left: known, not predicted


def score(
    setup: DecisionSetup,
    inputs: DecisionInputs,
    believed: ActionPredictions | None = None,
    told: Mapping[str, Explanation] | None = None,
    predicted: ActionPredictions | None = None,
) -> ScoredActions:
    """Predict churn and intent, apply the engagement policy, and compute priorities.

    Parameters
    ----------
    believed
        What was believed when the decision was made, ``nan`` where nothing was: then the models are
        not asked for acceptance and effects.
    told
        The contributions to acceptance that were told then; None: the models are asked for them.
    predicted
        What the models predict now, if they were asked already.

    Raises
    ------
    InvalidRequest
        If the request names an action that the catalogue does not have, or its context is of
        another type than described.
    """
    compiled, request, row = setup.compiled, inputs.request, inputs.row
    churn = LEFT if inputs.left_at else setup.models.churn(row)
    intent = setup.models.intent(row)
    decision_context = _decision_context(setup, inputs, churn, intent)
    holds = compiled.conditions.holds(decision_context.numbers, decision_context.texts)
    eligibility = setup.engagement_policy.evaluate(
        request, decision_context, holds, inputs.decided_at, inputs.arm, inputs.stops
    )
    asked = believed or predicted or predict(setup, row, request.channel)
    asked, assumed = with_priors(setup, holds, asked, believed is not None)
    prediction, effects = asked.accepted, asked.effects
    weights, remaining = context_weights(compiled, holds), inputs.remaining_value
    caused = added = lost = None
    if remaining is not None:
        caused = caused_values(effects, assumed, remaining)
        added = added_values(compiled, prediction.acceptance, caused)
        lost = None if effects is None else remaining * effects.leaving_deviation
    priority = priorities(compiled, prediction.acceptance, weights, decision_context, added)
    if believed is not None:  # what was removed then is removed again: it is worth no price
        priority = np.where(np.isnan(prediction.acceptance), -np.inf, priority)
    predictions = Predictions(churn=churn, intent=intent, stage=decision_context.texts["stage"])
    explained = (setup, inputs, eligibility, priority, predictions)
    then = None if believed is None and not compiled.priors else prediction
    return ScoredActions(
        predictions=predictions,
        decision_context=decision_context,
        eligibility=eligibility,
        prediction=prediction,
        effects=effects,
        assumed=assumed,
        added=added,
        weights=weights,
        priority=priority,
        priority_deviation=priority_deviations(
            compiled, prediction, weights, decision_context, caused, lost
        ),
        reasons=reasoning(*explained, then, told) if request.explain else None,
    )


def _decision_context(
    setup: DecisionSetup,
    inputs: DecisionInputs,
    churn: float | None,
    intent: Mapping[str, float] | None,
) -> DecisionContext:
    context_reader, request, row = setup.compiled.context_reader, inputs.request, inputs.row
    return context_reader.read(
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


def select(
    setup: DecisionSetup, inputs: DecisionInputs, scored: ScoredActions, read: LimitInputs
) -> SelectedActions:
    """Apply contact policy and pacing, and draw an action for each slot."""
    request, compiled = inputs.request, setup.compiled
    limits = _limits(setup, inputs, scored, read)
    # Asked before slots are filled, because each filled slot is counted.
    results = (scored.eligibility, limits.contact_policy, limits.pacing_result)
    removals = Removals(compiled.actions, results)
    rules, in_words = removals.rules(), removals.in_words() if request.explain else None
    out = scored.eligibility.out | limits.contact_policy.out | limits.pacing_result.out
    first, draws = _fill_slots(setup, inputs, scored, limits)
    candidates = first.nonzero()[0]
    probabilities = first[candidates]
    decision = Decision(
        decision_id=inputs.decision_id,
        customer_id=inputs.customer_id,
        known=inputs.known,
        decided_at=inputs.decided_at,
        arm=inputs.arm,
        actions=[
            chosen_action(setup, inputs, scored, limits, drawn, rank)
            for rank, drawn in enumerate(draws, start=1)
        ],
        predictions=scored.predictions,
        models=dict(inputs.versions),
        removed=in_words,
        explanation=explanation(
            setup, scored, limits, candidates, probabilities, inputs.remaining_value
        ),
        degraded=list(inputs.degraded),
        activated=request.activate,
    )
    return SelectedActions(
        decision=decision,
        rules=rules,
        candidates=candidates,
        probabilities=probabilities,
        allowed=(~out).nonzero()[0],
        chances=first,
        pacing_result=limits.pacing_result,
    )


def _limits(
    setup: DecisionSetup, inputs: DecisionInputs, scored: ScoredActions, read: LimitInputs
) -> Limits:
    facts = setup.facts(
        inputs.customer_id,
        inputs.request.channel,
        inputs.decided_at,
        inputs.row,
        inputs.consents,
        read.contacts,
        read.account,
        inputs.features_problem,
        inputs.left_at,
    )
    contact_policy_result = setup.contact_policy.evaluate(facts)
    now, out = inputs.decided_at, scored.eligibility.out
    priority, arm, shared = scored.priority, inputs.arm, inputs.shared
    pacing_result = setup.pacer.evaluate(read.paces, now, priority, out, arm, shared)
    return Limits(
        contact_policy=contact_policy_result,
        pacing_result=pacing_result,
        adjusted=np.concatenate((scored.priority - pacing_result.prices, NOTHING)),
    )


def _fill_slots(
    setup: DecisionSetup, inputs: DecisionInputs, scored: ScoredActions, limits: Limits
) -> tuple[Floats, list[SlotDraw]]:
    """Draw an action for each slot from those that are left; stop at `no_action`.

    Returns
    -------
    probabilities : shape (n_actions + 1,)
        Of the first slot.
    draws : list of SlotDraw
        The best rank first; at least one.
    """
    contact_policy, pacing_result = limits.contact_policy, limits.pacing_result
    no_action = len(limits.adjusted) - 1
    taken = np.zeros(no_action, dtype=bool)
    probabilities_of_slot: list[Floats] = []
    draws: list[SlotDraw] = []
    while len(draws) < inputs.request.slots:
        left, deviation = _at_rank(setup, inputs, scored, limits, len(draws) + 1)
        out = scored.eligibility.out | contact_policy.out | pacing_result.out | taken
        left[:no_action][out] = np.nan
        if draws and np.isnan(left[:no_action]).all():
            break
        chances = _chances(setup, inputs, scored, left, deviation, first=not draws)
        probabilities_of_slot.append(chances)
        slot = f"#{len(draws) + 1}" if draws else ""
        index = draw(chances, f"{inputs.seed}{slot}")
        if index == no_action and draws:
            break
        # It passes over nan, as `nanmax` does, in a tenth of the time.
        best = np.fmax.reduce(left[:no_action])
        gap = float(np.fmax(best, left[no_action]) - left[index])
        shown = None if np.isnan(best) else float(best)
        draws.append(SlotDraw(index, float(chances[index]), gap, shown))
        if index == no_action:
            break
        taken[index] = True
        contact_policy.count(index)
        pacing_result.spend(index)
    return probabilities_of_slot[0], draws


def _chances(
    setup: DecisionSetup,
    inputs: DecisionInputs,
    scored: ScoredActions,
    left: Floats,
    deviation: Floats,
    *,
    first: bool,
) -> Floats:
    """The probability of each action, shape (n_actions + 1,); `no_action` has its least share."""
    if inputs.arm in DRAWN_EVENLY:
        return uniform_probabilities(left)
    chances, catalog = setup.models.probabilities(left, deviation), setup.compiled.catalog
    if not first:
        return chances
    if scored.effects is None:
        chances = with_experiment(chances, left, catalog.first_experiment)
    return with_least_no_action(chances, catalog.least_no_action)


def _at_rank(
    setup: DecisionSetup, inputs: DecisionInputs, scored: ScoredActions, limits: Limits, rank: int
) -> tuple[Floats, Floats]:
    """Priorities less shadow prices, and standard deviations, at a rank; the last is `no_action`.

    A lower rank is looked at less, so an action may be worth its cost at the first only.
    """
    look = look_of(inputs.looks, rank)
    if look == 1:
        return limits.adjusted.copy(), np.concatenate((scored.priority_deviation, NOTHING))
    both = scored.priority, scored.priority_deviation
    priority, deviation = priorities_at(*both, setup.compiled.cost, look)
    adjusted = np.concatenate((priority - limits.pacing_result.prices, NOTHING))
    return adjusted, np.concatenate((deviation, NOTHING))
