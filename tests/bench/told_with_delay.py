"""Replays a classification set for learners in this process, told as late as the server was.

Before row i, a learner has been told exactly the rows that the snapshot which decided row i had
learned. It is told the reward of the action that it drew itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from tests.bench.classification_sets import ClassificationSet
from tests.bench.rivals import Rival, rivals
from training.arrays import Floats, Indices
from training.bandit.contextual_bandit import ContextualBandit

SQUARECB = "VW SquareCB"
NOTEBOOK = "notebook"


class BatchLearner(Protocol):
    """A learner that is told several rows at once."""

    def predict(self, contexts: Floats) -> Floats:
        """Probabilities of the actions, shape (n_rows, n_actions)."""

    def learn(
        self, contexts: Floats, actions: Indices, rewards: Floats, probabilities: Floats
    ) -> None: ...


class Notebook:
    """Plays `ContextualBandit` as a notebook uses it."""

    def __init__(self, n_features: int, n_actions: int) -> None:
        self._bandit = ContextualBandit(n_features, n_actions)

    def predict(self, contexts: Floats) -> Floats:
        return self._bandit.predict(contexts)

    def learn(
        self, contexts: Floats, actions: Indices, rewards: Floats, probabilities: Floats
    ) -> None:
        self._bandit.learn(contexts, actions, rewards)


class OneByOne:
    """Plays a rival, which predicts and learns row by row."""

    def __init__(self, rival: Rival) -> None:
        self._rival = rival

    def predict(self, contexts: Floats) -> Floats:
        return np.stack([self._rival.predict(context) for context in contexts])

    def learn(
        self, contexts: Floats, actions: Indices, rewards: Floats, probabilities: Floats
    ) -> None:
        for context, action, reward, chance in zip(
            contexts, actions, rewards, probabilities, strict=True
        ):
            self._rival.learn(context, int(action), float(reward), float(chance))


class Draw(NamedTuple):
    """One replay: the name of the learner, the seed of its draws, and the rows told before each.

    ``told_before`` has the shape (n_rows,), see `told_before`.
    """

    learner: str
    seed: tuple[int, ...]
    told_before: Indices


def told_before(used: Indices, learned: Indices) -> Indices:
    """Return for each row the first later row whose snapshot had learned it, else n_rows.

    Parameters
    ----------
    used, learned : shape (n_rows,)
        See `served_run.Played`.

    Raises
    ------
    ValueError
        If a later row was decided by an older snapshot.
    """
    if (np.diff(used) < 0).any():
        raise ValueError(
            "A later row was decided by an older snapshot. Expected one worker, whose snapshots "
            "only become newer. Start the server with NBA_WORKERS=1."
        )
    return np.maximum(np.searchsorted(used, learned), np.arange(len(used)) + 1)


def replay(
    learner: BatchLearner, contexts: Floats, right: Indices, told: Indices, uniforms: Floats
) -> float:
    """Play each row once, and return the mean reward of the drawn actions.

    Parameters
    ----------
    contexts : shape (n_rows, n_features)
    right : shape (n_rows,)
    told : shape (n_rows,), see `told_before`
    uniforms : shape (n_rows,), numbers from 0 to 1 that draw the actions
    """
    n = len(right)
    actions, chances = np.zeros(n, dtype=np.intp), np.zeros(n)
    order = np.argsort(told, kind="stable")
    # Between two tellings the learner stays as it is, so these rows are predicted together.
    begins = np.unique([0, *told[told < n].tolist()])
    for begin, end in zip(begins, [*begins[1:], n], strict=True):
        rows = order[np.searchsorted(told[order], begin) :]
        rows = rows[told[rows] == begin]
        if len(rows):
            rewards = (actions[rows] == right[rows]).astype(np.float64)
            learner.learn(contexts[rows], actions[rows], rewards, chances[rows])
        found = learner.predict(contexts[begin:end])
        drawn = _drawn(found, uniforms[begin:end])
        actions[begin:end], chances[begin:end] = drawn, found[np.arange(end - begin), drawn]
    return float((actions == right).mean())


def _drawn(chances: Floats, uniforms: Floats) -> Indices:
    cumulated = chances.cumsum(axis=1)
    passed: Indices = (cumulated <= uniforms[:, None] * cumulated[:, -1:]).sum(axis=1)
    return passed


def makers() -> dict[str, Callable[[ClassificationSet, int], BatchLearner]]:
    """Return the learners that can be replayed by name; SquareCB only where it is installed."""
    found: dict[str, Callable[[ClassificationSet, int], BatchLearner]] = {
        NOTEBOOK: lambda given, seed: Notebook(given.contexts.shape[1], given.n_actions)
    }
    if make := rivals().get(SQUARECB):
        found[SQUARECB] = lambda given, seed: OneByOne(make(given.n_actions, seed))
    return found


def replayed(given: ClassificationSet, draw: Draw) -> float:
    """Return the mean reward of one replay."""
    rng = np.random.default_rng(draw.seed)
    uniforms = rng.random(len(given.right))
    with threadpool_limits(1):  # the draws run side by side, one on each core
        learner = makers()[draw.learner](given, int(rng.integers(2**31)))
        # Linear rivals get standardised columns; the notebook's object gets them as they are.
        contexts = given.contexts if draw.learner == NOTEBOOK else given.standardised
        return replay(learner, contexts, given.right, draw.told_before, uniforms)


def replay_all(given: ClassificationSet, draws: Iterable[Draw]) -> list[float]:
    """Return the mean reward of each replay; they run on all cores."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(partial(replayed, given), draws))
