"""How what was learned long ago counts less, in sums that can still be taken back exactly.

A running average forgets by multiplying what it holds, so the order of outcomes matters and none
can be taken back. Here each outcome is weighted by its own time instead::

    weight = 2 ** ((its time - epoch) / half_life)

Seen from now, all weights shrink alike: by 2 ** ((epoch - now) / half_life). The epoch moves on,
by whole half-lives, before numbers grow too large; halving is exact in binary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.errors import InvalidSetting
from training.arrays import Floats

MOST = 30.0  # half-lives between epoch and newest outcome; a weight is 1e9 then


@dataclass(frozen=True, slots=True)
class Decay:
    """Weights of outcomes by their time.

    Parameters
    ----------
    half_life : float or None
        After that an outcome counts half; in the unit of the times. None: nothing fades.
    epoch : float
        The time whose outcomes weigh 1.
    """

    half_life: float | None = None
    epoch: float = 0.0

    def __post_init__(self) -> None:
        if self.half_life is not None and not 0 < self.half_life < np.inf:
            raise InvalidSetting(
                f"half_life is {self.half_life!r}.",
                expected="a finite number > 0, or none",
                remedy="Leave it out if nothing changes; 90 days suits slow tastes.",
            )

    def weights(self, at: Floats | float) -> Floats:
        """What outcomes of these times weigh in the sums."""
        if self.half_life is None:
            return np.ones(np.shape(at))
        weights: Floats = np.exp2((np.asarray(at, dtype=np.float64) - self.epoch) / self.half_life)
        return weights

    def shrink(self, now: float) -> float:
        """What the sums are to be multiplied by, seen from ``now``."""
        return (
            1.0 if self.half_life is None else float(np.exp2((self.epoch - now) / self.half_life))
        )

    def moved(self, newest: float) -> tuple[Decay, float]:
        """One for outcomes as new as ``newest``, and what sums so far are to be multiplied by."""
        if self.half_life is None:
            return self, 1.0
        steps = np.floor((newest - self.epoch) / self.half_life)
        if steps <= MOST:
            return self, 1.0
        return Decay(self.half_life, self.epoch + steps * self.half_life), float(np.exp2(-steps))
