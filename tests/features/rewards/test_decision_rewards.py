"""Tests of the rewards of a customer as they are computed from the ledger."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from features.business.catalog import Catalog
from features.ledger.tables import micros
from features.rewards.decision_rewards import EVER, compute_rewards, rules_fingerprint
from tests.conftest import NOW
from tests.decided import decided

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def test_a_span_takes_decisions_by_when_they_were_shown(ledger, toy_catalog):
    decided(ledger, "d1", NOW, {"discount": 14})
    late = {"activated_at": NOW + DAY, "activation": json.dumps({"activated": ["discount"]})}
    decided(ledger, "d2", NOW, {"discount": 14}, **late)
    for begin, end, shown in ((NOW, NOW + DAY, [NOW]), (NOW + HOUR, NOW + 2 * DAY, [NOW + DAY])):
        spans = {"c1": [(micros(begin), micros(end))]}
        found = ledger.read(lambda c, spans=spans: compute_rewards(c, toy_catalog, spans))
        assert [row.first_us for row in found["c1"].rows] == [micros(at) for at in shown]


def test_a_customer_without_decisions_has_no_rows_and_other_arms_are_left_out(ledger, toy_catalog):
    decided(ledger, "d1", NOW, {"discount": 14}, arm="somewhere")
    found = ledger.read(lambda c: compute_rewards(c, toy_catalog, {"c1": [EVER], "c2": [EVER]}))
    assert found["c1"].rows == found["c2"].rows == []


def test_the_fingerprint_follows_values_costs_attribution_and_clock_and_nothing_else(
    toy_catalog,
):
    def changed(**parts: object) -> str:
        content = toy_catalog.model_dump(mode="json", by_alias=True)
        return rules_fingerprint(Catalog.model_validate(content | parts))

    actions = toy_catalog.model_dump(mode="json", by_alias=True)["actions"]
    dearer = actions | {"discount": actions["discount"] | {"cost": 9.0}}
    assert changed(actions=dearer) != rules_fingerprint(toy_catalog)
    assert changed(attribution="even") != rules_fingerprint(toy_catalog)
    told = actions | {"discount": actions["discount"] | {"description": "Another text"}}
    assert changed(actions=told) == rules_fingerprint(toy_catalog)
    assert changed(arms={"random": 0.5, "nobody": 0}) == rules_fingerprint(toy_catalog)
    # Rows of before the days were those of the business stay where the days are the same.
    assert changed(clock={"zone": "UTC"}) == rules_fingerprint(toy_catalog)
    assert changed(clock={"zone": "Europe/Rome"}) != rules_fingerprint(toy_catalog)
