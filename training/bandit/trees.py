"""Boosted trees that predict the reward of each action.

They find interactions that the linear experts miss. Trees cannot learn from one outcome, so they
are fitted again now and then; in between, the linear experts (`ActionStatistics`) learn on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from training.arrays import Bools, Floats, Indices
from training.contributions import TreeContributions
from training.models import action_trees
from training.models.leaf_masks import LeafMasks, Masks, TreePairs
from training.models.lightgbm_settings import boosting_settings
from training.models.lightgbm_settings import lightgbm as lgb

ROUNDS = 60
SETTINGS = boosting_settings(
    # An action has few outcomes at first, so leaves and categories may be small.
    min_data_in_leaf=5,
    min_data_per_group=5,
    cat_smooth=1.0,
    # Random parts of features and outcomes keep trees of so small leaves from overfitting.
    learning_rate=0.1,
    feature_fraction=0.8,
    bagging_fraction=0.8,
    bagging_freq=1,
)
# Kinds of trees are compared where so many outcomes can tell. Trees of all actions are the first
# choice where rewards are not rare: there, few outcomes tell little, and a fit takes longer.
RARE = 0.25  # share of outcomes with any reward
COMPARED_RARE, COMPARED = 500, 10_000
FOLDS = 5
COMPARED_ROWS = 50_000  # in all folds: few rare rewards tell too little in one; time is bounded
BATCH = 32  # rows whose leaves are looked up together: few enough to stay in the CPU's cache
CROSS_ENTROPY = "cross_entropy"  # objective for rewards from 0 to 1; else it is squared error


@dataclass(frozen=True)
class BoostedTrees:
    """One boosted model for all actions; it reads a row of features, the channel and the action.

    Attributes
    ----------
    actions, channels : tuple of str
        Those it was fitted on; a code is an index into them.
    text : str
        The model in LightGBM's text format.
    """

    actions: tuple[str, ...]
    channels: tuple[str, ...]
    text: str

    def __post_init__(self) -> None:
        for name in ("actions", "channels"):  # JSON knows lists only
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @cached_property
    def _booster(self) -> Any:
        return lgb.Booster(model_str=self.text)

    @cached_property
    def _masks(self) -> LeafMasks:
        return LeafMasks(self.text)

    @cached_property
    def _channel_masks(self) -> Masks:
        """Masks by `_places` of the channel; last, of an unknown one."""
        return self._masks.of_categories(-2, [*range(len(self.channels)), -1])

    @cached_property
    def _pairs(self) -> TreePairs:
        """The pairs of each action and the trees that do not give all its rows the same value."""
        return self._masks.pairs(self._masks.of_categories(-1, range(len(self.actions))))

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.actions)

    @cached_property
    def _is_probability(self) -> bool:
        """True if raw scores are log-odds."""
        return f"objective={CROSS_ENTROPY}" in self.text

    @classmethod
    def fit(
        cls,
        rows: Floats,
        channels: Sequence[str],
        actions: Sequence[str],
        reward: Floats,
        count: Floats,
        rounds: int | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> BoostedTrees | None:
        """Fit on outcomes in any order; None if their rewards do not differ.

        Two kinds are fitted: trees of all actions together, which are best where rewards are clear,
        and small ones of each action (`action_trees`), which are best where they are rare. The kind
        with the smaller squared error on outcomes that neither has seen is kept (cross-validation,
        of fewer folds the more outcomes). Few outcomes cannot tell, and get trees of all actions.

        Parameters
        ----------
        rows : shape (n, n_features)
            ``nan`` is unknown.
        channels, actions : n texts
        reward : shape (n,)
        count : shape (n,)
            Weight of each outcome; a negative one retracts an equal outcome.
        rounds : int
            The number of trees, of all actions together. Default: the outcomes decide the kind.
        settings
            Of LightGBM, in place of some of `SETTINGS`; likewise.
        """
        known, ways = tuple(sorted(set(actions))), tuple(sorted(set(channels)))
        codes = _codes(tuple(channels), ways), _codes(tuple(actions), known)
        table, y, weight = _canonical(np.column_stack([rows, *codes]), reward, count)
        if len(np.unique(y)) < 2:
            return None
        outcomes = _Outcomes(table, y, weight)
        if rounds is None and settings is None:
            return cls(known, ways, _better_kind(outcomes))
        chosen = SETTINGS | dict(settings or {})
        rounds = ROUNDS if rounds is None else rounds
        return cls(known, ways, outcomes.fit(np.arange(len(y)), chosen, rounds))

    def reward(self, rows: Floats, channels: Sequence[str], actions: Sequence[str]) -> Floats:
        """Predict the reward of each of ``actions`` for n rows, shape (n, n_actions).

        ``nan`` for an action that the trees were not fitted on.
        """
        wanted, on = _places(tuple(actions), self.actions), _places(tuple(channels), self.channels)
        of_channels = self._channel_masks.take(on, axis=0, mode="wrap")  # -1 is the last
        found = np.empty((len(rows), len(actions)))
        for start in range(0, len(rows), BATCH):
            part = slice(start, start + BATCH)
            open_leaves = self._masks.of_rows(rows[part]) & of_channels[part]
            scores = self._masks.scores(open_leaves, self._pairs)
            found[part] = scores.take(wanted, axis=1, mode="wrap")
        if self._is_probability:
            expit(found, out=found)
        if not set(actions).issubset(self._known):
            found[:, ~self.knows(actions)] = np.nan
        return found

    def errors_after(
        self,
        rounds: Sequence[int],
        rows: Floats,
        channels: Sequence[str],
        actions: Sequence[str],
        reward: Floats,
        count: Floats,
    ) -> Floats:
        """Sum the squared errors that the first trees alone make; shape (len(rounds),).

        Parameters
        ----------
        rounds
            Numbers of trees.
        rows, channels, actions, reward, count
            Outcomes, as for `fit`.
        """
        codes = _codes(tuple(channels), self.channels), _codes(tuple(actions), self.actions)
        table = np.column_stack([rows, *codes])
        predicted = [self._booster.predict(table, num_threads=1, num_iteration=n) for n in rounds]
        return np.array([float(count @ np.square(reward - one)) for one in predicted])

    def first(self, rounds: int) -> BoostedTrees:
        """Return the first trees alone."""
        text = self._booster.model_to_string(num_iteration=rounds)
        return BoostedTrees(self.actions, self.channels, text)

    def knows(self, actions: Sequence[str]) -> Bools:
        """Tell which actions the trees were fitted on, shape (n_actions,)."""
        known: Bools = _places(tuple(actions), self.actions) >= 0
        return known

    def effects(self, row: Floats, channel: str, actions: Sequence[str]) -> TreeContributions:
        """Explain `reward` for one row by what each feature and the channel add.

        LightGBM's contributions are exact Shapley values of the raw score (Lundberg et al. 2020).
        If the score is log-odds, all of them are multiplied by one factor for each action, so that
        they add up to the reward.
        """
        table = np.empty((len(actions), len(row) + 2))
        table[:, :-2] = row
        table[:, -2] = _codes((channel,), self.channels)
        table[:, -1] = _codes(tuple(actions), self.actions)
        parts = np.asarray(self._booster.predict(table, num_threads=1, pred_contrib=True))
        reward = self.reward(row[None, :], (channel,), actions)[0]
        score, base = parts.sum(axis=1), parts[:, -1] + parts[:, -2]  # -2: the action's own
        at_base = 1 / (1 + np.exp(-base)) if self._is_probability else base
        moved = np.abs(score - base) > 1e-9
        stretch = np.where(moved, (reward - at_base) / np.where(moved, score - base, 1.0), 0.0)
        return TreeContributions(
            reward - stretch * (score - base), parts[:, :-2] * stretch[:, None]
        )

    @property
    def note(self) -> dict[str, Any]:
        """The model, for JSON; `of` reads it."""
        return {"actions": self.actions, "channels": self.channels, "text": self.text}

    @classmethod
    def of(cls, note: Mapping[str, Any]) -> BoostedTrees:
        """Return the model of a `note`."""
        return cls(tuple(note["actions"]), tuple(note["channels"]), note["text"])


@lru_cache(maxsize=64)  # the actions of a catalogue are the same at each decision
def _places(texts: tuple[str, ...], known: tuple[str, ...]) -> Indices:
    """Index of each text among the known ones; -1 if it is not among them."""
    index = {text: number for number, text in enumerate(known)}
    return np.array([index.get(text, -1) for text in texts], dtype=np.intp)


def _codes(texts: tuple[str, ...], known: tuple[str, ...]) -> Floats:
    """`_places` as LightGBM reads them: ``nan`` is unknown."""
    places = _places(texts, known)
    return np.where(places < 0, np.nan, places)


def _canonical(table: Floats, y: Floats, count: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the outcomes that were not retracted, in an order that does not depend on theirs.

    Equal outcomes remain separate rows: LightGBM counts the rows of a leaf, not their weights.
    """
    whole = np.column_stack([table, y]) + 0.0  # makes -0.0 and 0.0 equal
    keys = np.array([hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in whole])
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    weight = np.bincount(group, weights=count)
    there = np.bincount(group, weights=np.sign(count)).astype(np.int64)
    left = weight > 1e-9 * max(1.0, float(np.abs(count).max(initial=0.0)))
    there = np.where(left, np.maximum(there, 1), 0)
    kept = np.repeat(first, there)
    return table[kept], y[kept], np.repeat(weight / np.maximum(there, 1), there)


