"""The daily volumes and budgets of a catalogue, shared out between the policy and the arm random.

The arm random draws before any price has a say, so it would use up what the policy spares for
later. It has a share of each maximum of its own instead, as large as its share of the customers
who may get any action:

    share = random / (random + policy)

Its part of a day is a whole number of showings, rounded up or down by a hash of rule and day; the
policy has the rest. So on the average of many days the shares are exact, however small a maximum
is, and both together never exceed it. A minimum is the policy's alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

from serving.catalog.compiled_catalog import CompiledCatalog
from serving.policies.pacing import DailyTarget
from training.arrays import Bools

RANDOM = "#random"  # ends the name of the ledger row of the arm random
DAYS_CACHED = 64  # a replay goes through many days


@dataclass(frozen=True, slots=True)
class PacedBudget:
    """An action's daily volume, or a daily budget that actions share, as one arm sees it on a day.

    Attributes
    ----------
    rule : str
        Key in the catalogue.
    row : str
        Name of the ledger row of what this arm has spent.
    other : str
        Name of the ledger row of what the others have spent; empty where nothing is shared.
    target : DailyTarget
        The part of this arm.
    most : float or None
        The maximum of all arms together.
    spends : units that showing an action spends, by position of the action
    is_priced : bool
        Whether a shadow price spreads the part over the day. The arm random has no prices.
    """

    rule: str
    row: str
    other: str
    target: DailyTarget
    most: float | None
    spends: Mapping[int, float]
    is_priced: bool = True

    def is_used(self, out: Bools) -> bool:
        """True if an action that is not removed spends from it.

        Parameters
        ----------
        out : shape (n_actions,)
        """
        return any(not out[action] for action in self.spends)


class PacedBudgets:
    """The volumes and budgets of a catalogue.

    Attributes
    ----------
    whole : tuple of PacedBudget
        As they stand in the catalogue, not shared between arms.
    """

    def __init__(self, compiled: CompiledCatalog) -> None:
        arms = compiled.catalog.arms
        self.whole = tuple(_whole_budgets(compiled))
        self._share, self._salt = arms.random / (1 - arms.nobody), arms.salt
        self._shared_on = lru_cache(DAYS_CACHED)(self._share_out)

    def of_arm(self, arm: str, day: date) -> tuple[PacedBudget, ...]:
        """The parts of an arm on a day of the business; the arm nobody spends the policy's."""
        of_random, of_policy = self._shared_on(day)
        return of_random if arm == "random" else of_policy

    def _share_out(self, day: date) -> tuple[tuple[PacedBudget, ...], tuple[PacedBudget, ...]]:
        of_random, of_policy = [], []
        for budget in self.whole:
            target, row, most = budget.target, budget.rule + RANDOM, budget.target.at_most
            if most is None:
                of_policy.append(budget)
                continue
            part = self._part(budget, most, day)
            rest = most - part
            least = None if target.at_least is None else min(target.at_least, rest)
            mine = replace(target, at_most=part, at_least=None)
            others = replace(target, at_most=rest, at_least=least)
            of_random.append(
                replace(budget, row=row, other=budget.row, target=mine, is_priced=False)
            )
            of_policy.append(replace(budget, other=row, target=others))
        return tuple(of_random), tuple(of_policy)

    def _part(self, budget: PacedBudget, most: float, day: date) -> float:
        """The units that the arm random may spend on a day: showings of the dearest action."""
        dearest = max(budget.spends.values())
        showings = self._share * most / dearest
        named = f"{self._salt}:{budget.rule}:{day.isoformat()}".encode()
        uniform = int.from_bytes(hashlib.sha256(named).digest()[:7], "big") / 2**56
        whole = math.floor(showings) + (uniform < showings % 1)
        return min(whole * dearest, most)


def _whole_budgets(compiled: CompiledCatalog) -> Iterator[PacedBudget]:
    catalog = compiled.catalog
    highest = max(float((compiled.value * compiled.lever).max()), 1e-6)
    for index, (name, action) in enumerate(catalog.actions.items()):
        if action.volume:
            target = DailyTarget(action.volume.at_most, action.volume.at_least, highest)
            yield _whole(f"actions.{name}.volume", target, {index: 1.0})
    for name, budget in catalog.budgets.items():
        spends = {
            index: action.cost
            for index, action in enumerate(catalog.actions.values())
            if action.budget == name and action.cost > 0
        }
        if spends:
            mean, cheapest = sum(spends.values()) / len(spends), min(spends.values())
            target = DailyTarget(budget.at_most, None, highest / cheapest, mean)
            yield _whole(f"budgets.{name}", target, spends)


def _whole(rule: str, target: DailyTarget, spends: Mapping[int, float]) -> PacedBudget:
    return PacedBudget(rule, rule, "", target, target.at_most, spends)
