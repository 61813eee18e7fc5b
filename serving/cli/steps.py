"""The steps of `nba` that need models: train, tune, replay, lift, evaluate.

`main` imports this module only when a step runs, because its imports (Feast, MLflow, LightGBM) take
seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from features.business.domain import Domain
from features.datasets.point_in_time import PointInTimeFeatures
from features.errors import InvalidData, InvalidSetting
from features.journeys.model_input import ModelInput
from features.journeys.personas.persona_conditions import open_domain
from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import clock_of
from features.ledger.tables import EPOCH
from features.progress import Progress
from features.rewards.reward_steps import RewardRules
from features.settings import load_settings
from features.store.feast_store import FeatureStore
from serving.audit.archive import Archive
from serving.audit.evaluation_request import (
    EvaluationRequest,
    EvaluationSources,
    RequestedEvaluation,
)
from serving.audit.lift.view import sum_before_lift, view_lift
from serving.audit.replay import Replay
from serving.catalog.compiled_catalog import CompiledCatalog, load_catalog, load_compiled_catalog
from serving.contract.decisions import ReplayAnswer
from serving.contract.evaluation import EvaluationView
from serving.contract.lift import LiftRequest, LiftView
from serving.guardrails.watch import GuardrailWatch
from training.params import load_params
from training.pipeline.registry import Registry
from training.pipeline.train import Sources, TrainingResult, train, trainable
from training.pipeline.tuning import TuningResult, search

SUM_STEPS, SUM_WITHIN_S = 100_000, 10.0  # of rewards, before the lift is read


def train_models(
    model: str | None, promote: bool, report: Progress, until: datetime | None = None
) -> Iterator[TrainingResult]:
    """Train one model or all; if ``promote``, promote each whose gates pass.

    Parameters
    ----------
    until
        The bandit learns from imported decisions before it only; None: from all.
    """
    if until is not None and model != "bandit":
        raise InvalidSetting(
            f"until is {until.isoformat()}, and the model is {model or 'each'}.",
            expected="the model bandit: the others are not trained on imported decisions",
            remedy="Say 'nba train bandit --until DAY', or leave --until out.",
        )
    sources, registry = replace(_sources(), until=until), Registry(load_settings())
    names = trainable(sources.domain)
    if model is not None and model not in names:
        known = f"one of {', '.join(names)}"
        raise InvalidSetting(f"model is {model!r}.", expected=known, remedy="Name one.")
    for name in [model] if model else names:
        result = train(name, sources, registry, report)
        if promote and not result.gate_failures:
            registry.promote(name, result.version)
        yield result


def tune_model(model: str, trials: int, report: Progress) -> TuningResult:
    """Search for better LightGBM settings."""
    return search(model, _sources(), trials, report)


def compile_catalog() -> CompiledCatalog:
    """Check and compile the catalogue that the settings name."""
    settings = load_settings()
    domain = open_domain(settings.domain)
    return load_compiled_catalog(settings.actions, domain, ModelInput(domain))


def replay_decisions(
    since: datetime | None,
    limit: int | None,
    with_catalog: Literal["now", "then"],
    decision_id: str | None,
    report: Progress,
) -> Iterator[ReplayAnswer]:
    """Decide again from the log: one decision, or all since a time."""
    settings = load_settings()
    domain, ledger = open_domain(settings.domain), Ledger(settings.ledger_url)
    archive = Archive(Registry(settings), ledger, domain, load_params())
    replay = Replay(ledger, archive, compile_catalog().catalog)
    if decision_id is not None:
        yield replay.replay(decision_id, with_catalog)
        return
    begin = since or EPOCH
    count = replay.count(begin, limit)
    for done, answer in enumerate(replay.since(begin, limit, with_catalog), start=1):
        yield answer
        report("replay", done, count)


def compute_lift(since: datetime | None, until: datetime | None) -> LiftView:
    """Compare the arms of the experiment, with what has happened up to now."""
    settings = load_settings()
    domain = open_domain(settings.domain)
    if since and until and since >= until:
        raise InvalidSetting(
            f"until is {until.isoformat()}, not after since.",
            expected="a later time",
            remedy="Correct --until.",
        )
    request = LiftRequest(since=since, until=until)
    ledger, catalog = Ledger(settings.ledger_url), load_catalog(settings.actions, domain)
    rules = RewardRules.of(catalog, domain)
    sum_before_lift(ledger, rules, True, SUM_STEPS, SUM_WITHIN_S)
    guardrails, now = GuardrailWatch(ledger, domain), clock_of(settings, ledger)()
    guardrails.refresh()
    guardrails.look(catalog)
    return view_lift(request, ledger, catalog, domain, now, warnings=guardrails.remarks)


def evaluate_request(
    policy: str | None,
    catalog_file: Path | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    report: Progress,
) -> EvaluationView:
    """Estimate what another policy or catalogue would have earned on the logged decisions."""
    return requested_evaluation(policy, catalog_file, since, until, limit).view(report)


def requested_evaluation(
    policy: str | None,
    catalog_file: Path | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> RequestedEvaluation:
    """Open what an evaluation reads; the settings name the business and its ledger."""
    settings = load_settings()
    domain, ledger = open_domain(settings.domain), Ledger(settings.ledger_url)
    params, registry = load_params(), Registry(settings)
    catalog = load_catalog(settings.actions, domain)
    sources = EvaluationSources(
        ledger=ledger,
        registry=registry,
        archive=Archive(registry, ledger, domain, params),
        domain=domain,
        catalog=catalog,
        params=params,
        open_history=lambda: history_of(ledger, FeatureStore(settings, domain), domain),
    )
    other = catalog if catalog_file is None else load_catalog(catalog_file, domain)
    request = EvaluationRequest(policy, other, since or EPOCH, until, limit)
    return RequestedEvaluation(sources, request, clock_of(settings, ledger)())


def models_without_champion() -> list[str]:
    """Models that the domain file defines and that have no champion yet."""
    settings = load_settings()
    registry = Registry(settings)
    names = trainable(open_domain(settings.domain))
    return [name for name in names if registry.champion(name) is None]


def history_of(ledger: Ledger, store: FeatureStore, domain: Domain) -> PointInTimeFeatures:
    """Open the features as of past times; refuse a home whose features are not built."""
    problem = store.why_unusable()
    if problem is not None:
        raise InvalidData(
            f"The features as of imported decisions cannot be read: {problem}.",
            expected="the features of all events that are loaded",
            remedy="Run 'nba build', then 'nba evaluate' again.",
        )
    return PointInTimeFeatures(ledger, store, domain)


def _sources() -> Sources:
    settings = load_settings()
    domain, ledger = open_domain(settings.domain), Ledger(settings.ledger_url)
    return Sources(
        ledger=ledger,
        store=FeatureStore(settings, domain),
        domain=domain,
        catalog=load_catalog(settings.actions, domain),
        params=load_params(),
        now=clock_of(settings, ledger)(),
    )
