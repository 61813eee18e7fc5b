"""Tests the metrics of the churn model on held-out rows."""

from __future__ import annotations

import numpy as np
import pytest

from training.models.churn import churn_metrics
from training.models.validation import FoldPredictions, HeldOutPredictions


def fold(y, p):
    p = np.array(p, dtype=np.float64)
    return FoldPredictions(np.array([0, 1]), np.array(y), np.column_stack([1 - p, p]))


def test_churn_ranks_within_each_fold_and_pools_the_rest():
    # Each fold ranks its own customers without fault; pooled, the low fold spoils the order.
    low, high = fold([0, 1], [0.1, 0.2]), fold([0, 1], [0.7, 0.8])
    metrics = churn_metrics(HeldOutPredictions((low, high)))
    assert metrics["roc_auc"] == 1.0
    assert metrics["mean_prediction"] == pytest.approx(0.45)
    assert metrics["churn_rate"] == 0.5


def test_folds_weigh_by_their_size_and_one_without_churn_has_no_auc():
    right, wrong = fold([0, 1], [0.1, 0.2]), fold([0, 0, 1, 1], [0.7, 0.8, 0.1, 0.2])
    nobody_left = fold([0, 0], [0.1, 0.9])
    metrics = churn_metrics(HeldOutPredictions((right, wrong, nobody_left)))
    assert metrics["roc_auc"] == pytest.approx(2 / 6)
    assert metrics["churn_rate"] == pytest.approx(3 / 8)
