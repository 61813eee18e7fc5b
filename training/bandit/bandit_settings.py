"""Settings of a `ContextualBandit`, and their bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.errors import InvalidSetting
from training.bandit.decay import Decay
from training.bandit.exploration import ThompsonProbabilities

ENCODED_UNTIL = 2_048  # outcomes; after that, means and deviations of the features stay as they are


@dataclass(frozen=True, slots=True)
class BanditSettings:
    """Settings of a `ContextualBandit`; published figures are those of the defaults.

    Parameters
    ----------
    width : int
        Length of the vector that encodes a context (`Encoder.fit`).
    ridges : floats > 0, in outcomes
        One linear expert for each: the precision of its prior. With a weak prior it learns fast
        where contexts tell the rewards; with a strong one it does not overfit noise.
    exploration_scales : floats >= 0, as many
        Factor on the standard deviation of each linear expert's posterior.
    handicaps : floats >= 0, as many
        Squared error, in outcomes' worth, with which each linear expert starts in the stacking.
    trees_from : int
        Outcomes from which on trees are fitted as a further expert.
    refit_growth, solve_growth : float > 1
        Trees are fitted again, and linear experts solved, at so many times as many outcomes.
    half_life : float or None, in outcomes
        An outcome counts half after so many more; None: nothing decays.
    min_probability : float
        Of `ThompsonProbabilities`.
    memory : int
        Newest outcomes that are kept for fitting encoder and trees.
    seed : int
        Of the encoder's random Fourier features.
    """

    width: int = 160
    ridges: tuple[float, ...] = (1.0, 100.0)
    exploration_scales: tuple[float, ...] = (0.15, 0.5)
    handicaps: tuple[float, ...] = (0.0, 150.0)
    trees_from: int = 100
    refit_growth: float = 1.5
    solve_growth: float = 1.3
    half_life: float | None = None
    min_probability: float = 0.001
    memory: int = 100_000
    seed: int = 0

    def __post_init__(self) -> None:
        several = len(self.ridges)
        check("width", self.width, self.width >= 2, "a whole number >= 2", "160 is a good start.")
        check(
            "ridges",
            self.ridges,
            several > 0 and all(0 < ridge < np.inf for ridge in self.ridges),
            "one finite number > 0 or more",
            "(1, 100) suits clear and noisy rewards.",
        )
        for name in ("exploration_scales", "handicaps"):
            values = getattr(self, name)
            fine = len(values) == several and all(0 <= value < np.inf for value in values)
            check(name, values, fine, "a finite number >= 0 for each ridge", "Give as many.")
        for name in ("refit_growth", "solve_growth"):
            growth = getattr(self, name)
            check(name, growth, 1 < growth < np.inf, "a finite number > 1", "Start with 1.5.")
        for name, lowest in (("trees_from", 1), ("memory", ENCODED_UNTIL)):
            value = getattr(self, name)
            check(name, value, value >= lowest, f"a number >= {lowest}", f"Take {lowest}.")
        Decay(self.half_life)
        ThompsonProbabilities(self.min_probability)


def check(name: str, value: object, fine: bool, expected: str, remedy: str) -> None:
    """Raise `InvalidSetting` for the value of a setting that is not fine."""
    if not fine:
        raise InvalidSetting(f"{name} is {value!r}.", expected=expected, remedy=remedy)
