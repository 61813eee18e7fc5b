"""What a server needs of the bandit: the chance that each action is accepted, and how sure that is.

Small, immutable, swapped in whole. It mixes experts: linear heads that learn from every outcome,
and trees that are fitted now and then; see `bandit_state` for where they come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from training.arrays import Bools, Floats, Indices
from training.bandit.encoder import CHANNEL, Encoder
from training.bandit.linear import LinearPosterior
from training.bandit.serialization import pack, unpack
from training.bandit.trees import Trees
from training.contributions import Contributions

# Of the arrays of `RewardModel.to_bytes`, those that stay for long.
LASTING = ("center", "scale", "axes", "frequencies", "phases", "trees")
SURE = 0.999  # no acceptance is believed closer to 0 or 1 than this allows


class Expectation(NamedTuple):
    """What is expected of each action for each of n customers.

    Attributes
    ----------
    mean : shape (n, n_actions), strictly between 0 and 1
    deviation : shape (n, n_actions)
        Standard deviation of what is believed of the mean.
    experts : shape (n_experts, n, n_actions)
        What each expert alone expects: the heads, then the trees. To be kept with a decision, so
        that the experts can be judged when its outcome comes (`stacking`).
    """

    mean: Floats
    deviation: Floats
    experts: Floats


@dataclass(frozen=True)
class RewardModel:
    """Expected acceptance of each action: prior + weights x vector, mixed with trees.

    Attributes
    ----------
    actions : tuple of str
    prior : shape (n_actions,)
        Acceptance the catalogue believes in.
    weights : shape (n_actions, encoder.width)
        Posterior mean of how a customer differs from that; of all heads together.
    heads : tuple of LinearPosterior
        The linear experts, one by one; none, if only the mean is asked for.
    noise : shape (n_heads,)
        Mean squared error of each head, times its caution squared.
    shares : shape (n_heads + 1,)
        How far each head and, last, the trees are believed; sum 1.
    trees : Trees or None
        None: not fitted yet; they have no share in the mean then.
    """

    encoder: Encoder
    actions: tuple[str, ...]
    prior: Floats
    weights: Floats
    heads: tuple[LinearPosterior, ...] = ()
    noise: Floats = field(default_factory=lambda: np.empty(0))
    shares: Floats = field(default_factory=lambda: np.array([1.0, 0.0]))
    trees: Trees | None = None

    @classmethod
    def mixed(
        cls,
        encoder: Encoder,
        priors: Mapping[str, float],
        heads: tuple[LinearPosterior, ...],
        noise: Floats,
        shares: Floats,
        trees: Trees | None = None,
    ) -> RewardModel:
        """One that believes each expert by its share."""
        linear = normalised(shares[:-1])
        weights = np.einsum("h,haw->aw", linear, np.stack([head.weights for head in heads]))
        prior = np.array(list(priors.values()))
        return cls(encoder, tuple(priors), prior, weights, heads, noise, shares, trees)

    def acceptance(self, rows: Floats, channels: Sequence[str]) -> Floats:
        """Chance that each action is accepted.

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

    def expect(self, rows: Floats, channels: Sequence[str]) -> Expectation:
        """Mean, standard deviation and each expert's own mean; see `acceptance`."""
        n, n_heads = len(rows), len(self.heads)
        vectors = self.encoder.encode(rows, channels)
        # One product for the mixture and all heads: of one customer, calls take the time.
        flat = vectors @ self._all_weights
        by_expert = self.prior + flat.reshape(n, 1 + n_heads, -1).swapaxes(0, 1)
        linear = by_expert[0]
        of_trees = self._of_trees(rows, channels)
        said = np.empty_like(by_expert)
        said[:n_heads] = by_expert[1:]
        if of_trees is None:
            said[-1] = self.prior
        else:
            said[-1] = np.where(self._known_to_trees, of_trees, linear)
        deviation = self._deviation(vectors)
        return Expectation(self._mixed(linear, of_trees), deviation, _between(said, 0.0, 1.0))

    def contributions(
        self, row: Floats, channel: str, actions: Sequence[str] | None = None
    ) -> Contributions:
        """What each feature and the channel add to the acceptance, for one customer.

        Baseline and effects add up to `acceptance` before that is kept between 0 and 1. The
        baseline is an average customer's on none of the channels; a feature that is unknown
        counts as average and adds 0, but for what the trees make of its absence. The parts:
        `Encoder.effects` of the heads, `Trees.effects` of the trees.

        Parameters
        ----------
        row : shape (n_features,)
        channel : str
        actions
            Some of ``self.actions``; all, if not given.

        Returns
        -------
        Contributions
            Of ``actions``, to the encoder's features and then its channels (named ``CHANNEL``
            and the channel).
        """
        wanted = self.actions if actions is None else tuple(actions)
        chosen = [self.actions.index(action) for action in wanted]
        baseline, effects = self.encoder.effects(self.weights[chosen], row, channel)
        baseline = baseline + self.prior[chosen]
        share = float(self.shares[-1])
        if self.trees is not None and share > 0:
            found = self.trees.effects(row, channel, wanted)
            here = [float(CHANNEL + channel == name) for name in self.encoder.named]
            of_features = np.zeros_like(effects)
            of_features[:, : len(row)] = found.effects[:, : len(row)]
            of_features += found.effects[:, [-1]] * here
            rest = 0.0 if any(here) else found.effects[:, -1]
            known = np.where(np.isnan(found.baseline), 0.0, share)
            baseline = (1 - known) * baseline + known * np.nan_to_num(found.baseline + rest)
            effects = (1 - known)[:, None] * effects + known[:, None] * np.nan_to_num(of_features)
        return Contributions(wanted, self.encoder.named, baseline, effects)

    def for_priors(self, priors: Mapping[str, float]) -> RewardModel:
        """The same knowledge for today's catalogue: its actions, its priors.

        An action that is new gets weights 0: it is expected to do as its prior says.
        """
        row = {action: index for index, action in enumerate(self.actions)}
        taken = np.array([row.get(action, -1) for action in priors], dtype=np.intp)
        return replace(
            self,
            actions=tuple(priors),
            prior=np.array(list(priors.values())),
            weights=_rearranged(self.weights, taken, np.zeros(self.encoder.width)),
            heads=tuple(head.rearranged(taken) for head in self.heads),
        )

    def to_bytes(self) -> bytes:
        """All of it, without pickles."""
        note = {
            "actions": self.actions,
            "ridges": [head.ridge for head in self.heads],
            "trees": self.trees is not None and {**self.trees.note, "text": ""},
        }
        arrays = {"prior": self.prior, "weights": self.weights, "noise": self.noise}
        arrays |= {"shares": self.shares}
        if self.trees is not None:
            arrays["trees"] = np.frombuffer(self.trees.text.encode(), dtype=np.uint8)
        if self.heads:
            arrays["head_weights"] = np.stack([head.weights for head in self.heads])
            # How sure one is need not be known to 16 digits; this is most of a snapshot.
            variance = np.stack([head.variance for head in self.heads]).astype(np.float32)
            basis = np.stack([head.basis for head in self.heads]).astype(np.float32)
            arrays |= {"head_variance": variance, "head_basis": basis}  # type: ignore[dict-item]
        return pack(self.encoder.note | note, **self.encoder.arrays, **arrays)

    @classmethod
    def from_bytes(cls, payload: bytes) -> RewardModel:
        """What `to_bytes` wrote."""
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
            Trees.of(note["trees"] | {"text": arrays["trees"].tobytes().decode()})
            if note["trees"]
            else None,
        )

    @cached_property
    def _all_weights(self) -> Floats:
        """Of the mixture and of each head, shape (width, (1 + n_heads) x n_actions)."""
        every = [self.weights, *(head.weights for head in self.heads)]
        return np.ascontiguousarray(np.concatenate(every).T)

    @cached_property
    def _bases(self) -> list[tuple[Floats, Floats, Floats]]:
        """For each basis, what `_deviation` needs of the heads on it: the basis, their variances,
        shape (width, n_heads x n_actions), times their noise, and their shares."""
        found: list[tuple[Floats, list[Floats], list[float]]] = []
        shares = normalised(self.shares[:-1]).tolist()
        for share, noise, head in zip(shares, self.noise, self.heads, strict=False):
            if not found or not np.array_equal(found[-1][0], head.basis):
                found.append((head.basis, [], []))
            found[-1][1].append(noise * head.variance.T)
            found[-1][2].append(share)
        return [
            (basis, np.ascontiguousarray(np.hstack(variances)), np.array(shares))
            for basis, variances, shares in found
        ]

    def _deviation(self, vectors: Floats) -> Floats:
        """Of the heads, each by its share; they mostly stand on one basis."""
        deviation = np.zeros((len(vectors), len(self.actions)))
        for basis, variances, shares in self._bases:
            variance = (vectors @ basis) ** 2 @ variances
            deviation += shares @ np.sqrt(variance).reshape(len(vectors), len(shares), -1)
        return deviation

    def _of_trees(self, rows: Floats, channels: Sequence[str]) -> Floats | None:
        """What the trees expect, ``nan`` of actions that they do not know; None without trees."""
        return None if self.trees is None else self.trees.reward(rows, channels, self.actions)

    @cached_property
    def _known_to_trees(self) -> Bools:
        known = np.zeros(len(self.actions), dtype=bool)
        return known if self.trees is None else self.trees.knows(self.actions)

    def _mixed(self, linear: Floats, of_trees: Floats | None) -> Floats:
        """What heads and trees expect together, kept strictly between 0 and 1."""
        if of_trees is not None:
            share = self.shares[-1]
            both = (1 - share) * linear + share * of_trees
            linear = np.where(self._known_to_trees, both, linear)
        return _between(linear, 1 - SURE, SURE)


def _between(values: Floats, low: float, high: float) -> Floats:
    """Like `numpy.clip`, in a quarter of the time where there are few."""
    found: Floats = np.minimum(np.maximum(values, low), high)
    return found


def normalised(shares: Floats) -> Floats:
    """Shares of the heads among themselves; the first stands in where none has any."""
    total = float(shares.sum())
    among: Floats = shares / total if total > 0 else np.eye(len(shares))[0]
    return among


def _rearranged(values: Floats, taken: Indices, fresh: Floats) -> Floats:
    """Rows of values by index, ``fresh`` where that is -1."""
    padded = np.vstack([values.reshape(-1, len(fresh)), fresh])
    return padded[taken]


class Prediction(NamedTuple):
    """What is believed of each action of a catalogue, for one customer.

    Attributes
    ----------
    acceptance : shape (n_actions,)
    deviation : shape (n_actions,)
        How sure that is: its standard deviation.
    experts : shape (n_experts, n_actions)
        What each expert alone expects; kept with the decision, so that they can be judged.
    """

    acceptance: Floats
    deviation: Floats
    experts: Floats
