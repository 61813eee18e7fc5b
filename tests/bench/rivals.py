"""Wraps rival bandits with `predict` and `learn`, and keeps what they earned in `rivals.json`.

Vowpal Wabbit, MABWiser and XGBoost are in the extra `bench`. Rivals are slow and do not change, so
`tests.bench.bandit` reads their results from the file, and plays them only when asked.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from tests.bench.xgboost_ensemble import XgboostThompson

RESULTS = Path(__file__).with_name("rivals.json")
COMMAND = "python -m tests.bench.bandit --rivals --sets SET --seeds SEED --only RIVAL"
TIME = "predict_us, learn_us: CPU microseconds a row; refits are included in learn_us"
# The settings of all rivals are the best of those tried on some of the eight sets, with seeds of 7
# and more. SquareCB earned 0.017 more with a learning rate of 2 than with its default, RegCB 0.014
# more with a mellowness of 0.001, LinUCB on unit norm 0.033 more with alpha 2 than with 0.5.
VOWPAL_WABBIT = {
    "VW epsilon": "--epsilon 0.05 -l 2",
    "VW SquareCB": "--squarecb -l 2",
    "VW cover": "--cover 5 --nounif",
    "VW bag": "--bag 5 -l 2",
    "VW RegCB": "--regcbopt --mellowness 0.001",
}
# RegCB takes costs from 0 to 1 (its default of --cb_min_cost and --cb_max_cost); the others learned
# better from costs of -1 to 0.
COST_OF_NOTHING = {"--regcbopt": 1.0}
MOST_FEATURES = 100  # of MABWiser: a row takes time in proportion to their square


class Rival(Protocol):
    """A learner that plays row by row."""

    def predict(self, context: np.ndarray) -> np.ndarray:
        """Probabilities of the actions, shape (n_actions,)."""

    def learn(
        self, context: np.ndarray, action: int, reward: float, probability: float
    ) -> None: ...


class VowpalWabbit:
    """Vowpal Wabbit with interactions of context and action, as its authors advise."""

    def __init__(self, contexts: np.ndarray, n_actions: int, seed: int, explorer: str) -> None:
        from vowpalwabbit import Workspace

        asked = "--cb_explore_adf -q xa --ignore_linear x --quiet"
        self._model = Workspace(f"{asked} {explorer} --random_seed {seed}")
        self._n_actions = n_actions
        self._cost = COST_OF_NOTHING.get(explorer.split()[0], 0.0)

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

    def __init__(
        self, contexts: np.ndarray, n_actions: int, seed: int, policy: str, alpha: float
    ) -> None:
        from mabwiser.mab import MAB, LearningPolicy

        if contexts.shape[1] > MOST_FEATURES:
            raise ValueError(f"more than {MOST_FEATURES} features: too slow to measure")
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


class UnitNorm:
    """Scales features for another rival: each from 0 to 1, then each row to the norm 1.

    The ranges are those of all rows, as in the published protocols of NeuralUCB and its successors
    (Zhou, Li, Gu 2020), so the rival knows the ranges of rows that it has not met yet.
    """

    def __init__(self, contexts: np.ndarray, rival: Rival) -> None:
        self._least, self._rival = contexts.min(axis=0), rival
        spread = contexts.max(axis=0) - self._least
        self._spread = np.where(spread > 0, spread, 1.0)

    def predict(self, context: np.ndarray) -> np.ndarray:
        return self._rival.predict(self.scaled(context))

    def learn(self, context: np.ndarray, action: int, reward: float, probability: float) -> None:
        self._rival.learn(self.scaled(context), action, reward, probability)

    def scaled(self, context: np.ndarray) -> np.ndarray:
        ranged = (context - self._least) / self._spread
        return ranged / max(float(np.linalg.norm(ranged)), 1e-12)


class Entry(NamedTuple):
    """A rival: its package, its module, and a function of contexts, n_actions and a seed."""

    package: str
    module: str
    make: Callable[[np.ndarray, int, int], Rival]

    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None


def _unit_norm(contexts: np.ndarray, n_actions: int, seed: int) -> Rival:
    return UnitNorm(contexts, MabWiser(contexts, n_actions, seed, "LinUCB", 2.0))


def _trees(contexts: np.ndarray, n_actions: int, seed: int) -> Rival:
    return XgboostThompson(n_actions, seed)


RIVALS = {
    **{
        name: Entry("vowpalwabbit", "vowpalwabbit", partial(VowpalWabbit, explorer=explorer))
        for name, explorer in VOWPAL_WABBIT.items()
    },
    "LinUCB": Entry("mabwiser", "mabwiser", partial(MabWiser, policy="LinUCB", alpha=0.5)),
    "LinUCB unit norm": Entry("mabwiser", "mabwiser", _unit_norm),
    "LinTS": Entry("mabwiser", "mabwiser", partial(MabWiser, policy="LinTS", alpha=0.1)),
    "XGBoost TS": Entry("xgboost-cpu", "xgboost", _trees),
}


def rivals() -> dict[str, Callable[[int, int], Rival]]:
    """Return the rivals of Vowpal Wabbit by name, if it is installed.

    Each makes a learner of n_actions and a seed; it needs to know nothing of the contexts.
    """
    if not importlib.util.find_spec("vowpalwabbit"):
        return {}
    return {
        name: partial(VowpalWabbit, np.empty((0, 0)), explorer=explorer)
        for name, explorer in VOWPAL_WABBIT.items()
    }


class Run(NamedTuple):
    """Mean reward; CPU microseconds a row of predict and of learn, refits included."""

    reward: float
    predict_us: float
    learn_us: float

    @property
    def both_us(self) -> float:
        return self.predict_us + self.learn_us


class Failed(NamedTuple):
    """A rival that could not play a set, and the reason."""

    missing: str


class Results:
    """Results of rivals by set, seed, rival and number of rows, in a JSON file."""

    def __init__(self, path: Path = RESULTS) -> None:
        self._path = path
        known = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
        self._runs = {self._key(run): run for run in known}

    @staticmethod
    def _key(run: dict[str, Any]) -> tuple[str, int, str, int]:
        return run["set"], run["seed"], run["rival"], run["rows"]

    def find(self, name: str, seed: int, rival: str, rows: int) -> Run | Failed | None:
        """Return a result, the reason why there is none, or None if it was not measured."""
        run = self._runs.get((name, seed, rival, rows))
        if run is None:
            return None
        if "missing" in run:
            return Failed(run["missing"])
        return Run(run["reward"], run["predict_us"], run["learn_us"])

    def add(
        self, name: str, seed: int, rival: str, rows: int, found: Run | Failed, date: str
    ) -> None:
        """Add a result, or replace it, and write the file: a new one, then renamed."""
        digits = {"reward": 6, "predict_us": 1, "learn_us": 1}
        told = {
            field: round(value, digits[field]) if field in digits else value
            for field, value in found._asdict().items()
        }
        package = RIVALS[rival].package
        run = {"set": name, "seed": seed, "rival": rival, "rows": rows, **told}
        run |= {"package": f"{package} {version(package)}", "date": date}
        self._runs[self._key(run)] = run
        lines = ",\n  ".join(json.dumps(self._runs[key]) for key in sorted(self._runs))
        head = f' "command": {json.dumps(COMMAND)},\n "time": {json.dumps(TIME)},'
        new = self._path.with_suffix(".new")
        new.write_text(f'{{\n{head}\n "runs": [\n  {lines}\n ]\n}}\n', encoding="utf-8")
        os.replace(new, self._path)
