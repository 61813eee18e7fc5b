"""The churn model: training data and metrics."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from features.business.domain import Domain
from features.datasets.dataset import HistoricalFeatures, LabelledDataset, labelled_dataset
from features.datasets.labels import churn_moments
from features.ledger.ledger import Ledger
from training.models.metrics import expected_calibration_error, log_loss, roc_auc
from training.models.validation import FoldPredictions, HeldOutPredictions
from training.params import ClassifierParams

CLASSES = ("stay", "churn")


def churn_data(
    ledger: Ledger,
    history: HistoricalFeatures,
    domain: Domain,
    shift: timedelta,
    params: ClassifierParams,
) -> LabelledDataset:
    """Read the labelled moments with the features that were known at each."""
    moments = churn_moments(ledger, domain, shift)
    return labelled_dataset(moments, history, params.service, domain, shift)


def churn_metrics(predictions: HeldOutPredictions) -> dict[str, float]:
    """Compute the metrics of churn on held-out rows.

    With folds, ``roc_auc`` is the mean over the folds: predictions of different models cannot be
    ranked against each other, and a fold with only one class is left out. The other metrics are of
    the pooled predictions.
    """
    y, p = predictions.y, predictions.p
    ranked = tuple(fold for fold in predictions.folds if len(np.unique(fold.y)) == len(CLASSES))
    return {
        "roc_auc": HeldOutPredictions(ranked or predictions.folds).mean(_roc_auc),
        "expected_calibration_error": expected_calibration_error(y, p[:, 1]),
        "log_loss": log_loss(y, p),
        "churn_rate": float(y.mean()),
        "mean_prediction": float(p[:, 1].mean()),
    }


def _roc_auc(fold: FoldPredictions) -> float:
    return roc_auc(fold.y, fold.p[:, 1])
