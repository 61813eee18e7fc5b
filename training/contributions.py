"""What each feature adds to a score: the explanation that every model of ours can give exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from training.arrays import Floats


@dataclass(frozen=True, slots=True)
class Contributions:
    """For one customer, each of several scores as a sum: score = baseline + its effects.

    Attributes
    ----------
    of : tuple of str
        What is scored: classes, or actions.
    features : tuple of str
    baseline : shape (len(of),)
        The score of nobody in particular.
    effects : shape (len(of), len(features))
        What each feature adds for this customer, in the unit of the score.
    """

    of: tuple[str, ...]
    features: tuple[str, ...]
    baseline: Floats
    effects: Floats

    @property
    def scores(self) -> Floats:
        """Shape (len(of),)."""
        total: Floats = self.baseline + self.effects.sum(axis=1)
        return total

    def against_average(self, chances: Floats) -> Contributions:
        """How far each score lies above the average of all of them, as sums again.

        Under a softmax a score means nothing alone: what lifts all scores alike changes no
        chance. Class k gains by a feature exactly if that lifts its score by more than the
        average, weighted by the chances: d p[k] = p[k] (d s[k] - sum of p[j] d s[j]).

        Parameters
        ----------
        chances : shape (len(of),)
            Of each class for this customer; they sum to 1.
        """
        return replace(
            self,
            baseline=self.baseline - chances @ self.baseline,
            effects=self.effects - chances @ self.effects,
        )

    def widened(self, features: tuple[str, ...]) -> Contributions:
        """The same of more features, in another order; what was not among them adds 0."""
        effects = np.zeros((len(self.of), len(features)))
        effects[:, [features.index(name) for name in self.features]] = self.effects
        return replace(self, features=features, effects=effects)
