"""Off-policy evaluation: the engine repeats logged decisions with another policy or catalogue.

Each logged decision is repeated from its record with another setup. The probabilities of that
setup are compared with the logged ones and the rewards that followed (`off_policy`). Each
decision is evaluated by itself: earlier contacts are those of the log, not those that the other
policy would have made. Of several slots only the first is evaluated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import numpy as np

from features.business.catalog import NO_ACTION, Catalog
from features.errors import InvalidRequest, ModelMissing, NotRepeatable
from features.ledger.ledger import Ledger
from features.progress import Progress
from serving.audit.archive import Archive
from serving.audit.logged_decisions import (
    NOT_ANSWERED,
    NOT_LOGGED,
    OPEN,
    LoggedDecision,
    LoggedDecisions,
    Period,
)
from serving.audit.repetition import EvaluationTarget, Repetition
from serving.audit.replayed_log import GONE, JudgedDecision, ReplayedLog, replayed_log

ReadImported = Callable[[Period, Counter[str]], Sequence[JudgedDecision]]


class Evaluation:
    """Repeats logged decisions with another catalogue or other models.

    Parameters
    ----------
    catalog
        The catalogue that serves now; rewards are counted under it.
    """

    def __init__(
        self, ledger: Ledger, archive: Archive, catalog: Catalog, channels: Sequence[str]
    ) -> None:
        self._ledger = ledger
        self._archive = archive
        self._catalog = catalog
        self._channels = tuple(channels)

    def run(
        self,
        target: EvaluationTarget,
        now: datetime,
        since: datetime,
        until: datetime | None,
        limit: int | None,
        report: Progress,
        read_imported: ReadImported | None = None,
    ) -> ReplayedLog:
        """Repeat the newest decisions of a period whose attribution windows are closed.

        Parameters
        ----------
        limit
            Of the service's own decisions.
        read_imported
            Judges the imported decisions of the period, and counts those left out. None: none are.
        """
        left_out: Counter[str] = Counter()
        log = LoggedDecisions(self._ledger, self._archive, self._catalog, left_out)
        repetition = Repetition(self._ledger, self._archive, target)
        period = Period(since, until)
        total = log.count(period) if limit is None else min(limit, log.count(period))
        judged: list[JudgedDecision] = []
        for batch in log.read(period, now):
            judged += self._judged(batch, log, repetition, now, left_out)
            if limit is not None and len(judged) >= limit:
                break
            report("decide again", min(len(judged) + sum(left_out.values()), total), total)
        report("decide again", total, total)
        actions = tuple(target.catalog.actions)
        judged = judged[:limit]
        if read_imported is not None:
            judged += read_imported(period, left_out)
        return replayed_log(judged, actions, self._channels, left_out)

    def _judged(
        self,
        batch: Sequence[LoggedDecision],
        log: LoggedDecisions,
        repetition: Repetition,
        now: datetime,
        left_out: Counter[str],
    ) -> Iterator[JudgedDecision]:
        rewards = log.rewards(batch)
        for one in batch:
            try:
                decided, evaluated = repetition.decided(one), repetition.evaluated(one)
            except (ModelMissing, NotRepeatable):
                left_out[NOT_LOGGED] += 1
                continue
            except InvalidRequest:
                left_out[NOT_ANSWERED] += 1
                continue
            windows = repetition.windows(one, decided.chances, evaluated.chances)
            if log.ends_at(one, windows) > now:
                left_out[OPEN] += 1
                continue
            yield JudgedDecision(
                customer_id=one.row.customer_id,
                channel=one.row.channel,
                action_id=one.row.action_id,
                reward=rewards.get(one.row.decision_id, 0.0),
                features=np.frombuffer(one.row.features),
                slots=one.record["request"].get("slots", 1),
                logged=one.logged,
                decided=decided.chances,
                evaluated=evaluated.chances,
                notes=[*self._notes(one), *evaluated.notes],
            )

    def _notes(self, decision: LoggedDecision) -> Iterator[str]:
        if decision.row.action_id not in {*self._catalog.actions, NO_ACTION}:
            yield GONE
