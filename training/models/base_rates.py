"""The base rates of a classifier: its predictions for a customer without a past.

A row of model input without any event lies outside of what most classifiers were trained on, and
trees then answer with whatever leaf the missing values lead to. The share of each class among the
training rows, the base rate, is the best prediction for a customer of whom nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from training.arrays import Bools, Floats, Ints

EVENTS_N = "events_n"  # the feature that counts all events of a customer
# Fewer training rows than LightGBM wants in a leaf (`min_data_in_leaf`, by default 20) cannot
# have taught it how such rows differ.
ENOUGH = 20


@dataclass(frozen=True)
class BaseRates:
    """The share of each class in the training rows, and the rows that are predicted by it.

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
