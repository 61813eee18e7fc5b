"""Fits a classifier and predicts rows that it was not fitted on.

The held-out rows are later moments if the domain names dates, other customers if it sets some
aside, and else folds of customers: each customer is predicted by a model of the other folds, and
the model that is kept is fitted on all customers. With folds the metrics therefore describe models
like the kept one, not the kept one itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from features.datasets.dataset import LabelledDataset
from features.errors import InvalidData
from features.progress import Progress, quiet
from training.arrays import Bools, Floats, Ints
from training.models.classifier import Classifier, Params, fit_classifier
from training.models.splits import FOLDS, Split, customer_splits, forward_splits


@dataclass(frozen=True, slots=True)
class FoldPredictions:
    """Predictions of one model for rows that it was not fitted on.

    Attributes
    ----------
    train_y : shape (n_trained,), class index of the rows that the model was fitted on
    y : shape (n,), observed class index
    p : shape (n, n_classes), predicted probabilities
    """

    train_y: Ints
    y: Ints
    p: Floats


@dataclass(frozen=True, slots=True)
class HeldOutPredictions:
    """All predictions for held-out rows: one fold, or several."""

    folds: tuple[FoldPredictions, ...]

    @property
    def y(self) -> Ints:
        """Observed class index of all folds, shape (n,)."""
        return np.concatenate([fold.y for fold in self.folds])

    @property
    def p(self) -> Floats:
        """Predicted probabilities of all folds, shape (n, n_classes)."""
        return np.concatenate([fold.p for fold in self.folds])

    def mean(self, metric: Callable[[FoldPredictions], float]) -> float:
        """Compute a metric on each fold, and its mean weighted by the folds' sizes."""
        sizes = [len(fold.y) for fold in self.folds]
        return float(np.average([metric(fold) for fold in self.folds], weights=sizes))


def calibration_splits(data: LabelledDataset, rows: Bools, seed: int) -> list[Split]:
    """Split the rows, shape (n_moments,), for the calibration in the way of the validation."""
    if data.split_by == "later time":
        ahead_us = data.settled_us[rows] - data.at_us[rows]
        return forward_splits(data.at_us[rows], ahead_us, seed)
    return customer_splits(data.customer_ids[rows], data.y[rows], FOLDS, seed)


def fit_and_validate(
    name: str,
    data: LabelledDataset,
    names: tuple[str, ...],
    classes: tuple[str, ...],
    params: Params,
    seed: int,
    progress: Progress = quiet,
    stranger: Floats | None = None,
) -> tuple[Classifier, HeldOutPredictions]:
    """Fit the model to keep, and predict held-out rows.

    Parameters
    ----------
    stranger : shape (n_features,), or None
        See `fit_classifier`.

    Raises
    ------
    InvalidData
        If there are too few rows to train on or to hold out.
    """
    _check_size(name, data)

    def show(what: str, done: int, of: int) -> None:
        progress(f"train {name}", done, of)

    def fit(rows: Bools, progress: Progress = quiet) -> Classifier:
        splits = calibration_splits(data, rows, seed)
        x, y = data.x[rows], data.y[rows]
        return fit_classifier(x, y, splits, names, classes, params, seed, progress, stranger)

    def predict(model: Classifier, train: Bools, test: Bools) -> FoldPredictions:
        return FoldPredictions(data.y[train], data.y[test], model.probabilities(data.x[test]))

    if not data.folds:
        model = fit(data.train, show)
        return model, HeldOutPredictions((predict(model, data.train, data.test),))
    folds = []
    splits = customer_splits(data.customer_ids, data.y, data.folds, seed)
    for number, (_, held_out) in enumerate(splits):
        show("", number, len(splits) + 1)
        test = np.isin(np.arange(len(data.y)), held_out)
        folds.append(predict(fit(~test), ~test, test))
    show("", len(splits), len(splits) + 1)
    model = fit(data.train)
    show("", len(splits) + 1, len(splits) + 1)
    return model, HeldOutPredictions(tuple(folds))


def _check_size(name: str, data: LabelledDataset) -> None:
    trained, held_out = data.y[data.train], int(data.test.sum())
    enough_customers = len(np.unique(data.customer_ids)) >= data.folds
    if len(np.unique(trained)) >= 2 and held_out and enough_customers:
        return
    raise InvalidData(
        f"There are {len(trained)} moments to train {name} on and {held_out} to evaluate it on.",
        expected="at least two different outcomes to train on, and some later moments or other "
        "customers to evaluate on",
        remedy="Load a longer history, or change 'moments' in the domain file.",
    )
