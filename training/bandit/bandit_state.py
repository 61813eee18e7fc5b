"""All that the learner knows: sums over outcomes on each memory, how the experts erred, and trees.

Everything but the trees is a sum, so outcomes may come in any order, be taken back or revised, and
a learner that was killed ends where one that never stopped would be. Time is counted in decisions:
`at` is how many the ledger held before. So a memory of 6,000 decisions is two minutes where 50 are
made in a second, and two months where 100 are made in a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.arrays import Floats
from training.bandit.decay import Decay
from training.bandit.encoder import Encoder
from training.bandit.reward_model import SURE, RewardModel
from training.bandit.serialization import pack, unpack
from training.bandit.stacking import ExpertErrors
from training.bandit.statistics import ActionStatistics, Priors
from training.bandit.trees import Trees
from training.params import BanditParams


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What n decided actions taught.

    Attributes
    ----------
    rows : shape (n, n_features)
        What the encoder reads of each customer, as it was when it was decided.
    channels, actions : n texts
    acceptance : shape (n,), in [0, 1]
    count : shape (n,)
        What each counts; a negative one takes an equal outcome back.
    at : shape (n,)
        How many decisions were made before.
    said : shape (n, n_experts)
        What each expert expected when it was decided (`Expectation.experts`); ``nan`` where that
        was not noted.
    """

    rows: Floats
    channels: Sequence[str]
    actions: Sequence[str]
    acceptance: Floats
    count: Floats
    at: Floats
    said: Floats


