"""The reward model: the expected reward of each action, and the uncertainty of that.

A server holds one, and replaces it as a whole. It mixes experts by their stacking weights: linear
models that learn from every outcome, and boosted trees that are fitted now and then. `BanditState`
makes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from training.arrays import Bools, Floats, Indices, pack, unpack
from training.bandit.encoder import CHANNEL, Encoder
from training.bandit.trees import BoostedTrees
from training.contributions import Contributions

# Of the arrays of `RewardModel.to_bytes`, those that seldom change.
LASTING = ("center", "scale", "axes", "frequencies", "phases", "basis", "trees")


DISAGREE, CUT = 1.0, 1.0


class OutdatedModel(ValueError):
    """A reward model was serialised in a format that is not read any more."""


class Prediction(NamedTuple):
    """Predictions for each action: for n customers, or for one.

    Attributes
    ----------
    acceptance : shape (n, n_actions), or (n_actions,) for one customer
        Expected reward, within the range of rewards.
    deviation : same shape
        Standard deviation of the expected reward.
    expert_predictions : shape (n_experts, n, n_actions), or (n_experts, n_actions)
        Expected reward by each expert alone: the linear ones, then the trees. Recorded with a
        decision, so that the experts' errors are known when its outcome comes (`ExpertErrors`).
    """

    acceptance: Floats
    deviation: Floats
    expert_predictions: Floats

    def of_customer(self, index: int) -> Prediction:
        """Return the prediction for one of the n customers."""
        return Prediction(
            self.acceptance[index], self.deviation[index], self.expert_predictions[:, index]
        )


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
    weights : shape (n_linear, n_actions, width)
        Posterior mean of each linear expert's weights, of the difference from the prior reward.
    variance : shape (n_actions, width)
        Variance of the mixture along each axis of ``basis``, but for the first ones.
    covariance : shape (n_actions, n_inner, n_inner)
        Covariance of the mixture along the first axes of ``basis``.
    level_variance : shape (n_actions,)
        What the prior adds to the variance, the less the more outcomes there are.
    noise : float
        Mean squared error of the mixture. Experts that differ by more know little about a context.
    basis : shape (width, width)
        Orthonormal; its columns are the axes.
    expert_weights : shape (n_linear + 1,)
        Stacking weight of each linear expert and, last, of the trees; sum 1.
    reward_range : pair of floats
        No reward is below the first or above the second.
    trees : BoostedTrees or None
        None: not fitted yet.
    """

    encoder: Encoder
    actions: tuple[str, ...]
    prior: Floats
    prior_weight: Floats
    counted: Floats
    weights: Floats
    variance: Floats
    covariance: Floats
    level_variance: Floats
    noise: float
    basis: Floats
    expert_weights: Floats
    reward_range: tuple[float, float] = (0.0, 1.0)
    trees: BoostedTrees | None = None
    projections: Floats | None = None

    def predict(self, rows: Floats, channels: Sequence[str]) -> Prediction:
        """Predict the reward, its standard deviation, and the reward by each expert.

        Parameters
        ----------
        rows : shape (n, n_features)
        channels : n texts
        """
        n, (n_linear, n_actions, width) = len(rows), self.weights.shape
        vectors = self.encoder.encode(rows, channels)
        # One product for all linear experts and axes: for one customer, calls take the time.
        flat = vectors @ self._projections.T
        predictions = np.empty((n_linear + 1, n, n_actions))
        means = flat[:, :-width].reshape(n, n_linear, n_actions)
        np.add(means.swapaxes(0, 1), self.prior, out=predictions[:-1])
        mean = np.tensordot(self._linear_weights, predictions[:-1], 1)
        if self.trees is None:
            predictions[-1] = self.prior
        else:
            predictions[-1] = mean
            of_trees = self.trees.reward(rows, channels, self.actions)
            np.copyto(predictions[-1], of_trees, where=self._known_to_trees)
            mean = mean + float(self.expert_weights[-1]) * (predictions[-1] - mean)
        low, high = self.reward_range
        inside = np.minimum(np.maximum(mean, low), high)
        apart = np.square(predictions - mean).T @ self.expert_weights - CUT * self.noise
        deviation = self._deviation(flat[:, -width:], np.maximum(DISAGREE * apart.T, 0.0))
        return Prediction(inside, deviation, predictions)

    def _deviation(self, along: Floats, apart: Floats) -> Floats:
        """Standard deviation of the mean, for vectors along the axes, shape (n, n_actions)."""
        variance = np.square(along) @ self.variance.T + self.level_variance
        n_inner = self.covariance.shape[-1]
        flat = self.covariance.reshape(-1, n_inner)
        for row, inner in enumerate(along[:, :n_inner]):
            variance[row] += (flat @ inner).reshape(-1, n_inner) @ inner
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
            here = [float(CHANNEL + channel == name) for name in self.encoder.effect_names]
            of_features = np.zeros_like(effects)
            of_features[:, : len(row)] = found.effects[:, : len(row)]
            of_features += found.effects[:, [-1]] * here
            rest = 0.0 if any(here) else found.effects[:, -1]
            known = np.where(np.isnan(found.baseline), 0.0, weight)
            baseline = (1 - known) * baseline + known * np.nan_to_num(found.baseline + rest)
            effects = (1 - known)[:, None] * effects + known[:, None] * np.nan_to_num(of_features)
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
        counted = self._of(taken, self.counted, 0.0)
        before = self._of(taken, self.prior, 0.0), self._of(taken, self.prior_weight, 1.0)
        weights = self._of(taken, self.weights.swapaxes(0, 1), 0.0).swapaxes(0, 1)
        told = counted > 0  # the level of the outcomes alone is the prior plus w0 / (share)
        share = counted[told] / (before[1] + counted)[told]
        level = before[0][told] + weights[:, told, 0] / share
        weights[:, told, 0] = counted[told] / (prior_weight + counted)[told] * (level - prior[told])
        left = prior_weight / (prior_weight + counted)
        variance = self.noise * left**2 / prior_weight
        return replace(
            self,
            actions=tuple(priors),
            prior=prior,
            prior_weight=prior_weight,
            counted=counted,
            weights=weights,
            variance=self._of(taken, self.variance, 0.0),
            covariance=self._of(taken, self.covariance, 0.0),
            level_variance=variance,
            projections=None,
        )

    @staticmethod
    def _of(taken: Indices, values: Floats, new: Floats | float) -> Floats:
        """Rows of ``values``, by index; ``new`` for index -1."""
        last = np.broadcast_to(np.asarray(new, dtype=np.float64), values.shape[1:])
        found: Floats = np.concatenate([values, last[None]])[taken]
        return found

    def to_bytes(self) -> bytes:
        """Serialise the model without pickles; inverse of `from_bytes`."""
        note = {
            "actions": self.actions,
            "range": self.reward_range,
            "noise": self.noise,
            "trees": self.trees is not None and {**self.trees.note, "text": ""},
        }
        names = ("prior", "prior_weight", "counted", "level_variance", "weights", "expert_weights")
        arrays = {name: getattr(self, name) for name in names}
        # Variances need not be known to 16 digits, and of a covariance one triangle is enough.
        upper = np.triu_indices(self.covariance.shape[-1])
        arrays |= {name: getattr(self, name).astype(np.float32) for name in ("variance", "basis")}
        arrays["covariance"] = self.covariance[:, *upper].astype(np.float32)
        if self.trees is not None:
            arrays["trees"] = np.frombuffer(self.trees.text.encode(), dtype=np.uint8)
        return pack(self.encoder.note | note, **self.encoder.arrays, **arrays)

    @classmethod
    def from_bytes(cls, payload: bytes) -> RewardModel:
        """Read what `to_bytes` wrote.

        Raises
        ------
        OutdatedModel
            If a program wrote it in which linear experts did not share a basis yet.
        """
        note, arrays = unpack(payload)
        if "level_variance" not in arrays:
            raise OutdatedModel("a reward model of a former format")
        parts = {name: value.astype(np.float64) for name, value in arrays.items()}
        n_inner = int(np.sqrt(2 * parts["covariance"].shape[1]))
        upper = np.triu_indices(n_inner)
        covariance = np.zeros((len(note["actions"]), n_inner, n_inner))
        covariance[:, *upper] = parts["covariance"]
        covariance[:, upper[1], upper[0]] = parts["covariance"]
        return cls(
            encoder=Encoder.of(note, arrays),
            actions=tuple(note["actions"]),
            prior=parts["prior"],
            prior_weight=parts["prior_weight"],
            counted=parts["counted"],
            level_variance=parts["level_variance"],
            weights=parts["weights"],
            variance=parts["variance"],
            covariance=covariance,
            noise=note["noise"],
            basis=parts["basis"],
            expert_weights=parts["expert_weights"],
            reward_range=tuple(note["range"]),
            trees=BoostedTrees.of(note["trees"] | {"text": arrays["trees"].tobytes().decode()})
            if note["trees"]
            else None,
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
    def _known_to_trees(self) -> Bools:
        known = np.zeros(len(self.actions), dtype=bool)
        return known if self.trees is None else self.trees.knows(self.actions)


def normalised(weights: Floats) -> Floats:
    """Scale stacking weights to sum 1; if all are 0, the first expert gets 1."""
    total = float(weights.sum())
    among: Floats = weights / total if total > 0 else np.eye(len(weights))[0]
    return among
