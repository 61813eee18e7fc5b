"""A toy business with guardrails: decisions, harm and steps of counting, without a server."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
import yaml

from features.business.domain import Domain
from features.ingest.live_events import Ingest
from features.journeys.fold import Fold
from features.ledger import tables
from features.outcomes.harm_marks import HarmEvents
from features.states.journey_states import JourneyStates
from serving.audit.archive import keep_catalog
from serving.guardrails.counting import HarmCounter
from serving.guardrails.guardrail_rules import GuardrailRules
from serving.guardrails.views import guardrail_views
from tests.conftest import NOW, TOY
from tests.features.live import InMemoryOnlineStore, event
from tests.features.live import rows as rows_of
from tests.serving.fakes import NO_ARMS, FakeModels, changed, decide, engine_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EVENTS = """
complaint:
  description: Complained.
  journey: use
  stage: use
  touchpoint: internal
  signal: direct
nps:
  description: Answered.
  journey: use
  stage: use
  touchpoint: internal
  signal: direct
  properties:
    score: {type: number, min: 0, max: 10, measures: nps}
"""
ARMS = {"random": 0.3, "nobody": 0.1}
COMPLAINTS = {"complaints": {"counts": "complaint", "within_days": 3}}


def harmed_domain(**parts: Any) -> Domain:
    """The toy business with complaints and a score."""
    content = yaml.safe_load((TOY / "domain.yaml").read_text(encoding="utf-8"))
    content["events"] |= yaml.safe_load(EVENTS)
    return Domain.model_validate(content | parts)


class GuardedBusiness:
    """A business whose clock is set by the tests; time passes by the hour."""

    def __init__(self, ledger, catalog, domain, guardrails, arms=NO_ARMS) -> None:
        self.ledger, self.domain, self.now = ledger, domain, NOW
        self.base = catalog
        models = FakeModels(dict.fromkeys(catalog.actions, 0.2), gamma=1.0)
        self.engine = engine_of(catalog, domain, ledger, {}, models)
        self.use(guardrails, arms)
        store = InMemoryOnlineStore()
        states = JourneyStates(Fold(domain), store.state)
        harm = lambda: HarmEvents.of(self.catalog, domain)  # noqa: E731
        self.ingest = Ingest(ledger, store, domain, states, tuple, harm)
        self.counter = HarmCounter(ledger)
        self.numbers = count()

    def use(self, guardrails, arms=NO_ARMS, **parts) -> None:
        """Use other guardrails or arms."""
        self.catalog = changed(self.base, guardrails=guardrails, arms=arms, **parts)
        self.rules = GuardrailRules.of(self.catalog, self.domain)
        keep_catalog(self.ledger, self.catalog, self.now)
        made = engine_of(self.catalog, self.domain, self.ledger, {}, self.engine.setup.models)
        self.engine.setup = made.setup

    def passes(self, time: timedelta) -> datetime:
        self.now += time
        return self.now

    def decide(self, customer="c1", **fields):
        """A decision with the chances of its first slot, by action."""
        asked = {"decision_id": f"d{next(self.numbers)}", "explain": True} | fields
        return decide(self.engine, self.now, customer_id=customer, **asked)

    def event(self, kind, *keys, at=None, number=None, **properties):
        """An event that is received now."""
        sent = event(
            number or next(self.numbers), *keys, at=at or self.now, kind=kind, **properties
        )
        sent["channel"] = "app"
        result = asyncio.run(self.ingest.ingest([sent], self.now))
        assert not result.rejected, result.rejected
        return result

    def count(self, counter=None) -> int:
        """Count all that is due; the number of steps."""
        steps = 0
        while (counter or self.counter).count(self.rules, self.now):
            steps += 1
        return steps

    def views(self):
        return self.ledger.read(lambda c: guardrail_views(c, self.catalog, self.domain))

    def tests(self, guardrail=0):
        """The tests of a guardrail by action."""
        return {one.action_id: one for one in self.views()[guardrail].actions}

    def rows(self, name):
        return rows_of(self.ledger, tables.metadata.tables[name])


@pytest.fixture
def business(ledger, toy_catalog):
    """Makes a business with some guardrails, of which the tests have begun."""

    def made(guardrails=COMPLAINTS, arms=NO_ARMS, **parts):
        business = GuardedBusiness(ledger, toy_catalog, harmed_domain(**parts), guardrails, arms)
        business.count()
        business.passes(HOUR)
        return business

    return made
