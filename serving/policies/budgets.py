"""Volumes and budgets of the day, as a decision meets them: what they cost now, what is left.

The arithmetic of a price is `pacing`; here stands which actions draw on what.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from features.ledger.tables import from_micros, micros
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.policies.contact_counts import Reason
from serving.policies.pacing import (
    BudgetState,
    DailyTarget,
    PlanTime,
    TrafficProfile,
    advance,
    fits,
    price,
    priced_out,
)
from training.arrays import Bools, Floats


@dataclass(frozen=True, slots=True)
class _Purse:
    """Something that is paced: an action's volume, or a budget that actions share.

    Attributes
    ----------
    rule : str
        Its place in the catalogue, which is also the name of its row in the ledger.
    spends : by position of the action, how many units showing it spends
    """

    rule: str
    target: DailyTarget
    spends: Mapping[int, float]


class BudgetPacer:
    """What the playbook paces."""

    def __init__(self, compiled: CompiledCatalog) -> None:
        catalog = compiled.catalog
        self._compiled = compiled
        self._purses = tuple(_purses(compiled))
        self._calendar = TrafficProfile(catalog.clock.of_business, catalog.pacing.hourly or None)

    def names(self, out: Bools) -> list[str]:
        """Of the rows whose state a decision needs, from which these actions are out already."""
        return [purse.rule for purse in self._purses if _drawn_on(purse, out)]

    def evaluate(
        self,
        states: Mapping[str, Any],
        now: datetime,
        priority: Floats | None = None,
        out: Bools | None = None,
    ) -> PacingResult:
        """The purses at a moment.

        Parameters
        ----------
        states
            As `PacingResult.changed` gave them, by name; what was never spent from is missing.
        out : shape (n_actions,), optional
            Which actions are out already; what only they draw on is not looked at.
        priority : shape (n_actions,), optional
            What each action is worth to the customer: one whose price is higher is out.
        """
        purses = self._purses
        if out is not None:
            purses = tuple(purse for purse in purses if _drawn_on(purse, out))
        return PacingResult(self._compiled, purses, states, self._calendar.moment(now), priority)


class PacingResult:
    """Prices and what is left, in one decision.

    Attributes
    ----------
    prices : shape (n_actions,), in the domain's currency
        What showing each action costs beside its own cost; below 0 where a minimum pushes it.
    out : shape (n_actions,)
        Which actions are removed: nothing is left for them, or they are worth less than the
        price. Goes on while slots are filled.
    changed : states by name
        What was spent from, to be kept.
    """

    def __init__(
        self,
        compiled: CompiledCatalog,
        purses: tuple[_Purse, ...],
        states: Mapping[str, Any],
        moment: PlanTime,
        priority: Floats | None,
    ) -> None:
        self._compiled, self._purses, self._moment = compiled, purses, moment
        self._paces = {name: _pace(state) for name, state in states.items()}
        prices = [0.0] * len(compiled.actions)  # a list: numpy takes long over single numbers
        self.out: Bools = np.zeros(len(compiled.actions), dtype=bool)
        self.changed: dict[str, Any] = {}
        self._now = {
            purse.rule: price(self._paces.get(purse.rule), purse.target, moment) for purse in purses
        }
        for purse in purses:
            now = self._now[purse.rule]
            for action, amount in purse.spends.items():
                prices[action] += now * amount
        self.prices: Floats = np.array(prices)
        self._too_dear = np.zeros_like(self.out)
        if priority is not None:
            worth, ranked = (compiled.value * compiled.lever).tolist(), priority.tolist()
            for action in {action for purse in purses for action in purse.spends}:
                if priced_out(ranked[action], prices[action], worth[action]):
                    self._too_dear[action] = True
        self._look()

    def spend(self, action: int) -> None:
        """An action is shown."""
        touched = [purse for purse in self._purses if action in purse.spends]
        for purse in touched:
            pace = self._paces.get(purse.rule)
            pace = advance(pace, purse.target, self._moment, purse.spends[action])
            self._paces[purse.rule] = pace
            self.changed[purse.rule] = _state(pace)
            self._now[purse.rule] = price(pace, purse.target, self._moment)
        if touched:
            self._look()

    def rule(self, action: int) -> str:
        """What removes an action, by its place in the catalogue."""
        return self._purse(action).rule

    def why(self, action: int) -> Reason:
        """The same with words and the value found."""
        purse, unit = self._purse(action), self._compiled.currency.upper()
        pace = self._paces.get(purse.rule)
        if not self._fits(purse, action):
            spent = pace.spent if pace else 0.0
            of = f"{spent:,.10g} of at most {purse.target.at_most or 0:,.10g} of today are used up"
            return Reason(purse.rule, of, spent)
        dear = float(self.prices[action])
        words = f"so that it lasts all day it costs {dear:,.2f} {unit} more, and is not worth that"
        return Reason(purse.rule, words, dear)

    def _look(self) -> None:
        self.out = self._too_dear.copy()
        for purse in self._purses:
            for action in purse.spends:
                if not self._fits(purse, action):
                    self.out[action] = True

    def _fits(self, purse: _Purse, action: int) -> bool:
        pace = self._paces.get(purse.rule)
        return fits(pace, purse.target, self._moment, purse.spends[action])

    def _purse(self, action: int) -> _Purse:
        """The purse that removes an action: one that is empty, else the dearest."""
        mine = [purse for purse in self._purses if action in purse.spends]
        for purse in mine:
            if not self._fits(purse, action):
                return purse
        return max(mine, key=lambda purse: self._now[purse.rule] * purse.spends[action])


def _drawn_on(purse: _Purse, out: Bools) -> bool:
    return any(not out[action] for action in purse.spends)


def _purses(compiled: CompiledCatalog) -> Iterator[_Purse]:
    catalog = compiled.catalog
    dearest = max(float((compiled.value * compiled.lever).max()), 1e-6)
    for index, (name, action) in enumerate(catalog.actions.items()):
        if action.volume:
            target = DailyTarget(action.volume.at_most, action.volume.at_least, dearest)
            yield _Purse(f"actions.{name}.volume", target, {index: 1.0})
    for name, budget in catalog.budgets.items():
        spends = {
            index: action.cost
            for index, action in enumerate(catalog.actions.values())
            if action.budget == name and action.cost > 0
        }
        if spends:
            mean, least = sum(spends.values()) / len(spends), min(spends.values())
            target = DailyTarget(budget.at_most, None, dearest / least, mean)
            yield _Purse(f"budgets.{name}", target, spends)


def _pace(state: Mapping[str, Any]) -> BudgetState:
    return BudgetState(
        date.fromisoformat(state["day"]),
        state["spent"],
        state["price"],
        from_micros(state["at"]),
        state["learned"],
    )


def _state(pace: BudgetState) -> dict[str, Any]:
    return {
        "day": pace.day.isoformat(),
        "spent": pace.spent,
        "price": pace.price,
        "at": micros(pace.at),
        "learned": pace.learned,
    }
