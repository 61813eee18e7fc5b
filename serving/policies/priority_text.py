"""Tells the calculation of a priority to people: one sentence for each term, and their sum."""

from __future__ import annotations

from typing import NamedTuple

from serving.catalog.compiled_catalog import CompiledCatalog

NOT_LEARNED = "Its effect on other purchases and on leaving is not learned yet, and counts as 0."
ASSUMED = "assumed by the business, until enough decisions have told the effects"
SMALLEST_POINTS = 0.05  # of a percentage point: less is told with two digits


class PriorityTerms(NamedTuple):
    """The numbers of one action's priority, at the rank at which it is shown.

    Attributes
    ----------
    purchases, leaving
        The predicted effects, in the domain's currency and as a probability; None: none are known.
    remaining_value
        What the customer would take along by leaving; None: the objective is acceptance.
    assumed
        What the business assumes that it adds, in the domain's currency.
    """

    acceptance: float
    weight: float
    priority: float
    purchases: float | None = None
    leaving: float | None = None
    remaining_value: float | None = None
    assumed: float = 0.0

    def looked_at(self, look: float, priority: float) -> PriorityTerms:
        """Return the terms at a rank that is looked at with a probability."""
        purchases, leaving = (
            None if effect is None else look * effect for effect in (self.purchases, self.leaving)
        )
        return self._replace(
            acceptance=look * self.acceptance,
            priority=priority,
            purchases=purchases,
            leaving=leaving,
            assumed=look * self.assumed,
        )


def priority_texts(
    compiled: CompiledCatalog, action: int, terms: PriorityTerms, currency: str
) -> list[str]:
    """The calculation of one action's priority, as sentences for people."""
    remaining, is_known = terms.remaining_value, terms.purchases is not None
    if remaining is None or not (is_known or terms.assumed):
        text = priority_text(compiled, action, *terms[:3], currency)
        return [text] if remaining is None else [text, NOT_LEARNED]
    unit, value = currency.upper(), float(compiled.value[action])
    purchases, leaving = terms.purchases or 0.0, terms.leaving or 0.0
    accepted, lost = terms.acceptance * value, -remaining * leaving
    total = f"{accepted + purchases + lost + terms.assumed:.2f} {unit} added value"
    formula = compiled.catalog.arbitration.formula
    if formula is None:
        total += _factors(terms.weight, float(compiled.lever[action]))
        total += f" - {compiled.cost[action]:.2f} {unit} cost"
    else:
        total += f"; {formula}"
    verb = "causes" if purchases >= 0 else "replaces"
    change = "likelier" if leaving >= 0 else "less likely"
    effects = [
        f"{_signed(purchases)} {unit}: other purchases that it {verb}",
        f"{_signed(lost)} {unit}: makes leaving {change} by {_points(abs(leaving))} percentage "
        f"points, of a remaining value of {remaining:.2f} {unit}",
    ]
    return [
        f"{terms.acceptance:.1%} chance of acceptance x {value:.2f} {unit} = {accepted:.2f} {unit}",
        *(effects if is_known else ()),
        *([f"{_signed(terms.assumed)} {unit}: {ASSUMED}"] if terms.assumed else ()),
        f"{total} = {terms.priority:.2f} {unit}",
    ]


def priority_text(
    compiled: CompiledCatalog,
    action: int,
    acceptance: float,
    weight: float,
    priority: float,
    currency: str,
) -> str:
    """The calculation of one action's priority without effects, as a sentence for people."""
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


def no_action_texts(
    least: float, best: float | None, currency: str, *, drawn_evenly: bool
) -> list[str]:
    """Say why nothing is shown, where the objective is the added value.

    Parameters
    ----------
    least
        The least probability of `no_action`.
    best
        The priority of the best allowed action; None: none is allowed.
    drawn_evenly
        Whether all allowed actions have the same probability, as in the arm ``random``.
    """
    unit = currency.upper()
    if best is None:
        return ["Nothing is shown, because no action is allowed."]
    if best < 0:
        return [
            f"Nothing is shown, which saves {-best:.2f} {unit}: the best allowed action would "
            "cost more than it adds."
        ]
    if drawn_evenly:
        return ["Nothing is shown, because no_action was drawn."]
    kept = f" no_action keeps at least {least:.1%}, by which effects are measured." if least else ""
    return [
        f"Nothing is shown, to learn: the best action promises {best:.2f} {unit} more.{kept}",
    ]


def _factors(weight: float, lever: float) -> str:
    """Write the context weight and the lever; nothing where they are 1."""
    factors = {"weight": weight, "lever": lever}
    return "".join(f" x {name} {factor:g}" for name, factor in factors.items() if factor != 1)


def _signed(amount: float) -> str:
    """Write an amount with its sign; one that rounds to 0 is +0.00."""
    return f"{round(amount, 2) + 0.0:+.2f}"


def _points(leaving: float) -> str:
    """Write a probability in percentage points: 0.9, or 0.012 where it is small."""
    points = 100 * leaving
    return f"{points:.1f}" if points >= SMALLEST_POINTS else f"{points:.2g}"
