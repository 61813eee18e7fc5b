"""Arbitration computes each action's priority from what showing it adds, in the currency."""

from __future__ import annotations

import numpy as np

from serving.catalog.compiled_catalog import CompiledCatalog
from serving.catalog.decision_context import DecisionContext
from training.arrays import Bools, Floats
from training.bandit.stacking import Prediction
from training.effects.effect_prediction import EffectPrediction


def context_weights(compiled: CompiledCatalog, holds: Bools) -> Floats:
    """Weight of each action, shape (n_actions,): the product of the context weights that apply.

    Parameters
    ----------
    holds : shape (n_conditions,)
        Which conditions of the catalogue hold in this decision context.
    """
    weights = np.ones(len(compiled.actions))
    for condition, mask, weight in compiled.weights:
        if holds[condition]:
            weights[mask] *= weight
    return weights


def with_conditional_priors(
    compiled: CompiledCatalog,
    holds: Bools,
    learned: Prediction,
    counted: Floats,
    among: Bools | None = None,
) -> Prediction:
    """Mix what was learned of each action with the prior of the first condition that holds.

        acceptance = (weight x prior + outcomes x learned acceptance) / (weight + outcomes)

    With a prior of 0.18 of weight 300, a learned acceptance of 0.04 and 100 outcomes it is 0.145.

    Parameters
    ----------
    holds : shape (n_conditions,)
        Which conditions of the catalogue hold in this decision context.
    counted : shape (n_actions,)
        The outcomes from which each action's acceptance was learned.
    among : shape (n_actions,)
        The actions whose acceptance the models have told; None: all. That of the others was
        believed when a decision was made, and holds its prior already.
    """
    acceptance, deviation = learned.acceptance.copy(), learned.deviation.copy()
    for action, priors in compiled.priors:
        found = next((one for one in priors if holds[one[0]]), None)
        if found is None or (among is not None and not among[action]):
            continue
        _, prior, weight = found
        share = weight / (weight + counted[action])
        of_prior = share * np.sqrt(prior * (1 - prior) / weight)
        acceptance[action] = share * prior + (1 - share) * acceptance[action]
        deviation[action] = np.hypot((1 - share) * deviation[action], of_prior)
    return learned._replace(acceptance=acceptance, deviation=deviation)


def added_values(
    compiled: CompiledCatalog,
    acceptance: Floats,
    effects: EffectPrediction | None,
    remaining_value: float,
) -> Floats:
    """The value that showing each action adds, shape (n_actions,), in the domain's currency.

        added value = acceptance x value + purchases - remaining value x leaving

    `no_action` adds nothing. With acceptance 0.04, value 36.00, purchases 0.20, remaining value
    89.00 and leaving 0.009 the added value is 0.84.

    Parameters
    ----------
    acceptance : shape (n_actions,)
    effects
        None: none are known. So they are 0, but for what the catalogue assumes that showing an
        action takes from later purchases.
    """
    accepted: Floats = acceptance * compiled.value
    if effects is None:
        return accepted - compiled.catalog.assumed_cost
    return accepted + effects.purchases - remaining_value * effects.leaving


def priorities(
    compiled: CompiledCatalog,
    acceptance: Floats,
    weights: Floats,
    decision_context: DecisionContext,
    added: Floats | None = None,
) -> Floats:
    """The expected value of showing each action, shape (n_actions,), in the domain's currency.

        priority = added value x context weight x lever - cost

    With acceptance 0.12, value 8.00, no effect, lever 1 and cost 0.45 the priority is 0.51. If the
    catalogue has a formula of its own, the formula computes the priority from the same numbers.
    Where it gives no number, the priority is minus the cost.

    Parameters
    ----------
    acceptance, weights : shape (n_actions,)
    added : shape (n_actions,)
        The added values; None: acceptance x value, as no effects count or none are known.
    """
    if compiled.formula is None:
        if added is not None:
            paid: Floats = added * weights * compiled.lever - compiled.cost
            return paid
        linear: Floats = acceptance * weights * compiled.value * compiled.lever - compiled.cost
        return linear
    vectors = {
        "acceptance": acceptance,
        "added_value": acceptance * compiled.value if added is None else added,
        "context_weight": weights,
        "value": compiled.value,
        "lever": compiled.lever,
        "cost": compiled.cost,
    }
    found = compiled.formula.values(vectors, decision_context.numbers, decision_context.texts)
    return np.where(np.isfinite(found), found, -compiled.cost)


def priority_deviations(
    compiled: CompiledCatalog,
    prediction: Prediction,
    weights: Floats,
    decision_context: DecisionContext,
    effects: EffectPrediction | None = None,
    remaining_value: float = 0.0,
) -> Floats:
    """Standard deviation of each priority, shape (n_actions,), in the domain's currency.

    It is that of what is believed, times the catalogue's ``exploration_scale``. It is exact without
    a formula, because the priority is then linear in the acceptance and in the effects, whose
    errors are taken as independent. With a formula, the part of each is half the difference between
    the priorities at one standard deviation below and above its mean.

    The effect on purchases has no part in it. One decision more tells hardly anything of what is
    sold in the weeks after, so to try an action for that would cost more than it teaches; and the
    larger part of its error is common to all actions.

    Parameters
    ----------
    weights : shape (n_actions,)
    effects, remaining_value
        As for `added_values`.
    """
    args = compiled, prediction, weights, decision_context, effects, remaining_value
    scale, believed = compiled.catalog.exploration, _believed_deviations(*args)
    return believed if scale == 1 else scale * believed


def _believed_deviations(
    compiled: CompiledCatalog,
    prediction: Prediction,
    weights: Floats,
    decision_context: DecisionContext,
    effects: EffectPrediction | None,
    remaining_value: float,
) -> Floats:
    mean, deviation, _ = prediction
    if compiled.formula is None:
        spread: Floats = deviation * weights * np.abs(compiled.value) * compiled.lever
        if effects is None:
            return spread
        caused = remaining_value * effects.leaving_deviation
        both: Floats = np.hypot(spread, caused * weights * compiled.lever)
        return both

    def between(below: Floats, above: Floats, moved: Floats | float) -> Floats:
        """Half the difference of two priorities, whose added values are moved apart as well."""
        ends = []
        for acceptance, by in ((below, -moved), (above, moved)):
            added = added_values(compiled, acceptance, effects, remaining_value) + by
            ends.append(priorities(compiled, acceptance, weights, decision_context, added))
        return np.abs(ends[1] - ends[0]) / 2

    below, above = (np.clip(mean + sign * deviation, 0.0, 1.0) for sign in (-1.0, 1.0))
    of_acceptance = between(below, above, 0.0)
    if effects is None:
        return of_acceptance
    caused = remaining_value * effects.leaving_deviation
    return np.hypot(of_acceptance, between(mean, mean, caused))


def priorities_at(
    priority: Floats, deviation: Floats, cost: Floats, look: float
) -> tuple[Floats, Floats]:
    """Priorities and their standard deviations at a rank that is looked at with a probability.

        priority at the rank = look x (priority + cost) - cost

    Showing costs the same whether it is looked at or not. With priority 0.51, cost 0.45 and look
    0.5 it is 0.03.

    Parameters
    ----------
    priority, deviation, cost : shape (n_actions,)
        Of rank 1.
    """
    return look * (priority + cost) - cost, look * deviation
