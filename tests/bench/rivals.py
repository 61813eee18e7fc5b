"""Wraps Vowpal Wabbit and MABWiser with `predict` and `learn`, for `tests.bench.bandit`.

Both are in the extra `bench`; one that is not installed is left out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

VOWPAL_WABBIT = {
    "VW epsilon": "--epsilon 0.05",
    "VW SquareCB": "--squarecb",
    "VW cover": "--cover 5 --nounif",
    "VW bag": "--bag 5",
    "VW RegCB": "--regcbopt",
}
# It takes costs from 0 to 1; the others learned better from -1 to 0.
COST_OF_NOTHING = {"--regcbopt": 1.0}


class Rival(Protocol):
    """A learner that plays row by row."""

    def predict(self, context: np.ndarray) -> np.ndarray:
        """Probabilities of the actions, shape (n_actions,)."""

    def learn(
        self, context: np.ndarray, action: int, reward: float, probability: float
    ) -> None: ...


class VowpalWabbit:
    """Vowpal Wabbit with interactions of context and action, as its authors advise."""

    def __init__(self, n_actions: int, explorer: str, seed: int) -> None:
        from vowpalwabbit import Workspace

        asked = "--cb_explore_adf -q xa --ignore_linear x --quiet"
        self._model = Workspace(f"{asked} {explorer} --random_seed {seed}")
        self._n_actions, self._cost = n_actions, COST_OF_NOTHING.get(explorer, 0.0)

    def predict(self, context: np.ndarray) -> np.ndarray:
        chances = np.array(self._model.predict(self._example(context)))
        return chances / chances.sum()

    def learn(self, context: np.ndarray, action: int, reward: float, probability: float) -> None:
        self._model.learn(self._example(context, f"0:{self._cost - reward}:{probability}", action))

    def _example(self, context: np.ndarray, label: str = "", chosen: int = -1) -> list[str]:
        shared = " ".join(f"{number}:{value:.6g}" for number, value in enumerate(context))
        lines = [f"shared |x {shared}"]
        for action in range(self._n_actions):
            lines.append(f"{label if action == chosen else ''} |a a{action}")
        return lines


class MabWiser:
    """A policy of MABWiser; it chooses one action with probability 1."""

    def __init__(self, n_actions: int, policy: str, alpha: float, seed: int) -> None:
        from mabwiser.mab import MAB, LearningPolicy

        chosen = getattr(LearningPolicy, policy)(alpha=alpha)
        self._model: Any = MAB(list(range(n_actions)), chosen, seed=seed)
        self._n_actions, self._begun = n_actions, False

    def predict(self, context: np.ndarray) -> np.ndarray:
        if not self._begun:
            return np.full(self._n_actions, 1 / self._n_actions)
        return np.eye(self._n_actions)[self._model.predict([context])]

    def learn(self, context: np.ndarray, action: int, reward: float, probability: float) -> None:
        teach = self._model.partial_fit if self._begun else self._model.fit
        teach(decisions=[action], rewards=[reward], contexts=[context])
        self._begun = True


def rivals() -> dict[str, Callable[[int, int], Rival]]:
    """Return the installed rivals by name; each makes a learner of n_actions and a seed."""
    found: dict[str, Callable[[int, int], Rival]] = {}
    if importlib.util.find_spec("vowpalwabbit"):
        for name, explorer in VOWPAL_WABBIT.items():
            found[name] = lambda n, seed, explorer=explorer: VowpalWabbit(n, explorer, seed)  # type: ignore[misc]
    if importlib.util.find_spec("mabwiser"):
        found["LinUCB 0.5"] = lambda n, seed: MabWiser(n, "LinUCB", 0.5, seed)
        found["LinTS 0.1"] = lambda n, seed: MabWiser(n, "LinTS", 0.1, seed)
    return found
