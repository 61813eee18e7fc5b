"""Trains the models: reads the data, fits, evaluates, logs, and checks the gates.

ledger + Feast history -> labelled moments -> churn, intent  -> MLflow (challenger)
logged decisions       -> outcomes         -> bandit         -> MLflow (challenger)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import pandas as pd

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.datasets.dataset import LabelledDataset, fingerprint
from features.datasets.point_in_time import PointInTimeFeatures
from features.errors import InvalidSetting
from features.identity.tombstones import hash_keys
from features.ingest.load_tables import shift_of
from features.journeys.model_input import ModelInput
from features.ledger.ledger import Ledger
from features.progress import Progress, quiet
from features.store.feast_store import FeatureStore
from training.bandit.artifact import Bandit
from training.models.churn import CLASSES, churn_data, churn_metrics
from training.models.intent import intent_data, intent_metrics
from training.models.metrics import importance_plot, reliability_plot
from training.models.validation import HeldOutPredictions, fit_and_validate
from training.params import ClassifierParams, Gate, TrainingParams
from training.pipeline.pyfunc import expected_acceptance
from training.pipeline.registry import Registry, TrainedModel
from training.pipeline.warm_start import fit_encoder, warm_start
from training.pipeline.warm_start_data import read_imported_decisions
from training.pipeline.warm_start_gate import OF_LATER, warm_start_report

MODELS = ("churn", "intent", "bandit")
EXAMPLE_ROWS = 3


@dataclass(frozen=True)
class Sources:
    """The data and settings that training reads.

    Attributes
    ----------
    until : aware UTC, or None
        The bandit learns from imported decisions before it only; None: from all.
    """

    ledger: Ledger
    store: FeatureStore
    domain: Domain
    catalog: Catalog
    params: TrainingParams
    now: datetime
    until: datetime | None = None

    @cached_property
    def history(self) -> PointInTimeFeatures:
        """Features of customers as of past times."""
        return PointInTimeFeatures(self.ledger, self.store, self.domain)

    @property
    def shift(self) -> timedelta:
        return shift_of(self.ledger)


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Version, metrics and gate failures of a trained model, and sentences about them."""

    name: str
    version: str
    metrics: Mapping[str, float]
    gate_failures: tuple[str, ...]
    evaluated_on: str
    remarks: tuple[str, ...] = ()


def train(
    name: str, sources: Sources, registry: Registry, progress: Progress = quiet
) -> TrainingResult:
    """Train one of `MODELS`, log it to MLflow and register it as challenger.

    Raises
    ------
    InvalidData
        If the domain does not define what the model predicts, or there are no data for it.
    """
    trained = _TRAINERS[name](sources, progress)
    progress(f"log {name}", 0, 1)
    version = registry.log(trained)
    progress(f"log {name}", 1, 1)
    evaluated_on = str(trained.params["evaluated_on"])
    missed, remarks = trained.gate_failures, trained.remarks
    return TrainingResult(name, version, trained.metrics, missed, evaluated_on, remarks)


def trainable(domain: Domain) -> tuple[str, ...]:
    """Return the names of the models that a business defines."""
    return tuple(name for name in MODELS if name == "bandit" or getattr(domain, name))


def _train_churn(sources: Sources, progress: Progress) -> TrainedModel:
    params = sources.params.churn
    progress("read churn", 0, 1)
    data = churn_data(sources.ledger, sources.history, sources.domain, sources.shift, params)
    progress("read churn", 1, 1)
    return _fit("churn", data, CLASSES, params, churn_metrics, sources, progress)


def _train_intent(sources: Sources, progress: Progress) -> TrainedModel:
    params = sources.params.intent
    progress("read intent", 0, 1)
    data = intent_data(sources.ledger, sources.history, sources.domain, sources.shift, params)
    progress("read intent", 1, 1)
    return _fit("intent", data, sources.domain.intents, params, intent_metrics, sources, progress)


