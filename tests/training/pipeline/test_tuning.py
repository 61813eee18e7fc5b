"""Tests the search of LightGBM settings, on rows made by hand."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from features.datasets.dataset import LabelledDataset
from features.errors import InvalidSetting
from training.params import load_params
from training.pipeline import tuning

N = 300


def rows(folds: int = 0) -> LabelledDataset:
    """Rows whose label follows from the first feature; the last third is for validation."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, 2))
    train = np.arange(N) < 200
    return LabelledDataset(
        x=x,
        y=(x[:, 0] + 0.5 * rng.normal(size=N) > 0).astype(np.int64),
        at_us=np.arange(N, dtype=np.int64),
        settled_us=np.arange(N, dtype=np.int64),
        customer_ids=np.array([f"c{number}" for number in range(N)], dtype=object),
        train=train,
        test=~train,
        split_by="folds" if folds else "other customers",
        folds=folds,
    )


@pytest.fixture
def sources(monkeypatch):
    names = SimpleNamespace(names=("signal", "noise"))
    monkeypatch.setattr(tuning, "ModelInput", lambda domain: names)
    monkeypatch.setattr(tuning, "churn_data", lambda *given: rows())
    return SimpleNamespace(
        params=load_params(), ledger=None, history=None, domain=None, shift=timedelta()
    )


def test_the_present_settings_are_tried_first_and_the_best_are_returned(sources):
    seen = []
    found = tuning.search("churn", sources, 2, lambda *progress: seen.append(progress))
    assert 0 < found.after <= found.before < np.log(2)
    assert {"rounds", "num_leaves", "learning_rate"} <= set(found.params)
    assert seen == [("tune churn", done, 2) for done in range(3)]


def test_the_search_does_not_see_the_rows_of_the_validation(sources, monkeypatch):
    once = tuning.search("churn", sources, 1)
    changed = rows()
    changed.y[changed.test] = 1 - changed.y[changed.test]
    monkeypatch.setattr(tuning, "churn_data", lambda *given: changed)
    assert tuning.search("churn", sources, 1) == once


def test_other_models_are_refused(sources):
    with pytest.raises(InvalidSetting, match="model is 'bandit'. Expected churn or intent"):
        tuning.search("bandit", sources, 1)


def test_a_model_that_is_validated_by_folds_is_refused(sources, monkeypatch):
    monkeypatch.setattr(tuning, "churn_data", lambda *given: rows(folds=5))
    with pytest.raises(InvalidSetting, match="churn is validated by folds"):
        tuning.search("churn", sources, 1)
