"""Which is worth most: an acceptance turned into a priority, in the domain's currency."""

from __future__ import annotations

from features.catalog import Action


def priority(acceptance: float, action: Action, context_weight: float = 1.0) -> float:
    """What showing an action is expected to bring, in the domain's currency.

        priority = acceptance x context weight x value x lever - cost

    With acceptance 0.12, value 8.00, lever 1 and cost 0.45: 0.51.
    """
    return acceptance * context_weight * action.value * action.lever - action.cost


def reasons(acceptance: float, action: Action, gap: float, currency: str) -> list[str]:
    """The same in words.

    Parameters
    ----------
    gap : float, >= 0
        By how much the action trails the best allowed one, in the domain's currency.
    """
    unit = currency.upper()
    worth = (
        f"{acceptance:.1%} chance of acceptance x {action.value:.2f} {unit}"
        f"{'' if action.lever == 1 else f' x lever {action.lever:g}'}"
        f" - {action.cost:.2f} {unit} cost = {priority(acceptance, action):.2f} {unit}"
    )
    if gap > 0:
        return [worth, f"Tried to learn: the best action promises {gap:.2f} {unit} more."]
    return [worth, "Promises most of the allowed actions."]
