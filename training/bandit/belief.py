"""The posterior of a `ContextualBandit`, and its update with each outcome.

Outcomes are added to sums like those of `ActionStatistics`, and `LiveHeads` updates the linear
experts with each of them. When there are enough new ones, the encoder learns means and standard
deviations, the trees are fitted again, and the linear experts are solved from the sums.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from training.arrays import Floats, Indices
from training.bandit.bandit_settings import ENCODED_UNTIL, BanditSettings
from training.bandit.decay import Decay
from training.bandit.encoder import Encoder
from training.bandit.linear import LiveHeads, Singles, basis_of
from training.bandit.outcome_log import LoggedOutcomes, OutcomeLog
from training.bandit.reward_model import RewardModel, normalised
from training.bandit.stacking import ExpertErrors
from training.bandit.trees import BoostedTrees
from training.contributions import Contributions

FIRST_ENCODED = 8  # outcomes; before that, contexts are not standardised
TREES_HANDICAP = 50.0  # squared error, in outcomes' worth, with which trees start in the stacking
WEIGHTS_GROWTH = 1.05  # stacking weights are updated at so many times as many outcomes


class _CachedPrediction(NamedTuple):
    """Contexts as bytes, and what was predicted for them.

    Attributes
    ----------
    x : bytes
        The caller may overwrite the array; and as bytes, ``nan`` equals itself.
    vectors, along : shape (n, width)
        The encoded contexts, and their projections (`LiveHeads.look`).
    expert_predictions : shape (n, n_experts, n_actions)
        The reward that each expert predicts.
    """

    x: bytes
    vectors: Singles
    along: Singles
    expert_predictions: Floats


class _PendingError(NamedTuple):
    """An outcome, its predictions by the experts, shape (n_experts,), and its weight."""

    expert_predictions: Floats
    reward: float
    weight: float


class Belief:
    """Mean and standard deviation of each action's expected reward, by context.

    Parameters
    ----------
    n_features, n_actions : int
    settings : BanditSettings
    """

    def __init__(self, n_features: int, n_actions: int, settings: BanditSettings) -> None:
        self._settings = settings
        self._names = tuple(f"x{number}" for number in range(n_features))
        self._actions = tuple(str(action) for action in range(n_actions))
        self._decay = Decay(settings.half_life)
        self._log = OutcomeLog(n_features, settings.memory)
        self._encoder = Encoder(self._names, (), np.zeros(n_features), np.ones(n_features))
        self._trees: BoostedTrees | None = None
        n_experts = len(settings.ridges) + 1
        self._errors = ExpertErrors(np.zeros((n_experts, n_experts)), 0.0)
        self._pending: list[_PendingError] = []
        self._next_solve = self._next_fit = self._next_weights = self._next_encoding = 0.0
        self._cached: _CachedPrediction | None = None
        self._forget_sums()
        self._solve()
        self._update_weights()

    @property
    def expert_weights(self) -> Floats:
        """Stacking weight of each linear expert and, last, of the trees, shape (n_experts,)."""
        return self._expert_weights.copy()

    @property
    def fitted_at(self) -> int:
        """Number of outcomes when something was last fitted again."""
        return self._fitted_at

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """Predict mean and deviation, each (n, n_actions), for contexts (n, n_features)."""
        self._cached = self._see(x)
        deviation = np.sqrt(self._live.mean_variance(self._cached.along))
        return self._expert_weights @ self._cached.expert_predictions, self._scales @ deviation

    def learn(self, x: Floats, actions: Indices, rewards: Floats, counts: Floats) -> None:
        """Learn outcomes, in parts that end where something is fitted again."""
        start = 0
        while start < len(x):
            room = max(1, int(self._next_solve) - self._log.total)
            part = slice(start, start + room)
            self._absorb(x[part], actions[part], rewards[part], counts[part])
            start = part.stop

    def explain(self, row: Floats) -> Contributions:
        """Explain the mean of each action by what each feature adds."""
        model = RewardModel.mixed(
            self._encoder,
            dict.fromkeys(self._actions, self._mean),
            self._live.posteriors(),
            self._scales**2,
            self._expert_weights,
            self._trees,
        )
        return model.contributions(row[self._kept], "").widened(self._names)

    def _see(self, x: Floats) -> _CachedPrediction:
        rows, nowhere = x.take(self._kept, axis=1), ("",) * len(x)
        vectors = self._encoder.encode(rows, nowhere).astype(np.float32)
        means, along = self._live.look(vectors)
        expert_predictions = np.empty((len(x), len(self._live) + 1, len(self._actions)))
        np.add(means, self._mean, out=expert_predictions[:, :-1])
        if self._trees is None:
            expert_predictions[:, -1] = self._mean
        else:
            expert_predictions[:, -1] = self._trees.reward(rows, nowhere, self._actions)
        return _CachedPrediction(x.tobytes(), vectors, along, expert_predictions)

    def _absorb(self, x: Floats, actions: Indices, rewards: Floats, counts: Floats) -> None:
        """Learn outcomes between which nothing is fitted again."""
        # Most are learned just after they were decided, so the prediction is still cached.
        seen = self._cached
        if seen is None or seen.x != x.tobytes():
            seen = self._see(x)
        self._cached = None
        weights = counts.tolist()
        if self._settings.half_life is not None:
            at = np.arange(self._log.total, self._log.total + len(x), dtype=np.float64)
            weights = (counts * self._decay.weights(at)).tolist()
        each = zip(actions.tolist(), rewards.tolist(), weights, strict=True)
        for number, (action, reward, weight) in enumerate(each):
            if weight > 0:
                self._pending.append(
                    _PendingError(seen.expert_predictions[number, :, action], reward, weight)
                )
                vector, along = seen.vectors[number], seen.along[number]
                self._live.absorb(action, vector, along, reward - self._mean, weight / self._unit)
        self._log.append(x, actions, rewards, counts)
        if self._log.total >= self._next_solve or min(weights, default=0) < 0:
            self._renew()
        elif self._log.total >= self._next_weights:
            self._update_weights()

    def _add_errors(self) -> None:
        """Add up the experts' errors since the last time.

        A retracted outcome does not count towards the experts' errors.
        """
        if self._pending:
            expert_predictions, rewards, weights = (
                np.array(part) for part in zip(*self._pending, strict=True)
            )
            self._errors = self._errors.learn(expert_predictions, rewards, weights)
            self._pending.clear()

    def _update_weights(self) -> None:
        """Update the stacking weights, and the factors on the posteriors' deviations.

        The noise of a linear expert is its mean squared error; the variance of the rewards counts
        as one outcome of it.
        """
        self._add_errors()
        start = self._variance() * self._unit
        self._expert_weights = self._errors.expert_weights(
            np.append(self._settings.handicaps, TREES_HANDICAP) * start
        )
        products = np.diag(self._errors.products)[:-1]
        noise = (start + products) / (self._unit + self._errors.count)
        self._scales = (
            normalised(self._expert_weights[:-1])
            * self._settings.exploration_scales
            * np.sqrt(noise)
        )
        self._next_weights = self._log.total * WEIGHTS_GROWTH

    def _renew(self) -> None:
        """Fit the encoder and the trees if it is time, and solve the linear experts."""
        total = self._log.total
        self._sum_up(self._log.newest(total - self._summed))
        if FIRST_ENCODED <= total <= ENCODED_UNTIL and total >= self._next_encoding:
            self._encode_anew()
        if total >= max(self._next_fit, self._settings.trees_from):
            self._fit_trees()
        self._solve()
        self._update_weights()

    def _encode_anew(self) -> None:
        """Fit the encoder again, and with it the sums of all outcomes in the log."""
        outcomes = self._log.newest()
        encoder = Encoder.fit(
            outcomes.contexts, self._names, (), self._settings.width, self._settings.seed
        )
        if encoder.features != self._encoder.features:
            self._trees, self._next_fit = None, 0.0  # they read other columns
        self._encoder = encoder
        self._forget_sums()
        self._sum_up(outcomes)
        self._next_encoding = 2 * self._log.total

    def _fit_trees(self) -> None:
        outcomes = self._log.newest()
        counts = outcomes.counts * self._decay.weights(outcomes.at) / self._unit
        names = [self._actions[action] for action in outcomes.actions]
        nowhere = ("",) * len(names)
        rows = outcomes.contexts[:, self._kept]
        self._trees = BoostedTrees.fit(rows, nowhere, names, outcomes.rewards, counts)
        self._next_fit = self._log.total * self._settings.refit_growth

    def _forget_sums(self) -> None:
        """Set the sums to 0."""
        known = [self._names.index(name) for name in self._encoder.features]
        self._kept = np.array(known, dtype=np.intp)
        width, n = self._encoder.width, len(self._actions)
        self._second, self._first = np.zeros((n, width, width)), np.zeros((n, width))
        self._square, self._summed = 0.0, 0

    def _sum_up(self, outcomes: LoggedOutcomes) -> None:
        """Add outcomes to the sums, see `ActionStatistics`."""
        newest = float(self._log.total)
        self._decay, scale = self._decay.moved(newest)
        if scale != 1.0:
            self._second, self._first = self._second * scale, self._first * scale
            self._square *= scale
            self._add_errors()
            self._errors = ExpertErrors(self._errors.products * scale, self._errors.count * scale)
        weights = outcomes.counts * self._decay.weights(outcomes.at)
        vectors = self._encoder.encode(
            outcomes.contexts[:, self._kept], ("",) * len(outcomes.rewards)
        )
        for action in np.unique(outcomes.actions):
            mine = outcomes.actions == action
            v, c, y = vectors[mine], weights[mine], outcomes.rewards[mine]
            self._second[action] += (v * c[:, None]).T @ v
            self._first[action] += (c * y) @ v
            self._square += float(c @ y**2)
        self._summed = self._log.total

    def _solve(self) -> None:
        """Solve for the linear experts from the sums, as of now."""
        self._unit = float(self._decay.weights(float(self._log.total)))
        self._mean = self._mean_reward()
        second, first = self._second / self._unit, self._first / self._unit
        first = first - self._mean * second[:, 0]
        basis, start = basis_of(second), np.zeros_like(first)
        penalties = np.empty((len(self._settings.ridges), *first.shape))
        penalties[:] = np.reshape(self._settings.ridges, (-1, 1, 1))
        penalties[:, :, 0] = 1.0
        self._live = LiveHeads(second, first, penalties, start, basis)
        total = self._fitted_at = self._log.total
        # Before the log drops an outcome that is not in the sums yet.
        grown = min(total * self._settings.solve_growth, total + self._settings.memory)
        self._next_solve = max(total + 1, grown)
        if self._settings.half_life is not None:  # as outcomes decay, the prior counts more
            self._next_solve = min(self._next_solve, total + 1 + self._settings.half_life / 10)

    def _mean_reward(self) -> float:
        count = float(self._second[:, 0, 0].sum())
        return float(self._first[:, 0].sum()) / count if count > 0 else 0.0

    def _variance(self) -> float:
        """Variance of the rewards so far; 1 before there are two that differ."""
        count = float(self._second[:, 0, 0].sum())
        variance = self._square / count - self._mean_reward() ** 2 if count > 0 else 0.0
        return variance if variance > 0 else 1.0