@dataclass(frozen=True)
class BanditState:
    """What outcomes have taught; never changed, `learn` gives another one.

    Attributes
    ----------
    memories : by half-life in decisions (None: for ever), the sums of what is remembered
    errors : ExpertErrors
        Of the experts: the heads of `BanditParams.heads` in their order, then the trees.
    fading : Decay
        Of the errors: experts are judged on the shortest memory.
    newest : float
        The latest `Outcomes.at`: from there, what fades is looked at.
    counted : float
        How many outcomes were learned.
    trees : Trees or None
    fitted_on : float
        How many outcomes had been learned when the trees were fitted.
    """

    memories: Mapping[float | None, ActionStatistics]
    errors: ExpertErrors
    fading: Decay
    newest: float = 0.0
    counted: float = 0.0
    trees: Trees | None = None
    fitted_on: float = 0.0

    @classmethod
    def blank(cls, encoder: Encoder, params: BanditParams) -> BanditState:
        """Nothing was learned yet."""
        lives = list(dict.fromkeys(head.memory for head in params.heads))
        memories = {
            life: ActionStatistics(encoder, params.heads[0].ridge, fading=Decay(life))
            for life in lives
        }
        n = len(params.heads) + 1
        shortest = min((life for life in lives if life is not None), default=None)
        return cls(memories, ExpertErrors(np.zeros((n, n)), 0.0), Decay(shortest))

    @property
    def encoder(self) -> Encoder:
        """The one that all memories share."""
        return next(iter(self.memories.values())).encoder

    @property
    def actions(self) -> tuple[str, ...]:
        """Of which something was learned."""
        return next(iter(self.memories.values())).actions

    def rate(self, action: str) -> float:
        """Mean acceptance of an action so far; ``nan`` if there were no outcomes."""
        return next(iter(self.memories.values())).rate(action)

    def learn(self, outcomes: Outcomes) -> BanditState:
        """With more outcomes."""
        if not len(outcomes.count):
            return self
        memories = {life: memory.copy() for life, memory in self.memories.items()}
        for memory in memories.values():
            memory.learn(
                outcomes.rows, outcomes.channels, outcomes.actions, outcomes.acceptance,
                outcomes.count, outcomes.at,
            )  # fmt: skip
        newest = max(self.newest, float(outcomes.at.max()))
        fading, scale = self.fading.moved(newest)
        errors = ExpertErrors(self.errors.products * scale, self.errors.count * scale)
        noted = np.isfinite(outcomes.said).all(axis=1)
        weight = outcomes.count * fading.weights(outcomes.at)
        errors = errors.learn(outcomes.said[noted], outcomes.acceptance[noted], weight[noted])
        counted = self.counted + float(outcomes.count.sum())
        return replace(
            self, memories=memories, errors=errors, fading=fading, newest=newest, counted=counted
        )

    def wants_trees(self, params: BanditParams) -> bool:
        """Whether enough was learned since the trees were fitted, to fit them anew."""
        return self.counted >= max(params.trees.at_least, params.trees.growth * self.fitted_on)

    def with_trees(self, outcomes: Outcomes, counted: float) -> BanditState:
        """With trees of some outcomes, fitted when ``counted`` had been learned."""
        trees = Trees.fit(
            outcomes.rows, outcomes.channels, outcomes.actions, outcomes.acceptance, outcomes.count
        )
        return replace(self, trees=trees or self.trees, fitted_on=counted)

    def with_trees_of(self, other: BanditState) -> BanditState:
        """With the trees that another one has fitted."""
        return replace(self, trees=other.trees, fitted_on=other.fitted_on)

    def model(self, priors: Priors, groups: Mapping[str, str], params: BanditParams) -> RewardModel:
        """What a server needs, for the actions of a catalogue.

        Parameters
        ----------
        priors, groups
            Of each action: prior acceptance and its weight, and the group whose other actions it
            starts from; see `ActionStatistics.head`.
        """
        now, noise = self.newest, self._noise(priors)
        heads = tuple(
            self.memories[head.memory].head(priors, groups, head.ridge, now).noisier(noise)
            for head in params.heads
        )
        start = next(iter(self.memories.values())).noise()
        seen_from_now = self.fading.shrink(now)
        count = self.errors.count * seen_from_now
        products = self.errors.products * seen_from_now
        cautions = np.array([head.caution for head in params.heads])
        debts = np.array([*(head.debt for head in params.heads), params.trees.debt])
        return RewardModel.mixed(
            self.encoder,
            {action: acceptance for action, (acceptance, _) in priors.items()},
            heads,
            cautions**2,
            self._shares(products, max(count, 0.0), debts * start),
            self.trees,
        )

    def _noise(self, priors: Priors) -> Floats:
        """Variance of one acceptance of each action, shape (n_actions,): p (1 - p), with p between
        what the prior says and what was seen."""
        first = next(iter(self.memories.values()))
        rates = []
        for action, (acceptance, weight) in priors.items():
            seen = max(first.counted(action), 0.0)
            told = seen * first.rate(action) if seen else 0.0
            rates.append((weight * acceptance + told) / (weight + seen))
        p = np.clip(np.array(rates), 1 - SURE, SURE)
        noise: Floats = p * (1 - p)
        return noise

    def _shares(self, products: Floats, count: float, debts: Floats) -> Floats:
        """How far each expert is believed; trees that are not there, not at all."""
        shares = ExpertErrors(products, count).shares(debts)
        if self.trees is None:
            shares = np.append(shares[:-1], 0.0)
            shares = shares / shares.sum() if shares.sum() > 0 else np.eye(len(shares))[0]
        return shares

    def to_bytes(self) -> bytes:
        """All of it, without pickles."""
        note = {
            "lives": list(self.memories),
            "count": self.errors.count,
            "half_life": self.fading.half_life,
            "epoch": self.fading.epoch,
            "newest": self.newest,
            "counted": self.counted,
            "trees": None if self.trees is None else self.trees.note,
            "fitted_on": self.fitted_on,
        }
        memories = {
            f"memory_{number}": np.frombuffer(memory.to_bytes(), dtype=np.uint8)
            for number, memory in enumerate(self.memories.values())
        }
        return pack(note, products=self.errors.products, **memories)  # type: ignore[arg-type]

    @classmethod
    def from_bytes(cls, payload: bytes) -> BanditState:
        """What `to_bytes` wrote."""
        note, arrays = unpack(payload)
        memories = {
            life: ActionStatistics.from_bytes(arrays[f"memory_{number}"].tobytes())
            for number, life in enumerate(note["lives"])
        }
        return cls(
            memories,
            ExpertErrors(arrays["products"], note["count"]),
            Decay(note["half_life"], note["epoch"]),
            note["newest"],
            note["counted"],
            None if note["trees"] is None else Trees.of(note["trees"]),
            note["fitted_on"],
        )
