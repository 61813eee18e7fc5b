"""Makes effect models by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from features.ledger.ledger import Ledger
from serving.effects.published import FittedEffects, publish_effects
from training.bandit.encoder import Encoder
from training.effects.effect_model import EffectModel
from training.effects.surrogate_audit import AuditRow, audit_note


def made_model(features: tuple[str, ...] = (), **purchases: float) -> EffectModel:
    """A model in which actions add these purchases for everybody, and nobody leaves for them."""
    encoder = Encoder(features, (), np.zeros(len(features)), np.ones(len(features)))
    n_actions = len(purchases)
    return EffectModel(
        actions=tuple(purchases),
        encoder=encoder,
        basis=np.eye(encoder.width)[:, :1],
        level=np.full(encoder.width, -9.0),
        purchases=np.array([*purchases.values()]).reshape(n_actions, 1),
        purchases_covariance=np.zeros((n_actions, 1, 1)),
        leaving=np.zeros((n_actions, 1)),
        leaving_covariance=np.zeros((n_actions, 1, 1)),
        duration_days=45.0,
    )


def published(
    ledger: Ledger, model: EffectModel, now: datetime, after: int = 0, labels: int = 1
) -> int | None:
    """Publish a model that was begun when the newest one had the number ``after``."""
    fitted = FittedEffects(model.to_bytes(), model.note or {"looked": 9}, labels, after)
    return ledger.write_now(lambda c: publish_effects(c, fitted, now))


def audited_note(*rows: AuditRow) -> dict[str, Any]:
    """The note of a model whose surrogate was audited with these results."""
    days = {"duration_days": 40.0, "prior_days": 45.0}
    return {"matured": 1200, **days, "audit": audit_note(rows)}
