"""What the command `nba` does with models and decisions, step by step; `steps_data`
has those that come before.

Apart from `main` because this room imports Feast, MLflow and LightGBM, which takes
seconds; the command imports it when a step is run, not when somebody asks for help.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from features.business.domain import load_domain
from features.clock import utc_now
from features.errors import InvalidSetting
from features.journeys.model_input import ModelInput
from features.ledger.ledger import Ledger
from features.ledger.tables import EPOCH
from features.progress import Progress
from features.settings import load_settings
from features.store.feast_store import FeatureStore
from serving.audit.archive import Archive
from serving.audit.evaluation_report import report_evaluation
from serving.audit.lift import view_lift
from serving.audit.policy_evaluation import Evaluation, EvaluationTarget
from serving.audit.replay import Replay
from serving.catalog.compiled_catalog import CompiledCatalog, load_catalog, load_compiled_catalog
from serving.contract.decisions import ReplayAnswer
from serving.contract.evaluation import EvaluationView
from serving.contract.lift import LiftRequest, LiftView
from training.params import load_params
from training.pipeline.registry import Registry
from training.pipeline.train import Result, Sources, train, trainable
from training.pipeline.tuning import Best, search


class EvaluationRequest(NamedTuple):
    """What is to be judged: a version of the bandit (or its alias), a catalogue's file, or both."""

    policy: str | None
    catalog: Path | None


def train_models(model: str | None, promote: bool, report: Progress) -> Iterator[Result]:
    """Train one model or all; each is promoted if that is wished and its gates pass."""
    sources, registry = _sources(), Registry(load_settings())
    names = trainable(sources.domain)
    if model is not None and model not in names:
        raise InvalidSetting(
            f"model is {model!r}.", expected=f"one of {', '.join(names)}", remedy="Name one."
        )
    for name in [model] if model else names:
        result = train(name, sources, registry, report)
        if promote and not result.gate_failures:
            registry.promote(name, result.version)
        yield result


def tune_model(model: str, trials: int, report: Progress) -> Best:
    """Search better LightGBM settings."""
    return search(model, _sources(), trials, report)


def compiled() -> CompiledCatalog:
    """The catalogue of these settings, checked and compiled."""
    settings = load_settings()
    domain = load_domain(settings.domain)
    return load_compiled_catalog(settings.actions, domain, ModelInput(domain))


def replayed(
    since: datetime | None,
    limit: int | None,
    with_catalog: Literal["now", "then"],
    decision_id: str | None,
    report: Progress,
) -> Iterator[ReplayAnswer]:
    """Decide again from the log: one decision, or all from a time on."""
    settings = load_settings()
    domain, ledger = load_domain(settings.domain), Ledger(settings.ledger_url)
    archive = Archive(Registry(settings), ledger, domain, load_params())
    replay = Replay(ledger, archive, compiled().catalog)
    if decision_id is not None:
        yield replay.replay(decision_id, with_catalog)
        return
    begin = since or EPOCH
    count = replay.count(begin, limit)
    for done, answer in enumerate(replay.since(begin, limit, with_catalog), start=1):
        yield answer
        report("replay", done, count)


def lift_of(since: datetime | None, until: datetime | None) -> LiftView:
    """What the policy earns more than the control group."""
    settings = load_settings()
    domain = load_domain(settings.domain)
    if since and until and since >= until:
        raise InvalidSetting(
            f"until is {until.isoformat()}, not after since.",
            expected="a later time",
            remedy="Correct --until.",
        )
    request = LiftRequest(since=since, until=until)
    ledger, catalog = Ledger(settings.ledger_url), load_catalog(settings.actions, domain)
    return view_lift(request, ledger, catalog, domain.currency, utc_now())


def evaluated(
    wanted: EvaluationRequest,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    report: Progress,
) -> EvaluationView:
    """What another policy or catalogue would have earned on the decisions of the log."""
    settings = load_settings()
    domain, ledger = load_domain(settings.domain), Ledger(settings.ledger_url)
    params, registry = load_params(), Registry(settings)
    archive, now = Archive(registry, ledger, domain, params), utc_now()
    catalog = load_catalog(settings.actions, domain)
    versions = {}
    if wanted.policy is not None:
        versions["bandit"] = registry.version("bandit", wanted.policy).version
    other = catalog if wanted.catalog is None else load_catalog(wanted.catalog, domain)
    run = Evaluation(ledger, archive, catalog, domain.channels)
    asked = EvaluationTarget(other, versions)
    trial = run.run(asked, now, since or EPOCH, until, limit, report)
    report("estimate", 0, 1)
    view = report_evaluation(trial, domain.currency, params.seed)
    report("estimate", 1, 1)
    return view


def without_champion() -> list[str]:
    """Models that this business defines and that nobody has promoted yet."""
    settings = load_settings()
    registry = Registry(settings)
    names = trainable(load_domain(settings.domain))
    return [name for name in names if registry.champion(name) is None]


def _sources() -> Sources:
    settings = load_settings()
    domain = load_domain(settings.domain)
    return Sources(
        ledger=Ledger(settings.ledger_url),
        store=FeatureStore(settings, domain),
        domain=domain,
        catalog=load_catalog(settings.actions, domain),
        params=load_params(),
        now=utc_now(),
    )
