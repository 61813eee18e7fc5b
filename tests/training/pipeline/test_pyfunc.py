"""Tests that MLflow's wrappers predict what the wrapped models do."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.training.pipeline.test_registry import a_bandit
from training.models.classifier import fit_classifier
from training.models.splits import customer_splits
from training.pipeline.pyfunc import BanditModel, ClassifierModel, expected_acceptance


def test_a_classifier_takes_its_features_by_name_in_any_order(tmp_path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 2))
    y = (x[:, 0] > 0).astype(np.int64)
    ids = np.array([f"c{number}" for number in range(200)], dtype=object)
    settings = {"rounds": 5, "num_leaves": 3}
    splits = customer_splits(ids, y, 3, seed=1)
    model = fit_classifier(x, y, splits, ("a", "b"), ("stay", "churn"), settings, seed=1)
    model.save(tmp_path)
    wrapper = ClassifierModel()
    wrapper.load_context(SimpleNamespace(artifacts={"model": str(tmp_path)}))
    found = wrapper.predict(None, pd.DataFrame({"b": x[:, 1], "other": 0.0, "a": x[:, 0]}))
    assert found.columns.tolist() == ["stay", "churn"]
    assert found.to_numpy() == pytest.approx(model.probabilities(x))


def test_a_bandit_predicts_the_rate_of_its_only_action(tmp_path):
    bandit = a_bandit(1.0)
    bandit.save(tmp_path)
    wrapper = BanditModel()
    wrapper.load_context(SimpleNamespace(artifacts={"model": str(tmp_path)}))
    rows = pd.DataFrame({"channel": ["app", "phone"]})
    found = wrapper.predict(None, rows)
    assert found.columns.tolist() == ["discount"] and len(found) == 2
    pd.testing.assert_frame_equal(found, expected_acceptance(bandit, rows))