class _Outcomes(NamedTuple):
    """Outcomes in the canonical order; the last columns are the channel and the action."""

    table: Floats
    reward: Floats
    weight: Floats

    def fit(self, rows: Indices, settings: Mapping[str, Any], rounds: int) -> str:
        """Fit trees on some outcomes; their text."""
        low, high = self.reward.min(), self.reward.max()
        width = self.table.shape[1]
        data = lgb.Dataset(
            self.table[rows],
            self.reward[rows],
            weight=self.weight[rows],
            categorical_feature=[width - 2, width - 1],
            params={"verbosity": -1, "min_data_in_bin": 1},
        )
        objective = CROSS_ENTROPY if low >= 0 and high <= 1 else "regression"
        chosen = dict(settings) | {"objective": objective}
        text: str = lgb.train(chosen, data, rounds).model_to_string()
        return text

    def error(self, rows: Indices, text: str) -> float:
        """Sum the squared errors that trees make on some outcomes."""
        predicted = lgb.Booster(model_str=text).predict(self.table[rows], num_threads=1)
        return float(self.weight[rows] @ np.square(self.reward[rows] - predicted))


def _better_kind(outcomes: _Outcomes) -> str:
    """Fit the kind of trees that predicts outcomes better which it has not seen; its text."""
    reward, actions = outcomes.reward, outcomes.table[:, -1].astype(np.intp)
    everything = np.arange(len(reward))
    is_rare = float((reward > reward.min()).mean()) < RARE
    if len(reward) < (COMPARED_RARE if is_rare else COMPARED):
        return outcomes.fit(everything, SETTINGS, ROUNDS)
    joint = own = 0.0
    for fold in range(min(FOLDS, max(1, COMPARED_ROWS // len(reward)))):
        is_unseen = everything % FOLDS == fold
        seen, unseen = everything[~is_unseen], everything[is_unseen]
        if len(np.unique(reward[seen])) > 1:
            joint += outcomes.error(unseen, outcomes.fit(seen, SETTINGS, ROUNDS))
            own += outcomes.error(
                unseen, action_trees.fit_each(outcomes.fit, actions, reward, seen)
            )
    if joint < own:
        return outcomes.fit(everything, SETTINGS, ROUNDS)
    return action_trees.fit_each(outcomes.fit, actions, reward, everything)
