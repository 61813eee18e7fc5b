"""Tests the process that keeps journeys counted, and one server with it over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from features.analytics.nodes import MapNodes
from features.analytics.upkeep.cube import cube_counts
from features.analytics.upkeep.kept_state import FOLDER, read_state
from features.analytics.upkeep.recount import read_recounted, recount
from features.analytics.upkeep.refresh import Refresher
from features.business.domain import load_domain
from features.clock import utc_now
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import GROCERY, load_settings
from serving.journeys import process
from serving.journeys.process import PROBLEM, NightlyRecount, keep
from tests.conftest import copied
from tests.server import ledger_of, running
from tests.serving.server.test_events import basket, send


class Child:
    """A process that runs until it is given a code."""

    returncode: int | None = None

    def poll(self) -> int | None:
        return self.returncode


def test_a_recount_begins_once_a_night_by_the_clock_of_the_business(monkeypatch, caplog):
    started = list[Child]()

    def start(*_: str) -> Child:
        started.append(Child())
        return started[-1]

    monkeypatch.setattr(process, "start_child", start)
    nightly = NightlyRecount(ZoneInfo("Europe/Rome"))  # an hour before UTC in winter
    midnight, begun = datetime(2026, 1, 10, tzinfo=UTC), []
    for hour in range(72):
        for child in started:
            child.returncode = 1 if len(started) == 2 else 0
        nightly.check(midnight + timedelta(hours=hour))
        begun.append(len(started))
    assert [begun.index(n) for n in (1, 2, 3)] == [1, 25, 49]
    assert begun[-1] == 3
    assert "The recount ended with code 1" in caplog.text


def test_a_recount_that_runs_is_not_started_again(monkeypatch):
    started = list[Child]()
    monkeypatch.setattr(process, "start_child", lambda *_: started.append(Child()) or started[-1])
    nightly = NightlyRecount(UTC)
    for day in (1, 2):
        nightly.check(datetime(2026, 1, day, 3, tzinfo=UTC))
    assert len(started) == 1


def test_a_failed_refresh_is_noted_until_one_succeeds(ledger, toy_domain, tmp_path, monkeypatch):
    refresher = Refresher(ledger, toy_domain, tmp_path)

    def fail(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr(refresher, "refresh", fail)
        noted = keep(refresher, ledger, utc_now, "")
        assert keep(refresher, ledger, utc_now, noted) == noted
    said = "journeys: cannot be refreshed (OSError); see the log"
    assert ledger.read(lambda c: tables.get_meta(c, PROBLEM)) == noted == said
    assert keep(refresher, ledger, utc_now, noted) == ""
    assert ledger.read(lambda c: tables.get_meta(c, PROBLEM)) is None


def test_what_differed_is_built_again_before_the_next_recount(monkeypatch, tmp_path):
    monkeypatch.setattr(process.os, "nice", lambda _: 0)
    settings = load_settings({"NBA_HOME": str(tmp_path / "home")})
    process.Refresher(
        made := Ledger(settings.ledger_url), load_domain(GROCERY), settings.home / FOLDER
    ).refresh(utc_now)
    process.run_recount(settings)
    assert made.read(read_recounted).differences == []
    cell = dict.fromkeys(("what", "map", "start_day", "entry_channel", "a", "b", "how"), 0)
    planted = [{**cell, "build": 1, "persona": "", "n": 1}]
    made.write_now(lambda c: tables.insert_new(c, tables.journey_cube, planted))
    process.run_recount(settings)
    assert len(made.read(read_recounted).differences) == 1
    process.run_recount(settings)
    assert made.read(read_recounted).differences == []
    made.close()


@pytest.mark.server
def test_a_server_counts_an_event_and_names_a_difference(first_day, tmp_path):
    home, env = copied(first_day, tmp_path)
    nodes = MapNodes(load_domain(GROCERY))

    def version() -> int:
        state = written.read(read_state)
        return state.version if state else 0

    def lives() -> int:
        counts = cube_counts(written, nodes, "lifecycle")
        return sum(counts.how.values()) if counts else 0

    with ledger_of(home) as written, running(home, {**env, "NBA_JOURNEYS": "true"}) as server:
        server.wait_for(version, within_s=120)
        before = version(), lives()
        send(server, basket("counted", "somebody"))
        server.wait_for(lambda: lives() == before[1] + 1, within_s=60)
        assert version() > before[0]
        n = tables.journey_cube.c.n
        written.write_now(lambda c: c.execute(sa.update(tables.journey_cube).values(n=n + 1)))
        assert recount(written, load_domain(GROCERY), home / FOLDER, utc_now())
        server.wait_for(lambda: "the recount of" in str(server.get("/readyz")[1]["degraded"]))