def _fit(
    name: str,
    data: LabelledDataset,
    classes: tuple[str, ...],
    params: ClassifierParams,
    metrics_of: Callable[[HeldOutPredictions], dict[str, float]],
    sources: Sources,
    progress: Progress,
) -> TrainedModel:
    model_input, seed = ModelInput(sources.domain), sources.params.seed
    names, stranger = model_input.names, model_input.stranger
    settings = params.lightgbm.model_dump()
    model, held_out = fit_and_validate(
        name, data, names, classes, settings, seed, progress, stranger
    )
    metrics = metrics_of(held_out)
    columns = list(model.features)
    return TrainedModel(
        name=name,
        save=model.save,
        example=pd.DataFrame(data.x[data.test][:EXAMPLE_ROWS], columns=columns),
        predict=lambda x: pd.DataFrame(
            model.probabilities(x[columns].to_numpy()), columns=list(model.classes)
        ),
        params=settings | {"service": params.service, "seed": seed} | _sizes(data, sources),
        metrics=metrics,
        features=model.features,
        data_fingerprint=data.fingerprint,
        gate_failures=_gate_failures(params.gates, metrics),
        figures={
            "reliability.png": reliability_plot(held_out.y, held_out.p, model.classes),
            "importance.png": importance_plot(model.features, model.gain),
        },
        customers=_hashed(sources.ledger, data.customer_ids[data.train]),
    )


def _sizes(data: LabelledDataset, sources: Sources) -> dict[str, Any]:
    """Describe training and validation rows, for the parameters of the run."""
    return {
        "train_moments": int(data.train.sum()),
        "test_moments": int(data.test.sum()),
        "shift_days": sources.shift.days,
        "evaluated_on": f"{data.folds} folds" if data.folds else data.split_by,
    }


def _train_bandit(sources: Sources, progress: Progress) -> TrainedModel:
    domain, params = sources.domain, sources.params.bandit
    progress("train bandit", 0, 2)
    imported = read_imported_decisions(
        sources.ledger,
        sources.history,
        domain,
        sources.catalog,
        params,
        sources.now,
        sources.until,
    )
    progress("train bandit", 1, 2)
    encoder = fit_encoder(imported, sources.ledger, sources.history, domain, params, sources.now)
    state = warm_start(imported, encoder, sources.catalog, params)
    bandit = Bandit(state, params, imported_until=imported.until)
    metrics, remarks = warm_start_report(imported, domain, sources.catalog, params)
    progress("train bandit", 2, 2)
    judged = "log_loss" in metrics
    evaluated_on = "later decisions" if judged else "no later decisions"
    trained = bandit_version(bandit, domain, metrics, evaluated_on)
    # Without later decisions to judge there is nothing to check; a remark says so.
    missing = {*OF_LATER} - {*metrics}
    gates = {name: gate for name, gate in params.gates.items() if name not in missing}
    return replace(
        trained,
        data_fingerprint=fingerprint(imported.rows, imported.acceptance),
        gate_failures=_gate_failures(gates, metrics),
        customers=_hashed(sources.ledger, imported.customer_ids),
        remarks=remarks,
    )


def bandit_version(
    bandit: Bandit, domain: Domain, metrics: Mapping[str, float], evaluated_on: str
) -> TrainedModel:
    """Describe a bandit for the registry."""
    encoder = bandit.state.encoder
    example = pd.DataFrame([encoder.center] * EXAMPLE_ROWS, columns=list(encoder.features))
    example["channel"] = domain.channels[0]
    actions = {
        "actions": ",".join(bandit.state.actions),
        "evaluated_on": evaluated_on,
        "imported_until": bandit.imported_until,
    }
    return TrainedModel(
        name="bandit",
        save=bandit.save,
        example=example,
        predict=lambda x: expected_acceptance(bandit, x),
        params=bandit.params.model_dump(exclude={"gates"}) | actions,
        metrics=metrics,
        features=encoder.features,
        data_fingerprint="",
    )


def _hashed(ledger: Ledger, customer_ids: Iterable[str]) -> frozenset[str]:
    """Hash the ids of the training customers, to find the models of an erased customer."""
    keys = set(customer_ids)
    return frozenset(ledger.read(lambda connection: hash_keys(connection, keys)))


def _gate_failures(gates: Mapping[str, Gate], metrics: Mapping[str, float]) -> tuple[str, ...]:
    for name in gates:
        if name not in metrics:
            raise InvalidSetting(
                f"training/params.yaml has a gate for {name!r}.",
                expected=f"one of {', '.join(metrics)}",
                remedy="Correct its name; nothing was logged.",
            )
    checked = ((name, gate.broken_by(metrics[name])) for name, gate in gates.items())
    return tuple(f"{name} {wrong}" for name, wrong in checked if wrong)


_TRAINERS: dict[str, Callable[[Sources, Progress], TrainedModel]] = {
    "churn": _train_churn,
    "intent": _train_intent,
    "bandit": _train_bandit,
}
