"""Judged on what was not seen: later time, other customers, or folds."""

from __future__ import annotations

import numpy as np
import pytest

from features.datasets.dataset import LabelledDataset
from features.errors import InvalidData
from training.models.churn import CLASSES, churn_metrics
from training.models.intent import intent_metrics
from training.models.validation import (
    FoldPredictions,
    HeldOutPredictions,
    calibration_splits,
    fit_and_validate,
)

PARAMS = {"rounds": 20, "num_leaves": 31, "learning_rate": 0.3, "min_child_samples": 1}
SEED = 5


def some_moments(n: int, rows_each: int = 2, **changed) -> LabelledDataset:
    """Customers who can be learned by heart: a number of their own says nothing of the others."""
    rng = np.random.default_rng(1)
    own = np.repeat(np.arange(n), rows_each)
    everybody = np.ones(len(own), dtype=np.bool_)
    content = {
        "x": np.column_stack([own, rng.normal(size=len(own))]).astype(np.float64),
        "y": np.repeat(rng.integers(0, 2, n), rows_each),
        "at_us": np.arange(len(own), dtype=np.int64),
        "settled_us": np.arange(len(own), dtype=np.int64),
        "customer_ids": np.array([f"c{number}" for number in own], dtype=object),
        "train": everybody,
        "test": everybody,
        "split_by": "folds",
        "folds": 4,
    }
    return LabelledDataset(**(content | changed))


def run(data: LabelledDataset):
    return fit_and_validate("churn", data, ("own", "noise"), CLASSES, PARAMS, SEED)


def test_with_folds_nobody_is_predicted_by_a_model_that_knows_them():
    data = some_moments(1_000)
    model, judged = run(data)
    by_heart = churn_metrics(
        HeldOutPredictions((FoldPredictions(data.y, data.y, model.probabilities(data.x)),))
    )
    assert by_heart["roc_auc"] > 0.9  # the model that is kept has seen everybody
    # Out of fold it can only guess. The standard error of an AUC of 1/2 over 1,000 customers,
    # half of each kind, is 0.018.
    assert churn_metrics(judged)["roc_auc"] == pytest.approx(0.5, abs=4 * 0.018)


def test_with_folds_each_moment_is_judged_once():
    data = some_moments(30)
    _, judged = run(data)
    assert len(judged.parts) == 4
    assert len(judged.y) == len(judged.p) == len(data.y)
    assert np.bincount(judged.y).tolist() == np.bincount(data.y).tolist()
    assert all(len(part.train_y) + len(part.y) == len(data.y) for part in judged.parts)


def test_without_folds_the_model_that_is_kept_is_the_one_that_is_judged():
    test = np.arange(200) >= 150
    data = some_moments(100, train=~test, test=test, split_by="other customers", folds=0)
    model, judged = run(data)
    [part] = judged.parts
    assert part.y.tolist() == data.y[test].tolist()
    assert part.train_y.tolist() == data.y[~test].tolist()
    assert part.p.tolist() == model.probabilities(data.x[test]).tolist()


def test_calibration_is_fitted_as_the_model_is_judged():
    rows = np.arange(200) < 150
    by_time = some_moments(100, split_by="later time", folds=0)
    for known, later in calibration_splits(by_time, rows, SEED):
        assert known.max() < later.min()
    data = some_moments(100, split_by="other customers", folds=0)
    for known, left_out in calibration_splits(data, rows, SEED):
        ids = data.customer_ids[rows]
        assert set(ids[known]).isdisjoint(ids[left_out])


@pytest.mark.parametrize(
    "changed",
    [
        {"y": np.zeros(20, dtype=np.int64)},
        {"test": np.zeros(20, dtype=np.bool_), "split_by": "other customers", "folds": 0},
        {"train": np.zeros(20, dtype=np.bool_), "split_by": "later time", "folds": 0},
        {"folds": 11},
    ],
    ids=["one outcome", "nothing to judge on", "nothing to train on", "more folds than customers"],
)
def test_too_little_to_train_or_to_judge_on_is_said(changed):
    data = some_moments(10, **changed)
    counts = f"There are {data.train.sum()} moments to train churn on and {data.test.sum()} to"
    with pytest.raises(InvalidData, match=counts):
        run(data)


def test_progress_counts_folds_and_the_model_that_is_kept():
    told = []
    fit_and_validate(
        *("churn", some_moments(20), ("own", "noise"), CLASSES, PARAMS, SEED),
        lambda done, of: told.append((done, of)),
    )
    assert told == [(number, 5) for number in range(6)]


def part(y, p):
    chances = np.array(p, dtype=np.float64)
    return FoldPredictions(np.array([0, 1]), np.array(y), np.column_stack([1 - chances, chances]))


def test_churn_ranks_within_each_fold_and_pools_the_rest():
    # Each fold ranks its own customers without fault; pooled, the low fold spoils the order.
    low, high = part([0, 1], [0.1, 0.2]), part([0, 1], [0.7, 0.8])
    figures = churn_metrics(HeldOutPredictions((low, high)))
    assert figures["roc_auc"] == 1.0
    assert figures["mean_prediction"] == pytest.approx(0.45)
    assert figures["churn_rate"] == 0.5


def test_folds_weigh_by_their_size_and_one_without_leavers_ranks_nothing():
    right, wrong = part([0, 1], [0.1, 0.2]), part([0, 0, 1, 1], [0.7, 0.8, 0.1, 0.2])
    nobody_left = part([0, 0], [0.1, 0.9])
    figures = churn_metrics(HeldOutPredictions((right, wrong, nobody_left)))
    assert figures["roc_auc"] == pytest.approx(2 / 6)
    assert figures["churn_rate"] == pytest.approx(3 / 8)


def test_intent_is_judged_on_the_pooled_predictions():
    judged = HeldOutPredictions((part([0, 1], [0.1, 0.8]), part([0], [0.9])))
    figures = intent_metrics(judged)
    assert figures["accuracy"] == pytest.approx(2 / 3)
    assert figures["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.1]).mean())
    assert figures["prior_log_loss"] == pytest.approx(np.log(2))
