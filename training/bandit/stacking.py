"""Stacking: weights of several experts from their past squared errors (Breiman 1996).

The experts' predictions are recorded when a decision is made; when its outcome comes, their errors
are added up. That is a sum, so outcomes may come in any order and be retracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from training.arrays import Floats

# The experts' evidence counts like so many outcomes in which they differed by the noise: it is for
# the time before any. Larger weights cost reward on sets with 26 actions.
EVIDENCE_WEIGHT = 0.01
RIDGE_SHARE = 0.01  # of the smallest error is added to each, so that two equal experts share


class Prediction(NamedTuple):
    """Predictions for each action: for n customers, or for one.

    Attributes
    ----------
    acceptance : shape (n, n_actions), or (n_actions,) for one customer
        Expected reward, within the range of rewards.
    deviation : same shape
        Standard deviation of the expected reward.
    expert_predictions : shape (n_experts, n, n_actions), or (n_experts, n_actions)
        Expected reward by each expert alone: the linear ones, then the trees. Recorded with a
        decision, so that the experts' errors are known when its outcome comes (`ExpertErrors`).
    """

    acceptance: Floats
    deviation: Floats
    expert_predictions: Floats

    def of_customer(self, index: int) -> Prediction:
        """Return the prediction for one of the n customers."""
        return Prediction(
            self.acceptance[index], self.deviation[index], self.expert_predictions[:, index]
        )


@dataclass(frozen=True)
class ExpertErrors:
    """Products of the experts' errors, added up over outcomes.

    With errors e = (each expert's prediction) - (outcome) and counts c::

        products = start + sum of c e e'      count = start + sum of c

    The mean squared error of the mixture with weights w is then w' products w / count.

    Attributes
    ----------
    products : shape (n_experts, n_experts)
    count : float
    """

    products: Floats
    count: float

    @classmethod
    def start(cls, squares: Sequence[float], count: float = 1.0) -> ExpertErrors:
        """Start as if the mean squared errors had been ``squares``, over ``count`` outcomes."""
        return cls(np.diag(np.asarray(squares, dtype=np.float64)) * count, count)

    def learn(self, expert_predictions: Floats, outcomes: Floats, count: Floats) -> ExpertErrors:
        """Return the sums with more outcomes.

        Parameters
        ----------
        expert_predictions : shape (n, n_experts)
            Each expert's, when the decision was made.
        outcomes, count : shape (n,)
            A negative count retracts an equal outcome.
        """
        errors = expert_predictions - outcomes[:, None]
        products = self.products + (errors * count[:, None]).T @ errors
        return ExpertErrors(products, self.count + float(count.sum()))

    @property
    def squares(self) -> Floats:
        """Mean squared error of each expert, shape (n_experts,)."""
        return np.maximum(np.diag(self.products), 0.0) / max(self.count, 1e-9)

    def told(self) -> float:
        """The largest sum of squared differences between two experts' predictions.

        Where all experts predicted the same, their errors do not tell which is best. So it is
        while the outcomes of the first decisions come.
        """
        own = np.diag(self.products)
        return max(float((own[:, None] + own - 2 * self.products).max(initial=0.0)), 0.0)

    def expert_weights(self, handicaps: Floats | None = None) -> Floats:
        """Weights of the mixture with the smallest squared error, shape (n_experts,).

        None is below 0; the sum is 1. ``handicaps``, shape (n_experts,), are squared errors that
        are added to those of each expert.
        """
        return stacking_weights(
            self.products + np.diag(handicaps if handicaps is not None else 0.0 * self.squares)
        )


def mixed_with_evidence(
    weights: Floats, log_evidence: Floats, handicaps: Floats, told: float
) -> Floats:
    """Mix stacking weights with the experts' posterior probabilities by evidence.

    Evidence counts until the recorded predictions have differed: then their errors say more.

    Parameters
    ----------
    weights : shape (n_experts,)
    log_evidence : shape (n_experts,)
        `ridge.log_evidence` of each; ``-inf`` of one that has none. If none has any, the stacking
        weights are returned.
    handicaps : shape (n_experts,)
        In outcomes; the prior odds of an expert are 1 : (1 + handicap).
    told : float
        `ExpertErrors.told`, divided by the noise's variance; infinite: evidence does not count.
    """
    if not np.isfinite(log_evidence).any():
        return weights
    share = EVIDENCE_WEIGHT / (EVIDENCE_WEIGHT + told)
    likely = np.exp(log_evidence - log_evidence.max()) / (1.0 + handicaps)
    mixed: Floats = share * normalised(likely) + (1.0 - share) * weights
    return mixed


def stacking_weights(products: Floats) -> Floats:
    """Find the w >= 0 with sum 1 for which w' products w is smallest, by trying every subset.

    Without the bounds, experts that agree would get large weights of opposite signs.

    References
    ----------
    Breiman (1996), "Stacked Regressions", section 3.
    """
    n = len(products)
    ridge = RIDGE_SHARE * max(float(products.diagonal().min()), 1e-12)
    steady = products + ridge * np.eye(n)
    best = np.zeros(n)
    alone = int(steady.diagonal().argmin())
    best[alone], smallest = 1.0, float(steady[alone, alone])
    for size in range(n, 1, -1):
        for some in map(list, combinations(range(n), size)):
            part = steady[some][:, some]
            w = _unbounded_weights(part)
            if w is None or w.min() < 0:
                continue
            value = float(w @ part @ w)
            if value < smallest:
                smallest = value
                best[:] = 0.0
                best[some] = w
            if size == n:  # no bound is active, so no subset has a smaller error
                return best
    return best


def _unbounded_weights(part: Floats) -> Floats | None:
    """Find the w with sum 1, of any signs, for which w' part w is smallest."""
    try:
        w = np.linalg.solve(part, np.ones(len(part)))
    except np.linalg.LinAlgError:
        return None
    total = float(w.sum())
    return np.asarray(w / total, dtype=np.float64) if total > 0 else None


def normalised(weights: Floats) -> Floats:
    """Scale stacking weights to sum 1; if all are 0, the first expert gets 1."""
    total = float(weights.sum())
    among: Floats = weights / total if total > 0 else np.eye(len(weights))[0]
    return among
