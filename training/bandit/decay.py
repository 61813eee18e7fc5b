"""Exponential decay of old outcomes, in sums from which an outcome can still be retracted exactly.

A running average forgets by multiplying its value, so the order of outcomes matters and none can be
retracted. Here each outcome is weighted by its own time instead::

    weight = 2 ** ((its time - epoch) / half_life)

As of a time ``now``, all weights shrink by the same factor, 2 ** ((epoch - now) / half_life). The
epoch is moved on by whole half-lives before weights grow too large; halving is exact in binary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.errors import InvalidSetting
from training.arrays import Floats

MAX_HALF_LIVES = 30.0  # between epoch and newest outcome; a weight is 1e9 then


@dataclass(frozen=True, slots=True)
class Decay:
    """Weights of outcomes by their time.

    Parameters
    ----------
    half_life : float or None
        An outcome that is so much older counts half; in the unit of the times. None: no decay.
    epoch : float
        The time at which an outcome has weight 1.
    """

    half_life: float | None = None
    epoch: float = 0.0

    def __post_init__(self) -> None:
        if self.half_life is not None and not 0 < self.half_life < np.inf:
            raise InvalidSetting(
                f"half_life is {self.half_life!r}.",
                expected="a finite number > 0, or none",
                remedy="Leave it out if nothing changes; 90 days suit tastes that change slowly.",
            )

    def weights(self, at: Floats | float) -> Floats:
        """Weights in the sums, of outcomes of these times."""
        if self.half_life is None:
            return np.ones(np.shape(at))
        weights: Floats = np.exp2((np.asarray(at, dtype=np.float64) - self.epoch) / self.half_life)
        return weights

    def shrink(self, now: float) -> float:
        """Factor on the sums, as of ``now``."""
        return (
            1.0 if self.half_life is None else float(np.exp2((self.epoch - now) / self.half_life))
        )

    def moved(self, newest: float) -> tuple[Decay, float]:
        """Move the epoch on for outcomes as new as ``newest``.

        Returns
        -------
        The decay with the new epoch, and the factor by which the sums so far must be multiplied.
        """
        if self.half_life is None:
            return self, 1.0
        steps = np.floor((newest - self.epoch) / self.half_life)
        if steps <= MAX_HALF_LIVES:
            return self, 1.0
        return Decay(self.half_life, self.epoch + steps * self.half_life), float(np.exp2(-steps))
