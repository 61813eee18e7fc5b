"""The commands that remove old records and list erasures."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.clock import utc_now
from features.ingest.erasure import Erasure
from features.ledger.ledger import Ledger
from serving.cli import steps_data
from tests.commands import nba_in_process
from tests.decided import decided
from tests.features.erasing import Store, known


@pytest.fixture
def env(tmp_path):
    return {"NBA_HOME": str(tmp_path / "home")}


@pytest.fixture
def ledger(env):
    opened = Ledger(f"sqlite:///{env['NBA_HOME']}/ledger.db")
    yield opened
    opened.close()


def said(words, env):
    done = nba_in_process(words, env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_old_records_are_counted_and_then_removed(ledger, env):
    for days in (500, 450, 10):
        decided(ledger, f"d{days}", utc_now() - timedelta(days=days), {"call": 7.0})
    dry = said(["prune", "--dry-run"], env)
    assert dry.startswith("2 records older than 400 days would be removed: 0.0 MB.")
    assert "Events are kept for ever." in dry and "New rows use free space first." in dry
    assert said(["prune"], env).startswith("2 records older than 400 days were removed")
    assert said(["prune"], env).startswith("0 records older")


def test_erasures_are_listed_with_what_they_wait_for(ledger, env, tmp_path):
    known(ledger, "ann")
    erased = Erasure(ledger, Store(), tmp_path).forget(["ann"], utc_now())
    listed = said(["erasures"], env)
    assert erased.erasure_id in listed and "finished at" in listed


@pytest.mark.parametrize("wiped", [True, False])
def test_compact_says_whether_deleted_data_may_remain(env, monkeypatch, wiped):
    monkeypatch.setattr(steps_data, "compact", lambda: wiped)
    done = nba_in_process(["compact"], env)
    assert done.returncode == (0 if wiped else 1)
    assert ("hold no deleted data any more" in done.stdout) == wiped
    assert ("Run 'nba compact' again at a quiet hour" in done.stderr.replace("\n", " ")) != wiped
