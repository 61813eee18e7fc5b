"""Reads imported decisions with logged probabilities as decisions that an evaluation can judge.

An imported decision has no record. So the engine decides with what was known of the customer then:
features as of that time, and the contacts and consents before it. Of the policy that decided, only
the probability of the action taken is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import sqlalchemy as sa

from features.business.catalog import NO_ACTION, Catalog
from features.business.domain import Domain
from features.datasets.dataset import HistoricalFeatures
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.outcomes.attribution import DECISION_COLUMNS, read_attribution, shown_by
from features.outcomes.credit_rules import reward
from features.progress import Progress
from features.store.feast_store import CustomerFeatures
from serving.audit.archive import Archive
from serving.audit.judged_policy import IMPORTED
from serving.audit.logged_decisions import OPEN, Period
from serving.audit.repetition import EvaluationTarget, limits_then
from serving.audit.replayed_log import GONE, JudgedDecision, Probabilities
from serving.contract.decisions import DecideRequest
from serving.decide.choice import score, select
from serving.decide.customer_inputs import consents_on, feature_row, is_known, left_at
from serving.decide.decision_setup import DecisionSetup
from serving.decide.step_results import DecisionInputs

NO_PROBABILITY = "they are imported without the probability of their action"
OTHER_CHANNEL = "they are imported, and the domain file does not have their channel"
BATCH = 500  # decisions between two reports of the progress


@dataclass(frozen=True)
class ImportedSources:
    """The ledger, the features and the rules that imported decisions are judged by.

    Attributes
    ----------
    history : HistoricalFeatures
        Reads features as of the decisions.
    service : str
        Feast feature service of the bandit.
    catalog : Catalog
        The catalogue that serves now; rewards are counted under it.
    """

    ledger: Ledger
    archive: Archive
    history: HistoricalFeatures
    service: str
    domain: Domain
    catalog: Catalog


class ImportedLog:
    """Judges imported decisions by what the evaluated policy would have done.

    Parameters
    ----------
    target
        The catalogue, and the version of each model. Volumes and budgets of the catalogue do not
        count, because nobody knows what was left of them then.
    left_out
        Counts the decisions that cannot be judged, by reason.
    """

    def __init__(
        self, sources: ImportedSources, target: EvaluationTarget, left_out: Counter[str]
    ) -> None:
        self._sources = sources
        self._target = target
        self._left_out = left_out
        self._input = ModelInput(sources.domain)

    def judged(self, period: Period, now: datetime, report: Progress) -> list[JudgedDecision]:
        """Judge the decisions of a period whose windows have closed, newest first.

        As for the service's own decisions, the longest window counts of all that could be chosen:
        here of all actions of both catalogues, and of all that the import gave a window. An action
        that the catalogue does not have any more earns nothing, and is judged like the others: else
        those left would be a selection by action.
        """
        found_rows = self._rows(period)
        longest = self._longest(found_rows)
        rows = [row for row in found_rows if self._usable(row, now, longest)]
        if not rows:
            return []
        rewards = self._rewards(rows)
        catalog = _without_limits_of_service(self._target.catalog)
        setup = self._sources.archive.setup(catalog, self._target.versions)
        found = []
        for number, (row, known) in enumerate(zip(rows, self._known(rows), strict=True), start=1):
            inputs = self._inputs(setup, row, known)
            probability: Probabilities = {row.action_id: row.probability}
            found.append(
                JudgedDecision(
                    customer_id=row.customer_id,
                    channel=row.channel,
                    action_id=row.action_id,
                    reward=rewards.get(row.decision_id, 0.0),
                    features=inputs.row,
                    slots=1,
                    logged=probability,
                    decided=probability,
                    evaluated=self._evaluated(setup, inputs),
                    imported=True,
                    notes=self._notes(row),
                )
            )
            if number % BATCH == 0 or number == len(rows):
                report("decide imported", number, len(rows))
        return found

    def _rows(self, period: Period) -> list[Any]:
        columns = tables.decisions.c
        read = ("customer_id", "subject", "channel", "probability")
        query = sa.select(*DECISION_COLUMNS, *(columns[name] for name in read))
        query = query.where(IMPORTED, columns.decided_at >= period.since)
        if period.until is not None:
            query = query.where(columns.decided_at < period.until)
        query = query.order_by(columns.decided_at.desc(), columns.decision_id)
        return self._sources.ledger.read(lambda connection: list(connection.execute(query)))

    def _notes(self, row: Any) -> Sequence[str]:
        return () if row.action_id in {*self._sources.catalog.actions, NO_ACTION} else (GONE,)

    def _longest(self, rows: Sequence[Any]) -> timedelta:
        """The longest window of all actions, as the catalogues or the import have it.

        One for all decisions: with windows that differ, those judged would be a selection.
        """
        catalogs = self._sources.catalog, self._target.catalog
        windows = [longest_window(one) for one in catalogs]
        windows += [row.window_ends_at - row.decided_at for row in rows]
        return max(windows)

    def _usable(self, row: Any, now: datetime, longest: timedelta) -> bool:
        reason = self._why_left_out(row, now, longest)
        if reason:
            self._left_out[reason] += 1
        return not reason

    def _why_left_out(self, row: Any, now: datetime, longest: timedelta) -> str:
        if row.probability is None:
            return NO_PROBABILITY
        if row.channel not in self._sources.domain.channels:
            return OTHER_CHANNEL
        return OPEN if row.decided_at + longest > now else ""

    def _rewards(self, rows: Sequence[Any]) -> dict[str, float]:
        """Reward of each decision less its cost, by decision id; `no_action` is not among them."""
        catalog = self._sources.catalog
        shown = [one for row in rows for one in shown_by(row)]
        found = self._sources.ledger.read(lambda c: read_attribution(c, shown, catalog))
        return {one.shown.decision_id: reward(one, found.shares, catalog) for one in found.actions}

    def _known(self, rows: Sequence[Any]) -> Iterator[CustomerFeatures]:
        """The features of each customer as of the decision, as the online store would have them."""
        moments = pd.DataFrame(
            {
                "customer_id": [row.customer_id for row in rows],
                "event_timestamp": pd.to_datetime([row.decided_at for row in rows], utc=True),
            }
        )
        domain = self._sources.domain
        known = self._sources.history.as_of(moments, self._sources.service)
        attributes: list[dict[Any, Any]] = known[list(domain.attributes)].to_dict("records")
        none = [None] * len(rows)
        accounts = known["account_state"] if domain.account else none
        for values, state, account in zip(
            attributes or [{}] * len(rows), known["state"], accounts, strict=True
        ):
            texts = {name: value for name, value in values.items() if isinstance(value, str)}
            yield CustomerFeatures(texts, _state(state), _state(account))

    def _inputs(self, setup: DecisionSetup, row: Any, known: CustomerFeatures) -> DecisionInputs:
        domain, at = self._sources.domain, row.decided_at
        features, left = feature_row(self._input, known, at), left_at(self._input, known)
        consents = self._sources.ledger.read(
            lambda c: consents_on(c, domain, setup, row.customer_id, row.channel, before=at)
        )
        return DecisionInputs(
            decision_id=row.decision_id,
            seed=row.decision_id,
            request=DecideRequest(customer_id=row.customer_id, channel=row.channel),
            keys=(),
            customer_id=row.customer_id,
            subject=row.subject,
            decided_at=at,
            known=is_known(self._input, known),
            row=features,
            consents=consents,
            versions=setup.versions,
            degraded=(),
            left_at=left,
            remaining_value=setup.remaining_value(features, known.attributes, left),
        )

    def _evaluated(self, setup: DecisionSetup, inputs: DecisionInputs) -> Probabilities:
        limits = limits_then(
            self._sources.ledger,
            setup,
            inputs.customer_id,
            inputs.request.channel,
            inputs.decided_at,
        )
        selected = select(setup, inputs, score(setup, inputs), limits)
        names = (*setup.compiled.actions, NO_ACTION)
        held = [names[index] for index in selected.candidates.tolist()]
        return dict(zip(held, selected.probabilities.tolist(), strict=True))


def longest_window(catalog: Catalog) -> timedelta:
    """The longest attribution window of a catalogue's actions."""
    return timedelta(days=max(one.attribution_days for one in catalog.actions.values()))


def _without_limits_of_service(catalog: Catalog) -> Catalog:
    """A catalogue without volumes and budgets."""
    content: dict[str, Any] = catalog.model_dump(by_alias=True)
    free: Mapping[str, Any] = {"volume": None, "budget": None}
    actions = {name: action | free for name, action in content["actions"].items()}
    return catalog.with_parts(budgets={}, actions=actions)


def _state(value: Any) -> list[float] | None:
    return value if isinstance(value, list) else None
