"""The contextual bandit as one object that can be used alone: `predict`, `learn`, `explain`.

The service uses its parts separately: the learner keeps a `BanditState`, the server a
`RewardModel` and a policy of `exploration`.
"""

from __future__ import annotations

from itertools import chain
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike

from features.errors import InvalidSetting
from training.arrays import Floats, Indices
from training.bandit.bandit_settings import BanditSettings, check
from training.bandit.belief import Belief
from training.bandit.exploration import ThompsonProbabilities
from training.contributions import Contributions


class ContextualBandit:
    """Chooses among actions by context and learns from the rewards of those that were chosen.

    Each action has a Bayesian ridge regression on the encoded context (Agrawal & Goyal 2013) for
    each of ``ridges``; boosted trees are one more expert; their predictions are mixed by stacking
    (Breiman 1996). An action is chosen with the probability that it is the best one.

    Parameters
    ----------
    n_features, n_actions : int
    settings : BanditSettings

    Examples
    --------
    >>> bandit = ContextualBandit(n_features=2, n_actions=3)
    >>> chances = bandit.predict([[0.5, 1.0]])
    >>> bandit.learn([[0.5, 1.0]], actions=[2], rewards=[1.0])
    """

    def __init__(
        self, n_features: int, n_actions: int, settings: BanditSettings | None = None
    ) -> None:
        check("n_features", n_features, n_features >= 0, "a number >= 0", "Count the columns.")
        check("n_actions", n_actions, n_actions >= 1, "a number >= 1", "Give it a choice.")
        self.settings = settings or BanditSettings()
        self._n_features, self._n_actions = n_features, n_actions
        self._policy = ThompsonProbabilities(self.settings.min_probability)
        self._belief = Belief(n_features, n_actions, self.settings)

    def predict(self, contexts: ArrayLike, allowed: ArrayLike | None = None) -> Floats:
        """Compute the probability of each action, for each context.

        Parameters
        ----------
        contexts : shape (n, n_features)
            ``nan`` is unknown.
        allowed : shape (n, n_actions), of bool
            Default: all are.

        Returns
        -------
        shape (n, n_actions)
            Rows sum to 1; an action that is not allowed, or too improbable, has exactly 0.

        Raises
        ------
        NothingAllowed
            If a row allows no action.
        """
        x = self._contexts(contexts)
        mean, deviation = self._belief.predict(x)
        if allowed is not None:
            mean = np.where(np.asarray(allowed, dtype=np.bool_), mean, np.nan)
        chances = np.empty_like(mean)
        for number in range(len(mean)):
            chances[number] = self._policy.probabilities(mean[number], deviation[number])
        return chances

    def learn(
        self,
        contexts: ArrayLike,
        actions: ArrayLike,
        rewards: ArrayLike,
        counts: ArrayLike | None = None,
    ) -> None:
        """Learn the rewards of chosen actions: at once, late, or in batches.

        Parameters
        ----------
        contexts : shape (n, n_features)
            As they were at the decision.
        actions : shape (n,), of int
        rewards : shape (n,)
            In any unit.
        counts : shape (n,)
            Weight of each outcome; default: 1. A negative one retracts an outcome.

        Raises
        ------
        InvalidSetting
            If an action does not exist, or a reward or count is no finite number.
        """
        x = self._contexts(contexts)
        chosen = np.asarray(actions, dtype=np.intp).reshape(len(x))
        earned = np.asarray(rewards, dtype=np.float64).reshape(len(x))
        counted = np.asarray([1.0] * len(x) if counts is None else counts, dtype=np.float64)
        self._check_outcomes(chosen, earned, counted)
        self._belief.learn(x, chosen, earned, counted)

    def explain(self, context: ArrayLike) -> Contributions:
        """Explain the expected reward of each action by what each feature adds.

        Parameters
        ----------
        context : shape (n_features,)

        Returns
        -------
        Contributions
            Features are named x0, x1, ... and actions 0, 1, ...; baseline and effects add up to
            the expected reward.
        """
        return self._belief.explain(self._contexts(np.asarray(context)[None])[0])

    @property
    def fitted_at(self) -> int:
        """Number of outcomes when something was last fitted again."""
        return self._belief.fitted_at

    @property
    def expert_weights(self) -> Floats:
        """Stacking weight of each linear expert and, last, of the trees, shape (n_experts,)."""
        return self._belief.expert_weights

    def _contexts(self, contexts: ArrayLike) -> Floats:
        x = np.asarray(contexts, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self._n_features:
            raise InvalidSetting(
                f"Contexts have the shape {x.shape}.",
                expected=f"(n, {self._n_features})",
                remedy="Give one row for each decision, in a list if it is one.",
            )
        return x

    def _check_outcomes(self, actions: Indices, rewards: Floats, counts: Floats) -> None:
        # Most outcomes come one by one, and for one of them Python is faster than numpy.
        listed = actions.tolist()
        lowest, highest = min(listed, default=0), max(listed, default=0)
        if not (lowest >= 0 and highest < self._n_actions):
            raise InvalidSetting(
                f"Actions go from {lowest} to {highest}.",
                expected=f"numbers from 0 to {self._n_actions - 1}",
                remedy="Give the index that was drawn from `predict`.",
            )
        if not all(map(isfinite, chain(rewards.tolist(), counts.tolist()))):
            raise InvalidSetting(
                "Some reward or count is not a number.",
                expected="finite numbers",
                remedy="Leave out what is still pending; learn it when it is known.",
            )
