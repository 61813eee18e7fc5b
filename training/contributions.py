"""Explanations: what each feature adds to a score. Every model of ours gives them exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from training.arrays import Bools, Floats

SAME = 1e-6  # two scores that differ by less are one


@dataclass(frozen=True, slots=True)
class Contributions:
    """Scores for one customer as sums: score = baseline + effects of the features.

    Attributes
    ----------
    of : tuple of str
        The scored classes or actions.
    features : tuple of str
    baseline : shape (len(of),)
        Each score before any feature is known.
    effects : shape (len(of), len(features))
        What each feature adds for this customer, in the unit of the score.
    """

    of: tuple[str, ...]
    features: tuple[str, ...]
    baseline: Floats
    effects: Floats

    @property
    def scores(self) -> Floats:
        """Baseline + effects, shape (len(of),)."""
        total: Floats = self.baseline + self.effects.sum(axis=1)
        return total

    def adding_up_to(self, scores: Floats) -> Contributions:
        """Return the same effects with baselines by which they add up to other scores.

        A score within 0 and 1 that was cut to that range already counts as the same.

        Parameters
        ----------
        scores : shape (len(of),)
        """
        missing = scores - self.scores
        same = np.abs(scores - np.clip(self.scores, 0.0, 1.0)) <= SAME
        return replace(self, baseline=self.baseline + np.where(same, 0.0, missing))

    def against_average(self, chances: Floats) -> Contributions:
        """Return each score's difference from the mean of all scores, as sums again.

        Under a softmax a score has no meaning alone: a feature that raises all scores by the same
        changes no probability. The probability of class k rises by a feature if its score rises
        more than the mean, weighted by the probabilities:
        d p[k] = p[k] (d s[k] - sum of p[j] d s[j]).

        Parameters
        ----------
        chances : shape (len(of),)
            Probability of each class for this customer; they sum to 1.
        """
        return replace(
            self,
            baseline=self.baseline - chances @ self.baseline,
            effects=self.effects - chances @ self.effects,
        )

    def widened(self, features: tuple[str, ...]) -> Contributions:
        """Return the contributions of more features, in another order; a new one adds 0."""
        effects = np.zeros((len(self.of), len(features)))
        effects[:, [features.index(name) for name in self.features]] = self.effects
        return replace(self, features=features, effects=effects)


class TreeContributions(NamedTuple):
    """Rewards as sums of a baseline and effects; ``nan`` for an action that trees do not know.

    Attributes
    ----------
    baseline : shape (n_actions,)
    effects : shape (n_actions, n_features + 1)
        Of each feature and, last, of the channel.
    """

    baseline: Floats
    effects: Floats

    def mixed_with(
        self, baseline: Floats, effects: Floats, here: Bools, weight: float
    ) -> tuple[Floats, Floats]:
        """Mix them, by a weight, with others, whose effects are of features, then of each channel.

        Parameters
        ----------
        baseline : shape (n_actions,)
        effects : shape (n_actions, n_features + n_channels)
        here : shape (n_features + n_channels,)
            The place of the channel; it is nowhere for an unknown one, and adds to the baseline.
        """
        of_features, n_features = np.zeros_like(effects), self.effects.shape[1] - 1
        of_features[:, :n_features] = self.effects[:, :n_features]
        of_features += self.effects[:, [-1]] * here
        rest = 0.0 if here.any() else self.effects[:, -1]
        known = np.where(np.isnan(self.baseline), 0.0, weight)
        baseline = (1 - known) * baseline + known * np.nan_to_num(self.baseline + rest)
        effects = (1 - known)[:, None] * effects + known[:, None] * np.nan_to_num(of_features)
        return baseline, effects
