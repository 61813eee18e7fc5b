"""Daily volumes and budgets in a decision: their shadow prices, and what is left of them.

`BudgetPacer` knows which action spends which volume or budget. `shadow_price` computes a price.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from features.ledger.tables import from_micros, micros
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.contract.decisions import Removed
from serving.policies.pacing import (
    RESOLUTION,
    BudgetState,
    DailyTarget,
    after_spending,
    fits,
    priced_out,
    room,
    shadow_price,
)
from serving.policies.plan_time import PlanTime, TrafficProfile
from training.arrays import Bools, Floats

PRICE_TOLERANCE = 0.1  # of the larger price


@dataclass(frozen=True, slots=True)
class _PacedBudget:
    """An action's daily volume, or a daily budget that actions share.

    Attributes
    ----------
    rule : str
        Key in the catalogue, which is also the name of its row in the ledger.
    spends : units that showing an action spends, by position of the action
    """

    rule: str
    target: DailyTarget
    spends: Mapping[int, float]


class BudgetPacer:
    """The volumes and budgets of a catalogue."""

    def __init__(self, compiled: CompiledCatalog) -> None:
        catalog = compiled.catalog
        self._compiled = compiled
        self._budgets = tuple(_budgets(compiled))
        self._worth: list[float] = (compiled.value * compiled.lever).tolist()
        self._profile = TrafficProfile(catalog.clock.of_business, catalog.pacing.hourly or None)

    def names(self, out: Bools) -> list[str]:
        """Names of the ledger rows that a decision needs.

        Parameters
        ----------
        out : shape (n_actions,)
            Actions that are removed already; a row that only they use is not needed.
        """
        return [budget.rule for budget in self._budgets if _used(budget, out)]

    def still_valid(
        self,
        earlier: Mapping[str, Any],
        later: Mapping[str, Any],
        now: datetime,
        slots: int,
        out: Bools,
    ) -> bool:
        """True if a selection by earlier states may be kept under later ones.

        A selection is valid if each of its volumes and budgets has the same state, or

        * the largest amounts that the slots can spend are left, then and now. So the maximum
          removes no action, whichever are drawn, and is not exceeded;
        * the shadow price of a unit moved by at most PRICE_TOLERANCE, or has no effect. A price is
          an estimate that each spend event moves, and follows the spend events of some
          milliseconds before as well as those of now.

        The prices of the decision are those of the earlier states, which its record keeps, so a
        replay computes the same ones. What the decision spends is added to the later states.
        The conditions do not depend on the draw: otherwise some draws would be repeated more often
        than others, and the logged probabilities would be wrong.

        Parameters
        ----------
        slots : int
            The number of actions that the decision may show.
        out : shape (n_actions,)
            Actions that are removed already.
        """
        if earlier == later:
            return True
        plan_time = self._profile.plan_time(now)
        return all(
            _still_valid(budget, earlier, later, plan_time, slots, out)
            for budget in self._budgets
            if _used(budget, out)
        )

    def evaluate(
        self,
        states: Mapping[str, Any],
        now: datetime,
        priority: Floats | None = None,
        out: Bools | None = None,
    ) -> PacingResult:
        """Compute prices and removals for one decision.

        Parameters
        ----------
        states
            As in `PacingResult.changed`, by name; a name without a spend event is missing.
        priority : shape (n_actions,), optional
            Priority of each action; an action whose price is higher is removed.
        out : shape (n_actions,), optional
            Actions that are removed already; a budget that only they use is skipped.
        """
        budgets = self._budgets
        if out is not None:
            budgets = tuple(budget for budget in budgets if _used(budget, out))
        plan_time = self._profile.plan_time(now)
        return PacingResult(self._compiled, budgets, states, plan_time, priority, self._worth)


class PacingResult:
    """Prices and removals of volumes and budgets in one decision.

    Attributes
    ----------
    prices : shape (n_actions,), in the domain's currency
        Shadow price of showing each action, beside its cost; below 0 where a minimum pushes it.
    out : shape (n_actions,)
        Mask of the removed actions: nothing is left for them, or their price exceeds their
        priority. The mask grows while slots are filled.
    changed : states by name
        What the ledger must store after the actions that were shown.
    """

    def __init__(
        self,
        compiled: CompiledCatalog,
        budgets: tuple[_PacedBudget, ...],
        states: Mapping[str, Any],
        now: PlanTime,
        priority: Floats | None,
        worth: Sequence[float],
    ) -> None:
        self._compiled, self._budgets, self._now = compiled, budgets, now
        self._states = {name: _from_json(state) for name, state in states.items()}
        prices = [0.0] * len(compiled.actions)  # a list: numpy takes long over single numbers
        self.out: Bools = np.zeros(len(compiled.actions), dtype=bool)
        self.changed: dict[str, Any] = {}
        self._unit_prices = {
            budget.rule: shadow_price(self._states.get(budget.rule), budget.target, now)
            for budget in budgets
        }
        for budget in budgets:
            unit_price = self._unit_prices[budget.rule]
            for action, amount in budget.spends.items():
                prices[action] += unit_price * amount
        self.prices: Floats = np.array(prices)
        self._priced_out = np.zeros_like(self.out)
        if priority is not None:
            ranked = priority.tolist()
            for action in {action for budget in budgets for action in budget.spends}:
                if priced_out(ranked[action], prices[action], worth[action]):
                    self._priced_out[action] = True
        self._room = {budget.rule: self._room_of(budget) for budget in budgets}
        self._update_out()

    def spend(self, action: int) -> None:
        """Spend the units of an action that this decision shows."""
        touched = [budget for budget in self._budgets if action in budget.spends]
        for budget in touched:
            state = after_spending(
                self._states.get(budget.rule), budget.target, self._now, budget.spends[action]
            )
            self._states[budget.rule] = state
            self.changed[budget.rule] = _to_json(state)
            self._unit_prices[budget.rule] = shadow_price(state, budget.target, self._now)
            self._room[budget.rule] = self._room_of(budget)
        if touched:
            self._update_out()

    def rule(self, action: int) -> str:
        """Key in the catalogue of the volume or budget that removes an action."""
        return self._removing(action).rule

    def why(self, action: int) -> Removed:
        """The volume or budget that removes an action, with its reason and the value found."""
        budget, unit = self._removing(action), self._compiled.currency.upper()
        state = self._states.get(budget.rule)
        if not self._fits(budget, action):
            value = state.spent if state else 0.0
            most = budget.target.at_most or 0
            reason = f"{value:,.10g} of at most {most:,.10g} of today are used up"
        else:
            value = float(self.prices[action])
            reason = (
                f"so that it lasts all day it costs {value:,.2f} {unit} more, and is not worth that"
            )
        name = self._compiled.actions[action]
        return Removed(action_id=name, rule=budget.rule, reason=reason, value=value)

    def _update_out(self) -> None:
        self.out = self._priced_out.copy()
        for budget in self._budgets:
            largest = self._room[budget.rule]
            for action, amount in budget.spends.items():
                if amount > largest:
                    self.out[action] = True

    def _room_of(self, budget: _PacedBudget) -> float:
        return room(self._states.get(budget.rule), budget.target, self._now)

    def _fits(self, budget: _PacedBudget, action: int) -> bool:
        return budget.spends[action] <= self._room[budget.rule]

    def _removing(self, action: int) -> _PacedBudget:
        """The budget that removes an action: one that is used up, else the most expensive."""
        used = [budget for budget in self._budgets if action in budget.spends]
        for budget in used:
            if not self._fits(budget, action):
                return budget
        return max(used, key=lambda budget: self._unit_prices[budget.rule] * budget.spends[action])


def _still_valid(
    budget: _PacedBudget,
    earlier: Mapping[str, Any],
    later: Mapping[str, Any],
    now: PlanTime,
    slots: int,
    out: Bools,
) -> bool:
    kept = [states.get(budget.rule) for states in (earlier, later)]
    if kept[0] == kept[1]:
        return True
    states = [_from_json(state) if state else None for state in kept]
    amounts = sorted(amount for action, amount in budget.spends.items() if not out[action])
    most = sum(amounts[-slots:])
    if not all(fits(state, budget.target, now, most) for state in states):
        return False
    one, other = (shadow_price(state, budget.target, now) for state in states)
    no_effect = RESOLUTION * budget.target.scale
    return abs(one - other) <= max(no_effect, PRICE_TOLERANCE * max(abs(one), abs(other)))


def _used(budget: _PacedBudget, out: Bools) -> bool:
    return any(not out[action] for action in budget.spends)


def _budgets(compiled: CompiledCatalog) -> Iterator[_PacedBudget]:
    catalog = compiled.catalog
    highest = max(float((compiled.value * compiled.lever).max()), 1e-6)
    for index, (name, action) in enumerate(catalog.actions.items()):
        if action.volume:
            target = DailyTarget(action.volume.at_most, action.volume.at_least, highest)
            yield _PacedBudget(f"actions.{name}.volume", target, {index: 1.0})
    for name, budget in catalog.budgets.items():
        spends = {
            index: action.cost
            for index, action in enumerate(catalog.actions.values())
            if action.budget == name and action.cost > 0
        }
        if spends:
            mean, cheapest = sum(spends.values()) / len(spends), min(spends.values())
            target = DailyTarget(budget.at_most, None, highest / cheapest, mean)
            yield _PacedBudget(f"budgets.{name}", target, spends)


def _from_json(state: Mapping[str, Any]) -> BudgetState:
    return BudgetState(
        date.fromisoformat(state["day"]),
        state["spent"],
        state["price"],
        from_micros(state["at"]),
        state["learned"],
    )


def _to_json(state: BudgetState) -> dict[str, Any]:
    return {
        "day": state.day.isoformat(),
        "spent": state.spent,
        "price": state.price,
        "at": micros(state.at),
        "learned": state.learned,
    }
