"""Evaluates a policy or a catalogue on the decisions of a period, own and imported ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.datasets.dataset import HistoricalFeatures
from features.ledger.ledger import Ledger
from features.progress import Progress
from serving.audit.archive import Archive
from serving.audit.evaluation_report import report_evaluation
from serving.audit.imported_log import (
    NO_PROBABILITY,
    ImportedLog,
    ImportedSources,
    longest_window,
)
from serving.audit.judged_policy import (
    count_imported,
    count_own,
    imported_among,
    judged_span,
    refusal,
    served_among,
)
from serving.audit.logged_decisions import Period
from serving.audit.policy_evaluation import Evaluation, ReadImported
from serving.audit.repetition import EvaluationTarget
from serving.audit.replayed_log import JudgedDecision, ReplayedLog
from serving.audit.would_serve import NamedBandit, PastLearner, WouldServe
from serving.contract.evaluation import EvaluationView, PolicyView
from training.bandit.artifact import Bandit
from training.params import TrainingParams
from training.pipeline.registry import ModelVersion, Registry

CHAMPION = "champion"
CREDITED_ONLY = (
    "Rewards are credited acceptances less costs. Other purchases and leaving, which count in the "
    "priority, are not among them: 'nba lift' has their difference between the arms."
)
LEARNED = "they are imported, and the champion has learned from them"


@dataclass(frozen=True)
class EvaluationSources:
    """The ledger, the models and the rules that an evaluation reads.

    Attributes
    ----------
    catalog : Catalog
        The catalogue that serves now; rewards are counted under it.
    open_history : callable
        Opens the features as of the past; only imported decisions need them.
    """

    ledger: Ledger
    registry: Registry
    archive: Archive
    domain: Domain
    catalog: Catalog
    params: TrainingParams
    open_history: Callable[[], HistoricalFeatures]


class EvaluationRequest(NamedTuple):
    """The policy or catalogue to evaluate, and the period of the decisions.

    Attributes
    ----------
    policy : str or None
        Alias or version of the bandit; None: that of each decision.
    catalog : Catalog
    limit : int or None
        Maximum number of decisions, the newest.
    """

    policy: str | None
    catalog: Catalog
    since: datetime
    until: datetime | None
    limit: int | None


class RequestedEvaluation:
    """Answers one request at a time ``now``.

    The period begins with the first decision that can be among the newest ones; what was told
    before it is what a policy knows.
    """

    def __init__(
        self, sources: EvaluationSources, request: EvaluationRequest, now: datetime
    ) -> None:
        self._sources = sources
        self._request = request
        self._now = now
        self._past = PastLearner(
            sources.ledger, sources.domain, request.catalog, sources.params.bandit
        )
        since, until, limit = request.since, request.until, request.limit
        span = judged_span(sources.ledger, since, until, limit, now - self._longest())
        self._first_at = span.first_at
        self._period = Period(span.since, span.until)

    def view(self, report: Progress) -> EvaluationView:
        """Evaluate; raises like `replayed`."""
        replayed, judged = self.replayed(report)
        report("estimate", 0, 1)
        domain, params = self._sources.domain, self._sources.params
        view = report_evaluation(replayed, domain.currency, params.seed)
        report("estimate", 1, 1)
        if self._request.catalog.pays_effects:
            view = view.model_copy(update={"remarks": [*view.remarks, CREDITED_ONLY]})
        return view if judged is None else _with_policy(view, judged, self._longest_window())

    def replayed(self, report: Progress) -> tuple[ReplayedLog, WouldServe | None]:
        """Let the policy decide again; returns it too, or None if each decision has its own.

        Raises
        ------
        ModelMissing
            If the registry does not have the policy.
        InvalidSetting
            If the policy has learned from decisions that it is to be judged by.
        """
        sources, request = self._sources, self._request
        judged = None if request.policy is None else self._policy(request.policy, report)
        versions = {} if judged is None else {"bandit": judged.name}
        read_imported = self._imported(judged, report)
        evaluation = Evaluation(
            sources.ledger, sources.archive, sources.catalog, sources.domain.channels
        )
        found = evaluation.run(
            EvaluationTarget(request.catalog, versions),
            self._now,
            self._period.since,
            self._period.until,
            request.limit,
            report,
            read_imported,
        )
        return found, judged

    def _longest(self) -> timedelta:
        """The longest time after a decision in which its outcomes can count."""
        catalogs = self._sources.catalog, self._request.catalog
        hours = max(one.contact_policy.activate_within_hours for one in catalogs)
        return self._longest_window() + timedelta(hours=hours)

    def _longest_window(self) -> timedelta:
        return max(longest_window(one) for one in (self._sources.catalog, self._request.catalog))

    def _policy(self, policy: str, report: Progress) -> WouldServe:
        ledger, period = self._sources.ledger, self._period
        named = self._load(self._sources.registry.version("bandit", policy))
        learned = served_among(ledger, named.bandit, *period) or imported_among(
            ledger, named.bandit, *period
        )
        if learned is not None:
            raise refusal(policy, named.version, learned)
        return self._would_serve(named, report)

    def _load(self, version: ModelVersion) -> NamedBandit:
        return NamedBandit(version.version, Bandit.load(self._sources.registry.folder(version)))

    def _would_serve(self, named: NamedBandit, report: Progress) -> WouldServe:
        report("learn as of then", 0, 1)
        judged = self._past.would_serve(named, self._first_at)
        self._sources.archive.hold(judged.name, judged.bandit)
        report("learn as of then", 1, 1)
        return judged

    def _imported(self, judged: WouldServe | None, report: Progress) -> ReadImported:
        """Return what judges the imported decisions, or counts why none is judged.

        Without a policy the bandit is what would have served on top of the champion.
        """
        sources = self._sources
        judged_ones, others = count_imported(sources.ledger, *self._period)
        if not judged_ones:
            return partial(_left_out, reason=NO_PROBABILITY, number=others)
        if judged is None:
            champion = sources.registry.champion("bandit")
            named = self._past.prior() if champion is None else self._load(champion)
            learned = imported_among(sources.ledger, named.bandit, *self._period)
            if learned is not None:
                if not count_own(sources.ledger, *self._period):
                    raise refusal(CHAMPION, named.version, learned)
                return partial(_left_out, reason=LEARNED, number=learned.number)
            judged = self._would_serve(named, report)
        target = EvaluationTarget(self._request.catalog, self._versions(judged))

        def read(period: Period, left_out: Counter[str]) -> Sequence[JudgedDecision]:
            read_from = ImportedSources(
                sources.ledger,
                sources.archive,
                sources.open_history(),
                sources.params.bandit.service,
                sources.domain,
                sources.catalog,
            )
            return ImportedLog(read_from, target, left_out).judged(period, self._now, report)

        return read

    def _versions(self, judged: WouldServe) -> dict[str, str]:
        champions = (self._sources.registry.champion(name) for name in ("churn", "intent"))
        found = {one.name: one.version for one in champions if one is not None}
        return {**found, "bandit": judged.name}


def _left_out(
    period: Period, left_out: Counter[str], reason: str, number: int
) -> Sequence[JudgedDecision]:
    """Judge no imported decision, and count them with the reason."""
    left_out[reason] += number
    return ()


def _with_policy(view: EvaluationView, judged: WouldServe, longest: timedelta) -> EvaluationView:
    policy = PolicyView(version=judged.version, told_before=judged.at, outcomes=judged.told)
    said = [
        f"The policy judged is bandit version {policy.version} with what was told before "
        f"{policy.told_before.isoformat()}: {policy.outcomes:,} outcomes."
    ]
    imported_until = judged.bandit.imported_until
    if imported_until is not None and imported_until >= judged.at:
        said.append(
            f"The version has learned from imported decisions up to {imported_until.isoformat()}, "
            "which is after the first decision judged: it would not have known them."
        )
    elif imported_until is not None and imported_until + longest > judged.at:
        said.append(
            f"The version has learned from imported decisions up to {imported_until.isoformat()}. "
            "The windows of the last ones were open at the first decision judged: it would not "
            "have known all that followed them."
        )
    return view.model_copy(update={"policy": policy, "remarks": [*said, *view.remarks]})
