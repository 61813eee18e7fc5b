"""The state of the bandit: sums over outcomes, the experts' errors, and boosted trees.

Everything but the trees is a sum. So outcomes may come in any order, be retracted or revised, and
a learner that was killed ends with the same state as one that never stopped. Time is counted in
decisions: the time of a decision is how many were made before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.arrays import Floats, pack, unpack
from training.bandit.encoder import Encoder
from training.bandit.posteriors import LinearPosteriors, Priors
from training.bandit.reward_model import RewardModel
from training.bandit.stacking import ExpertErrors
from training.bandit.statistics import ActionStatistics, Decay
from training.bandit.trees import BoostedTrees
from training.params import BanditParams

REWARDS = (0.0, 1.0)  # the range of acceptance
_SCALARS = ("newest", "counted", "fitted_on", "encoded_at")


class OutdatedState(ValueError):
    """A state was serialised in a format that is not read any more."""


@dataclass(frozen=True, slots=True)
class OutcomeBatch:
    """Outcomes of n decided actions.

    Attributes
    ----------
    rows : shape (n, n_features)
        The features that the encoder reads of each customer, as of the decision.
    channels, actions : n texts
    acceptance : shape (n,)
        The reward of each; of the service, the acceptance in [0, 1].
    count : shape (n,)
        Weight of each; a negative one retracts an equal outcome.
    at : shape (n,)
        Time of each decision: how many decisions were made before it.
    expert_predictions : shape (n, n_experts)
        Reward that each expert predicted at the decision (`Prediction.expert_predictions`);
        ``nan`` where that was not recorded.
    """

    rows: Floats
    channels: Sequence[str]
    actions: Sequence[str]
    acceptance: Floats
    count: Floats
    at: Floats
    expert_predictions: Floats


class BanditState:
    """Everything learned from outcomes.

    Parameters
    ----------
    encoder : Encoder
    params : BanditParams
    memory_scale : float
        Half-lives are those of ``params`` times this.

    Attributes
    ----------
    statistics : ActionStatistics by half-life in ``params`` (None: nothing decays)
    errors : ExpertErrors
        Of the experts: those of ``params.linear_experts`` in their order, then the trees.
    decay : Decay
        Of the errors, with the shortest half-life of all experts.
    newest : float
        The latest `OutcomeBatch.at`; weights of outcomes are relative to that time.
    counted : float
        Sum of the weights of all outcomes.
    trees : BoostedTrees or None
    fitted_on : float
        ``counted`` when the trees were fitted.
    encoded_at : int
        Number of shown decisions as of which its owner chose the encoder and the memory.
    """

    def __init__(self, encoder: Encoder, params: BanditParams, memory_scale: float = 1.0) -> None:
        self.encoder, self.params, self.memory_scale = encoder, params, memory_scale
        lives = [one.half_life_decisions for one in params.linear_experts]
        self.statistics = {
            life: ActionStatistics(
                encoder.width, Decay(None if life is None else life * memory_scale)
            )
            for life in dict.fromkeys(lives)
        }
        n, shortest = len(lives) + 1, min((one for one in lives if one is not None), default=None)
        self.errors = ExpertErrors(np.zeros((n, n)), 0.0)
        self.decay = Decay(None if shortest is None else shortest * memory_scale)
        self.newest = self.counted = self.fitted_on = 0.0
        self.encoded_at = 0
        self.trees: BoostedTrees | None = None
        self._posteriors: LinearPosteriors | None = None

    @property
    def first(self) -> ActionStatistics:
        """The statistics of the first linear expert."""
        return next(iter(self.statistics.values()))

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions with outcomes."""
        return tuple(self.first.actions)

    def copied(self) -> BanditState:
        """Copy the state, so that the copy can learn without changing this one."""
        other = BanditState(self.encoder, self.params, self.memory_scale)
        other.statistics = {life: sums.copied() for life, sums in self.statistics.items()}
        for name in (*_SCALARS, "errors", "decay", "trees"):
            setattr(other, name, getattr(self, name))
        return other

    def learn(self, outcomes: OutcomeBatch) -> None:
        """Add outcomes."""
        if not len(outcomes.count):
            return
        vectors = self.encoder.encode(outcomes.rows, outcomes.channels)
        what = outcomes.actions, outcomes.acceptance, outcomes.count, outcomes.at
        for sums in self.statistics.values():
            sums.learn(vectors, *what)
        self.newest = max(self.newest, float(outcomes.at.max()))
        self.counted += float(outcomes.count.sum())
        self._learn_errors(outcomes)

    def _learn_errors(self, outcomes: OutcomeBatch) -> None:
        self.decay, scale = self.decay.moved(self.newest)
        if scale != 1.0:
            self.errors = ExpertErrors(self.errors.products * scale, self.errors.count * scale)
        predictions, rewards = outcomes.expert_predictions, outcomes.acceptance
        weight = outcomes.count * self.decay.weights(outcomes.at)
        known = np.isfinite(predictions).all(axis=1)
        if not known.all():
            predictions, rewards, weight = predictions[known], rewards[known], weight[known]
        self.errors = self.errors.learn(predictions, rewards, weight)

    def begin_with(self, imported: BanditState) -> None:
        """Take over what was learned from imported decisions, with this state's settings.

        All imported decisions have the time 0. No outcome of that time has decayed, so all
        memories hold the same sums.

        Parameters
        ----------
        imported
            Of the same encoder; it is not changed.
        """
        for life, sums in self.statistics.items():
            self.statistics[life] = imported.first.copied()
            self.statistics[life].decay = sums.decay
        if imported.errors.products.shape == self.errors.products.shape:
            self.errors = imported.errors
        self.counted = imported.counted
        self.use_trees(imported.trees, imported.fitted_on)

    def wants_trees(self, growth: float = 0.0) -> bool:
        """Tell if enough outcomes came since the last fit of the trees to fit them again.

        Parameters
        ----------
        growth
            At least so many times as many; that of the parameters if it is more.
        """
        trees = self.params.trees
        return self.counted >= max(trees.at_least, max(trees.growth, growth) * self.fitted_on)

    def fit_trees(self, outcomes: OutcomeBatch, counted: float) -> BoostedTrees | None:
        """Fit trees on some outcomes; keep the earlier ones if those do not differ.

        Parameters
        ----------
        counted : float
            `BanditState.counted` as of these outcomes.
        """
        fitted = BoostedTrees.fit(
            outcomes.rows, outcomes.channels, outcomes.actions, outcomes.acceptance, outcomes.count
        )
        self.use_trees(fitted or self.trees, counted)
        return self.trees

    def use_trees(self, trees: BoostedTrees | None, fitted_on: float) -> None:
        """Take trees that were fitted when so many outcomes had been counted."""
        self.trees, self.fitted_on = trees, fitted_on
        self._posteriors = None

    def recent_errors(self) -> ExpertErrors:
        """The experts' errors, decayed until now."""
        shrink = self.decay.shrink(self.newest)
        return ExpertErrors(self.errors.products * shrink, max(self.errors.count * shrink, 0.0))

    def variance(self) -> float:
        """Variance of the rewards so far; 1 before there are two that differ."""
        count, total, square = self.first.pooled
        variance = square / count - (total / count) ** 2 if count > 0 else 0.0
        return variance if variance > 0 else 1.0

    def model(
        self,
        priors: Priors | Sequence[str],
        groups: Mapping[str, str] | None = None,
        reward_range: tuple[float, float] = REWARDS,
        weights_first: bool = False,
    ) -> RewardModel:
        """Return the reward model of the actions of a catalogue.

        The arrays of the model change with the next call.

        Parameters
        ----------
        priors, groups
            See `LinearPosteriors`.
        reward_range
            The lowest and the highest reward that can be.
        weights_first
            See `LinearPosteriors.model`.
        """
        groups = groups or {}
        if self._posteriors is None or not self._posteriors.serve(priors, groups):
            self._posteriors = LinearPosteriors(self, priors, groups)
        return self._posteriors.model(reward_range, weights_first)

    def to_bytes(self) -> bytes:
        """Serialise the state without pickles; inverse of `from_bytes`."""
        note = {
            "lives": list(self.statistics),
            "memory_scale": self.memory_scale,
            "params": self.params.model_dump_json(),
            "count": self.errors.count,
            "half_life": self.decay.half_life,
            "epoch": self.decay.epoch,
            **{name: getattr(self, name) for name in _SCALARS},
            "trees": None if self.trees is None else self.trees.note,
            "encoder": self.encoder.note,
        }
        sums = {
            f"memory_{number}": np.frombuffer(statistics.to_bytes(), dtype=np.uint8)
            for number, statistics in enumerate(self.statistics.values())
        }
        arrays = {**self.encoder.arrays, "products": self.errors.products, **sums}
        return pack(note, **arrays)  # type: ignore[arg-type]

    @classmethod
    def from_bytes(cls, payload: bytes, former: BanditParams | None = None) -> BanditState:
        """Read what `to_bytes` wrote.

        Parameters
        ----------
        former
            Settings of a state that was written before a state had its own.

        Raises
        ------
        OutdatedState
            If the state was written before it had its own settings, and ``former`` is None.
        """
        note, arrays = unpack(payload)
        if "params" in note:
            params = BanditParams.model_validate_json(note["params"])
            found = cls(Encoder.of(note["encoder"], arrays), params, note["memory_scale"])
        elif former is not None:
            found = cls(_encoder_of(arrays["memory_0"].tobytes()), former)
        else:
            raise OutdatedState("a state of a former format")
        found.statistics = {
            life: ActionStatistics.from_bytes(arrays[f"memory_{number}"].tobytes())
            for number, life in enumerate(note["lives"])
        }
        found.errors = ExpertErrors(arrays["products"], note["count"])
        found.decay = Decay(note["half_life"], note["epoch"])
        for name in _SCALARS:
            setattr(found, name, note.get(name, 0))
        found.trees = None if note["trees"] is None else BoostedTrees.of(note["trees"])
        return found


def _encoder_of(payload: bytes) -> Encoder:
    """The encoder of a state of the former format, which stands in the bytes of its sums."""
    return Encoder.of(*unpack(payload))
