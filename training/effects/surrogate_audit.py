"""The audit of the surrogate: its effect on leaving against the effect by who really left.

The surrogate is the probability to leave that a customer's features tell some days after a
decision. Both effects are read from the same decisions, each followed for as long as it is known
who left, up to four weeks. Say that D is 1 if an action of a family was shown, less the chance of
that; L is 1 if the customer left, and S what the surrogate told. The audit sums D (L - S). Given
what was known at the decision, D has the mean 0. So the sum has the mean 0 where the action changes
leaving only as far as the features show it, and a level of S that is wrong for everybody does not
bend it.

The decisions are audited anew at each fit, so the interval holds at all looks together, and for all
families together. D is drawn anew at each decision, so products of two decisions have the mean 0,
those of the same customer too. The sum is then a martingale with the variance of the sum of
D^2 (L - S)^2, and Robbins' mixture bounds it (`training/evaluation/confidence_sequences.py`). Its
clock is the number of customers who left: decisions after which nobody left tell hardly anything.

Two limits. Decisions that are no longer read, as they are too many or were erased, leave the sum,
so the bound is for as many decisions as are kept. And the surrogate is fitted to customers who have
left before; where few have, it tells less than there is, and the audit waits for `LEAST_LEFT`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from training.arrays import Bools, Floats, Ints
from training.evaluation.confidence_sequences import mixture_quantile

LEVEL = 0.98  # of all intervals: a right surrogate is accused in at most 2 of 100 businesses
LEAST_LEFT = 20  # customers who left after a decision that drew a family, and that did not
# A surrogate that tells half of an effect, or twice of it, is of use; who left corrects it.
TOLERATED = 2.0
REFERENCE = 50.0  # customers who left, for a clock of 1; the bound is closest at 8 times as many


class AuditRow(NamedTuple):
    """The audit of a family of actions.

    Attributes
    ----------
    family : str
    decisions, left : int
        Followed decisions that showed one of its actions, and customers who left after one.
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
        """Return whether the surrogate is certainly wrong, by more than `TOLERATED`."""
        told = self.by_surrogate
        least, most = sorted((told / TOLERATED, told * TOLERATED))
        return told + self.low > most or told + self.high < least


class AuditSums:
    """Sums from which `AuditRow` is made.

    Parameters
    ----------
    families : sequence of str
        All of the catalogue: the level is split among them.
    """

    def __init__(self, families: Sequence[str]) -> None:
        self._families = tuple(families)
        n = len(self._families)
        self._truth, self._told, self._drawn = np.zeros(n), np.zeros(n), np.zeros(n)
        self._variance, self._shown = np.zeros(n), np.zeros(n, dtype=np.int64)
        self._with: list[set[int]] = [set() for _ in range(n)]
        self._without: list[set[int]] = [set() for _ in range(n)]

    def add(self, drawn: Floats, truth: Floats, told: Floats, left: Bools, customers: Ints) -> None:
        """Add followed decisions, each once.

        Parameters
        ----------
        drawn : shape (n, n_families)
            Indicator that one of the family was shown, less its chance; 0 where it had none.
        truth, told : shape (n,)
            1 if the customer left, and the probability that the surrogate told, each less the
            probability that was expected at the decision.
        left : shape (n,)
            Whether the customer left.
        customers : shape (n,), whole numbers
        """
        self._truth += truth @ drawn
        self._told += told @ drawn
        self._drawn += np.square(drawn).sum(axis=0)
        self._variance += np.square(truth - told) @ np.square(drawn)
        for number in range(len(self._families)):
            mine = drawn[:, number]
            self._shown[number] += int((mine > 0).sum())
            self._with[number].update(customers[left & (mine > 0)].tolist())
            self._without[number].update(customers[left & (mine < 0)].tolist())

    def rows(self) -> list[AuditRow]:
        """Make the rows of the families of which something was drawn by chance."""
        found = []
        level = 1 - (1 - LEVEL) / max(len(self._families), 1)
        for number, family in enumerate(self._families):
            drawn = float(self._drawn[number])
            if drawn <= 0:
                continue
            truth, told = float(self._truth[number]) / drawn, float(self._told[number]) / drawn
            drew, drew_not = self._with[number], self._without[number]
            reach = np.inf
            if min(len(drew), len(drew_not)) >= LEAST_LEFT:
                clock = np.array([len(drew | drew_not) / REFERENCE])
                bound = float(mixture_quantile(clock, level)[0])
                reach = bound * float(np.sqrt(self._variance[number])) / drawn
            shown, low, high = int(self._shown[number]), truth - told - reach, truth - told + reach
            found.append(AuditRow(family, shown, len(drew), told, truth, low, high))
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
