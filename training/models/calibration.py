"""Calibrates the logits of a classifier, so that predicted probabilities match observed shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from training.arrays import Floats, Ints

SHRINK = 1e-3  # penalty that pulls slope and biases towards no change, for small data


@dataclass(frozen=True, slots=True)
class Scaling:
    """A calibration: logits -> slope x logits + bias.

    References
    ----------
    Platt (1999) for two classes; Guo et al. (2017), "On Calibration of Modern Neural Networks",
    for several (one temperature, and a bias for each class).
    """

    slope: float
    bias: tuple[float, ...]

    def apply(self, logits: Floats) -> Floats:
        """Compute probabilities from logits, both of shape (n, n_classes)."""
        scaled = self.slope * logits + np.asarray(self.bias)
        # As scipy.special.softmax, which takes ten times as long for one row.
        odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        probabilities: Floats = odds / odds.sum(axis=1, keepdims=True)
        return probabilities

    def apply_to_row(self, logits: Sequence[float]) -> list[float]:
        """Compute the same as `apply` for one row, to the last digit, in half the time.

        Python's floats replace those calls of numpy that give the same digits. Python's exponential
        does not, nor its sum of eight numbers or more.
        """
        scaled = [self.slope * logit + bias for logit, bias in zip(logits, self.bias, strict=True)]
        top = max(scaled)
        odds = np.exp([logit - top for logit in scaled])
        probabilities: list[float] = (odds / np.add.reduce(odds)).tolist()
        return probabilities


def fit_scaling(logits: Floats, y: Ints) -> Scaling:
    """Fit slope and biases by penalised maximum likelihood.

    Parameters
    ----------
    logits : shape (n, n_classes)
    y : shape (n,), class index
    """
    n_classes = logits.shape[1]
    chosen = np.eye(n_classes)[y]

    def loss(theta: Floats) -> tuple[float, Floats]:
        slope, bias = theta[0], np.append(0.0, theta[1:])
        scaled = log_softmax(slope * logits + bias, axis=1)
        error = (np.exp(scaled) - chosen) / len(y)
        pull = theta - start
        value = -float((scaled * chosen).sum()) / len(y) + SHRINK * float(pull @ pull)
        gradient = np.append((error * logits).sum(), error.sum(axis=0)[1:]) + 2 * SHRINK * pull
        return value, gradient

    start = np.append(1.0, np.zeros(n_classes - 1))
    bounds = [(0.05, 20.0)] + [(None, None)] * (n_classes - 1)
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return Scaling(float(best[0]), (0.0, *map(float, best[1:])))
