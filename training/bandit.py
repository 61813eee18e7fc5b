"""What we expect of each action: a reward model that learns from every outcome.

* `Posterior` counts outcomes. It is a sum, so outcomes may come in any order, be taken back, or
  be revised, and a learner that restarts ends where one that never stopped would be.
* `RewardModel` is what a server needs to know of it: the chance that a customer accepts each
  action. Small, immutable, swapped in whole.

How actions are tried that we do not know yet is in `training/exploration.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import InvalidSetting
from training.array_file import pack, unpack
from training.contributions import Contributions

Floats = NDArray[np.float64]

CLIP = 3.0  # standard deviations: one odd customer must not move a linear model
SURE = 0.999  # no acceptance is believed closer to 0 or 1 than this allows
CHANNEL = "channel="  # begins the name of a channel's 0/1; no feature is called so


@dataclass(frozen=True)
class Encoder:
    """A customer and a channel as the vector that the reward model is linear in.

    The vector is: 1, the standardised features (what is unknown counts as average), and one 0/1
    for each channel.

    Attributes
    ----------
    features : tuple of str
        Which features, by their names in `ModelInput.names`, in that order.
    center, scale : shape (n_features,)
        Mean and standard deviation of each on the training moments.
    """

    features: tuple[str, ...]
    channels: tuple[str, ...]
    center: Floats
    scale: Floats

    @classmethod
    def fit(cls, x: Floats, features: Sequence[str], channels: Sequence[str]) -> Encoder:
        """Learn center and scale from rows ``x`` of shape (n, n_features).

        Only the features that vary there are kept: an action costs width squared memory, and
        what is the same for everybody tells nobody apart. What begins to vary later counts from
        the next training on.
        """
        seen = np.isfinite(x)
        count = np.maximum(seen.sum(axis=0), 1)
        filled = np.where(seen, x, 0.0)
        center = filled.sum(axis=0) / count
        spread = np.where(seen, x - center, 0.0)
        scale = np.sqrt((spread**2).sum(axis=0) / count)
        varies = np.flatnonzero(scale >= 1e-9 * np.maximum(1.0, np.abs(center)))
        kept = tuple(features[int(index)] for index in varies)
        return cls(kept, tuple(channels), center[varies], scale[varies])

    @classmethod
    def blank(cls, channels: Sequence[str]) -> Encoder:
        """Knows channels only: for a business whose bandit was never trained."""
        return cls((), tuple(channels), np.empty(0), np.empty(0))

    @property
    def width(self) -> int:
        """Length of a vector."""
        return 1 + len(self.features) + len(self.channels)

    def encode(self, rows: Floats, channels: Sequence[str]) -> Floats:
        """Vectors, shape (n, width), from ``rows`` of shape (n, n_features) and n channels."""
        z = np.clip((rows - self.center) / self.scale, -CLIP, CLIP)
        here = [[float(channel == known) for known in self.channels] for channel in channels]
        return np.column_stack([np.ones(len(rows)), np.nan_to_num(z), np.array(here)])


@dataclass(frozen=True)
class RewardModel:
    """Expected acceptance of each action: prior + weights x vector.

    Attributes
    ----------
    actions : tuple of str
    prior : shape (n_actions,)
        Acceptance the catalogue believes in.
    weights : shape (n_actions, encoder.width)
        Posterior mean of how a customer differs from that.
    """

    encoder: Encoder
    actions: tuple[str, ...]
    prior: Floats
    weights: Floats

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
        return np.clip(linear, 1 - SURE, SURE)

    def contributions(
        self, row: Floats, channel: str, actions: Sequence[str] | None = None
    ) -> Contributions:
        """What each feature and the channel add to the acceptance, for one customer.

        Exact, as the model is linear: baseline and effects add up to `acceptance` before that is
        kept between 0 and 1. The baseline is an average customer's on none of the channels;
        a feature that is unknown counts as average and adds 0.

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
        weights, vector = self.weights[chosen], self.encoder.encode(row[None, :], (channel,))[0]
        features = (*self.encoder.features, *(CHANNEL + known for known in self.encoder.channels))
        baseline = self.prior[chosen] + weights[:, 0]
        return Contributions(wanted, features, baseline, weights[:, 1:] * vector[1:])

    def for_priors(self, priors: Mapping[str, float]) -> RewardModel:
        """The same knowledge for today's catalogue: its actions, its priors.

        An action that is new gets weights 0: it is expected to do as its prior says.
        """
        row = {action: index for index, action in enumerate(self.actions)}
        weights = np.zeros((len(priors), self.encoder.width))
        for index, action in enumerate(priors):
            if action in row:
                weights[index] = self.weights[row[action]]
        return RewardModel(self.encoder, tuple(priors), np.array(list(priors.values())), weights)

    def to_bytes(self) -> bytes:
        """All of it, without pickles."""
        return pack(
            _encoder_note(self.encoder) | {"actions": self.actions},
            center=self.encoder.center,
            scale=self.encoder.scale,
            prior=self.prior,
            weights=self.weights,
        )

    @classmethod
    def from_bytes(cls, payload: bytes) -> RewardModel:
        """What `to_bytes` wrote."""
        note, arrays = unpack(payload)
        return cls(
            _encoder(note, arrays), tuple(note["actions"]), arrays["prior"], arrays["weights"]
        )


