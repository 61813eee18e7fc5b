"""Sums over decisions from which the effects of actions are solved: action-centred regression.

The action of a decision was drawn by known chances. Less its chance, the indicator of each action
has the mean 0 for every customer, whatever the features. So a baseline that is wrong costs
variance, and does not bend an effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from training.arrays import Floats
from training.effects.effect_blocks import EffectBlocks

CHUNK = 1_000  # decisions whose regressors are in memory at once
WEIGHTS = (1 / 16, 1 / 4, 1.0, 4.0)  # of the prior, times the given one
MOST_BY_BLOCK = 600  # width of the sums, up to which each block has a prior weight of its own
FACTOR = 64.0  # by which a block's may differ from that of all blocks together
# Powers of 2 that a weight is away from the given one, in standard deviations; and that of a mean.
STEP, STEP_OF_MEANS = 2.0, 1.0
# Decisions for each element of a vector. A baseline of hundreds of elements, fitted to the same few
# decisions, would take a large part of the effects along; so it takes a tenth at most.
BASELINE_RIDGE = 10.0
TINY = 1e-300
BASELINE_PRECISION = 10.0  # of each baseline weight, in decisions


class SolvedEffects(NamedTuple):
    """Posterior of the effects of one label.

    Attributes
    ----------
    weights : shape (n_actions, width)
        Effect of an action = weights . vector.
    covariance : shape (n_actions, width, width)
    noise : float
        Variance of the label around its prediction.
    """

    weights: Floats
    covariance: Floats
    noise: float


class _Posterior(NamedTuple):
    """Mean of all weights, lower Cholesky factor of their precision, and prior precision."""

    mean: Floats
    factor: Floats
    precision: Floats


def plain_baseline(vectors: Floats, label: Floats, weight: Floats | None = None) -> Floats:
    """Fit labels without regard to the action, to take noise away from the regressions.

    Parameters
    ----------
    vectors : shape (n, width)
    label : shape (n,) or (n, n_labels)
    weight : shape (n,)
        None: each decision counts once.

    Returns
    -------
    shape (width,) or (width, n_labels)
    """
    width = vectors.shape[1]
    weighted = (vectors if weight is None else vectors * weight[:, None]).T
    second = weighted @ vectors + BASELINE_RIDGE * width * np.eye(width)
    return np.asarray(np.linalg.solve(second, weighted @ label), dtype=np.float64)


class EffectSums:
    """Sums of the regression of one label; outcomes can be taken back.

    Parameters
    ----------
    level_prior : float or None
        Weight of the prior of a mean effect, in decisions; it is chosen by the labels too, apart
        from that of how effects differ. None: it is the same.
    level_sd : float
        Largest standard deviation of the prior of a mean effect: its weight is that of this one, if
        that is more than ``level_prior``. 0: it is not known.

    References
    ----------
    Greenewald, Tewari, Klasnja & Murphy (2017), "Action Centered Contextual Bandits", Algorithm 1;
    Krishnamurthy, Wu & Syrgkanis (2018), "Semiparametric Contextual Bandits", section 4;
    Nie & Wager (2021), "Quasi-oracle estimation of heterogeneous treatment effects".
    """

    def __init__(
        self, blocks: EffectBlocks, level_prior: float | None = None, level_sd: float = 0.0
    ) -> None:
        self.blocks, self._level_prior, self._level_sd = blocks, level_prior, level_sd
        self._second = np.zeros((blocks.total, blocks.total))
        self._first = np.zeros(blocks.total)
        self._square = self.counted = 0.0

    def add(self, vectors: Floats, centred: Floats, label: Floats, weight: Floats) -> None:
        """Add decisions; with negative weights equal ones are taken back.

        Parameters
        ----------
        vectors : shape (n, width)
        centred : shape (n, n_actions)
        label, weight : shape (n,)
        """
        for begin in range(0, len(label), CHUNK):
            part = slice(begin, begin + CHUNK)
            rows = self.blocks.regressors(vectors[part], centred[part])
            weighted = rows * weight[part, None]
            self._second += weighted.T @ rows
            self._first += label[part] @ weighted
        self._square += float(weight @ np.square(label))
        self.counted += float(weight.sum())

    def solve(self, prior_decisions: float, tried: Sequence[float] = WEIGHTS) -> SolvedEffects:
        """Solve for the effects.

        The weight of the prior is that of several under which the labels are likeliest, less some
        for each step away from the given one (MacKay 1992, "Bayesian Interpolation"). Where effects
        are large it is small, and where they are lost in noise it is large. Then each block has its
        own, if there are not too many: one action may do much where the others do nothing.

        Parameters
        ----------
        prior_decisions : float
            Weight of the prior effect, which is 0, in decisions.
        tried : sequence of float
            Weights of the prior that are tried, times the given one.
        """
        blocks, best = self.blocks, self._likeliest(prior_decisions, tried)
        found, factor = best.mean, best.factor
        spread, noise = cho_solve((factor, True), np.eye(blocks.total)), self._noise(best)
        weights = np.zeros((len(blocks.actions), blocks.width))
        covariance = np.zeros((len(blocks.actions), blocks.width, blocks.width))
        for action in range(len(blocks.actions)):
            of_action = np.zeros((blocks.width, blocks.total))
            for places in blocks.places(action):
                of_action[np.arange(blocks.width), places] = 1.0
            level = blocks.level(action)
            if level is not None:
                of_action[0, level] = 1.0
            weights[action] = of_action @ found
            used = np.flatnonzero(of_action.any(axis=0))
            part = of_action[:, used]
            covariance[action] = noise * part @ spread[np.ix_(used, used)] @ part.T
        return SolvedEffects(weights, covariance, noise)

    def _likeliest(self, prior_decisions: float, tried: Sequence[float]) -> _Posterior:
        """Find the weights of the prior: of all blocks together, then of each."""
        level = self._level_prior
        noise = self._noise(self._posterior(np.array([max(tried) * prior_decisions]), level))
        if level is not None and self._level_sd > 0:
            level = max(level, noise / self._level_sd**2)

        def found(times: Floats, of_means: float = 1.0) -> tuple[float, _Posterior]:
            of_level = None if level is None else of_means * level
            posterior = self._posterior(prior_decisions * times, of_level)
            away = np.square(np.log2(times) / STEP).sum()
            away += np.square(np.log2(of_means) / STEP_OF_MEANS)
            return self._evidence(posterior, noise) - float(away) / 2, posterior

        times = np.array([max(tried, key=lambda one: found(np.array([one]))[0])])
        of_means = 1.0
        if level is not None:
            of_means = max(tried, key=lambda one: found(times, one)[0])
        best = found(times, of_means)
        if self.blocks.total > MOST_BY_BLOCK:
            return best[1]
        times = np.repeat(times, self.blocks.block_of[-1])
        best = found(times, of_means)
        near = [other for other in tried if 1 / FACTOR <= other / times[0] <= FACTOR]
        for block in range(len(times)):
            for other in near:
                changed = times.copy()
                changed[block] = other
                if (one := found(changed, of_means))[0] > best[0]:
                    times, best = changed, one
        return best[1]

    def _posterior(self, weights: Floats, level: float | None = None) -> _Posterior:
        """Solve for all weights, with a prior of so many decisions for each block, or for all.

        The mean effects may have one of their own.
        """
        of_block = np.append(BASELINE_PRECISION, np.broadcast_to(weights, self.blocks.block_of[-1]))
        precision = of_block[self.blocks.block_of]
        if level is not None:
            precision[self.blocks.is_level] = level
        factor, _ = cho_factor(self._second + np.diag(precision), lower=True)
        return _Posterior(cho_solve((factor, True), self._first), factor, precision)

    def _noise(self, posterior: _Posterior) -> float:
        found = posterior.mean
        explained = 2 * found @ self._first - found @ self._second @ found
        return max(float(self._square - explained), 0.0) / max(self.counted, 1.0)

    def _evidence(self, posterior: _Posterior, noise: float) -> float:
        """Log of the probability of the labels, but for a constant."""
        fit = float(posterior.mean @ self._first) / max(noise, TINY)
        spread = 2 * np.log(posterior.factor.diagonal()).sum()
        return (fit - float(spread - np.log(posterior.precision).sum())) / 2
