"""Which is worth most: an acceptance turned into a priority, in the domain's currency."""

from __future__ import annotations

import numpy as np

from serving.catalog.compiled_catalog import CompiledCatalog
from serving.catalog.decision_context import DecisionContext
from training.arrays import Bools, Floats
from training.bandit.reward_model import Prediction


def context_weights(compiled: CompiledCatalog, holds: Bools) -> Floats:
    """What each action weighs in this situation, shape (n_actions,): the product of the context
    weights whose condition holds."""
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
    """What showing each action is expected to bring, in the domain's currency.

        priority = acceptance x context weight x value x lever - cost

    With acceptance 0.12, value 8.00, lever 1 and cost 0.45: 0.51. Or what the catalogue's formula
    makes of the same numbers; where that has no value, the action is worth nothing but its cost.

    Parameters
    ----------
    acceptance, weights : shape (n_actions,)
    """
    if compiled.formula is None:
        worth: Floats = acceptance * weights * compiled.value * compiled.lever - compiled.cost
        return worth
    vectors = {
        "acceptance": acceptance,
        "context_weight": weights,
        "value": compiled.value,
        "lever": compiled.lever,
        "cost": compiled.cost,
    }
    worth = compiled.formula.values(vectors, decision_context.numbers, decision_context.texts)
    return np.where(np.isfinite(worth), worth, -compiled.cost)


def priority_deviations(
    compiled: CompiledCatalog,
    prediction: Prediction,
    weights: Floats,
    decision_context: DecisionContext,
) -> Floats:
    """How sure each priority is: its standard deviation, in the domain's currency.

    Exact where the priority is linear in the acceptance, as it is without a formula; with one,
    half of what it differs between one standard deviation below and above.

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


def priority_text(compiled: CompiledCatalog, action: int, acceptance: float, weight: float,
                   priority: float, currency: str) -> str:  # fmt: skip
    """How a priority came about."""
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
