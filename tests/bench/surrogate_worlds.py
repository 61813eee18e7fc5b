"""Made-up worlds in which actions move features, and leaving follows the features, but for a part.

A customer has six features, which wander around the customer's own means. The log of the rate of
leaving a day is linear in them. Each action moves it by a level and by slopes along the features of
the customer, and this fades within weeks. A part of that goes through the features; the rest shows
nowhere. Time goes in days.
"""

from __future__ import annotations

import numpy as np

from training.arrays import Floats, Ints

N_FEATURES, K = 6, 6
FEATURES = tuple(f"feature_{number}" for number in range(N_FEATURES))
ACTIONS = tuple(f"action_{number}" for number in range(K))
GROUPS = {name: f"family_{number // 2}" for number, name in enumerate(ACTIONS)}
RETURNS, NOISE = 0.05, 0.15  # of features a day: the way back to the mean, and the deviation
SPREAD = 0.8  # deviation of the log rate between customers


class World:
    """A world with known effects.

    Parameters
    ----------
    random : numpy.random.Generator
    a_day : float
        The rate of leaving a day of an average customer.
    strength : float
        Deviation of the effects on the log rate of leaving.
    hidden : float
        The largest part of an action's effect that does not show in the features.

    Attributes
    ----------
    direction : shape (N_FEATURES,), of length 1
        The features on which leaving depends.
    """

    def __init__(
        self, random: np.random.Generator, a_day: float, strength: float, hidden: float
    ) -> None:
        self.base = float(np.log(a_day)) - SPREAD**2 / 2
        direction = random.normal(size=N_FEATURES)
        self.direction = direction / np.linalg.norm(direction)
        levels = random.normal(0.0, strength, K)
        self.levels = levels - levels.mean()
        self.slopes = random.normal(0.0, strength, (K, N_FEATURES)) / np.sqrt(N_FEATURES)
        self.fades = 1 / random.uniform(30.0, 60.0, K)  # of an effect, a day
        self.part = random.uniform(0.0, hidden, K)

    def customers(self, random: np.random.Generator, count: int) -> Floats:
        """Draw the means of the features of customers, shape (count, N_FEATURES)."""
        return random.normal(size=(count, N_FEATURES))

    def effects(self, features: Floats) -> Floats:
        """The effect of each action on the log rate at once, shape (n, K + 1); 0 for none."""
        found = self.levels + features @ self.slopes.T
        return np.hstack([np.clip(found, -1.0, 1.0), np.zeros((len(features), 1))])

    def wander(self, random: np.random.Generator, features: Floats, means: Floats) -> Floats:
        """Features of the next day, if nothing was shown."""
        step = random.normal(0.0, NOISE, features.shape)
        moved: Floats = features + RETURNS * (means - features) + step
        return moved

    def split(self, shown: Ints, effect: Floats) -> tuple[Floats, Floats]:
        """Split effects at once into the move of the features, and what does not show.

        Returns
        -------
        shape (n, N_FEATURES), and shape (n,)
        """
        hidden = np.append(self.part, 0.0)[shown] * effect
        return np.outer((effect - hidden) / SPREAD, self.direction), hidden

    def rate(self, features: Floats, hidden: Floats) -> Floats:
        """The rate of leaving a day, shape (n,)."""
        found: Floats = np.exp(self.base + SPREAD * features @ self.direction + hidden)
        return found
