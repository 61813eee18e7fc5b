"""The intent model, which predicts the reason of a customer's next contact: data and metrics."""

from __future__ import annotations

from datetime import timedelta

from features.business.domain import Domain
from features.datasets.dataset import HistoricalFeatures, LabelledDataset, labelled_dataset
from features.datasets.labels import intent_moments
from features.ledger.ledger import Ledger
from training.models.metrics import log_loss, prior_log_loss
from training.models.validation import HeldOutPredictions
from training.params import ClassifierParams


def intent_data(
    ledger: Ledger,
    history: HistoricalFeatures,
    domain: Domain,
    shift: timedelta,
    params: ClassifierParams,
) -> LabelledDataset:
    """Read the labelled moments with the features that were known at each."""
    moments = intent_moments(ledger, domain, shift)
    return labelled_dataset(moments, history, params.service, domain, shift)


def intent_metrics(predictions: HeldOutPredictions) -> dict[str, float]:
    """Compute the metrics of intent on held-out rows; with folds, of the pooled predictions."""
    y, p = predictions.y, predictions.p
    loss = log_loss(y, p)
    prior = predictions.mean(lambda fold: prior_log_loss(fold.train_y, fold.y, p.shape[1]))
    return {
        "log_loss": loss,
        "prior_log_loss": prior,
        "log_loss_over_prior": loss / prior,
        "accuracy": float((p.argmax(axis=1) == y).mean()),
    }
