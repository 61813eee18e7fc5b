"""The reward model: the expected acceptance of each action, and the uncertainty of that.

A server holds one, and replaces it as a whole. It mixes experts by their stacking weights: linear
models that learn from every outcome, and boosted trees that are fitted now and then. `BanditState`
makes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from training.arrays import Bools, Floats
from training.bandit.encoder import CHANNEL, Encoder
from training.bandit.linear import LinearPosterior
from training.bandit.serialization import pack, unpack
from training.bandit.trees import BoostedTrees
from training.contributions import Contributions

# Of the arrays of `RewardModel.to_bytes`, those that seldom change.
LASTING = ("center", "scale", "axes", "frequencies", "phases", "trees")
MAX_ACCEPTANCE = 0.999  # no acceptance is expected above it, or below 1 - MAX_ACCEPTANCE


class Prediction(NamedTuple):
    """Predictions for each action: for n customers, or for one.

    Attributes
    ----------
    acceptance : shape (n, n_actions), or (n_actions,) for one customer; strictly between 0 and 1
        Expected acceptance.
    deviation : same shape
        Standard deviation of the expected acceptance.
    expert_predictions : shape (n_experts, n, n_actions), or (n_experts, n_actions)
        Expected acceptance by each expert alone: the linear ones, then the trees. Recorded with a
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
    """Expected acceptance of each action: prior + weights x vector, mixed with the trees'.

    Attributes
    ----------
    actions : tuple of str
    prior : shape (n_actions,)
        Prior acceptance of each action, from the catalogue.
    weights : shape (n_actions, encoder.width)
        Mean of the linear experts' weights, by their stacking weights. They give the difference
        from the prior acceptance.
    posteriors : tuple of LinearPosterior
        The linear experts; empty, if only the mean is asked for.
    noise : shape (n_posteriors,)
        Factor on the variance of each posterior: its exploration scale squared, times the noise's
        variance where the posterior is per unit of noise.
    expert_weights : shape (n_posteriors + 1,)
        Stacking weight of each linear expert and, last, of the trees; sum 1.
    trees : BoostedTrees or None
        None: not fitted yet. They have no weight in the mean then.
    """

    encoder: Encoder
    actions: tuple[str, ...]
    prior: Floats
    weights: Floats
    posteriors: tuple[LinearPosterior, ...] = ()
    noise: Floats = field(default_factory=lambda: np.empty(0))
    expert_weights: Floats = field(default_factory=lambda: np.array([1.0, 0.0]))
    trees: BoostedTrees | None = None

    @classmethod
    def mixed(
        cls,
        encoder: Encoder,
        priors: Mapping[str, float],
        posteriors: tuple[LinearPosterior, ...],
        noise: Floats,
        expert_weights: Floats,
        trees: BoostedTrees | None = None,
    ) -> RewardModel:
        """Return the mixture of experts by their stacking weights."""
        linear = normalised(expert_weights[:-1])
        weights = np.einsum("h,haw->aw", linear, np.stack([one.weights for one in posteriors]))
        prior = np.array(list(priors.values()))
        return cls(encoder, tuple(priors), prior, weights, posteriors, noise, expert_weights, trees)

    def acceptance(self, rows: Floats, channels: Sequence[str]) -> Floats:
        """Predict the acceptance of each action.

        Parameters
        ----------
        rows : shape (n, n_features)
        channels : n texts

        Returns
        -------
        shape (n, n_actions), strictly between 0 and 1
        """
        linear = self.prior + self.encoder.encode(rows, channels) @ self.weights.T
        return self._mixed(linear, self._of_trees(rows, channels))

    def predict(self, rows: Floats, channels: Sequence[str]) -> Prediction:
        """Predict the acceptance, its standard deviation, and the acceptance by each expert.

        Parameters are those of `acceptance`.
        """
        n, n_posteriors = len(rows), len(self.posteriors)
        vectors = self.encoder.encode(rows, channels)
        # One product for the mixture and all linear experts: for one customer, calls take the time.
        flat = vectors @ self._all_weights
        by_expert = self.prior + flat.reshape(n, 1 + n_posteriors, -1).swapaxes(0, 1)
        linear = by_expert[0]
        of_trees = self._of_trees(rows, channels)
        predictions = np.empty_like(by_expert)
        predictions[:n_posteriors] = by_expert[1:]
        if of_trees is None:
            predictions[-1] = self.prior
        else:
            predictions[-1] = np.where(self._known_to_trees, of_trees, linear)
        deviation = self._deviation(vectors)
        return Prediction(self._mixed(linear, of_trees), deviation, _clip(predictions, 0.0, 1.0))

    def contributions(
        self, row: Floats, channel: str, actions: Sequence[str] | None = None
    ) -> Contributions:
        """Explain the acceptance for one customer by what each feature and the channel add.

        Baseline and effects add up to `acceptance` before it is clipped to be between 0 and 1. The
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
        baseline, effects = self.encoder.effects(self.weights[chosen], row, channel)
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

    def for_priors(self, priors: Mapping[str, float]) -> RewardModel:
        """Return the model for the actions and prior acceptances of another catalogue.

        A new action gets weights 0: its expected acceptance is its prior one.
        """
        row = {action: index for index, action in enumerate(self.actions)}
        width = self.encoder.width
        taken = np.array([row.get(action, -1) for action in priors], dtype=np.intp)
        return replace(
            self,
            actions=tuple(priors),
            prior=np.array(list(priors.values())),
            weights=np.vstack([self.weights.reshape(-1, width), np.zeros(width)])[taken],
            posteriors=tuple(one.for_actions(taken) for one in self.posteriors),
        )

    def to_bytes(self) -> bytes:
        """Serialise the model without pickles; inverse of `from_bytes`.

        Names of arrays and of the note are older than those of the attributes: snapshots that were
        published before keep being read.
        """
        note = {
            "actions": self.actions,
            "ridges": [one.ridge for one in self.posteriors],
            "trees": self.trees is not None and {**self.trees.note, "text": ""},
        }
        arrays = {"prior": self.prior, "weights": self.weights, "noise": self.noise}
        arrays |= {"shares": self.expert_weights}
        if self.trees is not None:
            arrays["trees"] = np.frombuffer(self.trees.text.encode(), dtype=np.uint8)
        if self.posteriors:
            arrays["head_weights"] = np.stack([one.weights for one in self.posteriors])
            # Variances need not be known to 16 digits, and they are most of a snapshot.
            variance = np.stack([one.variance for one in self.posteriors]).astype(np.float32)
            basis = np.stack([one.basis for one in self.posteriors]).astype(np.float32)
            arrays |= {"head_variance": variance, "head_basis": basis}  # type: ignore[dict-item]
        return pack(self.encoder.note | note, **self.encoder.arrays, **arrays)

    @classmethod
    def from_bytes(cls, payload: bytes) -> RewardModel:
        """Read what `to_bytes` wrote."""
        note, arrays = unpack(payload)
        parts: list[Any] = [
            np.asarray(arrays.get(f"head_{name}", []), dtype=np.float64)
            for name in ("weights", "variance", "basis")
        ]
        return cls(
            Encoder.of(note, arrays),
            tuple(note["actions"]),
            arrays["prior"],
            arrays["weights"],
            tuple(LinearPosterior(*one) for one in zip(*parts, note["ridges"], strict=True)),
            arrays["noise"],
            arrays["shares"],
            BoostedTrees.of(note["trees"] | {"text": arrays["trees"].tobytes().decode()})
            if note["trees"]
            else None,
        )

    @cached_property
    def _all_weights(self) -> Floats:
        """Weights of the mixture and of each posterior, shape (width, (1 + n) x n_actions)."""
        every = [self.weights, *(one.weights for one in self.posteriors)]
        return np.ascontiguousarray(np.concatenate(every).T)

    @cached_property
    def _by_basis(self) -> list[tuple[Floats, Floats, Floats]]:
        """For each basis: itself, and of the posteriors on it the variances, shape
        (width, n_posteriors x n_actions), times their noise, and their stacking weights."""
        found: list[tuple[Floats, list[Floats], list[float]]] = []
        weights = normalised(self.expert_weights[:-1]).tolist()
        for weight, noise, one in zip(weights, self.noise, self.posteriors, strict=False):
            if not found or not np.array_equal(found[-1][0], one.basis):
                found.append((one.basis, [], []))
            found[-1][1].append(noise * one.variance.T)
            found[-1][2].append(weight)
        return [
            (basis, np.ascontiguousarray(np.hstack(variances)), np.array(of_basis))
            for basis, variances, of_basis in found
        ]

    def _deviation(self, vectors: Floats) -> Floats:
        """Mean of the posteriors' standard deviations by their stacking weights."""
        deviation = np.zeros((len(vectors), len(self.actions)))
        for basis, variances, weights in self._by_basis:
            variance = (vectors @ basis) ** 2 @ variances
            deviation += weights @ np.sqrt(variance).reshape(len(vectors), len(weights), -1)
        return deviation

    def _of_trees(self, rows: Floats, channels: Sequence[str]) -> Floats | None:
        """The trees' predictions, ``nan`` for actions unknown to them; None without trees."""
        return None if self.trees is None else self.trees.reward(rows, channels, self.actions)

    @cached_property
    def _known_to_trees(self) -> Bools:
        known = np.zeros(len(self.actions), dtype=bool)
        return known if self.trees is None else self.trees.knows(self.actions)

    def _mixed(self, linear: Floats, of_trees: Floats | None) -> Floats:
        """Mix the linear and the trees' predictions; strictly between 0 and 1."""
        if of_trees is not None:
            weight = self.expert_weights[-1]
            both = (1 - weight) * linear + weight * of_trees
            linear = np.where(self._known_to_trees, both, linear)
        return _clip(linear, 1 - MAX_ACCEPTANCE, MAX_ACCEPTANCE)


def _clip(values: Floats, low: float, high: float) -> Floats:
    """Do what `numpy.clip` does, in a quarter of its time where there are few values."""
    found: Floats = np.minimum(np.maximum(values, low), high)
    return found


def normalised(weights: Floats) -> Floats:
    """Scale stacking weights to sum 1; if all are 0, the first expert gets 1."""
    total = float(weights.sum())
    among: Floats = weights / total if total > 0 else np.eye(len(weights))[0]
    return among