@dataclass
class Posterior:
    """Sums over outcomes, for each action; Bayesian ridge regression of acceptance.

    With vectors v, acceptances y in [0, 1] and counts c::

        A = sum of c v v'      b = sum of c y v      n = sum of c
        weights = (A + D)^-1 (b - prior * A[0])      D = diag(prior weight, ridge, ridge, …)

    The prior stays outside the sums (A[0] is the sum of c v, as v[0] is 1), so it can be edited
    in the catalogue at any time.

    Attributes
    ----------
    second : shape (n_actions, width, width)
        A of each action.
    first : shape (n_actions, width)
        b of each action.

    References
    ----------
    Bishop (2006), "Pattern Recognition and Machine Learning", section 3.3.
    """

    encoder: Encoder
    ridge: float
    actions: tuple[str, ...] = ()
    second: Floats = field(default_factory=lambda: np.empty(0))
    first: Floats = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if not 0 < self.ridge < np.inf:  # written so that nan fails too
            raise InvalidSetting(
                f"ridge is {self.ridge!r}.",
                expected="a finite number > 0, in observations",
                remedy="Set bandit.ridge in training/params.yaml; 100 is a calm start.",
            )
        if not self.actions:
            width = self.encoder.width
            self.second, self.first = np.zeros((0, width, width)), np.zeros((0, width))

    def learn(
        self,
        rows: Floats,
        channels: Sequence[str],
        actions: Sequence[str],
        acceptance: Floats,
        count: Floats,
    ) -> None:
        """Add outcomes; a negative count takes one back.

        Parameters
        ----------
        rows : shape (n, n_features)
        channels, actions : n texts
        acceptance : shape (n,), in [0, 1]
        count : shape (n,)
            What each outcome counts.
        """
        vectors = self.encoder.encode(rows, channels)
        chosen = np.array(actions, dtype=object)
        for action in dict.fromkeys(actions):
            index, mine = self._row(action), chosen == action
            v, c = vectors[mine], count[mine]
            self.second[index] += (v * c[:, None]).T @ v
            self.first[index] += (c * acceptance[mine]) @ v

    def copy(self) -> Posterior:
        """One that can learn apart from this one."""
        return replace(self, second=self.second.copy(), first=self.first.copy())

    def counted(self, action: str) -> float:
        """Outcomes of an action so far."""
        return float(self.second[self.actions.index(action)][0, 0]) if action in self.actions else 0

    def rate(self, action: str) -> float:
        """Mean acceptance of an action so far; ``nan`` if there were no outcomes."""
        count = self.counted(action)
        return float(self.first[self.actions.index(action)][0]) / count if count else np.nan

    def model(self, priors: Mapping[str, tuple[float, float]]) -> RewardModel:
        """What a server needs.

        Parameters
        ----------
        priors
            For each action of the catalogue, its prior acceptance and the weight of that.
        """
        weights = np.zeros((len(priors), self.encoder.width))
        for index, (action, (acceptance, weight)) in enumerate(priors.items()):
            if action in self.actions:
                row = self.actions.index(action)
                penalty = np.diag(np.append(weight, np.full(self.encoder.width - 1, self.ridge)))
                second = self.second[row]
                gap = self.first[row] - acceptance * second[0]
                weights[index] = np.linalg.solve(second + penalty, gap)
        mean = np.array([acceptance for acceptance, _ in priors.values()])
        return RewardModel(self.encoder, tuple(priors), mean, weights)

    def to_bytes(self) -> bytes:
        """All of it, without pickles."""
        return pack(
            _encoder_note(self.encoder) | {"actions": self.actions, "ridge": self.ridge},
            center=self.encoder.center,
            scale=self.encoder.scale,
            second=self.second,
            first=self.first,
        )

    @classmethod
    def from_bytes(cls, payload: bytes) -> Posterior:
        """What `to_bytes` wrote."""
        note, arrays = unpack(payload)
        return cls(
            _encoder(note, arrays),
            note["ridge"],
            tuple(note["actions"]),
            arrays["second"],
            arrays["first"],
        )

    def _row(self, action: str) -> int:
        if action not in self.actions:
            width = self.encoder.width
            self.actions += (action,)
            self.second = np.concatenate([self.second, np.zeros((1, width, width))])
            self.first = np.concatenate([self.first, np.zeros((1, width))])
        return self.actions.index(action)


@dataclass(frozen=True)
class Bandit:
    """A trained bandit as the registry keeps it.

    Attributes
    ----------
    posterior : Posterior
        Of the imported decisions; what was served since is the learner's to add.
    greed : float
        Of `training.exploration.InverseGapPolicy`.
    """

    posterior: Posterior
    greed: float

    def save(self, folder: Path) -> None:
        """Write it as two files."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "posterior.npz").write_bytes(self.posterior.to_bytes())
        note = {"greed": self.greed}
        (folder / "bandit.json").write_text(json.dumps(note), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Bandit:
        """Read what `save` wrote."""
        note = json.loads((folder / "bandit.json").read_text(encoding="utf-8"))
        posterior = Posterior.from_bytes((folder / "posterior.npz").read_bytes())
        return cls(posterior, **note)


def _encoder_note(encoder: Encoder) -> dict[str, Any]:
    return {"features": encoder.features, "channels": encoder.channels}


def _encoder(note: Mapping[str, Any], arrays: Mapping[str, Floats]) -> Encoder:
    return Encoder(
        tuple(note["features"]), tuple(note["channels"]), arrays["center"], arrays["scale"]
    )
