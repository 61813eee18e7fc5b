"""A watcher over a fake registry, and one customer of the toy business."""

from __future__ import annotations

import numpy as np
import pytest

from features.journeys.model_input import ModelInput
from serving.models.watcher import ModelWatcher
from tests.serving.fake_registry import PARAMS, FakeRegistry, a_classifier
from training.models.classifier import Classifier


@pytest.fixture
def registry(tmp_path) -> FakeRegistry:
    return FakeRegistry(tmp_path / "models")


@pytest.fixture
def watcher(registry, ledger, toy_domain, toy_catalog) -> ModelWatcher:
    return ModelWatcher(registry, ledger, toy_domain, toy_catalog, PARAMS)


@pytest.fixture
def row(toy_domain) -> np.ndarray:
    """A customer of whom nothing is known but their age, the center of the toy bandits."""
    return np.array(ModelInput(toy_domain).read({"age_years": "0"}, None, 0.0))


@pytest.fixture(scope="module")
def churn(toy_domain) -> Classifier:
    return a_classifier(ModelInput(toy_domain).names, ("stay", "churn"))
