"""A simulated business is opened as a server opens its own, and learns by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from features.business.experiment.objective import RemainingValue
from features.errors import ModelMissing
from features.ledger import tables
from serving.learn.credits import StepSettings
from serving.simulation import served_business as served_business_module
from serving.simulation.served_business import NoRegistry, served_business
from serving.simulation.served_policy import ServedPolicy
from training.simulation.businesses import TELEPHONE
from training.simulation.rollout import run_policy


def test_it_learns_and_decides_by_what_it_has_learned(played):
    model = played.served.engine.setup.models.bandit.model
    assert model.counted.sum() > 50
    assert played.served.engine.setup.models.versions["bandit"].startswith("prior.")


def test_the_ledger_is_gone_afterwards():
    world = TELEPHONE.make_world(3, 1, 1)
    with served_business(TELEPHONE, world, 1) as served:
        path = served.ledger.engine.url.database
        attributes = served.engine.features.online("w1").attributes
        assert attributes["plan"] == world.customers()["plan"][1]
        synchronous = served.ledger.read(
            lambda c: c.exec_driver_sql("PRAGMA synchronous").scalar_one()
        )
        assert synchronous == 0
    with pytest.raises(FileNotFoundError):
        Path(path).stat()


def test_parts_of_the_catalogue_are_replaced():
    world = TELEPHONE.make_world(3, 1, 1)
    change = {"arbitration": {"formula": "acceptance"}}
    with served_business(TELEPHONE, world, 1, arms={"random": 0.1, "nobody": 0.3}, **change) as it:
        assert it.catalog.arms.nobody == 0.3
        assert it.engine.setup.compiled.formula is not None


def test_a_business_that_does_not_pay_for_leaving_decides_as_if_nobody_took_value_along():
    world = TELEPHONE.make_world(3, 1, 1)
    with served_business(TELEPHONE, world, 1, pays_leaving=False) as served:
        assert served.engine.domain.objective.remaining_value == RemainingValue(otherwise=0)
        assert served.engine.domain.objective.margin == served.domain.objective.margin
        # The lift counts it.
        assert served.domain.objective.remaining_value.attribute == "margin_eur"


def test_it_learns_as_a_learner_of_a_server_does(monkeypatch):
    """Only faster: it remembers what it has read, takes larger steps, and keeps none of them."""
    states = []
    for of_a_server in (False, True):
        if of_a_server:
            monkeypatch.setattr(served_business_module, "_step_settings", StepSettings)
        world = TELEPHONE.make_world(60, 2, 4)
        with served_business(TELEPHONE, world, 2) as served:
            run_policy(TELEPHONE, ServedPolicy("served", served, world), world, 2)
            steps = served.ledger.read(lambda c: c.execute(sa.select(tables.learned_steps)).all())
            kept = any(step.payload is not None for step in steps)
            states.append((served.learner._current().bandit.to_bytes(), kept))
    assert states[0][0] == states[1][0]
    assert [kept for _, kept in states] == [False, True]


def test_there_is_no_registry():
    assert NoRegistry().champion("bandit") is None
    with pytest.raises(ModelMissing, match=r"bandit 3"):
        NoRegistry().version("bandit", "3")
