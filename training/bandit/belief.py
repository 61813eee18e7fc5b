"""What a `ContextualBandit` believes of each action, and how that changes with each outcome.

Outcomes are summed up (`statistics` says how), linear heads follow each one of them
(`linear`), and when there are enough new ones the encoder learns what is average, the
trees are fitted anew (`trees`), and the heads are solved from the sums.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from training.arrays import Floats, Indices
from training.bandit.bandit_settings import SETTLED, BanditSettings
from training.bandit.decay import Decay
from training.bandit.encoder import Encoder
from training.bandit.linear import LiveHeads, Singles, basis_of
from training.bandit.outcome_log import LoggedOutcomes, OutcomeLog
from training.bandit.reward_model import RewardModel, normalised
from training.bandit.stacking import ExpertErrors
from training.bandit.trees import BoostedTrees
from training.contributions import Contributions

FIRST_ENCODED = 8  # outcomes; before that, contexts are taken as they come
TREES_DEBT = 50.0  # outcomes' worth of error by which trees must have been better to be heard
SHARES_GROWTH = 1.05  # shares are reckoned again when there are so many times as many outcomes


class _Seen(NamedTuple):
    """Contexts as bytes, and what was found for them.

    Attributes
    ----------
    x : bytes
        The caller may fill the same array again; and ``nan`` equals itself as bytes.
    vectors, along : shape (n, width)
        What the encoder makes of contexts, and where that points (`LiveHeads.look`).
    said : shape (n, n_experts, n_actions)
        What each expert expects.
    """

    x: bytes
    vectors: Singles
    along: Singles
    expert_predictions: Floats


class _Unjudged(NamedTuple):
    """An outcome, what each expert expected of it, shape (n_experts,), and what it counts."""

    expert_predictions: Floats
    reward: float
    weight: float


class Belief:
    """Mean and standard deviation of what each action earns, by context.

    Parameters
    ----------
    n_features, n_actions : int
    settings : BanditSettings
    """

    def __init__(self, n_features: int, n_actions: int, settings: BanditSettings) -> None:
        self._settings = settings
        self._names = tuple(f"x{number}" for number in range(n_features))
        self._actions = tuple(str(action) for action in range(n_actions))
        self._fading = Decay(settings.half_life)
        self._log = OutcomeLog(n_features, settings.memory)
        self._encoder = Encoder(self._names, (), np.zeros(n_features), np.ones(n_features))
        self._trees: BoostedTrees | None = None
        n_experts = len(settings.ridges) + 1
        self._errors = ExpertErrors(np.zeros((n_experts, n_experts)), 0.0)
        self._unjudged: list[_Unjudged] = []
        self._next_solve = self._next_fit = self._next_shares = self._next_encoding = 0.0
        self._seen: _Seen | None = None
        self._forget_sums()
        self._solve()
        self._reckon()

    @property
    def expert_weights(self) -> Floats:
        """How far each linear expert and, last, the trees are believed, shape (n_experts,)."""
        return self._expert_weights.copy()

    @property
    def fitted_at(self) -> int:
        """How many outcomes had come when something was last fitted anew."""
        return self._fitted_at

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation for contexts (n, n_features), each (n, n_actions)."""
        self._seen = self._see(x)
        deviation = np.sqrt(self._live.spread(self._seen.along))
        return self._expert_weights @ self._seen.expert_predictions, self._caution @ deviation

    def learn(self, x: Floats, actions: Indices, rewards: Floats, counts: Floats) -> None:
        """Learn outcomes, in parts that end where something is fitted anew."""
        start = 0
        while start < len(x):
            room = max(1, int(self._next_solve) - self._log.total)
            part = slice(start, start + room)
            self._absorb(x[part], actions[part], rewards[part], counts[part])
            start = part.stop

    def explain(self, row: Floats) -> Contributions:
        """What each feature adds to the mean of each action."""
        model = RewardModel.mixed(
            self._encoder,
            dict.fromkeys(self._actions, self._mean),
            self._live.posteriors(),
            self._caution**2,
            self._expert_weights,
            self._trees,
        )
        return model.contributions(row[self._kept], "").widened(self._names)

    def _see(self, x: Floats) -> _Seen:
        rows, nowhere = x.take(self._kept, axis=1), ("",) * len(x)
        vectors = self._encoder.encode(rows, nowhere).astype(np.float32)
        means, along = self._live.look(vectors)
        expert_predictions = np.empty((len(x), len(self._live) + 1, len(self._actions)))
        np.add(means, self._mean, out=expert_predictions[:, :-1])
        if self._trees is None:
            expert_predictions[:, -1] = self._mean
        else:
            expert_predictions[:, -1] = self._trees.reward(rows, nowhere, self._actions)
        return _Seen(x.tobytes(), vectors, along, expert_predictions)

    def _absorb(self, x: Floats, actions: Indices, rewards: Floats, counts: Floats) -> None:
        """Learn outcomes among which nothing is fitted anew."""
        # Most are learned just after they were decided: what was expected then is still known.
        seen = self._seen
        if seen is None or seen.x != x.tobytes():
            seen = self._see(x)
        self._seen = None
        weights = counts.tolist()
        if self._settings.half_life is not None:
            at = np.arange(self._log.total, self._log.total + len(x), dtype=np.float64)
            weights = (counts * self._fading.weights(at)).tolist()
        each = zip(actions.tolist(), rewards.tolist(), weights, strict=True)
        for number, (action, reward, weight) in enumerate(each):
            if weight > 0:
                self._unjudged.append(
                    _Unjudged(seen.expert_predictions[number, :, action], reward, weight)
                )
                vector, along = seen.vectors[number], seen.along[number]
                self._live.absorb(action, vector, along, reward - self._mean, weight / self._unit)
        self._log.append(x, actions, rewards, counts)
        if self._log.total >= self._next_solve or min(weights, default=0) < 0:
            self._renew()
        elif self._log.total >= self._next_shares:
            self._reckon()

    def _judge(self) -> None:
        """Add up the errors of outcomes since the last time.

        What is taken back was a misunderstanding; how well it was foretold is not looked at.
        """
        if self._unjudged:
            expert_predictions, rewards, weights = (
                np.array(part) for part in zip(*self._unjudged, strict=True)
            )
            self._errors = self._errors.learn(expert_predictions, rewards, weights)
            self._unjudged.clear()

    def _reckon(self) -> None:
        """Look again at how far each expert is to be believed, and how sure it is.

        The noise of a head is its mean squared error, as if it had once erred like the rewards'
        own variance.
        """
        self._judge()
        start = self._variance() * self._unit
        self._expert_weights = self._errors.expert_weights(
            np.append(self._settings.handicaps, TREES_DEBT) * start
        )
        products = np.diag(self._errors.products)[:-1]
        noise = (start + products) / (self._unit + self._errors.count)
        self._caution = (
            normalised(self._expert_weights[:-1])
            * self._settings.exploration_scales
            * np.sqrt(noise)
        )
        self._next_shares = self._log.total * SHARES_GROWTH

    def _renew(self) -> None:
        """Fit the encoder and the trees where it is time, and solve the heads."""
        total = self._log.total
        self._sum_up(self._log.newest(total - self._summed))
        if FIRST_ENCODED <= total <= SETTLED and total >= self._next_encoding:
            self._encode_anew()
        if total >= max(self._next_fit, self._settings.trees_from):
            self._fit_trees()
        self._solve()
        self._reckon()

    def _encode_anew(self) -> None:
        """Learn means and spreads of the features again; what is summed up then is, too."""
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
        counts = outcomes.counts * self._fading.weights(outcomes.at) / self._unit
        names = [self._actions[action] for action in outcomes.actions]
        nowhere = ("",) * len(names)
        rows = outcomes.contexts[:, self._kept]
        self._trees = BoostedTrees.fit(rows, nowhere, names, outcomes.rewards, counts)
        self._next_fit = self._log.total * self._settings.refit_growth

    def _forget_sums(self) -> None:
        """Begin the sums of this encoder at nothing."""
        known = [self._names.index(name) for name in self._encoder.features]
        self._kept = np.array(known, dtype=np.intp)
        width, n = self._encoder.width, len(self._actions)
        self._second, self._first = np.zeros((n, width, width)), np.zeros((n, width))
        self._square, self._summed = 0.0, 0

    def _sum_up(self, outcomes: LoggedOutcomes) -> None:
        """Add outcomes to the sums, see `statistics`."""
        newest = float(self._log.total)
        self._fading, scale = self._fading.moved(newest)
        if scale != 1.0:
            self._second, self._first = self._second * scale, self._first * scale
            self._square *= scale
            self._judge()
            self._errors = ExpertErrors(self._errors.products * scale, self._errors.count * scale)
        weights = outcomes.counts * self._fading.weights(outcomes.at)
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
        """Heads from the sums, seen from now."""
        self._unit = float(self._fading.weights(float(self._log.total)))
        self._mean = self._mean_reward()
        second, first = self._second / self._unit, self._first / self._unit
        first = first - self._mean * second[:, 0]
        basis, start = basis_of(second), np.zeros_like(first)
        penalties = np.empty((len(self._settings.ridges), *first.shape))
        penalties[:] = np.reshape(self._settings.ridges, (-1, 1, 1))
        penalties[:, :, 0] = 1.0
        self._live = LiveHeads(second, first, penalties, start, basis)
        total = self._fitted_at = self._log.total
        # Before the log lets go of what is not summed up yet.
        grown = min(total * self._settings.solve_growth, total + self._settings.memory)
        self._next_solve = max(total + 1, grown)
        if self._settings.half_life is not None:  # the prior fades in as the outcomes fade out
            self._next_solve = min(self._next_solve, total + 1 + self._settings.half_life / 10)

    def _mean_reward(self) -> float:
        count = float(self._second[:, 0, 0].sum())
        return float(self._first[:, 0].sum()) / count if count > 0 else 0.0

    def _variance(self) -> float:
        """Of the rewards so far; 1 before there are two that differ."""
        count = float(self._second[:, 0, 0].sum())
        variance = self._square / count - self._mean_reward() ** 2 if count > 0 else 0.0
        return variance if variance > 0 else 1.0
