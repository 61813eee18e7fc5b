"""Tests the background tasks: an edited catalogue is used sooner or later, whatever fails."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.analytics.upkeep.kept_state import STATE, KeptState
from features.clock import utc_now
from features.ledger import tables
from features.ledger.databases import LedgerClosed
from features.ledger.simulated_clock import LEARNED, note_part, set_clock
from features.rewards.rewards import rewards
from features.settings import load_settings
from serving.access.gate import AccessControl
from serving.decide.decision_setup import DecisionSetup, Models
from serving.server import background
from serving.server.background import BackgroundTasks
from serving.server.components import Components
from serving.server.disk import DiskSpace
from tests.conftest import SHOP
from tests.decided import decided


def no_store(*_: object) -> None:
    raise OSError("no feature store in this test")


class Server:
    """Components and background tasks of the shop, without Feast, MLflow and learner."""

    def __init__(self, home: Path, more_catalog: str = "", **more: str) -> None:
        self.actions = home / "actions.yaml"
        self.actions.write_text((SHOP / "actions.yaml").read_text() + more_catalog)
        settings = load_settings(
            {
                "NBA_HOME": str(home / "home"),
                "NBA_DOMAIN": str(SHOP / "domain.yaml"),
                "NBA_ACTIONS": str(self.actions),
                "NBA_MLFLOW_URI": f"sqlite:///{home / 'none.db'}",
                "NBA_LEARNER": "false",
                "NBA_LEARN_EVERY_S": "0.001",
                "NBA_MODELS_EVERY_S": "0.001",
                **more,
            }
        )
        self.components = Components(settings)
        access = AccessControl()
        access.open(self.components.ledger)
        self.tasks = BackgroundTasks(self.components, settings, access)

    @property
    def setup(self) -> DecisionSetup:
        return self.components.engine.setup

    @property
    def value(self) -> float:
        return self.setup.compiled.catalog.actions["hello"].value

    def edit_catalog(self) -> None:
        self.actions.write_text(self.actions.read_text().replace("value: 1", "value: 2"))

    def run_until(self, holds: Callable[[], bool]) -> None:
        async def run() -> None:
            self.tasks.start()
            try:
                async with asyncio.timeout(20):
                    while not holds():
                        await asyncio.sleep(0.001)
            finally:
                await self.tasks.stop()

        asyncio.run(run())


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("serving.server.components.FeatureStore", no_store)
    monkeypatch.setattr(background, "CATALOG_EVERY_S", 0.001)
    opened = Server(tmp_path)
    yield opened
    opened.components.close()


def test_an_edited_catalogue_is_decided_with(server):
    server.edit_catalog()
    server.run_until(lambda: server.value == 2)
    assert server.setup.models.catalog == server.setup.compiled.catalog.fingerprint


def test_an_edit_is_not_lost_when_the_ledger_fails_at_that_moment(server, monkeypatch):
    server.edit_catalog()
    remember, failures = background.keep_catalog, iter([OSError("disk"), OSError("still")])

    def fail_twice(*asked: object) -> None:
        for failure in failures:
            raise failure
        remember(*asked)

    monkeypatch.setattr(background, "keep_catalog", fail_twice)
    server.run_until(lambda: server.value == 2)


def test_a_refresh_of_the_models_does_not_bring_the_catalogue_before_back(server, monkeypatch):
    """However long the refresh takes, and whatever comes in between."""
    with_models = DecisionSetup.with_models

    def slow(setup: DecisionSetup, models: Models) -> DecisionSetup:
        end = time.monotonic() + 0.05
        while server.setup is setup and time.monotonic() < end:
            time.sleep(0)  # lets other threads go on, if they would
        return with_models(setup, models)

    monkeypatch.setattr(DecisionSetup, "with_models", slow)
    server.edit_catalog()
    server.run_until(lambda: server.value == 2)


def test_a_server_without_a_feature_store_is_ready_and_names_what_is_missing(server):
    status, answer = server.tasks.readiness()
    assert (status, answer["status"]) == (200, "degraded")
    assert any("the store could not be opened (OSError)" in one for one in answer["degraded"])


def test_readyz_tells_harm_that_guardrails_could_not_count(server):
    server.components.guardrails.problem = "guardrails: the harm of 1 event is set aside"
    _, answer = server.tasks.readiness()
    assert "guardrails: the harm of 1 event is set aside" in answer["degraded"]


def test_rewards_are_summed_and_again_by_an_edited_catalogue(server, monkeypatch):
    monkeypatch.setattr(background, "REWARDS_EVERY_S", 0.001)
    ledger = server.components.ledger
    for name in ("d1", "d2"):
        decided(ledger, name, utc_now(), {"hello": 14})

    def left() -> int:
        now_known = rewards(ledger, server.setup.compiled.catalog, utc_now())
        return sum(astuple(now_known.not_summed))

    def summed_by_both() -> bool:
        if left():
            return False
        server.edit_catalog()  # the first time, the rows are those of the catalogue before
        return server.value == 2

    assert left() == 2
    server.run_until(summed_by_both)


def test_readyz_says_when_the_disk_is_low_and_is_503_when_it_is_full(server):
    disks = server.tasks._disks
    for free, status in ((10**11, 200), (10**9 - 1, 200), (10**7, 503)):
        disks.measure = lambda folder, free=free: DiskSpace(10**11, free)
        disks.look()
        found, answer = server.tasks.readiness()
        named = [one for one in answer["degraded"] if one.startswith("disk: ")]
        assert (found, bool(named)) == (status, free < 10**10)


def test_a_ledger_that_cannot_be_written_makes_the_server_not_ready(server, monkeypatch):
    async def disk_full(work: object, first: bool) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(server.components.ledger, "write", disk_full)
        server.run_until(lambda: server.tasks.readiness()[0] == 503)
    _, answer = server.tasks.readiness()
    assert answer["degraded"] == ["ledger: cannot be written (OSError)"]


def test_a_learner_that_ends_slowly_and_badly_holds_up_nobody_and_raises_nothing(
    server, monkeypatch, caplog
):
    answered = threading.Event()

    def stop() -> None:
        assert answered.wait(10)  # until the event loop has answered somebody
        raise OSError("the learner cannot be told to end")

    async def story() -> None:
        server.tasks.start()
        monkeypatch.setattr(server.tasks._learner, "stop", stop)
        stopping = asyncio.create_task(server.tasks.stop())
        assert await server.components.ledger.write(lambda _: 1) == 1
        answered.set()
        await stopping

    asyncio.run(story())
    assert "did not stop as it should" in caplog.text


def test_the_ledger_is_closed_whatever_fails_before(server, monkeypatch):
    def fail() -> None:
        raise OSError("a thread cannot be stopped")

    monkeypatch.setattr(server.components.ingest.publisher, "close", fail)
    with pytest.raises(OSError, match="a thread"):
        server.components.close()
    with pytest.raises(LedgerClosed):
        server.components.ledger.submit(lambda _: 1)
    monkeypatch.undo()


def test_a_check_of_the_ledger_is_cancelled_also_when_its_write_is_just_done(server, monkeypatch):
    async def run() -> bool:
        written = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(server.components.ledger, "write", lambda *_, **__: written)
        check = asyncio.create_task(server.tasks._check_ledger())
        await asyncio.sleep(0)
        written.set_result(None)
        check.cancel()
        await asyncio.wait([check])
        return check.cancelled()

    assert asyncio.run(run())


# By a simulated clock -----------------------------------------------------------------------------

MARCH = datetime(2026, 3, 1, 8, tzinfo=UTC)


def test_a_simulated_server_settles_and_says_what_does_not(tmp_path, monkeypatch):
    """The learner is another process; days may pass between two counts of journeys."""
    monkeypatch.setattr("serving.server.components.FeatureStore", no_store)
    server = Server(tmp_path, NBA_CLOCK="simulated")
    monkeypatch.setattr(server.tasks._journeys, "keep_alive", lambda now_s: None)
    ledger = server.components.ledger
    counted = KeptState("r", 1, (), (), (), tables.micros(MARCH), 1, 0, "", 0, 0)
    ledger.write_now(lambda c: tables.set_meta(c, STATE, json.dumps(asdict(counted))))
    later = MARCH + timedelta(days=30)
    asked = ledger.write_now(lambda c: set_clock(c, later, settle=True))
    ledger.write_now(lambda c: note_part(c, LEARNED, asked.settles_asked, later))

    def answer() -> dict[str, Any]:
        return server.tasks.readiness()[1]

    server.run_until(lambda: answer()["settled_until"] is not None)
    told = {"clock": "simulated", "now": later.isoformat(), "settled_until": later.isoformat()}
    assert answer().items() >= (told | {"settling": [], "not_settled": ["journeys"]}).items()
    server.tasks._journeys.look(server.components.clock())
    assert server.tasks._journeys.problems == []
    server.components.close()


GUARDED = """
arms: {random: 0.3, nobody: 0.1}
guardrails:
  complaints: {counts: complaint_opened, description: Complaints.}
