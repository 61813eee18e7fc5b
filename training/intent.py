"""Intent: what an active customer comes for next."""

from __future__ import annotations

from datetime import timedelta

from features.dataset import History, Labelled, intent_moments, labelled
from features.domain import Domain
from features.ledger import Ledger
from training.classifier import Classifier
from training.metrics import log_loss, prior_log_loss
from training.params import ClassifierParams


def intent_data(
    ledger: Ledger, history: History, domain: Domain, shift: timedelta, params: ClassifierParams
) -> Labelled:
    """Labelled moments with what was known at each."""
    moments = intent_moments(ledger, domain, shift)
    days = (domain.intent and domain.intent.within_days) or 0.0
    return labelled(moments, history, params.service, domain, shift, days)


def judge_intent(model: Classifier, data: Labelled) -> dict[str, float]:
    """Figures on the test moments."""
    y, p = data.y[data.test], model.probabilities(data.x[data.test])
    loss = log_loss(y, p)
    prior = prior_log_loss(data.y[data.train], y, len(model.classes))
    return {
        "log_loss": loss,
        "prior_log_loss": prior,
        "log_loss_over_prior": loss / prior,
        "accuracy": float((p.argmax(axis=1) == y).mean()),
    }
