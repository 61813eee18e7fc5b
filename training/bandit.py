"""The contextual bandit: learns from the reward of what was chosen, and chooses so as to learn.

* `ContextualBandit` is the whole policy, usable alone: `predict`, `learn`, `explain`.
* `Bandit` is what the registry keeps of one trained for the service, whose parts are rooms of
  their own: `training.encoder`, `training.posterior`, `training.reward_model`,
  `training.exploration`. They are the same in both.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import InvalidSetting
from training.contributions import Contributions
from training.encoder import Encoder
from training.experts import Errors
from training.exploration import ProbabilityMatching
from training.fading import Fading
from training.heads import LiveHead, basis_of
from training.outcome_log import OutcomeLog, Outcomes
from training.posterior import Posterior
from training.reward_model import RewardModel, normalised
from training.trees import Trees

__all__ = [
    *("CHANNEL", "CLIP", "SURE"),
    *("Bandit", "BanditSettings", "ContextualBandit", "Encoder", "Floats"),
    *("Posterior", "RewardModel"),
]

Floats = NDArray[np.float64]

FIRST_ENCODED = 8  # outcomes; before that, contexts are taken as they come
SETTLED = 2_048  # outcomes after which means and spreads of the features move no more
TREES_DEBT = 10.0  # outcomes' worth of error by which trees must have been better to be heard
SHARES_GROWTH = 1.02  # shares are reckoned again when there are so many times as many outcomes


@dataclass(frozen=True, slots=True)
class BanditSettings:
    """How a `ContextualBandit` learns; the defaults are those of all published figures.

    Parameters
    ----------
    width : int
        Length of the vector that a context is turned into (`Encoder.fit`).
    ridges : floats > 0, in outcomes
        One linear expert for each: what its prior is worth. A weak prior learns fast where
        rewards follow from contexts, a strong one is not fooled by noise.
    cautions : floats >= 0, as many
        What is believed of an action is this many times as unsure as the expert's posterior says.
    debts : floats >= 0, as many
        By how many outcomes' worth of error an expert must have been better before it is heard.
    trees_from : int
        Outcomes from which on trees are fitted as a further expert.
    refit_growth, solve_growth : float > 1
        Trees are fitted, and heads solved, when there are so many times as many outcomes.
    half_life : float or None, in outcomes
        After so many more an outcome counts half; None: the world does not change.
    least : float
        Of `ProbabilityMatching`.
    memory : int
        Newest outcomes that are kept for fitting encoder and trees.
    seed : int
        Of the encoder's waves.
    """

    width: int = 160
    ridges: tuple[float, ...] = (1.0, 100.0)
    cautions: tuple[float, ...] = (0.2, 0.5)
    debts: tuple[float, ...] = (0.0, 150.0)
    trees_from: int = 100
    refit_growth: float = 1.5
    solve_growth: float = 1.3
    half_life: float | None = None
    least: float = 0.001
    memory: int = 100_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot work; `Fading` and `ProbabilityMatching` check their own."""
        several = len(self.ridges)
        _check("width", self.width, self.width >= 2, "a whole number >= 2", "160 is a good start.")
        _check(
            "ridges",
            self.ridges,
            several > 0 and all(0 < ridge < np.inf for ridge in self.ridges),
            "one finite number > 0 or more",
            "(1, 100) suits clear and noisy rewards.",
        )
        for name in ("cautions", "debts"):
            values = getattr(self, name)
            fine = len(values) == several and all(0 <= value < np.inf for value in values)
            _check(name, values, fine, "a finite number >= 0 for each ridge", "Give as many.")
        for name in ("refit_growth", "solve_growth"):
            growth = getattr(self, name)
            _check(name, growth, 1 < growth < np.inf, "a finite number > 1", "1.5 is calm.")
        for name, lowest in (("trees_from", 1), ("memory", SETTLED)):
            value = getattr(self, name)
            _check(name, value, value >= lowest, f"a number >= {lowest}", f"Take {lowest}.")
        Fading(self.half_life)
        ProbabilityMatching(self.least)


def _check(name: str, value: object, fine: bool, expected: str, remedy: str) -> None:
    if not fine:
        raise InvalidSetting(f"{name} is {value!r}.", expected=expected, remedy=remedy)


