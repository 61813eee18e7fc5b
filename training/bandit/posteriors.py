"""Posteriors of the linear experts: Bayesian ridge regression of each action's rewards.

They are solved from sums (`ActionStatistics`), and again only where the sums have changed. The
whole posterior covariance of an action is too large to be published every second and to be
multiplied in every decision. So all vectors are turned to their common principal axes. The
covariance along the first `EXACT_AXES` of them is kept whole, along the others only its diagonal.
With the diagonal alone, an action that is often tried with most customers would look certain for
the few with whom it was never tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from training.arrays import Bools, Floats
from training.bandit.encoder import Encoder
from training.bandit.reward_model import RewardModel
from training.bandit.stacking import ExpertErrors, mixed_with_evidence, normalised
from training.bandit.statistics import ActionStatistics
from training.bandit.trees import BoostedTrees
from training.models import binary_variance, ridge
from training.params import BanditParams

Priors = Mapping[str, tuple[float, float]]  # of each action: reward, weight in outcomes

EXACT_AXES = 32
GROWTH = 1.3  # everything is solved again at so many times as many outcomes
WEIGHTS_GROWTH = 1.05  # stacking weights and noise are updated at so many times as many
STALE = 0.02  # an action is solved again when it has so many times as many outcomes
DRIFTED = 0.02  # and when old outcomes have decayed by this share
REMIXED = 0.01  # all variances are mixed again when a share in them has changed by more
AT_ONCE = 40  # actions that are solved again, at most, because of decay alone
GROUP_WEIGHT = 20.0  # outcomes of its own after which an action is half free of its group
DRIFT_PRIOR = 30.0  # precision, in outcomes, of the prior that an action's level has not changed


class LearnedSums(Protocol):
    """The part of `BanditState` from which posteriors are solved."""

    encoder: Encoder
    params: BanditParams
    statistics: dict[float | None, ActionStatistics]
    newest: float
    counted: float
    trees: BoostedTrees | None

    @property
    def first(self) -> ActionStatistics: ...
    def recent_errors(self) -> ExpertErrors: ...
    def variance(self) -> float: ...


class LinearPosteriors:
    """Posteriors of the linear experts for the actions of a catalogue.

    Parameters
    ----------
    state : LearnedSums
        Its sums are read, and told about the axes.
    priors
        For each action, its prior reward and the weight of that, in outcomes. Or the names of the
        actions: their prior is then the mean reward of all outcomes, which counts as one.
    groups
        Group of each action. The prior weights of an action, but for its level, are those of the
        outcomes of the other actions of its group. They fade as it gets outcomes of its own.
    """

    def __init__(
        self, state: LearnedSums, priors: Priors | Sequence[str], groups: Mapping[str, str]
    ) -> None:
        self._state, self._given, self._groups = state, _kept(priors), dict(groups)
        self._experts = state.params.linear_experts
        self._lasts = np.array([one.half_life_decisions is None for one in self._experts])
        self._order = np.argsort(~self._lasts, kind="stable").tolist()  # those that forget: last
        self.actions = tuple(priors)
        n_linear, n, width = len(self._experts), len(self.actions), state.encoder.width
        self._k = min(EXACT_AXES, width)
        # The rows by which every vector is multiplied: all weights, then the axes.
        self.projections = np.zeros((n_linear * n + width, width))
        self.weights = self.projections[:-width].reshape(n_linear, n, width)
        self._variance = np.zeros((n_linear, n, width))
        self._covariance = np.zeros((n_linear, n, self._k, self._k))
        self._shares = np.full(n_linear, -1.0)  # of the experts in the variances
        self._drift = np.ones((n_linear, n))
        self._left, self._determinant = np.zeros((2, n_linear, n))  # see `ridge.log_evidence`
        # When an action was solved: its changes, the retractions among them, and the time.
        self._solved_at = np.full((n_linear, n), -1)
        self._retracted_at = np.zeros((n_linear, n), dtype=np.int64)
        self._solved_time = np.zeros((n_linear, n))
        self._all_at = self._weights_at = np.inf  # outcomes when solved, and weighted, last
        self._scale = np.array([one.exploration_scale**2 for one in self._experts])
        self._lasting = self._lasts / max(self._lasts.sum(), 1)

    def serve(self, priors: Priors | Sequence[str], groups: Mapping[str, str]) -> bool:
        """Tell if these are the posteriors for some priors and groups."""
        mine = self.actions, self._given, self._groups
        return (tuple(priors), _kept(priors), groups) == mine

    def model(self, reward_range: tuple[float, float], weights_first: bool = False) -> RewardModel:
        """Solve what has changed, and return the reward model.

        The model's arrays belong to this object: the next call changes them.

        Parameters
        ----------
        reward_range
            See `RewardModel`.
        weights_first
            Weigh the experts before those that forget are solved, and by evidence until their
            errors tell. Not so versions of the registry: their decisions are repeated to the byte.
        """
        counted, self._by_evidence = self._state.counted, weights_first
        if not self._all_at / GROWTH <= counted <= self._all_at * GROWTH:
            self._turn()
            self._solve_each(lambda number: list(range(len(self.actions))), True, weights_first)
        else:
            within = self._weights_at / WEIGHTS_GROWTH, self._weights_at * WEIGHTS_GROWTH
            self._solve_each(self._changed, not within[0] <= counted <= within[1], True)
        among, (told, rate) = self._shares * self._scale, self._told()
        priors = self._prior, self._prior_weight
        dispersion = binary_variance.dispersion_of_rates(self._noise, *priors, rate, told)
        return RewardModel(
            encoder=self._state.encoder,
            actions=self.actions,
            prior=self._prior,
            prior_weight=self._prior_weight,
            counted=told,
            rate=rate,
            drift=self._drift,
            weights=self.weights,
            variance=np.tensordot(among, self._variance, 1),
            covariance=np.tensordot(among, self._covariance, 1),
            noise=self._noise,
            basis=self._basis,
            expert_weights=self.expert_weights,
            reward_range=reward_range,
            trees=self._state.trees,
            dispersion=dispersion if isinstance(self._given, Mapping) else None,
            projections=self.projections,
        )

    def _told(self) -> tuple[Floats, Floats]:
        """Sum of the weights, and mean, of each action's outcomes, shapes (n_actions,)."""
        sums = self._state.first
        counted = np.array([max(sums.counted(action), 0.0) for action in self.actions])
        rates = np.array([sums.rate(action) for action in self.actions])
        return counted, np.where(counted > 0, rates, np.nan)

    def _turn(self) -> None:
        """Turn to the principal axes of all vectors."""
        state, width = self._state, self._state.encoder.width
        self._all_at = state.counted
        count, total, _ = state.first.pooled
        if isinstance(self._given, Mapping):
            priors = list(self._given.values())
        else:
            priors = [(total / count if count > 0 else 0.0, 1.0)] * len(self.actions)
        self._prior, self._prior_weight = np.array(priors, dtype=np.float64).reshape(-1, 2).T
        self._basis = state.first.principal_axes()
        self.projections[-width:] = self._basis.T
        for sums in state.statistics.values():
            sums.turn_to(self._basis, self._k)
        self._group_weights = self._of_groups()

    def _solve_each(self, wanted: Callable[[int], list[int]], weigh: bool, first: bool) -> None:
        """Solve for the wanted actions; ``first``: weigh before those that forget are solved."""
        for number in self._order:
            if weigh and first and not self._lasts[number]:
                self._update_weights()
                weigh = False
            self._solve_these(number, wanted(number))
        if weigh:
            self._update_weights()

    def _changed(self, number: int) -> list[int]:
        """The actions whose outcomes have grown or decayed enough."""
        sums = self._sums(number)
        grown = sums.changes(self.actions) > (1 + STALE) * self._solved_at[number]
        grown |= sums.changes(self.actions, retracted=True) != self._retracted_at[number]
        return [*grown.nonzero()[0].tolist(), *self._decayed(number, grown)]

    def _decayed(self, number: int, solved: Bools) -> list[int]:
        """The other actions whose outcomes have decayed enough: those that did so most, if many."""
        sums = self._sums(number)
        if sums.decay.half_life is None:
            return []
        age = self._state.newest - self._solved_time[number]
        left = np.exp2(-age / sums.decay.half_life)
        left[solved | ~np.array([sums.knows(action) for action in self.actions])] = 1.0
        oldest = np.argsort(left, kind="stable")[:AT_ONCE].tolist()
        return [index for index in oldest if left[index] < 1 - DRIFTED]

    def _sums(self, number: int) -> ActionStatistics:
        return self._state.statistics[self._experts[number].half_life_decisions]

    def _solve_these(self, number: int, indices: list[int]) -> None:
        for index in indices:
            self._solve(number, index)
        changes = self._sums(number).changes
        self._solved_at[number, indices] = changes(self.actions)[indices]
        self._retracted_at[number, indices] = changes(self.actions, retracted=True)[indices]
        self._solved_time[number, indices] = self._state.newest

    def _of_groups(self) -> dict[tuple[int, int], Floats]:
        """Weights of the outcomes of the other actions of a group, by lasting expert and action."""
        sums, found = self._state.first, {}
        members: dict[str, list[int]] = {}
        for index, action in enumerate(self.actions):
            if action in self._groups:
                members.setdefault(self._groups[action], []).append(index)
        for group in members.values():
            known = [index for index in group if sums.knows(self.actions[index])]
            if len(group) < 2 or not known:
                continue
            told = {n: sums.centred(self.actions[n], self._prior[n])[:2] for n in known}
            level = float(self._prior_weight[known].sum())
            for number in np.flatnonzero(self._lasts).tolist():
                penalty = self._penalty(number, level)
                for index, weights in ridge.ridge_of_others(told, group, penalty).items():
                    weights[0] = 0.0
                    found[number, index] = weights
        return found

    def _penalty(self, number: int, level: float) -> Floats:
        penalty = np.full(self._state.encoder.width, self._experts[number].ridge)
        penalty[0] = level
        return penalty

    def _start(self, number: int, index: int) -> Floats:
        """Prior mean of an action's weights."""
        # An expert that forgets learns what has changed: it starts from the mixture of the others.
        if self._experts[number].half_life_decisions is not None:
            return np.asarray(self._lasting @ self.weights[:, index])
        of_group = self._group_weights.get((number, index), np.zeros(self.weights.shape[-1]))
        own = max(self._state.first.counted(self.actions[index]), 0.0)
        return of_group * (GROUP_WEIGHT / (GROUP_WEIGHT + own))

    def _solve(self, number: int, index: int) -> None:
        """Solve for the weights of an expert for an action, and for their variance."""
        expert, action = self._experts[number], self.actions[index]
        sums = self._sums(number)
        shrink = sums.decay.shrink(self._state.newest)
        forgets = expert.half_life_decisions is not None
        level = DRIFT_PRIOR if forgets else float(self._prior_weight[index])
        if forgets:
            kept = shrink * max(sums.counted(action), 0.0)
            self._drift[number, index] = DRIFT_PRIOR / (DRIFT_PRIOR + kept)
        penalty, start = self._penalty(number, level), self._start(number, index)
        inner, along = np.zeros((self._k, self._k)), np.zeros(len(start))
        self.weights[number, index] = start
        if sums.knows(action):
            second, first, square = sums.centred(action, self._prior[index])
            fit = ridge.ridge_from_sums(shrink * second, shrink * first, penalty, start)
            self.weights[number, index] = fit.weights
            self._left[number, index] = shrink * square - fit.explained
            self._determinant[number, index] = fit.log_determinant
            inner, along = (shrink * one for one in sums.precision(action))
        what = inner, along, expert.ridge, level, self._basis[0]
        variance, self._covariance[number, index] = ridge.posterior_variance(*what)
        self._variance[number, index, self._k :] = variance[self._k :]

    def _update_weights(self) -> None:
        """Update the stacking weights, and the noise by which posteriors are scaled.

        The noise is the mean squared error of the mixture, trees included; the variance of rewards
        counts as one outcome of it.
        """
        state, params = self._state, self._state.params
        self._weights_at = state.counted
        errors, variance = state.recent_errors(), state.variance()
        if isinstance(self._given, Mapping) and not state.counted:
            variance = binary_variance.mean_variance(self._prior) or variance
        handicaps = np.array([*(one.handicap for one in self._experts), params.trees.handicap])
        weights = errors.expert_weights(handicaps * variance)
        if state.trees is None:
            weights = np.append(normalised(weights[:-1]), 0.0)
        told = errors.told() / variance if self._by_evidence else np.inf
        weights = mixed_with_evidence(weights, self._evidence(variance), handicaps, told)
        self.expert_weights = weights
        self._lasting = normalised(np.where(self._lasts, weights[:-1], 0.0))
        among = normalised(weights[:-1])
        if np.abs(among - self._shares).max() > REMIXED:
            self._shares = among
        total = max(float(weights @ errors.products @ weights), 0.0)
        self._noise = (variance + total) / (1.0 + max(errors.count, 0.0))

    def _evidence(self, variance: float) -> Floats:
        """Log evidence of each linear expert that lasts; ``-inf`` of the others."""
        left = np.maximum(self._left.sum(axis=1), 0.0) + variance  # which counts as one outcome
        count = max(self._state.first.pooled[0], 0.0) + 1.0
        found = ridge.log_evidence(left, self._determinant.sum(axis=1), count)
        return np.append(np.where(self._lasts, found, -np.inf), -np.inf)


def _kept(priors: Priors | Sequence[str]) -> Priors | tuple[str, ...]:
    """A copy of the priors: the caller may edit theirs."""
    return dict(priors) if isinstance(priors, Mapping) else tuple(priors)
