"""Which is worth most: an acceptance turned into a priority, in the domain's currency."""

from __future__ import annotations

import numpy as np

from serving.catalog.compiled_catalog import Playbook
from serving.catalog.decision_context import Situation
from training.arrays import Bools, Floats
from training.bandit.reward_model import Believed


def context_weights(playbook: Playbook, holds: Bools) -> Floats:
    """What each action weighs in this situation, shape (n_actions,): the product of the context
    weights whose condition holds."""
    weights = np.ones(len(playbook.actions))
    for condition, mask, weight in playbook.weights:
        if holds[condition]:
            weights[mask] *= weight
    return weights


def priorities(
    playbook: Playbook, acceptance: Floats, weights: Floats, situation: Situation
) -> Floats:
    """What showing each action is expected to bring, in the domain's currency.

        priority = acceptance x context weight x value x lever - cost

    With acceptance 0.12, value 8.00, lever 1 and cost 0.45: 0.51. Or what the catalogue's formula
    makes of the same numbers; where that has no value, the action is worth nothing but its cost.

    Parameters
    ----------
    acceptance, weights : shape (n_actions,)
    """
    if playbook.formula is None:
        worth: Floats = acceptance * weights * playbook.value * playbook.lever - playbook.cost
        return worth
    vectors = {
        "acceptance": acceptance,
        "context_weight": weights,
        "value": playbook.value,
        "lever": playbook.lever,
        "cost": playbook.cost,
    }
    worth = playbook.formula.values(vectors, situation.numbers, situation.texts)
    return np.where(np.isfinite(worth), worth, -playbook.cost)


def doubts(playbook: Playbook, believed: Believed, weights: Floats, situation: Situation) -> Floats:
    """How sure each priority is: its standard deviation, in the domain's currency.

    Exact where the priority is linear in the acceptance, as it is without a formula; with one,
    half of what it differs between one standard deviation below and above.

    Parameters
    ----------
    weights : shape (n_actions,)
    """
    mean, deviation, _ = believed
    if playbook.formula is None:
        spread: Floats = deviation * weights * playbook.value * playbook.lever
        return spread
    below, above = (
        priorities(playbook, np.clip(mean + sign * deviation, 0.0, 1.0), weights, situation)
        for sign in (-1.0, 1.0)
    )
    return np.abs(above - below) / 2


def worth_in_words(playbook: Playbook, action: int, acceptance: float, weight: float,
                   priority: float, currency: str) -> str:  # fmt: skip
    """How a priority came about."""
    unit = currency.upper()
    if playbook.formula is not None:
        formula = playbook.catalog.arbitration.formula
        return f"{acceptance:.1%} chance of acceptance; {formula} = {priority:.2f} {unit}"
    lever = playbook.lever[action]
    return (
        f"{acceptance:.1%} chance of acceptance"
        f"{'' if weight == 1 else f' x weight {weight:g}'} x {playbook.value[action]:.2f} {unit}"
        f"{'' if lever == 1 else f' x lever {lever:g}'}"
        f" - {playbook.cost[action]:.2f} {unit} cost = {priority:.2f} {unit}"
    )
