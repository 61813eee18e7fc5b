"""The reward model: the expected reward of each action, and the uncertainty of that.

A server holds one, and replaces it as a whole. It mixes experts by their stacking weights: linear
models that learn from every outcome, and boosted trees that are fitted now and then. `BanditState`
makes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from features.outcomes.examination import Looks
from training import arrays
from training.arrays import Floats, Indices
from training.bandit.encoder import CHANNEL, Encoder
from training.bandit.stacking import Prediction, normalised
from training.bandit.trees import BoostedTrees
from training.contributions import Contributions
from training.models import binary_variance


@dataclass(frozen=True)
class RewardModel:
    """Expected reward of each action: prior + weights x vector, mixed with the trees'.

    Attributes
    ----------
    actions : tuple of str
    prior : shape (n_actions,)
        Prior reward of each action.
    prior_weight : shape (n_actions,)
        The weight of the prior, in outcomes.
    counted : shape (n_actions,)
        Sum of the weights of the outcomes.
    rate : shape (n_actions,)
        Mean reward of the outcomes; NaN where there are none.
    drift : shape (n_linear, n_actions)
        Share of the level of the lasting experts in the level of one that forgets; else 1.
    weights : shape (n_linear, n_actions, width)
        Posterior mean of each linear expert's weights, of the difference from the prior reward.
    variance : shape (n_actions, width)
        Variance of the mixture along each axis of ``basis``, but for the first ones, divided by
        the noise of the action's rewards and by the share of the outcomes in its level.
    covariance : shape (n_actions, n_inner, n_inner)
        Covariance of the mixture along the first axes of ``basis``, divided likewise.
    noise : float
        Mean squared error of the mixture. Experts that differ by more know little about a context.
    dispersion : float or None
        The noise of an action's rewards is so many times p (1 - p), with p their mean; None: they
        are not probabilities, and have the noise ``noise``.
    basis : shape (width, width)
        Orthonormal; its columns are the axes.
    expert_weights : shape (n_linear + 1,)
        Stacking weight of each linear expert and, last, of the trees; sum 1.
    reward_range : pair of floats
        No reward is below the first or above the second.
    trees : BoostedTrees or None
        None: not fitted yet.
    looks : mapping
        The examination probabilities of ranks, by channel; see `features.outcomes.examination`.
    """

    encoder: Encoder
    actions: tuple[str, ...]
    prior: Floats
    prior_weight: Floats
    counted: Floats
    rate: Floats
    drift: Floats
    weights: Floats
    variance: Floats
    covariance: Floats
    noise: float
    basis: Floats
    expert_weights: Floats
    reward_range: tuple[float, float] = (0.0, 1.0)
    trees: BoostedTrees | None = None
    dispersion: float | None = None
    projections: Floats | None = None
    looks: Looks = field(default_factory=dict)

    def predict(self, rows: Floats, channels: Sequence[str]) -> Prediction:
        """Predict the reward, its standard deviation, and the reward by each expert.

        Parameters
        ----------
        rows : shape (n, n_features)
        channels : n texts
        """
        vectors = self.encoder.encode(rows, channels)
        # One product for all linear experts and axes: for one customer, calls take the time.
        flat = vectors @ self._projections.T
        return self._predicted(flat, self._of_trees(rows, channels))

    def predict_each(self, rows: Floats, channels: Sequence[str]) -> list[Prediction]:
        """Predict for n customers, for each to the bit as `predict` does for this one alone.

        It takes less time than n calls; `predict` takes less still, and rounds otherwise.

        Returns
        -------
        list of Prediction
            Each as of `Prediction.of_customer`.
        """
        vectors = self.encoder.encode(rows, channels, arrays.product_by_row)
        flat = arrays.product_by_row(vectors, self._projections.T)
        of_trees = self._of_trees(rows, channels)
        found = []
        for number in range(len(rows)):
            one = slice(number, number + 1)
            mine = None if of_trees is None else of_trees[one]
            found.append(self._predicted(flat[one], mine).of_customer(0))
        return found

    def _of_trees(self, rows: Floats, channels: Sequence[str]) -> Floats | None:
        """The rewards that the trees predict, shape (n, n_known); None without trees."""
        known, _ = self._known_to_trees
        return None if self.trees is None else self.trees.reward(rows, channels, known)

    def _predicted(self, flat: Floats, of_trees: Floats | None) -> Prediction:
        """Mix the experts' predictions.

        Parameters
        ----------
        flat : shape (n, n_linear x n_actions + width)
            Vectors, along the weights and along the axes.
        """
        n, (n_linear, n_actions, width) = len(flat), self.weights.shape
        predictions = np.empty((n_linear + 1, n, n_actions))
        means = flat[:, :-width].reshape(n, n_linear, n_actions)
        np.add(means.swapaxes(0, 1), self.prior, out=predictions[:-1])
        # The prior is not multiplied by weights, so that without outcomes it stays what it is.
        of_each = means.swapaxes(1, 2).reshape(-1, n_linear)
        mean = self.prior + np.dot(of_each, self._linear_weights).reshape(n, n_actions)
        if of_trees is None:
            predictions[-1] = self.prior
        else:
            predictions[-1] = mean
            predictions[-1][:, self._known_to_trees[1]] = of_trees
            mean = mean + float(self.expert_weights[-1]) * (predictions[-1] - mean)
        low, high = self.reward_range
        inside = np.minimum(np.maximum(mean, low), high)
        # Experts that differ by more than the noise know little about this context.
        apart = np.square(predictions - mean).T @ self.expert_weights - self.noise
        deviation = self._deviation(flat[:, -width:], np.maximum(apart.T, 0.0))
        return Prediction(inside, deviation, predictions)

    def _deviation(self, along: Floats, apart: Floats) -> Floats:
        """Standard deviation of the mean, for vectors along the axes, shape (n, n_actions)."""
        variance = np.square(along) @ self.variance.T
        n_inner = self.covariance.shape[-1]
        flat = self.covariance.reshape(-1, n_inner)
        for row, inner in enumerate(along[:, :n_inner]):
            variance[row] += (flat @ inner).reshape(-1, n_inner) @ inner
        learned, of_prior = self._scales
        variance = variance * learned + of_prior
        return np.sqrt(variance + apart)

    def acceptance(self, rows: Floats, channels: Sequence[str]) -> Floats:
        """Predict the expected reward of each action, shape (n, n_actions)."""
        return self.predict(rows, channels).acceptance

    def contributions(
        self, row: Floats, channel: str, actions: Sequence[str] | None = None
    ) -> Contributions:
        """Explain the expected reward for one customer by what each feature and the channel add.

        Baseline and effects add up to the mean before it is cut to the range of rewards. The
        baseline is that of an average customer on none of the channels. A feature that is unknown
        counts as average and adds 0, but for what the trees make of its absence. The effects are
        those of `Encoder.effects` and of `BoostedTrees.effects`, by the trees' stacking weight.

        Parameters
        ----------
        row : shape (n_features,)
        channel : str
        actions
            Some of ``self.actions``; default: all.

        Returns
        -------
        Contributions
            Scores of ``actions``; features are the encoder's, then its channels (named ``CHANNEL``
            and the channel).
        """
        wanted = self.actions if actions is None else tuple(actions)
        chosen = [self.actions.index(action) for action in wanted]
        linear = np.tensordot(self._linear_weights, self.weights[:, chosen], 1)
        baseline, effects = self.encoder.effects(linear, row, channel)
        baseline = baseline + self.prior[chosen]
        weight = float(self.expert_weights[-1])
        if self.trees is not None and weight > 0:
            found = self.trees.effects(row, channel, wanted)
            here = np.array([CHANNEL + channel == name for name in self.encoder.effect_names])
            baseline, effects = found.mixed_with(baseline, effects, here, weight)
        return Contributions(wanted, self.encoder.effect_names, baseline, effects)

    def for_priors(self, priors: Mapping[str, tuple[float, float]]) -> RewardModel:
        """Return the model for the actions and priors of another catalogue.

        A prior replaces the earlier one: the level that the outcomes tell stays, and is mixed with
        the new prior by their weights. A new action gets weights 0: its expected reward is its
        prior one.

        Parameters
        ----------
        priors
            For each action, its prior reward and the weight of that, in outcomes.
        """
        place = {action: index for index, action in enumerate(self.actions)}
        taken = np.array([place.get(action, -1) for action in priors], dtype=np.intp)
        prior, prior_weight = np.array(list(priors.values()), dtype=np.float64).reshape(-1, 2).T
        counted = arrays.by_index(taken, self.counted, 0.0)
        rate = arrays.by_index(taken, self.rate, np.nan)
        earlier = arrays.by_index(taken, self.prior, 0.0)
        was = binary_variance.share_of_prior(
            arrays.by_index(taken, self.prior_weight, 1.0), counted
        )
        share = binary_variance.share_of_prior(prior_weight, counted)
        weights = arrays.by_index(taken, self.weights.swapaxes(0, 1), 0.0).swapaxes(0, 1)
        # The level of the outcomes alone stays; an action without any has weights of its group.
        told = np.where(counted > 0, weights[:, :, 0] / np.where(was < 1, 1 - was, 1.0), 0.0)
        before = earlier + weights[:, :, 0]
        level = np.where(counted > 0, share * prior + (1 - share) * (earlier + told), prior)
        # One that forgets starts from those that last.
        drift = arrays.by_index(taken, self.drift.T, 1.0).T
        lasts = (self.drift == 1).all(axis=1)
        moved = normalised(np.where(lasts, self.expert_weights[:-1], 0.0)) @ (level - before)
        level = np.where(lasts[:, None], level, before + drift * moved)
        weights[:, :, 0] = level - prior
        dispersion = self.dispersion
        if dispersion is not None and counted.any():
            each = binary_variance.rate_variance(prior, rate, share)
            dispersion = binary_variance.dispersion_of(self.noise, each, counted)
        return replace(
            self,
            actions=tuple(priors),
            dispersion=dispersion,
            drift=drift,
            prior=prior,
            prior_weight=prior_weight,
            counted=counted,
            rate=rate,
            weights=weights,
            variance=arrays.by_index(taken, self.variance, 0.0),
            covariance=arrays.by_index(taken, self.covariance, 0.0),
            projections=None,
        )

    @cached_property
    def _projections(self) -> Floats:
        width = len(self.basis)
        if self.projections is not None:
            return self.projections
        return np.vstack([self.weights.reshape(-1, width), self.basis.T])

    @cached_property
    def _linear_weights(self) -> Floats:
        return normalised(self.expert_weights[:-1])

    @cached_property
    def _share(self) -> Floats:
        return binary_variance.share_of_prior(self.prior_weight, self.counted)

    @cached_property
    def _noises(self) -> Floats:
        """Noise of the rewards of each action, shape (n_actions,)."""
        if self.dispersion is None:
            return np.full(len(self.actions), self.noise)
        return self.dispersion * binary_variance.rate_variance(self.prior, self.rate, self._share)

    @cached_property
    def _scales(self) -> tuple[Floats, Floats]:
        """Factor of the learned variance of each action, and the variance that its prior adds."""
        share = self._share
        return self._noises * (1 - share), self._noises * share**2 / self.prior_weight

    @cached_property
    def _known_to_trees(self) -> tuple[tuple[str, ...], Indices]:
        """The actions that the trees were fitted on, and their positions."""
        fitted = () if self.trees is None else self.trees.actions
        known = {name: at for at, name in enumerate(self.actions) if name in fitted}
        return tuple(known), np.array(list(known.values()), dtype=np.intp)
