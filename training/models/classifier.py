"""A LightGBM classifier with calibrated probabilities.

The calibration is fitted forward in time: each block of later rows is predicted by a model of the
earlier rows, as the final model will predict the future. Calibration on shuffled folds would hide
the drift of a growing history. Where there is no time, or where other customers are held out for
validation, whole customers are held out instead (`splits`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax

from features.progress import Progress, quiet
from training.arrays import Floats, Ints
from training.contributions import Contributions
from training.models.calibration import EVENTS_N, BaseRates, Scaling, fit_scaling
from training.models.fast_predict import SingleRowPredictor
from training.models.lightgbm_settings import lightgbm as lgb
from training.models.splits import Split

Params = Mapping[str, Any]

SMALL = 20_000  # rows up to which one thread trains as fast as several
# Up to 4.6 LightGBM writes to its trees while it computes contributions, so two threads overrun
# its memory (issue 5482 of LightGBM). Prediction is not affected.
_CONTRIBUTIONS_LOCK = threading.Lock()


@dataclass(frozen=True)
class Classifier:
    """Boosted trees and their calibration.

    Attributes
    ----------
    booster
        LightGBM's `Booster`. A scikit-learn wrapper or a data frame costs more than the trees.
    features, classes : tuple of str
        Names of the input and of the output columns.
    base_rates : BaseRates or None
        The predictions for customers without a past. None in versions of former programs, which
        predict them by the trees.
    """

    booster: Any
    features: tuple[str, ...]
    classes: tuple[str, ...]
    scaling: Scaling
    base_rates: BaseRates | None = None

    def probabilities(self, x: Floats) -> Floats:
        """Predict the probability of each class, (n, n_classes), for ``x`` of (n, n_features)."""
        if len(x) == 1:
            return np.array([self.probabilities_of_row(x[0])])
        predicted = self.scaling.apply(_logits(self.booster, x))
        if self.base_rates is not None:
            predicted[self.base_rates.applies(x)] = self.base_rates.rates
        return predicted

    def probabilities_of_row(self, row: Floats) -> list[float]:
        """Predict the probability of each class for one row of shape (n_features,)."""
        if self.base_rates is not None and self.base_rates.applies_to_row(row):
            return list(self.base_rates.rates)
        raw = self._single.scores(row).tolist()
        return self.scaling.apply_to_row([0.0, *raw] if len(raw) == 1 else raw)

    @cached_property
    def _single(self) -> SingleRowPredictor:
        return SingleRowPredictor(self.booster)

    def predicts_base_rates(self, row: Floats) -> bool:
        """Return whether a row is predicted by the base rates, so that no feature contributes."""
        return self.base_rates is not None and self.base_rates.applies_to_row(row)

    def contributions(self, row: Floats) -> Contributions:
        """Compute what each feature adds to the raw score of each class, for one row.

        Raw scores are log odds before calibration. The calibration (`Scaling`) multiplies all of
        them by one positive slope and adds a bias that belongs to no feature. With two classes the
        first has score 0, and slope x contribution is what a feature adds to the calibrated log
        odds of the second. With several classes the scores have to be compared with each other:
        see `Contributions.against_average`.

        Parameters
        ----------
        row : shape (n_features,)

        Returns
        -------
        Contributions
            Of ``features`` to ``classes``; the baselines are the mean scores of training.

        References
        ----------
        Lundberg, Erion & Lee (2018), "Consistent Individualized Feature Attribution for Tree
        Ensembles" (TreeSHAP), as LightGBM computes it (``pred_contrib``).
        """
        with _CONTRIBUTIONS_LOCK:
            flat = self.booster.predict(row[None, :], pred_contrib=True, num_threads=1)
        by_class = np.reshape(np.asarray(flat, dtype=np.float64), (-1, len(self.features) + 1))
        if len(by_class) == 1:  # two classes: LightGBM explains the log odds of the second
            by_class = np.vstack([np.zeros_like(by_class), by_class])
        return Contributions(self.classes, self.features, by_class[:, -1], by_class[:, :-1])

    @property
    def gain(self) -> Floats:
        """Loss reduction by each feature (LightGBM gain), shape (n_features,)."""
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
            "base_rates": self.base_rates.as_json() if self.base_rates else None,
        }
        (folder / "classifier.json").write_text(json.dumps(note, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Classifier:
        """Read what `save` wrote."""
        note = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
        base_rates = note.get("base_rates")
        return cls(
            lgb.Booster(model_file=folder / "trees.txt"),
            tuple(note["features"]),
            tuple(note["classes"]),
            Scaling(note["slope"], tuple(note["bias"])),
            BaseRates.from_json(base_rates) if base_rates else None,
        )


def fit_classifier(
    x: Floats,
    y: Ints,
    splits: list[Split],
    names: tuple[str, ...],
    classes: tuple[str, ...],
    params: Params,
    seed: int,
    progress: Progress = quiet,
    stranger: Floats | None = None,
) -> Classifier:
    """Train on all rows, with a calibration fitted on the rows that ``splits`` hold out.

    Parameters
    ----------
    x : shape (n, n_features)
    y : shape (n,), class index
    splits
        From `forward_splits` or `customer_splits`.
    params
        LightGBM parameters, and ``rounds``.
    seed : int
        Trees of one seed are equal.
    stranger : shape (n_features,), or None
        The row of a customer without a past (`ModelInput.stranger`); None: no base rates are kept.
    """
    logits, held_out = [], []
    for number, (known, later) in enumerate(splits):
        progress("fit classifier", number, len(splits) + 1)
        logits.append(
            _logits(_boost(x[known], y[known], names, len(classes), params, seed), x[later])
        )
        held_out.append(y[later])
    scaling = fit_scaling(np.concatenate(logits), np.concatenate(held_out))
    progress("fit classifier", len(splits), len(splits) + 1)
    booster = _boost(x, y, names, len(classes), params, seed)
    progress("fit classifier", len(splits) + 1, len(splits) + 1)
    base_rates = None
    if stranger is not None:
        base_rates = BaseRates.of(x, y, len(classes), stranger, names.index(EVENTS_N))
    return Classifier(booster, names, classes, scaling, base_rates)


def forward_log_loss(
    x: Floats,
    y: Ints,
    splits: list[Split],
    names: tuple[str, ...],
    n_classes: int,
    params: Params,
    seed: int,
) -> float:
    """Compute the mean log loss on the rows that the splits hold out; tuning minimises it."""
    total, count = 0.0, 0
    for known, later in splits:
        logits = _logits(_boost(x[known], y[known], names, n_classes, params, seed), x[later])
        total -= float(log_softmax(logits, axis=1)[np.arange(len(later)), y[later]].sum())
        count += len(later)
    return total / count


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
        # Equal trees on one machine with any number of threads.
        "deterministic": True,
        # By column: histograms of only the features that a tree may use.
        "force_col_wise": True,
        # On a busy machine, threads that wait for each other take ten times as long as one.
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
