"""The state of the bandit: sums over outcomes, the experts' errors, and boosted trees.

Everything but the trees is a sum. So outcomes may come in any order, be retracted or revised, and
a learner that was killed ends with the same state as one that never stopped. Time is counted in
decisions: the time of a decision is how many the ledger held before it. A half-life of 6,000
decisions is two minutes where 50 decisions are made in a second, and two months where 100 are made
in a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.arrays import Floats
from training.bandit.decay import Decay
from training.bandit.encoder import Encoder
from training.bandit.reward_model import MAX_ACCEPTANCE, RewardModel
from training.bandit.serialization import pack, unpack
from training.bandit.stacking import ExpertErrors
from training.bandit.statistics import ActionStatistics, Priors
from training.bandit.trees import BoostedTrees
from training.params import BanditParams


@dataclass(frozen=True, slots=True)
class OutcomeBatch:
    """Outcomes of n decided actions.

    Attributes
    ----------
    rows : shape (n, n_features)
        The features that the encoder reads of each customer, as of the decision.
    channels, actions : n texts
    acceptance : shape (n,), in [0, 1]
    count : shape (n,)
        Weight of each; a negative one retracts an equal outcome.
    at : shape (n,)
        Time of each decision: how many decisions were made before it.
    expert_predictions : shape (n, n_experts)
        Acceptance that each expert predicted at the decision (`Prediction.expert_predictions`);
        ``nan`` where that was not recorded.
    """

    rows: Floats
    channels: Sequence[str]
    actions: Sequence[str]
    acceptance: Floats
    count: Floats
    at: Floats
    expert_predictions: Floats


@dataclass(frozen=True)
class BanditState:
    """Everything learned from outcomes. It is immutable: `learn` returns another state.

    Attributes
    ----------
    statistics : ActionStatistics by half-life in decisions (None: nothing decays)
    errors : ExpertErrors
        Of the experts: those of `BanditParams.linear_experts` in their order, then the trees.
    decay : Decay
        Of the errors, with the shortest half-life of all experts.
    newest : float
        The latest `OutcomeBatch.at`; weights of outcomes are relative to that time.
    counted : float
        How many outcomes were learned.
    trees : BoostedTrees or None
    fitted_on : float
        How many outcomes had been learned when the trees were fitted.
    """

    statistics: Mapping[float | None, ActionStatistics]
    errors: ExpertErrors
    decay: Decay
    newest: float = 0.0
    counted: float = 0.0
    trees: BoostedTrees | None = None
    fitted_on: float = 0.0

    @classmethod
    def blank(cls, encoder: Encoder, params: BanditParams) -> BanditState:
        """Return a state that has learned nothing."""
        experts = params.linear_experts
        half_lives = list(dict.fromkeys(expert.half_life_decisions for expert in experts))
        statistics = {
            half_life: ActionStatistics(encoder, experts[0].ridge, decay=Decay(half_life))
            for half_life in half_lives
        }
        n = len(experts) + 1
        shortest = min((value for value in half_lives if value is not None), default=None)
        return cls(statistics, ExpertErrors(np.zeros((n, n)), 0.0), Decay(shortest))

    @property
    def encoder(self) -> Encoder:
        """The encoder that all statistics share."""
        return self._first.encoder

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions with outcomes."""
        return self._first.actions

    def rate(self, action: str) -> float:
        """Mean acceptance of an action so far; ``nan`` if there were no outcomes."""
        return self._first.rate(action)

    def learn(self, outcomes: OutcomeBatch) -> BanditState:
        """Return the state with more outcomes."""
        if not len(outcomes.count):
            return self
        statistics = {half_life: sums.copy() for half_life, sums in self.statistics.items()}
        for sums in statistics.values():
            sums.learn(
                outcomes.rows,
                outcomes.channels,
                outcomes.actions,
                outcomes.acceptance,
                outcomes.count,
                outcomes.at,
            )
        newest = max(self.newest, float(outcomes.at.max()))
        decay, scale = self.decay.moved(newest)
        errors = ExpertErrors(self.errors.products * scale, self.errors.count * scale)
        predictions = outcomes.expert_predictions
        recorded = np.isfinite(predictions).all(axis=1)
        weight = outcomes.count * decay.weights(outcomes.at)
        errors = errors.learn(
            predictions[recorded], outcomes.acceptance[recorded], weight[recorded]
        )
        counted = self.counted + float(outcomes.count.sum())
        return replace(
            self, statistics=statistics, errors=errors, decay=decay, newest=newest, counted=counted
        )

    def wants_trees(self, params: BanditParams) -> bool:
        """Tell if enough outcomes came since the last fit of the trees to fit them again."""
        return self.counted >= max(params.trees.at_least, params.trees.growth * self.fitted_on)

    def with_trees(self, outcomes: OutcomeBatch, counted: float) -> BanditState:
        """Return the state with trees fitted on some outcomes, when ``counted`` were learned."""
        trees = BoostedTrees.fit(
            outcomes.rows, outcomes.channels, outcomes.actions, outcomes.acceptance, outcomes.count
        )
        return replace(self, trees=trees or self.trees, fitted_on=counted)

    def with_trees_of(self, other: BanditState) -> BanditState:
        """Return the state with the trees of another state."""
        return replace(self, trees=other.trees, fitted_on=other.fitted_on)

    def model(self, priors: Priors, groups: Mapping[str, str], params: BanditParams) -> RewardModel:
        """Return the reward model of the actions of a catalogue.

        Parameters
        ----------
        priors, groups
            Of each action: the prior acceptance with its weight, and the group whose other actions
            give its prior weights; see `ActionStatistics.posterior`.
        """
        now, noise = self.newest, self._noise(priors)
        experts = params.linear_experts
        posteriors = tuple(
            self.statistics[expert.half_life_decisions]
            .posterior(priors, groups, expert.ridge, now)
            .scaled_by_noise(noise)
            for expert in experts
        )
        start = self._first.noise()
        shrink = self.decay.shrink(now)
        errors = ExpertErrors(self.errors.products * shrink, max(self.errors.count * shrink, 0.0))
        scales = np.array([expert.exploration_scale for expert in experts])
        handicaps = np.array([*(expert.handicap for expert in experts), params.trees.handicap])
        return RewardModel.mixed(
            self.encoder,
            {action: acceptance for action, (acceptance, _) in priors.items()},
            posteriors,
            scales**2,
            self._expert_weights(errors, handicaps * start),
            self.trees,
        )

    @property
    def _first(self) -> ActionStatistics:
        """The statistics of the first linear expert."""
        return next(iter(self.statistics.values()))

    def _noise(self, priors: Priors) -> Floats:
        """Variance of one acceptance of each action, p (1 - p), shape (n_actions,).

        p is the mean of the prior acceptance and of the observed one, by their weights. So an
        action that is seldom accepted gets a narrow posterior, and is explored less.
        """
        rates = []
        for action, (acceptance, weight) in priors.items():
            n = max(self._first.counted(action), 0.0)
            accepted = n * self._first.rate(action) if n else 0.0
            rates.append((weight * acceptance + accepted) / (weight + n))
        p = np.clip(np.array(rates), 1 - MAX_ACCEPTANCE, MAX_ACCEPTANCE)
        noise: Floats = p * (1 - p)
        return noise

    def _expert_weights(self, errors: ExpertErrors, handicaps: Floats) -> Floats:
        """Stacking weights of the experts, shape (n_experts,); 0 for trees not fitted yet."""
        weights = errors.expert_weights(handicaps)
        if self.trees is None:
            weights = np.append(weights[:-1], 0.0)
            weights = weights / weights.sum() if weights.sum() > 0 else np.eye(len(weights))[0]
        return weights

    def to_bytes(self) -> bytes:
        """Serialise the state without pickles; inverse of `from_bytes`."""
        note = {
            "lives": list(self.statistics),
            "count": self.errors.count,
            "half_life": self.decay.half_life,
            "epoch": self.decay.epoch,
            "newest": self.newest,
            "counted": self.counted,
            "trees": None if self.trees is None else self.trees.note,
            "fitted_on": self.fitted_on,
        }
        sums = {
            f"memory_{number}": np.frombuffer(statistics.to_bytes(), dtype=np.uint8)
            for number, statistics in enumerate(self.statistics.values())
        }
        return pack(note, products=self.errors.products, **sums)  # type: ignore[arg-type]

    @classmethod
    def from_bytes(cls, payload: bytes) -> BanditState:
        """Read what `to_bytes` wrote."""
        note, arrays = unpack(payload)
        statistics = {
            half_life: ActionStatistics.from_bytes(arrays[f"memory_{number}"].tobytes())
            for number, half_life in enumerate(note["lives"])
        }
        return cls(
            statistics,
            ExpertErrors(arrays["products"], note["count"]),
            Decay(note["half_life"], note["epoch"]),
            note["newest"],
            note["counted"],
            None if note["trees"] is None else BoostedTrees.of(note["trees"]),
            note["fitted_on"],
        )
