"""Arbitration computes each action's priority from what showing it adds, in the currency."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.business.experiment.prior import ConditionalPrior
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
        found = _first(priors, holds)
        if found is None or (among is not None and not among[action]):
            continue
        prior, weight = found.acceptance, found.weight
        share = weight / (weight + counted[action])
        of_prior = share * np.sqrt(prior * (1 - prior) / weight)
        acceptance[action] = share * prior + (1 - share) * acceptance[action]
        deviation[action] = np.hypot((1 - share) * deviation[action], of_prior)
    return learned._replace(acceptance=acceptance, deviation=deviation)


def _first(priors: Sequence[tuple[int, ConditionalPrior]], holds: Bools) -> ConditionalPrior | None:
    """The first conditional prior of an action whose condition holds."""
    return next((prior for condition, prior in priors if holds[condition]), None)


def assumed_values(compiled: CompiledCatalog, holds: Bools, counted: float) -> Floats:
    """Compute what the business assumes that each action adds beyond its acceptance's value.

        assumed = what it adds x weight / (weight + decisions)

    The first conditional prior that holds says what it adds, else the prior of the action; if both
    say nothing, it is minus the catalogue's cost of a contact. With 5.00, a weight of 30,000 and
    10,000 decisions it is 3.75.

    Parameters
    ----------
    holds : shape (n_conditions,)
        Which conditions of the catalogue hold in this decision context.
    counted
        The decisions from which effects were learned.

    Returns
    -------
    shape (n_actions,), in the domain's currency
    """
    catalog = compiled.catalog
    if not catalog.pays_effects:
        return np.zeros(len(compiled.actions))
    adds = compiled.adds.copy()
    for action, priors in compiled.priors:
        found = _first(priors, holds)
        if found is not None and found.adds is not None:
            adds[action] = found.adds
    return adds * (catalog.assumption_weight / (catalog.assumption_weight + counted))


def caused_values(
    effects: EffectPrediction | None, assumed: Floats, remaining_value: float
) -> Floats:
    """Add up what each action causes beyond its acceptance, shape (n_actions,), in the currency.

        caused = purchases - remaining value x leaving + assumed

    Parameters
    ----------
    effects
        None: none are known, so they count as 0.
    assumed : shape (n_actions,)
        See `assumed_values`.
    """
    if effects is None:
        return assumed
    return effects.purchases - remaining_value * effects.leaving + assumed


def added_values(compiled: CompiledCatalog, acceptance: Floats, caused: Floats) -> Floats:
    """The value that showing each action adds, shape (n_actions,), in the domain's currency.

        added value = acceptance x value + caused

    `no_action` adds nothing. With acceptance 0.04, value 36.00, purchases 0.20, remaining value
    89.00 and leaving 0.009 the added value is 0.84.

    Parameters
    ----------
    acceptance : shape (n_actions,)
    caused : shape (n_actions,)
        See `caused_values`.
    """
    accepted: Floats = acceptance * compiled.value
    return accepted + caused


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
    caused: Floats | None = None,
    lost_deviation: Floats | None = None,
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
    caused : shape (n_actions,)
        See `caused_values`; None: the objective is acceptance.
    lost_deviation : shape (n_actions,)
        Remaining value x standard deviation of the effect on leaving; None: no effects are known.
    """
    args = compiled, prediction, weights, decision_context, caused, lost_deviation
    scale, believed = compiled.catalog.exploration, _believed_deviations(*args)
    return believed if scale == 1 else scale * believed


def _believed_deviations(
    compiled: CompiledCatalog,
    prediction: Prediction,
    weights: Floats,
    decision_context: DecisionContext,
    caused: Floats | None,
    lost_deviation: Floats | None,
) -> Floats:
    mean, deviation, _ = prediction
    if compiled.formula is None:
        spread: Floats = deviation * weights * np.abs(compiled.value) * compiled.lever
        if lost_deviation is None:
            return spread
        both: Floats = np.hypot(spread, lost_deviation * weights * compiled.lever)
        return both

    def between(below: Floats, above: Floats, moved: Floats | float) -> Floats:
        """Half the difference of two priorities, whose added values are moved apart as well."""
        ends = []
        for acceptance, by in ((below, -moved), (above, moved)):
            added = None if caused is None else added_values(compiled, acceptance, caused + by)
            ends.append(priorities(compiled, acceptance, weights, decision_context, added))
        return np.abs(ends[1] - ends[0]) / 2

    below, above = (np.clip(mean + sign * deviation, 0.0, 1.0) for sign in (-1.0, 1.0))
    of_acceptance = between(below, above, 0.0)
    if lost_deviation is None:
        return of_acceptance
    return np.hypot(of_acceptance, between(mean, mean, lost_deviation))


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
