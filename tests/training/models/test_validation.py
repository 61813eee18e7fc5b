"""Tests validation on later times, on other customers, and on folds of customers."""

from __future__ import annotations

import numpy as np
import pytest

from features.datasets.dataset import LabelledDataset
from features.errors import InvalidData
from training.models.churn import CLASSES, churn_metrics
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
    model, predictions = run(data)
    in_sample = churn_metrics(
        HeldOutPredictions((FoldPredictions(data.y, data.y, model.probabilities(data.x)),))
    )
    assert in_sample["roc_auc"] > 0.9  # the model that is kept has seen everybody
    # Out of fold it can only guess. The standard error of an AUC of 1/2 over 1,000 customers,
    # half of each kind, is 0.018.
    assert churn_metrics(predictions)["roc_auc"] == pytest.approx(0.5, abs=4 * 0.018)


def test_with_folds_each_row_is_predicted_once():
    data = some_moments(30)
    _, predictions = run(data)
    assert len(predictions.folds) == 4
    assert len(predictions.y) == len(predictions.p) == len(data.y)
    assert np.bincount(predictions.y).tolist() == np.bincount(data.y).tolist()
    assert all(len(fold.train_y) + len(fold.y) == len(data.y) for fold in predictions.folds)


def test_without_folds_the_kept_model_is_the_evaluated_one():
    test = np.arange(200) >= 150
    data = some_moments(100, train=~test, test=test, split_by="other customers", folds=0)
    model, predictions = run(data)
    [fold] = predictions.folds
    assert fold.y.tolist() == data.y[test].tolist()
    assert fold.train_y.tolist() == data.y[~test].tolist()
    assert fold.p.tolist() == model.probabilities(data.x[test]).tolist()


def test_the_calibration_is_split_like_the_validation():
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
    ids=[
        "one outcome",
        "nothing to evaluate on",
        "nothing to train on",
        "more folds than customers",
    ],
)
def test_too_few_rows_to_train_or_to_evaluate_on_are_refused(changed):
    data = some_moments(10, **changed)
    counts = f"There are {data.train.sum()} moments to train churn on and {data.test.sum()} to"
    with pytest.raises(InvalidData, match=counts):
        run(data)


def test_progress_counts_folds_and_the_model_that_is_kept():
    told = []
    fit_and_validate(
        *("churn", some_moments(20), ("own", "noise"), CLASSES, PARAMS, SEED),
        lambda what, done, of: told.append((what, done, of)),
    )
    assert told == [("train churn", number, 5) for number in range(6)]


def test_the_model_that_is_kept_predicts_strangers_by_the_share_of_its_training_rows():
    data, stranger = some_moments(30, train=np.arange(60) < 50), np.zeros(2)
    names = ("events_n", "noise")
    model, _ = fit_and_validate("churn", data, names, CLASSES, PARAMS, SEED, stranger=stranger)
    share = data.y[:50].mean()
    assert model.probabilities_of_row(stranger) == pytest.approx([1 - share, share])
