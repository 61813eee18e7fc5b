"""Sums over the outcomes of each action: in any order, and any outcome can be retracted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from features.errors import InvalidSetting
from training.arrays import Floats
from training.bandit.decay import Decay
from training.bandit.encoder import Encoder
from training.bandit.linear import LinearPosterior, basis_of, solve
from training.bandit.reward_model import RewardModel
from training.bandit.serialization import pack, unpack

Priors = Mapping[str, tuple[float, float]]  # of each action: acceptance, weight in outcomes


@dataclass
class ActionStatistics:
    """Sums over outcomes, for each action; Bayesian ridge regression of acceptance.

    With vectors v, acceptances y in [0, 1] and counts c::

        A = sum of c v v'      b = sum of c y v      s = sum of c y^2
        weights = (A + D)^-1 (b - prior * A[0])      D = diag(prior weight, ridge, ridge, …)

    The prior acceptance is not part of the sums (A[0] is the sum of c v, as v[0] is 1), so it can
    be edited in the catalogue at any time.

    Attributes
    ----------
    second : shape (n_actions, width, width)
        A of each action.
    first : shape (n_actions, width)
        b of each action.
    square : shape (n_actions,)
        s of each action.
    decay : Decay
        Weights of outcomes by their time.
    """

    encoder: Encoder
    ridge: float
    actions: tuple[str, ...] = ()
    second: Floats = field(default_factory=lambda: np.empty(0))
    first: Floats = field(default_factory=lambda: np.empty(0))
    square: Floats = field(default_factory=lambda: np.empty(0))
    decay: Decay = field(default_factory=Decay)

    def __post_init__(self) -> None:
        if not 0 < self.ridge < np.inf:  # written so that nan fails too
            raise InvalidSetting(
                f"ridge is {self.ridge!r}.",
                expected="a finite number > 0, in outcomes",
                remedy="Set it in bandit.linear_experts of training/params.yaml; start with 100.",
            )
        if not self.actions:
            width = self.encoder.width
            self.second, self.first = np.zeros((0, width, width)), np.zeros((0, width))
            self.square = np.zeros(0)

    def learn(
        self,
        rows: Floats,
        channels: Sequence[str],
        actions: Sequence[str],
        acceptance: Floats,
        count: Floats,
        at: Floats | None = None,
    ) -> None:
        """Add outcomes.

        Parameters
        ----------
        rows : shape (n, n_features)
        channels, actions : n texts
        acceptance : shape (n,), in [0, 1]
        count : shape (n,)
            Weight of each outcome; a negative one retracts an equal outcome.
        at : shape (n,), in the unit of the half-life
            Time of each decision; required where outcomes decay.

        Raises
        ------
        InvalidSetting
            If outcomes decay, and their times are missing.
        """
        if self.decay.half_life is not None:
            count = count * self._decayed(np.zeros(0) if at is None else at)
        vectors = self.encoder.encode(rows, channels)
        chosen = np.array(actions, dtype=object)
        for action in dict.fromkeys(actions):
            index, mine = self._row(action), chosen == action
            v, c = vectors[mine], count[mine]
            self.second[index] += (v * c[:, None]).T @ v
            self.first[index] += (c * acceptance[mine]) @ v
            self.square[index] += c @ acceptance[mine] ** 2

    def copy(self) -> ActionStatistics:
        """Copy the sums, so that the copy can learn without changing these."""
        return replace(
            self,
            second=self.second.copy(),
            first=self.first.copy(),
            square=self.square.copy(),
        )

    def counted(self, action: str) -> float:
        """Count the outcomes of an action, by their weights."""
        return float(self.second[self.actions.index(action)][0, 0]) if action in self.actions else 0

    def rate(self, action: str) -> float:
        """Mean acceptance of an action so far; ``nan`` if there were no outcomes."""
        count = self.counted(action)
        return float(self.first[self.actions.index(action)][0]) / count if count else np.nan

    def noise(self) -> float:
        """Variance of acceptance about each action's own rate; 0.25 counts as one outcome."""
        count = self.second[:, 0, 0]
        rates = self.first[:, 0] / np.where(count > 0, count, 1.0)
        about = float(np.maximum(self.square - rates * self.first[:, 0], 0.0).sum())
        return (0.25 + about) / (1.0 + float(np.maximum(count, 0.0).sum()))

    def posterior(
        self,
        priors: Priors,
        groups: Mapping[str, str] | None = None,
        ridge: float | None = None,
        now: float | None = None,
    ) -> LinearPosterior:
        """Solve for the posterior of the actions of a catalogue.

        Parameters
        ----------
        priors
            For each action, its prior acceptance and the weight of that, in outcomes.
        groups
            Group of each action. The prior weights of an action are the posterior of all the
            *other* actions of its group together, so a new action starts where its group is. An
            action without a group, or alone in one, starts from its prior acceptance.
        ridge
            Replaces `ActionStatistics.ridge`.
        now : in the unit of the half-life
            Outcomes decay until then. None: until the epoch of `decay`.

        Returns
        -------
        LinearPosterior
            Of the differences from the prior acceptance; actions in the order of ``priors``.
        """
        second, first, penalty = self._gathered(priors, ridge or self.ridge, now)
        basis = basis_of(second)
        start = np.zeros_like(first)
        for group in _groups_of_several(priors, groups or {}):
            whole = second[group].sum(axis=0), first[group].sum(axis=0)
            others = whole[0] - second[group], whole[1] - first[group]
            start[group] = solve(*others, penalty[group], start[group], basis).weights
        return solve(second, first, penalty, start, basis)

    def model(
        self,
        priors: Priors,
        groups: Mapping[str, str] | None = None,
        now: float | None = None,
    ) -> RewardModel:
        """Return the reward model of one linear expert; parameters are those of `posterior`."""
        posterior = self.posterior(priors, groups, now=now)
        mean = np.array([acceptance for acceptance, _ in priors.values()])
        noise = np.array([self.noise()])
        return RewardModel(
            self.encoder, tuple(priors), mean, posterior.weights, (posterior,), noise
        )

    def to_bytes(self) -> bytes:
        """Serialise the sums without pickles; inverse of `from_bytes`."""
        note = {
            "actions": self.actions,
            "ridge": self.ridge,
            "half_life": self.decay.half_life,
            "epoch": self.decay.epoch,
        }
        sums = {"second": self.second, "first": self.first, "square": self.square}
        return pack(self.encoder.note | note, **self.encoder.arrays, **sums)

    @classmethod
    def from_bytes(cls, payload: bytes) -> ActionStatistics:
        """Read what `to_bytes` wrote."""
        note, arrays = unpack(payload)
        return cls(
            Encoder.of(note, arrays),
            note["ridge"],
            tuple(note["actions"]),
            arrays["second"],
            arrays["first"],
            arrays["square"],
            Decay(note["half_life"], note["epoch"]),
        )

    def _decayed(self, at: Floats) -> Floats:
        """Weights of outcomes by their time; moves the epoch on before weights grow too large."""
        if not len(at):
            raise InvalidSetting(
                "Outcomes that decay came without their times.",
                expected="'at' for each, in the unit of the half-life",
                remedy="Give the times of the decisions, or leave half_life out.",
            )
        self.decay, scale = self.decay.moved(float(np.max(at)))
        if scale != 1.0:
            self.second, self.first = self.second * scale, self.first * scale
            self.square = self.square * scale
        return self.decay.weights(at)

    def _gathered(
        self, priors: Priors, ridge: float, now: float | None
    ) -> tuple[Floats, Floats, Floats]:
        """A, b minus the part that the prior explains, and D, of each action of a catalogue."""
        width = self.encoder.width
        second, first = np.zeros((len(priors), width, width)), np.zeros((len(priors), width))
        penalty = np.full((len(priors), width), ridge)
        penalty[:, 0] = [weight for _, weight in priors.values()]
        shrink = 1.0 if now is None else self.decay.shrink(now)
        for index, (action, (acceptance, _)) in enumerate(priors.items()):
            if action in self.actions:
                row = self.actions.index(action)
                second[index] = shrink * self.second[row]
                first[index] = shrink * (self.first[row] - acceptance * self.second[row][0])
        return second, first, penalty

    def _row(self, action: str) -> int:
        if action not in self.actions:
            width = self.encoder.width
            self.actions += (action,)
            self.second = np.concatenate([self.second, np.zeros((1, width, width))])
            self.first = np.concatenate([self.first, np.zeros((1, width))])
            self.square = np.append(self.square, 0.0)
        return self.actions.index(action)


def _groups_of_several(priors: Priors, groups: Mapping[str, str]) -> list[list[int]]:
    """Indices of the actions of each group that has more than one."""
    found: dict[str, list[int]] = {}
    for index, action in enumerate(priors):
        if action in groups:
            found.setdefault(groups[action], []).append(index)
    return [rows for rows in found.values() if len(rows) > 1]
