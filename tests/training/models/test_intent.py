"""Tests the metrics of the intent model on held-out rows."""

from __future__ import annotations

import numpy as np
import pytest

from training.models.intent import intent_metrics
from training.models.validation import FoldPredictions, HeldOutPredictions


def fold(y, p):
    p = np.array(p, dtype=np.float64)
    return FoldPredictions(np.array([0, 1]), np.array(y), np.column_stack([1 - p, p]))


def test_intent_is_evaluated_on_the_pooled_predictions():
    predictions = HeldOutPredictions((fold([0, 1], [0.1, 0.8]), fold([0], [0.9])))
    metrics = intent_metrics(predictions)
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.1]).mean())
    assert metrics["prior_log_loss"] == pytest.approx(np.log(2))
