"""The audit of the surrogate: its effect on leaving against the effect by who really left.

Both are read from the same matured decisions, by the exact chances with which actions were drawn.
Their difference has the mean 0 where the surrogate tells all. It is looked at with every fit, so
its interval is one that holds at all looks together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from features.value_labels.labelled_decisions import LabelledDecisions
from training.arrays import Floats
from training.evaluation.confidence_sequences import mixture_quantile

LEVEL = 0.98  # of the interval: a surrogate that tells all is accused in 2 of 100 businesses
LEAST_LEFT = 20  # customers who left, before a family is judged
REFERENCE = 50.0  # customers who left, at which the interval is narrowest, about


class AuditRow(NamedTuple):
    """The audit of a family of actions.

    Attributes
    ----------
    family : str
    decisions, left : int
        Matured decisions that showed one of its actions, and customers who left after one.
    by_surrogate, by_truth : float
        What a showing adds to the probability to leave, against what else might be shown.
    low, high : float
        Interval of the difference, truth less surrogate, that holds at all looks.
    """

    family: str
    decisions: int
    left: int
    by_surrogate: float
    by_truth: float
    low: float
    high: float

    @property
    def disagrees(self) -> bool:
        """Whether the surrogate is certainly wrong."""
        return self.low > 0 or self.high < 0


class AuditSums:
    """Sums from which `AuditRow` is made; decisions of one customer count together.

    Parameters
    ----------
    families : sequence of str
    """

    def __init__(self, families: Sequence[str]) -> None:
        self._families = tuple(families)
        n = len(self._families)
        self._truth, self._changed, self._drawn = np.zeros(n), np.zeros(n), np.zeros(n)
        self._variance, self._shown = np.zeros(n), np.zeros(n, dtype=np.int64)
        self._left: list[set[int]] = [set() for _ in range(n)]

    def add(
        self, drawn: Floats, residual: Floats, changed: Floats, some: LabelledDecisions
    ) -> None:
        """Add matured decisions.

        Parameters
        ----------
        drawn : shape (n, n_families)
            Indicator that one of the family was shown, less its chance.
        residual : shape (n,)
            1 if the customer left, less the expected probability without an effect.
        changed : shape (n,)
            By the surrogate, the change of the rate of leaving a day by the action that was shown,
            less the mean of those that might have been.
        """
        self._truth += residual @ drawn
        self._changed += changed @ drawn
        self._drawn += np.square(drawn).sum(axis=0)
        # A customer leaves once, whatever the number of its decisions; each was drawn by itself,
        # so that the products of two have the mean 0.
        self._variance += np.square(residual) @ np.square(drawn)
        is_left = residual > 0
        for number in range(len(self._families)):
            mine = drawn[:, number] > 0
            self._shown[number] += int(mine.sum())
            self._left[number].update(some.customers[mine & is_left].tolist())

    def rows(self, duration_days: float) -> list[AuditRow]:
        """Make the rows of the families that were shown to somebody.

        Parameters
        ----------
        duration_days : float
            How long an action changes the rate of leaving.
        """
        found = []
        for number, family in enumerate(self._families):
            drawn, left = float(self._drawn[number]), len(self._left[number])
            if drawn <= 0:
                continue
            truth, told = self._truth[number], self._changed[number] * duration_days
            truth, told = truth / drawn, told / drawn
            reach = np.inf
            if left >= LEAST_LEFT:
                bound = float(mixture_quantile(np.array([left / REFERENCE]), LEVEL)[0])
                reach = bound * float(np.sqrt(self._variance[number])) / drawn
            shown = int(self._shown[number])
            difference = float(truth - told)
            low, high = difference - reach, difference + reach
            found.append(AuditRow(family, shown, left, float(told), float(truth), low, high))
        return found


def audit_note(rows: Sequence[AuditRow]) -> list[dict[str, Any]]:
    """Turn rows into JSON; an interval without end is null."""
    return [
        {
            **row._asdict(),
            "low": row.low if np.isfinite(row.low) else None,
            "high": row.high if np.isfinite(row.high) else None,
            "disagrees": row.disagrees,
        }
        for row in rows
    ]


def audit_rows(note: Sequence[Mapping[str, Any]]) -> list[AuditRow]:
    """Read what `audit_note` wrote."""
    found = []
    for one in note:
        parts = {name: one[name] for name in AuditRow._fields}
        parts["low"] = -np.inf if parts["low"] is None else parts["low"]
        parts["high"] = np.inf if parts["high"] is None else parts["high"]
        found.append(AuditRow(**parts))
    return found
