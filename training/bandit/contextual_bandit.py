"""The contextual bandit: `predict`, `learn`, `explain`."""

from __future__ import annotations

import numpy as np

from training.bandit.bandit_state import BanditState, OutcomeBatch
from training.bandit.encoder import Encoder
from training.bandit.exploration import ThompsonProbabilities
from training.bandit.trees import BoostedTrees
from training.params import BanditParams, load_params

ENCODED_UNTIL = 2048


class ContextualBandit:
    def __init__(self, n_features, n_actions, params: BanditParams | None = None, seed=0):
        self.params = params or load_params().bandit
        self._names = tuple(f"x{i}" for i in range(n_features))
        self._actions = tuple(str(i) for i in range(n_actions))
        self._policy = ThompsonProbabilities(self.params.min_probability)
        self._seed = seed
        self._state = BanditState(Encoder.blank(()), self.params)
        self._kept = np.zeros(0, dtype=int)
        self._log = []
        self._next_encoding = 8
        self._next_trees = self.params.trees.at_least
        self._range = None
        self._model = None
        self.fitted_at = 0

    def predict(self, contexts):
        x = np.asarray(contexts, dtype=float)
        pred = self._predict(x)
        return np.stack(
            [self._policy.probabilities(m, d) for m, d in zip(pred.acceptance, pred.deviation)]
        )

    def _predict(self, x):
        if self._model is None:
            r = self._range or (0.0, 1.0)
            self._model = self._state.model(self._actions, reward_range=r)
        pred = self._model.predict(x[:, self._kept], ("",) * len(x))
        self._cached = (x.tobytes(), pred)
        return pred

    def learn(self, contexts, actions, rewards, counts=None):
        x = np.asarray(contexts, dtype=float)
        y = np.asarray(rewards, dtype=float)
        c = np.ones(len(y)) if counts is None else np.asarray(counts, float)
        a = np.asarray(actions, dtype=int)
        cached = getattr(self, "_cached", None)
        pred = cached[1] if cached and cached[0] == x.tobytes() else self._predict(x)
        said = pred.expert_predictions[:, np.arange(len(x)), a].T
        self._cached = None
        at = np.arange(len(self._log), len(self._log) + len(x), dtype=float)
        batch = OutcomeBatch(
            x[:, self._kept], ("",) * len(x), [self._actions[i] for i in a], y, c, at, said
        )
        self._state.learn(batch)
        for i in range(len(x)):
            self._log.append((x[i].copy(), int(a[i]), float(y[i]), float(c[i])))
        lo, hi = float(y.min()), float(y.max())
        self._range = (
            (lo, hi) if self._range is None else (min(lo, self._range[0]), max(hi, self._range[1]))
        )
        self._model = None
        n = len(self._log)
        if n >= self._next_encoding and n <= 10**9:
            self._encode(n)
        if n >= self._next_trees:
            self._fit_trees(n)

    def _batch(self, part):
        x = np.array([r[0] for r in part])[:, self._kept]
        return OutcomeBatch(
            x,
            ("",) * len(part),
            [self._actions[r[1]] for r in part],
            np.array([r[2] for r in part]),
            np.array([r[3] for r in part]),
            np.arange(len(self._log) - len(part), len(self._log), dtype=float),
            np.full((len(part), len(self.params.linear_experts) + 1), np.nan),
        )

    def _encode(self, n):
        while self._next_encoding <= n:
            self._next_encoding *= 2
        if self._next_encoding > 2 * ENCODED_UNTIL:
            self._next_encoding = 10**12
        rows = np.array([r[0] for r in self._log])
        encoder = Encoder.fit(rows, self._names, (), self.params.width, self._seed)
        old = self._state
        state = BanditState(encoder, self.params)
        if encoder.features == old.encoder.features:
            state.use_trees(old.trees, old.fitted_on)
        else:
            self._next_trees = self.params.trees.at_least
        self._kept = np.array([self._names.index(f) for f in encoder.features], dtype=int)
        state.learn(self._batch(self._log))
        state.errors, state.decay = old.errors, old.decay
        self._state = state
        self.fitted_at = n

    def _fit_trees(self, n):
        part = self._log[-self.params.trees.newest :]
        b = self._batch(part)
        trees = BoostedTrees.fit(b.rows, b.channels, b.actions, b.acceptance, b.count)
        if trees is not None:
            self._state.use_trees(trees, n)
        self._state.fitted_on = n
        self._next_trees = n * self.params.trees.growth
        self.fitted_at = n
