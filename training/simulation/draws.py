"""Draws that simulated businesses have in common."""

from __future__ import annotations

import numpy as np

from training.arrays import Floats, Ints
from training.simulation.business import FIRST_ARRIVAL_MINUTE, LAST_ARRIVAL_MINUTE


def draw_arrival_minutes(customers: int, seed: int) -> Ints:
    """Draw the minute of the day at which each customer arrives, the same on all days.

    So a rolling window of whole days in a catalogue holds the showings of as many calendar days.
    """
    rng = np.random.default_rng([seed, 3])
    return rng.integers(FIRST_ARRIVAL_MINUTE, LAST_ARRIVAL_MINUTE, customers)


def sample_categorical(probabilities: Floats, uniform: Floats) -> Ints:
    """Draw an index for each row of ``probabilities`` (n, k), by inversion of ``uniform`` (n,)."""
    index = (probabilities.cumsum(axis=1) < uniform[:, None]).sum(axis=1)
    # The sum may be a rounding error below 1; the last index with a probability is drawn then.
    last = probabilities.shape[1] - 1 - (probabilities[:, ::-1] > 0).argmax(axis=1)
    found: Ints = np.minimum(index, last)
    return found
