"""Churn: the chance that a customer now falls silent, or leaves."""

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
    """Labelled moments with what was known at each."""
    moments = churn_moments(ledger, domain, shift)
    return labelled_dataset(moments, history, params.service, domain, shift)


def churn_metrics(judged: HeldOutPredictions) -> dict[str, float]:
    """Figures on moments that were not trained on.

    With folds, ``roc_auc`` is the mean over the folds, as the field reports it: predictions of
    different models are not ranked against each other, and a fold in which everybody or nobody
    left ranks nothing. All else is of the pooled predictions.
    """
    y, p = judged.y, judged.p
    ranking = tuple(part for part in judged.parts if len(np.unique(part.y)) == len(CLASSES))
    return {
        "roc_auc": HeldOutPredictions(ranking or judged.parts).mean(_roc_auc),
        "expected_calibration_error": expected_calibration_error(y, p[:, 1]),
        "log_loss": log_loss(y, p),
        "churn_rate": float(y.mean()),
        "mean_prediction": float(p[:, 1].mean()),
    }


def _roc_auc(part: FoldPredictions) -> float:
    return roc_auc(part.y, part.p[:, 1])
