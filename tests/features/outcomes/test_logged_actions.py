"""A shown action is read as its decision has kept it."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from features.business.catalog import NO_ACTION
from features.ledger import tables
from features.outcomes.logged_actions import _SHOWN, read_logged_actions
from tests.serving.fakes import EXPECTED, PLUS, FakeModels, changed, decide, engine_of, rows


@pytest.fixture
def engine(toy_domain, toy_catalog, ledger):
    catalog = changed(toy_catalog, arms={"random": 0, "nobody": 0})
    return engine_of(catalog, toy_domain, ledger, {"c1": PLUS}, FakeModels(EXPECTED))


def test_a_shown_action_is_read_with_its_features_and_beliefs(engine, ledger, now):
    decision = decide(engine, now, decision_id="d1", slots=2)
    layout = engine.model_input.fingerprint
    found = ledger.read(lambda c: read_logged_actions(c, ["d1", "unknown"], layout))
    assert [one.shown.action_id for one in found] == [one.action_id for one in decision.actions]
    [row] = rows(ledger)
    for rank, (one, action) in enumerate(zip(found, decision.actions, strict=True), start=1):
        assert (one.shown.decision_id, one.shown.rank, one.channel) == ("d1", rank, row.channel)
        assert (one.shown.shown_at, one.serial) == (now, row.serial)
        assert one.believed == action.acceptance
        np.testing.assert_array_equal(one.row, np.frombuffer(row.features, "<f8"))


def test_a_decision_of_another_layout_or_not_served_is_left_out(engine, ledger, now):
    decide(engine, now, decision_id="d1")
    decide(engine, now, decision_id="d2", activate=False)
    layout = engine.model_input.fingerprint
    assert ledger.read(lambda c: read_logged_actions(c, ["d2"], layout)) == []
    assert ledger.read(lambda c: read_logged_actions(c, ["d1"], "another")) == []


def test_decisions_are_read_by_their_ids_and_come_in_the_order_of_their_serials(
    engine, ledger, now
):
    """The index of `served` would lead SQLite through all decisions of the ledger, at each step."""
    names = [f"d{number}" for number in range(9, 0, -1)]
    made = [
        decide(engine, now + timedelta(days=30 * month), decision_id=name)
        for month, name in enumerate(names)
    ]
    shown = [one.decision_id for one in made if one.actions[0].action_id != NO_ACTION]
    layout = engine.model_input.fingerprint
    found = ledger.read(lambda c: read_logged_actions(c, sorted(names), layout))
    assert [one.shown.decision_id for one in found] == shown and len(shown) > 1
    if ledger.engine.dialect.name == "sqlite":
        text = f"EXPLAIN QUERY PLAN {_SHOWN.clause.compile(ledger.engine)}".replace("?", "'[]'")
        plan = ledger.read(lambda c: c.exec_driver_sql(text).fetchall())
        assert "(decision_id=?)" in plan[0][3]


def test_an_imported_decision_is_left_out(engine, ledger, now):
    decide(engine, now, decision_id="d1")
    gone = tables.decisions.update().values(features=None, record=None)
    ledger.write_now(lambda c: c.execute(gone))
    layout = engine.model_input.fingerprint
    assert ledger.read(lambda c: read_logged_actions(c, ["d1"], layout)) == []
