"""Daily volumes and budgets in a decision: their shadow prices, and what is left of them.

`PacedBudgets` knows which action spends which volume or budget, and what part of it each arm has.
`shadow_price` computes a price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from serving.catalog.compiled_catalog import CompiledCatalog
from serving.contract.decisions import Removed
from serving.policies.paced_budgets import RANDOM, PacedBudget, PacedBudgets
from serving.policies.pacing import (
    RESOLUTION,
    ROUNDING,
    BudgetState,
    after_counting,
    after_spending,
    priced_out,
    room,
    shadow_price,
    spent_today,
)
from serving.policies.plan_time import PlanTime, TrafficProfile
from training.arrays import Bools, Floats

PRICE_TOLERANCE = 0.1  # of the larger price


class BudgetPacer:
    """The volumes and budgets of a catalogue."""

    def __init__(self, compiled: CompiledCatalog) -> None:
        catalog = compiled.catalog
        self._compiled = compiled
        self._budgets = PacedBudgets(compiled)
        self._worth: list[float] = (compiled.value * compiled.lever).tolist()
        self._profile = TrafficProfile(catalog.clock.of_business, catalog.pacing.hourly or None)

    @property
    def has_budgets(self) -> bool:
        """True if the catalogue has a volume or a budget."""
        return bool(self._budgets.whole)

    def names(self, out: Bools) -> list[str]:
        """Names of the ledger rows that a decision needs: those of both arms, whichever decides.

        Parameters
        ----------
        out : shape (n_actions,)
            Actions that are removed already; a row that only they use is not needed.
        """
        used = [budget for budget in self._budgets.whole if budget.is_used(out)]
        random = [budget.rule + RANDOM for budget in used if budget.most is not None]
        return [*(budget.rule for budget in used), *random]

    def priced_names(self, out: Bools) -> list[str]:
        """Names of the ledger rows that the prices follow from."""
        return [budget.rule for budget in self._budgets.whole if budget.is_used(out)]

    def still_valid(
        self,
        earlier: Mapping[str, Any],
        later: Mapping[str, Any],
        now: datetime,
        slots: int,
        out: Bools,
        arm: str = "policy",
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
            for budget in self._budgets.of_arm(arm, plan_time.day)
            if budget.is_used(out)
        )

    def evaluate(
        self,
        states: Mapping[str, Any],
        now: datetime,
        priority: Floats | None = None,
        out: Bools | None = None,
        arm: str = "policy",
        shared: bool = True,
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
        arm : str
            ``random`` spends from its own parts, without prices; all others from the policy's.
        shared : bool
            False for a decision of before the arm random had parts of its own.
        """
        plan_time = self._profile.plan_time(now)
        budgets = self._budgets.of_arm(arm, plan_time.day) if shared else self._budgets.whole
        if out is not None:
            budgets = tuple(budget for budget in budgets if budget.is_used(out))
        if arm == "random":
            priority = None  # nothing is priced out
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
        budgets: tuple[PacedBudget, ...],
        states: Mapping[str, Any],
        now: PlanTime,
        priority: Floats | None,
        worth: Sequence[float],
    ) -> None:
        self._compiled, self._budgets, self._now = compiled, budgets, now
        self._states = {name: BudgetState.from_json(state) for name, state in states.items()}
        prices = [0.0] * len(compiled.actions)  # a list: numpy takes long over single numbers
        self.out: Bools = np.zeros(len(compiled.actions), dtype=bool)
        self.changed: dict[str, Any] = {}
        self._unit_prices = {
            budget.rule: shadow_price(self._states.get(budget.row), budget.target, now)
            for budget in budgets
            if budget.is_priced
        }
        for budget in budgets:
            unit_price = self._unit_prices.get(budget.rule, 0.0)
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
            state, amount = self._states.get(budget.row), budget.spends[action]
            if budget.is_priced:
                state = after_spending(state, budget.target, self._now, amount)
                self._unit_prices[budget.rule] = shadow_price(state, budget.target, self._now)
            else:
                state = after_counting(state, self._now, amount)
            self._states[budget.row] = state
            self.changed[budget.row] = state.as_json()
            self._room[budget.rule] = self._room_of(budget)
        if touched:
            self._update_out()

    def rule(self, action: int) -> str:
        """Key in the catalogue of the volume or budget that removes an action."""
        return self._removing(action).rule

    def why(self, action: int) -> Removed:
        """The volume or budget that removes an action, with its reason and the value found."""
        budget, unit = self._removing(action), self._compiled.currency.upper()
        if not self._fits(budget, action):
            value, reason = self._used_up(budget)
        else:
            value = float(self.prices[action])
            reason = (
                f"so that it lasts all day it costs {value:,.2f} {unit} more, and is not worth that"
            )
        name = self._compiled.actions[action]
        return Removed(action_id=name, rule=budget.rule, reason=reason, value=value)

    def _used_up(self, budget: PacedBudget) -> tuple[float, str]:
        """The units that are used up today, and the sentence."""
        state, own = self._states.get(budget.row), budget.target.at_most or 0.0
        spent, most = state.spent if state else 0.0, budget.most or 0.0
        reason = f"{spent:,.10g} of at most {own:,.10g} of today are used up"
        if own == most:
            return spent, reason
        if budget.is_priced:
            return spent, f"{reason}; {most - own:,.10g} more are for the arm random"
        return spent, f"{reason} for the arm random; it has a share of {most:,.10g}"

    def _update_out(self) -> None:
        self.out = self._priced_out.copy()
        for budget in self._budgets:
            largest = self._room[budget.rule]
            for action, amount in budget.spends.items():
                if amount > largest:
                    self.out[action] = True

    def _room_of(self, budget: PacedBudget) -> float:
        return _room(budget, self._states, self._now)

    def _fits(self, budget: PacedBudget, action: int) -> bool:
        return budget.spends[action] <= self._room[budget.rule]

    def _removing(self, action: int) -> PacedBudget:
        """The budget that removes an action: one that is used up, else the most expensive."""
        used = [budget for budget in self._budgets if action in budget.spends]
        for budget in used:
            if not self._fits(budget, action):
                return budget
        return max(used, key=lambda budget: self._unit_prices[budget.rule] * budget.spends[action])


def _room(budget: PacedBudget, states: Mapping[str, BudgetState], now: PlanTime) -> float:
    """The largest amount that an arm may spend: of its own part, and of what all have left.

    The second is less only on a day on which the catalogue's shares have changed.
    """
    own = states.get(budget.row)
    left = room(own, budget.target, now)
    if not budget.other or budget.most is None:
        return left
    spent = spent_today(own, now) + spent_today(states.get(budget.other), now)
    return min(left, budget.most - spent + ROUNDING * budget.most)


def _still_valid(
    budget: PacedBudget,
    earlier: Mapping[str, Any],
    later: Mapping[str, Any],
    now: PlanTime,
    slots: int,
    out: Bools,
) -> bool:
    rows = budget.row, budget.other
    if all(earlier.get(row) == later.get(row) for row in rows):
        return True
    both = [
        {row: BudgetState.from_json(kept) for row in rows if (kept := states.get(row))}
        for states in (earlier, later)
    ]
    amounts = sorted(amount for action, amount in budget.spends.items() if not out[action])
    most = sum(amounts[-slots:])
    if any(most > _room(budget, states, now) for states in both):
        return False
    if not budget.is_priced:
        return True
    one, other = (shadow_price(states.get(budget.row), budget.target, now) for states in both)
    no_effect = RESOLUTION * budget.target.scale
    return abs(one - other) <= max(no_effect, PRICE_TOLERANCE * max(abs(one), abs(other)))
