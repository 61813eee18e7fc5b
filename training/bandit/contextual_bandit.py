"""The contextual bandit: `predict`, `learn` and `explain`.

The learner of the service, its server, the notebooks and the benches use this class. In a notebook
it keeps outcomes by itself (`OutcomeLog`); the learner has them in its ledger instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from features.errors import InvalidSetting
from training.arrays import Floats, Indices
from training.bandit.bandit_state import BanditState, OutcomeBatch
from training.bandit.contexts import ActionNames, ContextColumns, Contexts, places_of
from training.bandit.encoder import Encoder
from training.bandit.exploration import ThompsonProbabilities
from training.bandit.outcome_log import LoggedOutcomes, OutcomeLog, rewards_and_counts
from training.bandit.posteriors import Priors
from training.bandit.reward_model import RewardModel
from training.bandit.stacking import Prediction
from training.contributions import Contributions
from training.params import BanditParams, load_params

FIRST_ENCODED = 8  # outcomes; the encoder is fitted then, and each time there are twice as many
MEMORY = 100_000  # newest outcomes that are kept for fitting encoder and trees


class ContextualBandit:
    """Chooses among actions by context and learns from the rewards of those that were chosen.

    Each action has several Bayesian ridge regressions on the encoded context (Agrawal & Goyal
    2013); boosted trees are one more expert; their predictions are mixed by stacking (Breiman
    1996). An action is chosen with the probability that it is the best one.

    Parameters
    ----------
    n_features : int or None
        Columns of the contexts; None: contexts are data frames.
    actions : int, or names
    params : BanditParams
        Default: those of ``params.yaml``, with which the service learns and decides.
    priors : mapping from action to (reward, weight in outcomes)
        Default: the mean reward of all outcomes, which counts as one.
    groups : mapping from action to the name of its group
        An action without outcomes begins with what was learned of its group.
    seed : int
        Of the encoder's random Fourier features.

    Examples
    --------
    >>> bandit = ContextualBandit(n_features=2, actions=3)
    >>> probabilities = bandit.predict([[0.5, 1.0]])
    >>> bandit.learn([[0.5, 1.0]], actions=[2], rewards=[1.0])
    """

    def __init__(
        self,
        n_features: int | None,
        actions: int | Sequence[str],
        params: BanditParams | None = None,
        *,
        priors: Priors | None = None,
        groups: Mapping[str, str] | None = None,
        seed: int = 0,
    ) -> None:
        self._names = ActionNames(actions)
        self.actions = self._names.names
        self.params = params or load_params().bandit
        self._priors = None if priors is None else self._names.in_order(priors)
        self._groups, self._seed, self._learns = groups, seed, True
        self._policy = ThompsonProbabilities(self.params.min_probability)
        self._columns = ContextColumns(n_features)
        self._log = OutcomeLog(len(self._columns.names), MEMORY)
        self._state = BanditState(Encoder.blank(), self.params)
        self._kept = np.zeros(0, dtype=np.intp)
        self._next_encoding, self._next_trees = FIRST_ENCODED, float(self.params.trees.at_least)
        self._model: RewardModel | None = None
        self._seen: tuple[int, bytes, Prediction] | None = None
        self.fitted_at = 0  # number of outcomes when something was last fitted again

    def predict(
        self,
        contexts: Contexts,
        allowed: ArrayLike | None = None,
        *,
        rewards: bool = False,
    ) -> Floats:
        """Compute the probability of each action, for each context.

        Parameters
        ----------
        contexts : shape (n, n_features), or data frame of n rows
            ``nan`` and gaps are unknown.
        allowed : shape (n, n_actions), of bool
            Default: all are.
        rewards
            Return the expected reward of each action instead.

        Returns
        -------
        shape (n, n_actions)
            Rows of probabilities sum to 1; an action that is not allowed, or too improbable, has
            exactly 0.

        Raises
        ------
        NothingAllowed
            If a row allows no action.
        InvalidSetting
            If contexts have another shape or type than before.
        """
        prediction = self._predict(self._rows(contexts))
        mean = prediction.acceptance
        if rewards:
            return mean
        if allowed is not None:
            mean = np.where(np.asarray(allowed, dtype=np.bool_), mean, np.nan)
        probabilities = np.empty_like(mean)
        for number, deviation in enumerate(prediction.deviation):
            probabilities[number] = self.choose(mean[number], deviation)
        return probabilities

    def learn(
        self,
        contexts: Contexts,
        actions: ArrayLike,
        rewards: ArrayLike,
        counts: ArrayLike | None = None,
    ) -> None:
        """Learn the rewards of chosen actions: at once, late, or in batches.

        To revise an outcome, retract it (a count of -1) and learn the new one.

        Parameters
        ----------
        contexts : shape (n, n_features), or data frame of n rows
            As they were at the decision.
        actions : n numbers or names
        rewards : shape (n,)
            In any unit.
        counts : shape (n,)
            Weight of each outcome; default: 1. A negative one retracts an equal outcome. A
            silence below the first slot has that of `examination.looked_at_in_silence`.

        Raises
        ------
        InvalidSetting
            If an action does not exist, a reward or count is no finite number, or the bandit
            is a `published` one.
        """
        if not self._learns:
            raise InvalidSetting(
                "An outcome was given to a published bandit.",
                expected="an outcome for its learner",
                remedy="Report it to the service; its learner publishes the next model.",
            )
        rows = self._rows(contexts)
        chosen = self._names.numbers(actions, len(rows))
        earned, counted = rewards_and_counts(rewards, counts, len(rows))
        start = 0
        while start < len(rows):  # in parts that end where something is fitted again
            until = min(self._next_encoding, self._next_trees)
            part = slice(start, start + max(1, int(np.ceil(until)) - self._log.total))
            self._learn(rows[part], chosen[part], earned[part], counted[part])
            start = part.stop

    def explain(self, context: Contexts) -> Contributions:
        """Explain the expected reward of each action by what each column adds.

        Parameters
        ----------
        context : shape (n_features,), or data frame of one row

        Returns
        -------
        Contributions
            A column of texts is named ``column=text``, columns of an array x0, x1, ... Baseline
            and effects add up to the expected reward before it is cut to the range of rewards.
        """
        one = context if hasattr(context, "columns") else np.asarray(context)[None]
        row = self._rows(one)[0]
        found = self._served().contributions(row[self._kept], "")
        channels = found.features[len(self._kept) :]  # of a published model, 0 each
        return found.widened((*self._columns.names, *channels))

    @classmethod
    def published(cls, model: RewardModel, params: BanditParams) -> ContextualBandit:
        """Return a bandit that predicts and explains with a model, as a server does.

        Its contexts are the features of the model's encoder. It does not learn: its learner does,
        and publishes another model.
        """
        features = model.encoder.features
        found = cls(len(features), model.actions, params)
        found._model, found._kept, found._learns = model, np.arange(len(features)), False
        found._columns.names = [*features]
        return found

    @property
    def model(self) -> RewardModel:
        """The reward model with which it predicts; its arrays change as it learns."""
        return self._served()

    def choose(self, expected_reward: Floats, deviation: Floats) -> Floats:
        """Compute the probability of each action for one context, see `ThompsonProbabilities`.

        Parameters
        ----------
        expected_reward, deviation : shape (n_actions,)
            Of `RewardModel.predict`, or computed from that, such as priorities.
        """
        return self._policy.probabilities(expected_reward, deviation)

    @property
    def expert_weights(self) -> Floats:
        """Stacking weight of each linear expert and, last, of the trees, shape (n_experts,)."""
        return self._served().expert_weights.copy()

    def _rows(self, contexts: Contexts) -> Floats:
        rows = self._columns.rows(contexts)
        if (new := len(self._columns.names) - self._log.n_features) > 0:
            self._log.widen(np.array(self._columns.fill[-new:]))
        return rows

    def _served(self) -> RewardModel:
        if self._model is None:
            expected = [reward for reward, _ in (self._priors or {}).values()]
            span = self._log.reward_range(expected)
            self._model = self._state.model(self._priors or self.actions, self._groups, span)
        return self._model

    def _predict(self, rows: Floats) -> Prediction:
        # Most outcomes are learned just after their decision, so its prediction is kept.
        found = self._served().predict(rows[:, self._kept], ("",) * len(rows))
        self._seen = len(rows), rows.tobytes(), found
        return found

    def _learn(self, rows: Floats, actions: Indices, rewards: Floats, counts: Floats) -> None:
        """Learn outcomes between which nothing is fitted again."""
        seen = self._seen
        known = seen is not None and seen[:2] == (len(rows), rows.tobytes())
        prediction = seen[2] if seen is not None and known else self._predict(rows)
        experts = prediction.expert_predictions[:, np.arange(len(rows)), actions].T
        at = self._log.append(rows, actions, rewards, counts)
        learned = LoggedOutcomes(rows, actions, rewards, counts, at)
        self._state.learn(self._batch(learned, experts))
        self._seen = self._model = None
        if self._log.total >= self._next_encoding:
            self._encode()
        if self._log.total >= self._next_trees:
            self._fit_trees()

    def _batch(self, outcomes: LoggedOutcomes, experts: Floats | None = None) -> OutcomeBatch:
        n = len(outcomes.rewards)
        if experts is None:  # what they had predicted is counted already
            experts = np.full((n, len(self.params.linear_experts) + 1), np.nan)
        return OutcomeBatch(
            outcomes.contexts[:, self._kept],
            ("",) * n,
            [self.actions[number] for number in outcomes.actions.tolist()],
            outcomes.rewards,
            outcomes.counts,
            outcomes.at,
            experts,
        )

    def _encode(self) -> None:
        """Fit the encoder again, and count all outcomes in its basis."""
        self._next_encoding = next_encoding(self._log.total)
        if not self._log.whole:
            return
        outcomes, names = self._log.newest(), self._columns.names
        width, told = self.params.width, outcomes.told
        encoder = Encoder.fit(outcomes.contexts, names, (), width, self._seed, told=told)
        self._kept = np.array(places_of(encoder.features, names), dtype=np.intp)
        before, self._state = self._state, BanditState(encoder, self.params)
        self._state.learn(self._batch(outcomes))
        self._state.errors, self._state.decay = before.errors, before.decay
        if encoder.features == before.encoder.features:
            self._state.use_trees(before.trees, before.fitted_on)
        else:  # the trees read other columns
            self._next_trees = self.params.trees.at_least
        self.fitted_at = self._log.total

    def _fit_trees(self) -> None:
        newest = self._batch(self._log.newest(self.params.trees.newest))
        self._state.fit_trees(newest, float(self._log.total))
        self._next_trees = max(self._log.total + 1, self._log.total * self.params.trees.growth)
        self.fitted_at = self._log.total


def next_encoding(total: int) -> int:
    """Number of outcomes at which the encoder is fitted next: 8, 16, 32, and so on."""
    threshold = FIRST_ENCODED
    while threshold <= total:
        threshold *= 2
    return threshold
