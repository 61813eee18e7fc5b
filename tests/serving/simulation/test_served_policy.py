"""The served classes play a world: every arrival is decided, told and counted once."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa

from features.errors import InvalidSetting
from features.ledger import tables
from serving.simulation.served_business import BEGIN, served_business
from serving.simulation.served_policy import ServedPolicy
from training.simulation.business import Arrivals
from training.simulation.businesses import TELEPHONE
from training.simulation.rollout import run_policy


def _rows(played, table: sa.Table) -> list[sa.Row]:
    return played.served.ledger.read(lambda c: c.execute(sa.select(table)).all())


def test_what_the_ledger_holds_is_what_the_world_has_seen(played):
    rows = _rows(played, tables.decisions)
    assert len(rows) == played.policy.decisions == played.run.shown.sum()
    shown = np.zeros_like(played.world.shown)
    for row in rows:
        customer, day = int(row.customer_id[1:]), (row.decided_at - BEGIN).days
        shown[customer, day] = TELEPHONE.names.index(row.action_id)
        minute = (row.decided_at - BEGIN).seconds // 60
        assert minute == played.world.arrived_at[customer]
    np.testing.assert_array_equal(shown, played.world.shown)
    assert played.run.cap_violations == 0


def test_the_arms_are_those_of_the_catalogue(played):
    arms = {row.arm for row in _rows(played, tables.decisions)}
    assert arms == {"policy", "random", "nobody"}
    promotions = {one.name for one in TELEPHONE.actions if one.kind == "promotion"}
    nobody = [row for row in _rows(played, tables.decisions) if row.arm == "nobody"]
    assert not promotions & {row.action_id for row in nobody}


def test_acceptances_are_told_and_returns_retract_them(played):
    rows = _rows(played, tables.outcomes)
    assert rows
    decided = {row.decision_id: row for row in _rows(played, tables.decisions)}
    for row in rows:
        assert row.action_id == decided[row.decision_id].action_id
        assert row.received_at.minute == 0 and row.received_at.hour == 22
        assert row.learned
    retracted = [row.retracts for row in rows if row.retracts]
    assert {*retracted} <= {row.outcome_id for row in rows}


def test_what_the_world_draws_is_told_on_its_day_and_nothing_else(played):
    expected = set()
    for day, (customers, actions, drawn) in enumerate(played.drawn):
        for row in np.flatnonzero(drawn.accepted & (actions > 0)):
            about = f"d{day:03d}-{customers[row]:07d}", TELEPHONE.names[actions[row]]
            expected.add((*about, False, day + int(drawn.accepted_after_days[row])))
            expected.add((*about, True, day + int(drawn.returned_after_days[row])))
    told = {
        (row.decision_id, row.action_id, bool(row.retracts), (row.received_at - BEGIN).days)
        for row in _rows(played, tables.outcomes)
    }
    assert told == {one for one in expected if one[3] < len(played.drawn)}
    assert {one[2] for one in told} == {False, True}
    assert len({one[3] for one in told}) > 3


def test_two_runs_of_one_seed_are_alike():
    runs = []
    for _ in range(2):
        world = TELEPHONE.make_world(40, 9, 4)
        with served_business(TELEPHONE, world, 9) as served:
            runs.append(run_policy(TELEPHONE, ServedPolicy("served", served, world), world, 9))
    np.testing.assert_array_equal(runs[0].value_of_customer_eur, runs[1].value_of_customer_eur)


def test_a_world_that_does_not_allow_a_decision_is_named():
    class Forbids:
        """A world that allows nothing but `no_action`."""

        def __init__(self) -> None:
            self._world = TELEPHONE.make_world(60, 2, 2)

        def __getattr__(self, name):
            return getattr(self._world, name)

        def begin_day(self) -> Arrivals:
            found = self._world.begin_day()
            allowed = np.zeros_like(found.allowed)
            allowed[:, 0] = True
            return Arrivals(found.customer, found.channel, found.contexts, allowed)

    world = Forbids()
    with (
        served_business(TELEPHONE, world, 2) as served,
        pytest.raises(InvalidSetting, match="the world does not allow"),
    ):
        run_policy(TELEPHONE, ServedPolicy("served", served, world), world, 2)
