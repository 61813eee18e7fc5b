"""Decides beside imported decisions for actions that the catalogue does not have any more."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from features.business.catalog import NO_ACTION
from features.ingest.load_tables import load_folder
from features.outcomes.attribution import read_attribution, shown_actions
from features.outcomes.credit_rules import reward, told_acceptance
from serving.contract.events import OutcomeRequest
from serving.decide.outcomes import record_outcome
from tests.serving.fakes import EXPECTED, PLUS, FakeModels, changed, decide, engine_of


@pytest.fixture
def engine(toy_catalog, toy_domain, ledger, tmp_path, now):
    """One that shows c1 at most one action in a week, and c1 was shown a retired one yesterday."""
    at = (now - timedelta(days=1)).isoformat()
    header = "decision_id,customer_id,decided_at,channel,action_id"
    text = f"{header}\nd1,c1,{at},app,summer_deal\n"
    (tmp_path / "decisions.csv").write_text(text, encoding="utf-8")
    cap = {"caps": [{"at_most": 1, "days": 7}]}
    catalog = changed(toy_catalog, arms={"random": 0, "nobody": 0}, contact_policy=cap)
    [report] = load_folder(tmp_path, ledger, toy_domain, catalog, now)
    assert (report.added, report.refused) == (1, 0)
    customers = {"c1": PLUS, "c2": PLUS}
    return engine_of(catalog, toy_domain, ledger, customers, FakeModels(EXPECTED, gamma=1e9))


def test_a_retired_action_counts_in_a_cap_and_is_never_chosen(engine, now):
    assert [one.action_id for one in decide(engine, now).actions] == [NO_ACTION]
    [other] = decide(engine, now, customer_id="c2").actions
    assert other.action_id in engine.setup.compiled.actions
    later = decide(engine, now + timedelta(days=7))
    assert later.actions[0].action_id in engine.setup.compiled.actions


def test_an_outcome_of_a_retired_action_is_taken_and_earns_nothing(engine, ledger, now):
    asked = OutcomeRequest(decision_id="d1", outcome="accepted")
    answer = asyncio.run(record_outcome(asked, ledger, engine.setup.compiled.catalog, now))
    assert answer.status == "recorded"
    catalog = engine.setup.compiled.catalog

    def read(connection):
        return read_attribution(connection, list(shown_actions(connection, ["d1"])), catalog)

    found = ledger.read(read)
    [action] = found.actions
    assert told_acceptance(action, found.shares, catalog) == 1.0
    assert reward(action, found.shares, catalog) == 0.0
