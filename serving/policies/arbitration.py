"""Arbitration computes each action's priority from its acceptance, in the domain's currency."""

from __future__ import annotations

import numpy as np

from serving.catalog.compiled_catalog import CompiledCatalog
from serving.catalog.decision_context import DecisionContext
from training.arrays import Bools, Floats
from training.bandit.stacking import Prediction


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


def priorities(
    compiled: CompiledCatalog,
    acceptance: Floats,
    weights: Floats,
    decision_context: DecisionContext,
) -> Floats:
    """The expected value of showing each action, shape (n_actions,), in the domain's currency.

        priority = acceptance x context weight x value x lever - cost

    With acceptance 0.12, value 8.00, lever 1 and cost 0.45 the priority is 0.51. If the catalogue
    has a formula of its own, the formula computes the priority from the same numbers. Where it
    gives no number, the priority is minus the cost.

    Parameters
    ----------
    acceptance, weights : shape (n_actions,)
    """
    if compiled.formula is None:
        linear: Floats = acceptance * weights * compiled.value * compiled.lever - compiled.cost
        return linear
    vectors = {
        "acceptance": acceptance,
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
) -> Floats:
    """Standard deviation of each priority, shape (n_actions,), in the domain's currency.

    It is exact without a formula, because the priority is then linear in the acceptance. With a
    formula it is half the difference between the priorities at one standard deviation of the
    acceptance below and above its mean.

    Parameters
    ----------
    weights : shape (n_actions,)
    """
    mean, deviation, _ = prediction
    if compiled.formula is None:
        spread: Floats = deviation * weights * compiled.value * compiled.lever
        return spread
    below, above = (
        priorities(compiled, np.clip(mean + sign * deviation, 0.0, 1.0), weights, decision_context)
        for sign in (-1.0, 1.0)
    )
    return np.abs(above - below) / 2


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


def priority_text(
    compiled: CompiledCatalog,
    action: int,
    acceptance: float,
    weight: float,
    priority: float,
    currency: str,
) -> str:
    """The calculation of one action's priority, as a sentence for people."""
    unit = currency.upper()
    if compiled.formula is not None:
        formula = compiled.catalog.arbitration.formula
        return f"{acceptance:.1%} chance of acceptance; {formula} = {priority:.2f} {unit}"
    lever = compiled.lever[action]
    return (
        f"{acceptance:.1%} chance of acceptance"
        f"{'' if weight == 1 else f' x weight {weight:g}'} x {compiled.value[action]:.2f} {unit}"
        f"{'' if lever == 1 else f' x lever {lever:g}'}"
        f" - {compiled.cost[action]:.2f} {unit} cost = {priority:.2f} {unit}"
    )
