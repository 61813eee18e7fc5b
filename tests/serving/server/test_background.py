"""Tests the background tasks: an edited catalogue is loaded while the server runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from features.settings import load_settings
from serving.decide.decision_setup import DecisionSetup, Models
from serving.server import background
from serving.server.background import BackgroundTasks
from tests.conftest import SHOP


def no_store(*_: object) -> None:
    raise OSError("no feature store in this test")


@pytest.fixture
def upkeep(tmp_path, monkeypatch) -> BackgroundTasks:
    """A worker of the shop without Feast, MLflow and learner, that looks all the time."""
    monkeypatch.setattr(background, "FeatureStore", no_store)
    monkeypatch.setattr(background, "CATALOG_EVERY_S", 0.001)
    actions = tmp_path / "actions.yaml"
    actions.write_text((SHOP / "actions.yaml").read_text())
    return BackgroundTasks(
        load_settings(
            {
                "NBA_HOME": str(tmp_path / "home"),
                "NBA_DOMAIN": str(SHOP / "domain.yaml"),
                "NBA_ACTIONS": str(actions),
                "NBA_MLFLOW_URI": f"sqlite:///{tmp_path / 'none.db'}",
                "NBA_LEARNER": "false",
                "NBA_LEARN_EVERY_S": "0.001",
                "NBA_MODELS_EVERY_S": "0.001",
            }
        )
    )


def edit(upkeep: BackgroundTasks, before: str, after: str) -> None:
    path = upkeep._settings.actions
    path.write_text(path.read_text().replace(before, after))


def kept_up_until(upkeep: BackgroundTasks, holds: Callable[[], bool]) -> None:
    async def look() -> None:
        upkeep.begin()
        try:
            async with asyncio.timeout(20):
                while not holds():
                    await asyncio.sleep(0.001)
        finally:
            await upkeep.end()

    asyncio.run(look())


def value(upkeep: BackgroundTasks) -> float:
    return upkeep.engine.setup.compiled.catalog.actions["hello"].value


def test_an_edited_catalogue_is_decided_with(upkeep):
    edit(upkeep, "value: 1", "value: 2")
    kept_up_until(upkeep, lambda: value(upkeep) == 2)
    assert upkeep.engine.setup.models.catalog == upkeep.engine.setup.compiled.catalog.fingerprint


def test_an_edit_is_not_lost_when_the_ledger_fails_at_that_moment(upkeep, monkeypatch):
    edit(upkeep, "value: 1", "value: 2")
    remember, failures = background.keep_catalog, iter([OSError("disk"), OSError("still")])

    def fail_twice(*asked: object) -> None:
        for failure in failures:
            raise failure
        remember(*asked)

    monkeypatch.setattr(background, "keep_catalog", fail_twice)
    kept_up_until(upkeep, lambda: value(upkeep) == 2)


def test_a_look_at_models_does_not_bring_the_catalogue_before_back(upkeep, monkeypatch):
    """However long that look takes, and whatever comes in between."""
    with_models = DecisionSetup.with_models

    def slow(setup: DecisionSetup, models: Models) -> DecisionSetup:
        end = time.monotonic() + 0.05
        while upkeep.engine.setup is setup and time.monotonic() < end:
            time.sleep(0)  # lets other threads go on, if they would
        return with_models(setup, models)

    monkeypatch.setattr(DecisionSetup, "with_models", slow)
    edit(upkeep, "value: 1", "value: 2")
    kept_up_until(upkeep, lambda: value(upkeep) == 2)
