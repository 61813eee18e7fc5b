"""LightGBM without scikit-learn; its settings: shared values, and overrides of one model."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tests.commands import ROOT
from training.models.lightgbm_settings import SEPARABLE, SHARED, boosting_settings
from training.models.lightgbm_settings import lightgbm as lgb

IMPORTS = """
import sys
import serving.learn.process, serving.server.background
print("lightgbm" in sys.modules, "sklearn" in sys.modules)
from sklearn.metrics import roc_auc_score
print(roc_auc_score([0, 1], [0.2, 0.8]))
"""


@pytest.mark.process
@pytest.mark.skipif(not SEPARABLE, reason="on ARM, scikit-learn is imported first")
def test_server_and_learner_start_without_scikit_learn_and_can_import_it_later():
    command = [sys.executable, "-c", IMPORTS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "1.0"]


def test_an_override_changes_one_model_and_no_other():
    before = dict(SHARED)
    settings = boosting_settings(num_leaves=31, lambda_l2=5.0)
    assert settings == before | {"num_leaves": 31, "lambda_l2": 5.0}
    settings["seed"] = 2
    assert boosting_settings() == before


def test_the_same_rows_give_the_same_trees_on_any_number_of_threads():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2_000, 5))
    y = x[:, 0] * x[:, 1] + rng.normal(size=2_000)
    alone, together = (
        lgb.train(boosting_settings(num_threads=n), lgb.Dataset(x, y), 20).predict(x)
        for n in (1, 2)
    )
    assert alone.tolist() == together.tolist()
