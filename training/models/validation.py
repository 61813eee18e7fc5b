"""Fits a classifier and judges it on what it has not seen.

Later time, where the domain names dates; other customers, where it sets some aside; or folds,
where there is neither: each customer is then predicted by a model of the others, and the model
that is kept is one more, fitted on everybody, so the figures are of its like, not of itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from features.datasets.dataset import LabelledDataset
from features.errors import InvalidData
from training.arrays import Bools, Floats, Ints
from training.models.classifier import (
    FOLDS,
    Classifier,
    Params,
    Split,
    customer_splits,
    fit_classifier,
    forward_splits,
)

Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class FoldPredictions:
    """What one model foresaw of moments it had not seen.

    Attributes
    ----------
    train_y : shape (n_trained,), class index of what it was trained on
    y : shape (n,), class index of what happened
    p : shape (n, n_classes), what it foresaw
    """

    train_y: Ints
    y: Ints
    p: Floats


@dataclass(frozen=True, slots=True)
class HeldOutPredictions:
    """All predictions to judge by: one part, or one for each fold."""

    parts: tuple[FoldPredictions, ...]

    @property
    def y(self) -> Ints:
        """What happened, all parts pooled, shape (n,)."""
        return np.concatenate([part.y for part in self.parts])

    @property
    def p(self) -> Floats:
        """What was foreseen, all parts pooled, shape (n, n_classes)."""
        return np.concatenate([part.p for part in self.parts])

    def mean(self, figure: Callable[[FoldPredictions], float]) -> float:
        """A figure of each part, averaged by their sizes."""
        sizes = [len(part.y) for part in self.parts]
        return float(np.average([figure(part) for part in self.parts], weights=sizes))


def calibration_splits(data: LabelledDataset, rows: Bools, seed: int) -> list[Split]:
    """How calibration is fitted: the way the model will be judged. ``rows`` shape (n_moments,)."""
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
    report: Report = lambda done, of: None,
) -> tuple[Classifier, HeldOutPredictions]:
    """The model to keep, and predictions of moments that were not trained on.

    Raises
    ------
    InvalidData
        If there is too little to train on or to judge on.
    """
    _enough(name, data)

    def fit(rows: Bools, report: Report = lambda done, of: None) -> Classifier:
        splits = calibration_splits(data, rows, seed)
        x, y = data.x[rows], data.y[rows]
        return fit_classifier(x, y, splits, names, classes, params, seed, report)

    def judge(model: Classifier, train: Bools, test: Bools) -> FoldPredictions:
        return FoldPredictions(data.y[train], data.y[test], model.probabilities(data.x[test]))

    if not data.folds:
        model = fit(data.train, report)
        return model, HeldOutPredictions((judge(model, data.train, data.test),))
    parts = []
    splits = customer_splits(data.customer_ids, data.y, data.folds, seed)
    for number, (_, left_out) in enumerate(splits):
        report(number, len(splits) + 1)
        test = np.isin(np.arange(len(data.y)), left_out)
        parts.append(judge(fit(~test), ~test, test))
    report(len(splits), len(splits) + 1)
    model = fit(data.train)
    report(len(splits) + 1, len(splits) + 1)
    return model, HeldOutPredictions(tuple(parts))


def _enough(name: str, data: LabelledDataset) -> None:
    trained, judged = data.y[data.train], int(data.test.sum())
    if len(np.unique(trained)) >= 2 and judged and len(np.unique(data.customer_ids)) >= data.folds:
        return
    raise InvalidData(
        f"There are {len(trained)} moments to train {name} on and {judged} to judge it on.",
        expected="at least two different outcomes to train on, and some later moments or other "
        "customers to judge on",
        remedy="Load a longer history, or change 'moments' in the domain file.",
    )
