"""Settings of LightGBM: shared values, and overrides of one model."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np

from training.models.lightgbm_settings import SHARED, boosting_settings


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
