"""Makes predicted probabilities match observed shares: calibration, and base rates.

`Scaling` calibrates the logits of a classifier. `BaseRates` predicts for customers without a past.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from training.arrays import Bools, Floats, Ints

SHRINK = 1e-3  # penalty that pulls slope and biases towards no change, for small data
EVENTS_N = "events_n"  # the feature that counts all events of a customer
# Fewer training rows than LightGBM wants in a leaf (`min_data_in_leaf`, by default 20) cannot
# have taught it how such rows differ.
ENOUGH = 20


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


@dataclass(frozen=True)
class BaseRates:
    """The share of each class in the training rows, and the rows that are predicted by it.

    A row without any event lies outside of what most classifiers were trained on: trees answer
    with whatever leaf the missing values lead to. The base rate is the best prediction then.

    Attributes
    ----------
    rates : shape (n_classes,)
        Shares of the training rows; they sum to 1.
    stranger : shape (n_features,)
        The row of a customer without events and attributes; ``nan`` is unknown.
    events_at : int
        Position of `EVENTS_N` in a row.
    without_events : int
        Number of training rows without an event of the customer.
    """

    rates: tuple[float, ...]
    stranger: tuple[float, ...]
    events_at: int
    without_events: int

    @classmethod
    def of(cls, x: Floats, y: Ints, n_classes: int, stranger: Floats, events_at: int) -> BaseRates:
        """Compute the base rates of training rows.

        Parameters
        ----------
        x : shape (n, n_features)
        y : shape (n,), class index
        stranger : shape (n_features,)
        """
        rates = np.bincount(y, minlength=n_classes) / len(y)
        count = int((x[:, events_at] == 0).sum())
        return cls(tuple(rates.tolist()), tuple(stranger.tolist()), events_at, count)

    def applies(self, x: Floats) -> Bools:
        """Mark the rows that are predicted by the base rates, shape (n,).

        These are the rows of strangers. Other rows without events, of customers with attributes,
        are among them if the classifier was trained on fewer than `ENOUGH` of their kind.
        """
        without: Bools = x[:, self.events_at] == 0
        if self.without_events >= ENOUGH and without.any():
            alike = (x == self._stranger) | (np.isnan(x) & np.isnan(self._stranger))
            without = without & alike.all(axis=1)
        return without

    def applies_to_row(self, row: Floats) -> bool:
        """Answer the same as `applies` for one row of shape (n_features,)."""
        return bool(row[self.events_at] == 0) and bool(self.applies(row[None, :])[0])

    @cached_property
    def _stranger(self) -> Floats:
        return np.array(self.stranger)

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as JSON content; an unknown value is None."""
        return {
            "rates": self.rates,
            "stranger": [None if math.isnan(value) else value for value in self.stranger],
            "events_at": self.events_at,
            "without_events": self.without_events,
        }

    @classmethod
    def from_json(cls, note: Mapping[str, Any]) -> BaseRates:
        """Read what `as_json` returned."""
        stranger = tuple(math.nan if value is None else value for value in note["stranger"])
        return cls(tuple(note["rates"]), stranger, note["events_at"], note["without_events"])
