"""Makes bandit problems of classification data sets and of Hillstrom's e-mails."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import sklearn.datasets

from tests.bench import hillstrom

ROWS = 6_000
DATA = Path(__file__).parents[3] / "shared" / "data"
EIGHT = (
    *("pendigits", "satimage", "segment", "vehicle"),
    *("nursery", "page_blocks", "spambase", "letter"),
)
SHIPPED = ("digits", "wine", "breast_cancer", "iris")  # with scikit-learn
TABLES = {  # file, target, columns to leave out: they contain the target, or are keys
    "shoppers": ("online_shoppers_intention.csv.gz", "Revenue", []),
    "bank": ("bank_additional_full.csv.gz", "y", ["duration"]),
    "telco": ("telco_customer_churn.csv.gz", "Churn", ["customerID", "TotalCharges"]),
}
OTHERS = (*SHIPPED, *TABLES)
MADE = "10 actions, 20 features"  # a synthetic set, for the time that a row takes
EMAILS = "Hillstrom"


class Problem(NamedTuple):
    """Contexts (n, d), the right action of each (n,), the number of actions, uniforms (n,)."""

    contexts: np.ndarray
    right: np.ndarray
    n_actions: int
    uniforms: np.ndarray


def problem(name: str, seed: int, rows: int = ROWS) -> Problem:
    """Make a bandit problem of a data set."""
    x, y = (part[:rows] for part in _table(name))
    y = np.unique(y, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    x, y = x[order], y[order]
    scale = x.std(axis=0)
    contexts = (x - x.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    return Problem(contexts, y, int(y.max()) + 1, rng.random(len(y)))


def _table(name: str) -> tuple[np.ndarray, np.ndarray]:
    if name in SHIPPED:
        found = getattr(sklearn.datasets, f"load_{name}")()
        return found.data.astype(float), found.target
    if name == MADE:
        return sklearn.datasets.make_classification(
            ROWS, 20, n_informative=10, n_redundant=4, n_classes=10, random_state=0
        )
    file, target, left_out = TABLES.get(name, (f"multiclass/{name}.csv.gz", "target", []))
    table = pd.read_csv(DATA / file).drop(columns=left_out)
    x = pd.get_dummies(table.drop(columns=target)).to_numpy(dtype=float)
    return x, pd.factorize(table[target], sort=True)[0]


def emails(seed: int) -> tuple[Problem, np.ndarray]:
    """Return Hillstrom's e-mails, with those sent as ``right``, and visits of shape (n,)."""
    contexts, arm, rewards = hillstrom.read(hillstrom.FILE)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(arm))
    contexts = ((contexts - contexts.mean(axis=0)) / contexts.std(axis=0))[order]
    sent = Problem(contexts, arm[order], len(hillstrom.ARMS), rng.random(len(arm)))
    return sent, rewards["visits"][order]


def fixed_emails() -> dict[str, float]:
    """Return the share of visits after each e-mail, in the order of `hillstrom.ARMS`."""
    _, arm, rewards = hillstrom.read(hillstrom.FILE)
    return {
        name: float(rewards["visits"][arm == number].mean())
        for number, name in enumerate(hillstrom.ARMS)
    }
