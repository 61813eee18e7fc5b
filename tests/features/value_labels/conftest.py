"""A ledger with decisions of the toy business, in which orders have a margin and visits leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pydantic_core import to_json

from features.business.catalog import NO_ACTION, Catalog
from features.business.decided_actions import Beliefs
from features.business.domain import Domain
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.rewards.reward_steps import RewardRules
from features.value_labels.label_rules import LabelRules
from features.value_labels.labelled_decisions import LabelledDecisions, joined
from features.value_labels.labelled_reader import stream_labelled
from tests.conftest import NOW
from tests.decided import decided
from tests.features.rewards.test_reward_steps import happened, with_spend
from tests.summed import sum_all

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
HORIZON = 3
# A caller may send what looks like a part of a record.
SENT = ',"catalog":"0000","features_layout":"0000","attribution_days":{'


class Followed:
    """Decisions are made about customers, and labelled."""

    def __init__(self, ledger: Ledger, domain: Domain, catalog: Catalog) -> None:
        self.ledger, self.domain, self.catalog = ledger, domain, catalog
        self.model_input = ModelInput(domain)
        row = {"fingerprint": catalog.fingerprint, "first_used_at": NOW}
        row["content"] = catalog.model_dump_json()
        ledger.write_now(lambda c: tables.insert_new(c, tables.catalogs, [row]))

    def decide(
        self,
        name: str,
        chances: Mapping[str, float],
        *shown: str,
        at: datetime = NOW,
        row: Sequence[float] = (),
        catalog: str = "",
        layout: str = "",
        **more: Any,
    ) -> None:
        """Make a decision that drew its first slot with these chances, `no_action` among them."""
        actions = list(self.catalog.actions)
        drawn = [one for one in actions if one in chances]
        beliefs = Beliefs(
            n_actions=len(actions),
            allowed=np.array([actions.index(one) for one in drawn], dtype=np.intp),
            acceptance=np.full(len(drawn), 0.25),
            deviation=np.full(len(drawn), 0.125),
            probability=np.array([*(chances[one] for one in drawn), chances.get(NO_ACTION, 0.0)]),
            shown=np.array([drawn.index(one) for one in shown], dtype=np.intp),
            experts=np.zeros((len(shown), 0)),
        )
        days = dict.fromkeys(shown, 14.0)
        record = {
            "request": {"context": {"page": SENT}},
            "catalog": catalog or self.catalog.fingerprint,
            "features_layout": layout or self.model_input.fingerprint,
            "attribution_days": days,
            "removed": {},
        }
        unknown = [np.nan if one == "age_years" else 0.0 for one in self.model_input.names]
        features = row or unknown
        decided(
            self.ledger, name, at, days, row=features, **{"record": to_json(record).decode()} | more
        )
        update = tables.decisions.update().where(tables.decisions.c.decision_id == name)
        update = update.values(believed=beliefs.to_bytes())
        self.ledger.write_now(lambda c: c.execute(update))

    def happen(self, name: str, at: datetime, kind: str = "order", customer: str = "c1") -> None:
        """Let a customer order, with a margin of 1.25, or leave by a visit."""
        happened(self.ledger, self.domain, name, customer, at, kind)

    def credit(self, decision_id: str, acceptance: float) -> None:
        """Count an acceptance of all actions of a decision, as the learner does."""
        credits = tables.credits
        update = credits.update().where(credits.c.decision_id == decision_id)
        update = update.values(acceptance=acceptance, count=1.0)
        self.ledger.write_now(lambda c: c.execute(update))

    def labelled(
        self, now: datetime = NOW, actions: Sequence[str] | None = None, **how: Any
    ) -> LabelledDecisions:
        """Sum all events, and read the labelled decisions."""
        sum_all(self.ledger, RewardRules.of(self.catalog, self.domain))
        rules = LabelRules(self.domain, self.catalog, self.model_input, actions)
        return joined(list(stream_labelled(self.ledger, rules, now, **how)))


@pytest.fixture
def followed(ledger: Ledger, toy_domain: Domain, toy_catalog: Catalog) -> Followed:
    domain = with_spend(
        toy_domain,
        churn={"event": "visit", "when": "happens", "back": "order"},
        objective={
            "margin": 0.5,
            "remaining_value": {"attribute": "age_years", "times": 2, "otherwise": 5},
            "horizon_days": HORIZON,
        },
    )
    return Followed(ledger, domain, toy_catalog)
