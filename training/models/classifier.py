"""A LightGBM classifier whose probabilities can be taken at their word.

The boosting is LightGBM's; ours is the calibration, which is fitted *forward in time*: each
block of later training moments is predicted by a model of the earlier ones, as the future will
be predicted by the final model. Calibrating on shuffled folds would hide the drift of a growing
history. Where there is no time, or other customers are judged on, whole customers are left out.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from training.arrays import Floats, Ints
from training.contributions import Contributions
from training.models.fast_predict import SingleRowPredictor

Params = Mapping[str, Any]
Split = tuple[Ints, Ints]

BLOCKS = 3  # later parts of the training time that calibration is fitted on
FOLDS = 5  # where there are too few moments to go forward in time
SMALL = 20_000  # rows that one thread trains on as fast as several
SHRINK = 1e-3  # pulls the calibration towards "change nothing", for tiny data
# Up to 4.6 LightGBM writes to its trees while it explains, so that two threads at once overrun
# its memory (issue 5482 of LightGBM); what only predicts is not disturbed.
_EXPLAINING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Scaling:
    """Calibrated logits = slope x logits + bias.

    References
    ----------
    Platt (1999) for two classes; Guo et al. (2017), "On Calibration of Modern Neural Networks",
    for several (one temperature, and a bias for each class).
    """

    slope: float
    bias: tuple[float, ...]

    def apply(self, logits: Floats) -> Floats:
        """Probabilities from logits, both of shape (n, n_classes)."""
        scaled = self.slope * logits + np.asarray(self.bias)
        # As SciPy has it, without its layers: for one row those take ten times as long.
        odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        probabilities: Floats = odds / odds.sum(axis=1, keepdims=True)
        return probabilities


@dataclass(frozen=True)
class Classifier:
    """Trained trees and their calibration.

    Attributes
    ----------
    booster
        LightGBM's own; kept bare because a wrapper or a frame would cost more than the trees.
    features, classes : tuple of str
        What the columns of the input and of the output are.
    """

    booster: Any
    features: tuple[str, ...]
    classes: tuple[str, ...]
    scaling: Scaling

    def probabilities(self, x: Floats) -> Floats:
        """Chance of each class, shape (n, n_classes), for ``x`` of shape (n, n_features)."""
        if len(x) != 1:
            return self.scaling.apply(_logits(self.booster, x))
        raw = self._single.scores(x[0])
        logits = np.array((0.0, raw[0])) if len(raw) == 1 else raw
        return self.scaling.apply(logits[None, :])

    @cached_property
    def _single(self) -> SingleRowPredictor:
        return SingleRowPredictor(self.booster)

    def contributions(self, row: Floats) -> Contributions:
        """What each feature adds to the raw score of each class, for one customer.

        Raw scores are log odds before calibration, and the calibration (`Scaling`) multiplies
        all of them by one slope, which is positive, and adds a bias that is no feature's. So for
        two classes it is monotone: what adds to the raw score of the second class makes it
        likelier, and slope x contribution is what it adds to the calibrated log odds; the first
        class has score 0. For several classes all depends on how scores compare with each
        other: see `Contributions.against_average`.

        Parameters
        ----------
        row : shape (n_features,)

        Returns
        -------
        Contributions
            Of ``classes``, to ``features``; the baselines are the mean scores of training.

        References
        ----------
        Lundberg, Erion & Lee (2018), "Consistent Individualized Feature Attribution for Tree
        Ensembles" (TreeSHAP), as LightGBM computes it (``pred_contrib``).
        """
        with _EXPLAINING:
            flat = self.booster.predict(row[None, :], pred_contrib=True, num_threads=1)
        told = np.reshape(np.asarray(flat, dtype=np.float64), (-1, len(self.features) + 1))
        if len(told) == 1:  # two classes: LightGBM explains the log odds of the second
            told = np.vstack([np.zeros_like(told), told])
        return Contributions(self.classes, self.features, told[:, -1], told[:, :-1])

    @property
    def gain(self) -> Floats:
        """How much loss each feature took away, shape (n_features,)."""
        return np.asarray(self.booster.feature_importance("gain"), dtype=np.float64)

    def save(self, folder: Path) -> None:
        """Write trees and calibration as text files."""
        folder.mkdir(parents=True, exist_ok=True)
        self.booster.save_model(folder / "trees.txt")
        note = {
            "features": self.features,
            "classes": self.classes,
            "slope": self.scaling.slope,
            "bias": self.scaling.bias,
        }
        (folder / "classifier.json").write_text(json.dumps(note, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Classifier:
        """Read what `save` wrote."""
        note = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
        return cls(
            lgb.Booster(model_file=folder / "trees.txt"),
            tuple(note["features"]),
            tuple(note["classes"]),
            Scaling(note["slope"], tuple(note["bias"])),
        )


def fit_classifier(
    x: Floats,
    y: Ints,
    splits: list[Split],
    names: tuple[str, ...],
    classes: tuple[str, ...],
    params: Params,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Classifier:
    """Train on all rows, with a calibration fitted on the parts that ``splits`` hold out.

    Parameters
    ----------
    x : shape (n, n_features)
    y : shape (n,), class index
    splits
        From `forward_splits` or `customer_splits`.
    params
        LightGBM parameters, and ``rounds``.
    seed : int
        Same seed, same trees.
    """
    logits, held_out = [], []
    for number, (known, later) in enumerate(splits):
        progress(number, len(splits) + 1)
        logits.append(
            _logits(_boost(x[known], y[known], names, len(classes), params, seed), x[later])
        )
        held_out.append(y[later])
    scaling = fit_scaling(np.concatenate(logits), np.concatenate(held_out))
    progress(len(splits), len(splits) + 1)
    booster = _boost(x, y, names, len(classes), params, seed)
    progress(len(splits) + 1, len(splits) + 1)
    return Classifier(booster, names, classes, scaling)


def forward_log_loss(
    x: Floats,
    y: Ints,
    splits: list[Split],
    names: tuple[str, ...],
    n_classes: int,
    params: Params,
    seed: int,
) -> float:
    """Mean log loss on what the splits hold out: the figure that tuning lowers."""
    total, count = 0.0, 0
    for known, later in splits:
        logits = _logits(_boost(x[known], y[known], names, n_classes, params, seed), x[later])
        total -= float(log_softmax(logits, axis=1)[np.arange(len(later)), y[later]].sum())
        count += len(later)
    return total / count


def forward_splits(at_us: Ints, label_us: int | Ints, seed: int) -> list[Split]:
    """Pairs of row numbers: what was settled by then, and a block of later moments.

    Parameters
    ----------
    at_us : shape (n,)
        Moments, microseconds since 1970.
    label_us : int, or shape (n,)
        How long each label looks ahead.

    Returns
    -------
    list of (rows to train on, rows to predict)
        Shuffled folds where there are too few different moments to go forward in time.
    """
    moments = np.unique(at_us)
    later = np.array_split(moments[len(moments) // 2 :], BLOCKS)
    settled_us = np.maximum(at_us + label_us, at_us + 1)  # no moment foretells itself
    splits = [
        (np.flatnonzero(settled_us <= block[0]), np.flatnonzero(np.isin(at_us, block)))
        for block in later
        if len(block)
    ]
    splits = [(known, ahead) for known, ahead in splits if len(known)]
    return splits if len(splits) == BLOCKS else list(_shuffled(len(at_us), seed))


def customer_splits(
    customer_ids: NDArray[np.object_], y: Ints, folds: int, seed: int
) -> list[Split]:
    """Pairs of row numbers: all but some customers, and those; each customer is left out once.

    Customers are shuffled and dealt out by their label (the last one, if they have several), so
    that every fold has its share of each class.

    Parameters
    ----------
    customer_ids : shape (n,)
    y : shape (n,), class index
    """
    customers, of_row = np.unique(customer_ids, return_inverse=True)
    label = np.zeros(len(customers), dtype=np.int64)
    label[of_row] = y
    shuffled = np.random.default_rng(seed).permutation(len(customers))
    dealt = np.empty(len(customers), dtype=np.int64)
    dealt[shuffled[np.argsort(label[shuffled], kind="stable")]] = np.arange(len(customers)) % folds
    fold = dealt[of_row]
    return [
        (np.flatnonzero(fold != number), np.flatnonzero(fold == number))
        for number in range(min(folds, len(customers)))
    ]


def fit_scaling(logits: Floats, y: Ints) -> Scaling:
    """The slope and biases under which what happened is most likely.

    Parameters
    ----------
    logits : shape (n, n_classes)
    y : shape (n,), class index
    """
    n_classes = logits.shape[1]
    chosen = np.eye(n_classes)[y]

    def loss(theta: Floats) -> tuple[float, Floats]:
        slope, bias = theta[0], np.append(0.0, theta[1:])
        scaled = log_softmax(slope * logits + bias, axis=1)
        error = (np.exp(scaled) - chosen) / len(y)
        pull = theta - start
        value = -float((scaled * chosen).sum()) / len(y) + SHRINK * float(pull @ pull)
        gradient = np.append((error * logits).sum(), error.sum(axis=0)[1:]) + 2 * SHRINK * pull
        return value, gradient

    start = np.append(1.0, np.zeros(n_classes - 1))
    bounds = [(0.05, 20.0)] + [(None, None)] * (n_classes - 1)
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return Scaling(float(best[0]), (0.0, *map(float, best[1:])))


def _shuffled(n: int, seed: int) -> Iterator[Split]:
    rows = np.random.default_rng(seed).permutation(n)
    for fold in np.array_split(rows, FOLDS):
        yield np.setdiff1d(rows, fold), np.sort(fold)


def _boost(
    x: Floats,
    y: Ints,
    names: tuple[str, ...],
    n_classes: int,
    params: Params,
    seed: int,
) -> Any:
    settings: dict[str, Any] = {
        **{name: value for name, value in params.items() if name != "rounds"},
        "objective": "binary" if n_classes == 2 else "multiclass",
        "verbosity": -1,
        "seed": seed,
        # The same trees again on the same machine, whatever the threads do.
        "deterministic": True,
        # By column: of each tree only the features that it may use are counted, not all of them.
        "force_col_wise": True,
        # Threads that wait for each other on a busy machine take ten times as long as one alone.
        "num_threads": 1 if len(x) < SMALL else 0,
    }
    if n_classes > 2:
        settings["num_class"] = n_classes
    data = lgb.Dataset(x, y, feature_name=list(names), params={"verbosity": -1})
    return lgb.train(settings, data, params["rounds"])


def _logits(booster: Any, x: Floats) -> Floats:
    raw = np.asarray(booster.predict(x, raw_score=True, num_threads=1 if len(x) == 1 else 0))
    if raw.ndim == 1:  # two classes: LightGBM gives the log odds of the second
        return np.column_stack([np.zeros(len(raw)), raw])
    return raw
