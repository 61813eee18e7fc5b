"""Searches LightGBM settings with Optuna, on training rows only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.errors import InvalidSetting
from features.journeys.model_input import ModelInput
from features.progress import Progress, quiet
from training.models.churn import CLASSES, churn_data
from training.models.classifier import forward_log_loss
from training.models.intent import intent_data
from training.models.validation import calibration_splits
from training.pipeline.train import Sources


@dataclass(frozen=True, slots=True)
class TuningResult:
    """The best settings of a search. Log losses in nats, on held-out training rows.

    Attributes
    ----------
    before, after : float
        Log loss of the present settings, and of the best ones.
    """

    before: float
    after: float
    params: Mapping[str, float]


def search(name: str, sources: Sources, trials: int, progress: Progress = quiet) -> TuningResult:
    """Try ``trials`` settings for ``churn`` or ``intent``, the present ones first.

    Raises
    ------
    InvalidSetting
        If the model cannot be tuned, or all its rows are used for validation.
    """
    import optuna

    if name not in ("churn", "intent"):
        raise InvalidSetting(
            f"model is {name!r}.", expected="churn or intent", remedy="Name one of them."
        )
    params = sources.params.churn if name == "churn" else sources.params.intent
    read = churn_data if name == "churn" else intent_data
    data = read(sources.ledger, sources.history, sources.domain, sources.shift, params)
    train, seed = data.train, sources.params.seed
    if data.folds:
        raise InvalidSetting(
            f"{name} is validated by folds: every customer is used for validation.",
            expected="some customers or some time outside the validation",
            remedy="Set 'moments' in the domain file to dates or to test_where.",
        )
    splits = calibration_splits(data, train, seed)
    names = ModelInput(sources.domain).names
    n_classes = len(CLASSES) if name == "churn" else len(sources.domain.intents)

    def loss(trial: Any) -> float:
        settings = _suggest(trial)
        return forward_log_loss(
            data.x[train], data.y[train], splits, names, n_classes, settings, seed
        )

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(params.lightgbm.model_dump())
    for number in range(trials):
        progress(f"tune {name}", number, trials)
        study.optimize(loss, n_trials=1)
    progress(f"tune {name}", trials, trials)
    losses = np.array([trial.value for trial in study.trials], dtype=np.float64)
    return TuningResult(float(losses[0]), float(losses.min()), study.best_params)


def _suggest(trial: Any) -> dict[str, float]:
    return {
        "rounds": trial.suggest_int("rounds", 40, 500),
        "num_leaves": trial.suggest_int("num_leaves", 3, 40),
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.15, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 20, 500, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.1, 1.0),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.1, 100.0, log=True),
    }
