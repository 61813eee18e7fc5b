"""How far to believe each of several experts: by how well they foretold what followed.

Nothing here looks at what the experts are. What each of them expected is noted when a decision is
made; when its outcome comes, their errors are added up. A sum again, so that outcomes may come in
any order and be taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from training.arrays import Floats

DOUBT = 0.01  # of the smallest error is added to each, so that two equal experts share


@dataclass(frozen=True)
class ExpertErrors:
    """Products of the experts' errors, added up over outcomes.

    With errors e = (what each expert said) - (what followed) and counts c::

        products = start + sum of c e e'      count = start + sum of c

    The mixture with shares w then errs by w' products w / count in the mean square.

    Attributes
    ----------
    products : shape (n_experts, n_experts)
    count : float
    """

    products: Floats
    count: float

    @classmethod
    def start(cls, squares: Sequence[float], count: float = 1.0) -> ExpertErrors:
        """As if each expert had erred by ``squares`` in the mean, ``count`` times."""
        return cls(np.diag(np.asarray(squares, dtype=np.float64)) * count, count)

    def learn(self, said: Floats, followed: Floats, count: Floats) -> ExpertErrors:
        """With more outcomes; a negative count takes one back.

        Parameters
        ----------
        said : shape (n, n_experts)
            What each expert expected when the decision was made.
        followed, count : shape (n,)
        """
        errors = said - followed[:, None]
        products = self.products + (errors * count[:, None]).T @ errors
        return ExpertErrors(products, self.count + float(count.sum()))

    @property
    def squares(self) -> Floats:
        """Mean squared error of each expert, shape (n_experts,)."""
        return np.maximum(np.diag(self.products), 0.0) / max(self.count, 1e-9)

    def shares(self, debts: Floats | None = None) -> Floats:
        """The mixture that would have erred least, shape (n_experts,): none below 0, sum 1.

        ``debts``, shape (n_experts,), are squared errors that each expert starts with.
        """
        return smallest_mixture(
            self.products + np.diag(debts if debts is not None else 0.0 * self.squares)
        )


def smallest_mixture(products: Floats) -> Floats:
    """The w >= 0 with sum 1 that makes w' products w smallest; looks at every subset.

    Breiman (1996), "Stacked Regressions", section 3: without the bounds, experts that agree would
    be played off against each other.
    """
    n = len(products)
    doubt = DOUBT * max(float(products.diagonal().min()), 1e-12)
    steady = products + doubt * np.eye(n)
    best = np.zeros(n)
    alone = int(steady.diagonal().argmin())
    best[alone], smallest = 1.0, float(steady[alone, alone])
    for size in range(n, 1, -1):
        for some in map(list, combinations(range(n), size)):
            part = steady[some][:, some]
            w = _unbounded(part)
            if w is None or w.min() < 0:
                continue
            value = float(w @ part @ w)
            if value < smallest:
                smallest = value
                best[:] = 0.0
                best[some] = w
            if size == n:  # no bound stood in the way, so no subset can do better
                return best
    return best


def _unbounded(part: Floats) -> Floats | None:
    """The w with sum 1, of any signs, that makes w' part w smallest."""
    try:
        w = np.linalg.solve(part, np.ones(len(part)))
    except np.linalg.LinAlgError:
        return None
    total = float(w.sum())
    return np.asarray(w / total, dtype=np.float64) if total > 0 else None
