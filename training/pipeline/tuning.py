"""Searches LightGBM settings with Optuna, never looking at the moments that are judged on."""

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
class Best:
    """What a search found; log losses in nats, on training moments that were held out."""

    before: float
    after: float
    params: Mapping[str, float]


def search(name: str, sources: Sources, trials: int, progress: Progress = quiet) -> Best:
    """Try ``trials`` settings for ``churn`` or ``intent``; the present ones are tried first.

    Raises
    ------
    InvalidSetting
        If there is no such model to tune, or all its moments are for judging.
    """
    import optuna

    if name not in ("churn", "intent"):
        raise InvalidSetting(
            f"model is {name!r}.", expected="churn or intent", remedy="Name one of them."
        )
    params = sources.params.churn if name == "churn" else sources.params.intent
    read = churn_data if name == "churn" else intent_data
    data = read(sources.ledger, sources.history, sources.domain, sources.shift, params)
    known, seed = data.train, sources.params.seed
    if data.folds:
        raise InvalidSetting(
            f"{name} is judged by folds: every customer is one to judge on.",
            expected="some customers or some time that judging leaves to tune on",
            remedy="Set 'moments' in the domain file to dates or to test_where.",
        )
    splits = calibration_splits(data, known, seed)
    names = ModelInput(sources.domain).names
    n_classes = len(CLASSES) if name == "churn" else len(sources.domain.intents)

    def loss(trial: Any) -> float:
        tried = _suggest(trial)
        return forward_log_loss(data.x[known], data.y[known], splits, names, n_classes, tried, seed)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(params.lightgbm.model_dump())
    for number in range(trials):
        progress(f"tune {name}", number, trials)
        study.optimize(loss, n_trials=1)
    progress(f"tune {name}", trials, trials)
    losses = np.array([trial.value for trial in study.trials], dtype=np.float64)
    return Best(float(losses[0]), float(losses.min()), study.best_params)


def _suggest(trial: Any) -> dict[str, float]:
    return {
        "rounds": trial.suggest_int("rounds", 40, 500),
        "num_leaves": trial.suggest_int("num_leaves", 3, 40),
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.15, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 20, 500, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.1, 1.0),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.1, 100.0, log=True),
    }
