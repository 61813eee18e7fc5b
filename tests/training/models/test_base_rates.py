"""Tests of the predictions for customers without a past."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest

from training.models.calibration import ENOUGH, BaseRates
from training.models.classifier import Classifier, fit_classifier
from training.models.splits import forward_splits

NAMES = ("events_n", "silence_days", "age_years")
STRANGER = np.array([0.0, nan, nan])
WITH_AGE = np.array([0.0, nan, 40.0])
SEEN = np.array([3.0, 2.0, nan])
CLASSES = ("stay", "churn")


def a_past(n: int, without_events: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of customers with events, of whom one in ten leaves; some only have an age."""
    rng = np.random.default_rng(3)
    x = np.column_stack([rng.integers(1, 9, n), rng.exponential(9, n), rng.normal(40, 9, n)])
    x[:without_events, :2] = STRANGER[:2]
    return x.astype(np.float64), (np.arange(n) % 10 == 0).astype(np.int64)


def fitted(without_events: int = 0) -> Classifier:
    x, y = a_past(400, without_events)
    splits = forward_splits(np.zeros(len(x), dtype=np.int64), 1, seed=1)
    return fit_classifier(x, y, splits, NAMES, CLASSES, {"rounds": 5}, 1, stranger=STRANGER)


def test_a_stranger_gets_the_share_of_each_class_among_the_training_rows():
    model = fitted()
    assert model.probabilities_of_row(STRANGER) == pytest.approx([0.9, 0.1])
    assert model.predicts_base_rates(STRANGER) and not model.predicts_base_rates(SEEN)


def test_rows_in_a_table_are_predicted_as_each_row_alone():
    model, x = fitted(), np.stack([SEEN, STRANGER, WITH_AGE, SEEN])
    alone = [model.probabilities_of_row(row) for row in x]
    assert model.probabilities(x).tolist() == alone
    assert alone[0] != alone[1] == alone[2] == [0.9, 0.1]


@pytest.mark.parametrize(("without_events", "based"), [(0, True), (ENOUGH - 1, True), (20, False)])
def test_attributes_alone_are_read_by_a_model_that_was_trained_on_them(without_events, based):
    model = fitted(without_events)
    assert model.predicts_base_rates(WITH_AGE) is based
    assert model.predicts_base_rates(STRANGER)


def test_several_classes_have_a_rate_each_also_one_that_never_came():
    rates = BaseRates.of(np.stack([SEEN] * 4), np.array([0, 0, 2, 0]), 4, STRANGER, 0)
    assert rates.rates == (0.75, 0.0, 0.25, 0.0)
    assert rates.without_events == 0


def test_a_saved_model_has_its_base_rates(tmp_path):
    model = fitted()
    model.save(tmp_path)
    again = Classifier.load(tmp_path)
    assert again.base_rates.rates == model.base_rates.rates
    x = np.stack([STRANGER, WITH_AGE, SEEN])
    assert again.probabilities(x).tolist() == model.probabilities(x).tolist()


def test_a_version_of_a_former_program_predicts_strangers_by_its_trees(tmp_path):
    x, y = a_past(400)
    splits = forward_splits(np.zeros(len(x), dtype=np.int64), 1, seed=1)
    fit_classifier(x, y, splits, NAMES, CLASSES, {"rounds": 5}, 1).save(tmp_path)
    note = tmp_path / "classifier.json"
    note.write_text(note.read_text().replace(',\n "base_rates": null', ""))
    assert "base_rates" not in note.read_text()
    old = Classifier.load(tmp_path)
    assert old.base_rates is None and not old.predicts_base_rates(STRANGER)
    assert sum(old.probabilities_of_row(STRANGER)) == pytest.approx(1)