class ContextualBandit:
    """Chooses among actions by context and learns from the rewards of those that were chosen.

    Each action has a Bayesian linear head on the encoded context for each of ``ridges``; trees
    are one more expert; the mixture that would have foretold best is believed
    (`training.experts`); an action is chosen as often as it may be the best one.

    Parameters
    ----------
    n_features, n_actions : int
    settings : BanditSettings

    Examples
    --------
    >>> bandit = ContextualBandit(n_features=2, n_actions=3)
    >>> chances = bandit.predict([[0.5, 1.0]])
    >>> bandit.learn([[0.5, 1.0]], actions=[2], rewards=[1.0])
    """

    def __init__(
        self, n_features: int, n_actions: int, settings: BanditSettings | None = None
    ) -> None:
        _check("n_features", n_features, n_features >= 0, "a number >= 0", "Count the columns.")
        _check("n_actions", n_actions, n_actions >= 1, "a number >= 1", "Give it a choice.")
        self.settings = settings or BanditSettings()
        self._n_features, self._n_actions = n_features, n_actions
        self._names = tuple(f"x{number}" for number in range(n_features))
        self._policy = ProbabilityMatching(self.settings.least)
        self._fading = Fading(self.settings.half_life)
        self._log = OutcomeLog(n_features, self.settings.memory)
        self._encoder = Encoder(self._names, (), np.zeros(n_features), np.ones(n_features))
        self._trees: Trees | None = None
        n_experts = len(self.settings.ridges) + 1
        self._errors = Errors(np.zeros((n_experts, n_experts)), 0.0)
        self._shares = np.eye(n_experts)[0]
        self._next_solve = self._next_fit = self._next_shares = self._next_encoding = 0.0
        self._forget_sums()
        self._solve()

    def predict(self, contexts: ArrayLike, allowed: ArrayLike | None = None) -> Floats:
        """Chance of each action, for each context.

        Parameters
        ----------
        contexts : shape (n, n_features)
            ``nan`` is unknown.
        allowed : shape (n, n_actions), of bool
            All, if not given.

        Returns
        -------
        shape (n, n_actions)
            Rows sum to 1; what is not allowed, or certainly worse, has exactly 0.

        Raises
        ------
        NothingAllowed
            If a row allows no action.
        """
        x = self._contexts(contexts)
        mean, deviation = self._believed(x)
        if allowed is not None:
            mean = np.where(np.asarray(allowed, dtype=np.bool_), mean, np.nan)
        return np.stack(
            [self._policy.probabilities(m, d) for m, d in zip(mean, deviation, strict=True)]
        ).reshape(mean.shape)

    def learn(
        self,
        contexts: ArrayLike,
        actions: ArrayLike,
        rewards: ArrayLike,
        counts: ArrayLike | None = None,
    ) -> None:
        """Learn what the chosen actions earned; late or in batches as well as at once.

        Parameters
        ----------
        contexts : shape (n, n_features)
            As they were when it was decided.
        actions : shape (n,), of int
        rewards : shape (n,)
            In any unit.
        counts : shape (n,)
            What each outcome counts: 1, if not given; a negative one takes an outcome back.

        Raises
        ------
        InvalidSetting
            If an action does not exist, or a reward or count is no finite number.
        """
        x = self._contexts(contexts)
        chosen = np.asarray(actions, dtype=np.intp).reshape(len(x))
        earned = np.asarray(rewards, dtype=np.float64).reshape(len(x))
        counted = np.ones(len(x)) if counts is None else np.asarray(counts, dtype=np.float64)
        self._check_outcomes(chosen, earned, counted)
        start = 0
        while start < len(x):  # in parts that end where something is fitted anew
            room = max(1, int(np.ceil(self._next_solve)) - self._log.total)
            part = slice(start, start + room)
            self._absorb(x[part], chosen[part], earned[part], counted[part])
            start = part.stop

    def explain(self, context: ArrayLike) -> Contributions:
        """What each feature adds to the expected reward of each action, for one context.

        Features are named x0, x1, ... and actions 0, 1, ...; baseline and effects add up to the
        expected reward.
        """
        row = self._contexts(context)[0]
        names = tuple(str(action) for action in range(self._n_actions))
        model = RewardModel.mixed(
            self._encoder,
            dict.fromkeys(names, self._mean),
            tuple(live.head for live in self._live),
            self._noise(),
            self._shares,
            self._trees,
        )
        found = model.contributions(row[self._kept], "", names)
        return found.widened(self._names)

    @property
    def shares(self) -> Floats:
        """How far each linear expert and, last, the trees are believed, shape (n_experts,)."""
        return self._shares.copy()

    def _believed(self, x: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the expected reward, each (n, n_actions)."""
        vectors = self._encoder.encode(x[:, self._kept], ("",) * len(x))
        said = self._said(x, vectors)
        deviation = np.zeros((len(x), self._n_actions))
        of_heads = zip(normalised(self._shares[:-1]), self._noise(), self._live, strict=True)
        for share, noise, live in of_heads:
            if share > 0:
                deviation += share * np.sqrt(noise * live.head.spread(vectors))
        return np.einsum("e,ena->na", self._shares, said), deviation

    def _said(self, x: Floats, vectors: Floats) -> Floats:
        """What each expert expects, shape (n_experts, n, n_actions)."""
        said = np.full((len(self._live) + 1, len(x), self._n_actions), self._mean)
        for expert, live in zip(said, self._live, strict=False):
            expert += live.head.mean(vectors)
        if self._trees is not None:
            said[-1] = self._trees.reward(x[:, self._kept], ("",) * len(x), self._action_names)
        return said

    def _absorb(
        self, x: Floats, actions: NDArray[np.intp], rewards: Floats, counts: Floats
    ) -> None:
        """Learn outcomes among which nothing is fitted anew."""
        vectors = self._encoder.encode(x[:, self._kept], ("",) * len(x))
        said = self._said(x, vectors)[:, np.arange(len(x)), actions].T
        weights = counts * self._fading.weights(self._log.total + np.arange(len(x)))
        # What is taken back was a misunderstanding; how well it was foretold is not looked at.
        self._errors = self._errors.learn(said, rewards, np.maximum(weights, 0.0))
        for vector, action, reward, weight in zip(vectors, actions, rewards, weights, strict=True):
            if weight > 0:
                for live in self._live:
                    expected = self._mean + live.head.weights[action] @ vector
                    live.absorb(action, vector, reward - expected, weight / self._unit)
        self._log.append(x, actions, rewards, counts)
        if self._errors.count >= self._next_shares:
            self._reckon()
        if self._log.total >= self._next_solve or (counts < 0).any():
            self._renew()

    def _reckon(self) -> None:
        """Look again at how far each expert is to be believed."""
        debts = np.append(self.settings.debts, TREES_DEBT) * self._variance() * self._unit
        self._shares = self._errors.shares(debts)
        self._next_shares = self._errors.count * SHARES_GROWTH

    def _renew(self) -> None:
        """Fit the encoder and the trees where it is time, and solve the heads."""
        total = self._log.total
        self._sum_up(self._log.newest(total - self._summed))
        if FIRST_ENCODED <= total <= SETTLED and total >= self._next_encoding:
            self._encode_anew()
        if total >= max(self._next_fit, self.settings.trees_from):
            self._fit_trees()
        self._solve()
        self._reckon()

    def _encode_anew(self) -> None:
        """Learn means and spreads of the features again; what is summed up then is, too."""
        outcomes = self._log.newest()
        encoder = Encoder.fit(
            outcomes.contexts, self._names, (), self.settings.width, self.settings.seed
        )
        if encoder.features != self._encoder.features:
            self._trees, self._next_fit = None, 0.0  # they read other columns
        self._encoder = encoder
        self._forget_sums()
        self._sum_up(outcomes)
        self._next_encoding = 2 * self._log.total

    def _fit_trees(self) -> None:
        outcomes = self._log.newest()
        counts = outcomes.counts * self._fading.weights(outcomes.at) / self._unit
        names = [self._action_names[action] for action in outcomes.actions]
        nowhere = ("",) * len(names)
        rows = outcomes.contexts[:, self._kept]
        self._trees = Trees.fit(rows, nowhere, names, outcomes.rewards, counts)
        self._next_fit = self._log.total * self.settings.refit_growth

    def _forget_sums(self) -> None:
        """Begin the sums of this encoder at nothing."""
        known = [self._names.index(name) for name in self._encoder.features]
        self._kept = np.array(known, dtype=np.intp)
        width, n = self._encoder.width, self._n_actions
        self._second, self._first = np.zeros((n, width, width)), np.zeros((n, width))
        self._square, self._summed = 0.0, 0

    def _sum_up(self, outcomes: Outcomes) -> None:
        """Add outcomes to the sums, see `training.posterior`."""
        newest = float(self._log.total)
        self._fading, scale = self._fading.moved(newest)
        if scale != 1.0:
            self._second, self._first = self._second * scale, self._first * scale
            self._square *= scale
            self._errors = Errors(self._errors.products * scale, self._errors.count * scale)
        weights = outcomes.counts * self._fading.weights(outcomes.at)
        vectors = self._encoder.encode(
            outcomes.contexts[:, self._kept], ("",) * len(outcomes.rewards)
        )
        for action in np.unique(outcomes.actions):
            mine = outcomes.actions == action
            v, c, y = vectors[mine], weights[mine], outcomes.rewards[mine]
            self._second[action] += (v * c[:, None]).T @ v
            self._first[action] += (c * y) @ v
            self._square += float(c @ y**2)
        self._summed = self._log.total

    def _solve(self) -> None:
        """Heads from the sums, seen from now."""
        self._unit = float(self._fading.weights(float(self._log.total)))
        self._mean = self._mean_reward()
        width = self._encoder.width
        second, first = self._second / self._unit, self._first / self._unit
        first = first - self._mean * second[:, 0]
        basis, start = basis_of(second), np.zeros_like(first)
        self._live = []
        for ridge in self.settings.ridges:
            penalty = np.full((self._n_actions, width), ridge)
            penalty[:, 0] = 1.0
            self._live.append(LiveHead(second, first, penalty, start, basis))
        total = self._log.total
        self._next_solve = max(total + 1, total * self.settings.solve_growth)
        if self.settings.half_life is not None:  # the prior fades in as the outcomes fade out
            self._next_solve = min(self._next_solve, total + 1 + self.settings.half_life / 10)

    def _mean_reward(self) -> float:
        count = float(self._second[:, 0, 0].sum())
        return float(self._first[:, 0].sum()) / count if count > 0 else 0.0

    def _variance(self) -> float:
        """Of the rewards so far; 1 before there are two that differ."""
        count = float(self._second[:, 0, 0].sum())
        variance = self._square / count - self._mean_reward() ** 2 if count > 0 else 0.0
        return variance if variance > 0 else 1.0

    def _noise(self) -> Floats:
        """Squared error of each head, as if it had once erred like the rewards' own variance."""
        start = self._variance() * self._unit
        products = np.diag(self._errors.products)[:-1]
        errors = (start + products) / (self._unit + self._errors.count)
        return errors * np.array(self.settings.cautions) ** 2

    @property
    def _action_names(self) -> list[str]:
        return [str(action) for action in range(self._n_actions)]

    def _contexts(self, contexts: ArrayLike) -> Floats:
        x = np.asarray(contexts, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self._n_features:
            raise InvalidSetting(
                f"Contexts have the shape {x.shape}.",
                expected=f"(n, {self._n_features})",
                remedy="Give one row for each decision, in a list if it is one.",
            )
        return x

    def _check_outcomes(self, actions: NDArray[np.intp], rewards: Floats, counts: Floats) -> None:
        if len(actions) and not (actions.min() >= 0 and actions.max() < self._n_actions):
            raise InvalidSetting(
                f"Actions go from {actions.min()} to {actions.max()}.",
                expected=f"numbers from 0 to {self._n_actions - 1}",
                remedy="Give the index that was drawn from `predict`.",
            )
        if not (np.isfinite(rewards).all() and np.isfinite(counts).all()):
            raise InvalidSetting(
                "Some reward or count is not a number.",
                expected="finite numbers",
                remedy="Leave out what is still pending; learn it when it is known.",
            )


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