"""


def test_a_request_to_settle_does_itself_what_other_tasks_would_do_in_time(tmp_path, monkeypatch):
    """No other task runs here: events, retention, rewards, guardrails, and the new snapshot."""
    monkeypatch.setattr("serving.server.components.FeatureStore", no_store)
    server = Server(tmp_path, GUARDED, NBA_CLOCK="simulated")
    parts, ledger, done = server.components, server.components.ledger, list[str]()

    async def shown(now: datetime, pause_s: float) -> None:
        done.append(f"events until {now:%Y-%m-%d}, pauses of {pause_s} s")

    monkeypatch.setattr(parts.ingest.publisher, "show_backlog", shown)
    monkeypatch.setattr(parts.model_watcher, "refresh_snapshot", lambda: done.append("snapshot"))
    decided(ledger, "d1", MARCH, {"hello": 14})
    later = MARCH + timedelta(days=500)
    asked = ledger.write_now(lambda c: set_clock(c, later, settle=True))

    def state() -> list[bool]:
        summed = rewards(ledger, server.setup.compiled.catalog, later).not_summed
        whole = tables.decisions.select().where(tables.decisions.c.answer.is_not(None))
        some = (whole, tables.guardrail_tests.select())
        rows = (bool(ledger.read(lambda c, one=one: c.execute(one).all())) for one in some)
        return [sum(astuple(summed)) == 0, *rows]

    assert state() == [False, True, False]
    asyncio.run(server.tasks._settling.look())
    assert state() == [True, False, True]
    assert done == ["events until 2027-07-14, pauses of 0.0 s"]
    ledger.write_now(lambda c: note_part(c, LEARNED, asked.settles_asked, later))
    asyncio.run(server.tasks._settling.look())
    assert done[1:] == ["snapshot"]
    assert server.tasks.readiness()[1]["settled_until"] == later.isoformat()
    parts.close()
