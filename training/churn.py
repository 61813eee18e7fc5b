"""Churn: the chance that an active customer now falls silent."""

from __future__ import annotations

from datetime import timedelta

from features.dataset import History, Labelled, churn_moments, labelled
from features.domain import Domain
from features.ledger import Ledger
from training.classifier import Classifier
from training.metrics import expected_calibration_error, log_loss, roc_auc
from training.params import ClassifierParams

CLASSES = ("stay", "churn")


def churn_data(
    ledger: Ledger, history: History, domain: Domain, shift: timedelta, params: ClassifierParams
) -> Labelled:
    """Labelled moments with what was known at each."""
    moments = churn_moments(ledger, domain, shift)
    days = (domain.churn and domain.churn.silent_days) or 0.0
    return labelled(moments, history, params.service, domain, shift, days)


def judge_churn(model: Classifier, data: Labelled) -> dict[str, float]:
    """Figures on the test moments."""
    y, p = data.y[data.test], model.probabilities(data.x[data.test])
    return {
        "roc_auc": roc_auc(y, p[:, 1]),
        "expected_calibration_error": expected_calibration_error(y, p[:, 1]),
        "log_loss": log_loss(y, p),
        "churn_rate": float(y.mean()),
        "mean_prediction": float(p[:, 1].mean()),
    }
