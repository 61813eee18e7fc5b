"""Tests of what `/readyz` says about journeys."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from features.analytics.upkeep.kept_state import RECOUNTED, STATE, KeptState, make_keeper
from features.ledger import tables
from serving.journeys.process import PROBLEM
from serving.journeys.watch import OLD, JourneysWatch

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def note(ledger, key, content):
    ledger.write_now(lambda c: tables.set_meta(c, key, content))


def said(ledger, now=NOW, folder=Path("nowhere"), old=OLD):
    watch = JourneysWatch(ledger, folder, old)
    watch.look(now)
    return watch.problems


def test_nothing_is_wrong_before_the_first_build(ledger):
    assert said(ledger) == []


def test_old_counts_a_failed_refresh_and_a_difference_are_named(ledger):
    state = KeptState("r", 1, (), (), (), tables.micros(NOW), 1, 0, "", 0, 0)
    note(ledger, STATE, json.dumps(asdict(state)))
    assert said(ledger, NOW + timedelta(minutes=5)) == []
    late = "journeys: counted up to 6 minutes ago"
    assert said(ledger, NOW + timedelta(minutes=6)) == [late]
    recounted = {"at": NOW.isoformat(), "as_of_us": tables.micros(NOW), "differences": []}
    note(ledger, RECOUNTED, json.dumps(recounted))
    assert said(ledger) == []
    differences = ["ways of support: the count is 2; the files have 1", "another", "a third"]
    note(ledger, RECOUNTED, json.dumps(recounted | {"differences": differences}))
    note(ledger, PROBLEM, "journeys: cannot be refreshed (OSError); see the log")
    assert said(ledger) == [
        "journeys: cannot be refreshed (OSError); see the log",
        "journeys: the recount of 2026-11-22T10:00+00:00 differs: ways of support: the count is 2; "
        "the files have 1, and 2 more; the next night builds them again; so does a deletion of the "
        "home's folder 'journeys'",
    ]


def test_the_caller_says_when_counts_are_old(ledger):
    state = KeptState("r", 1, (), (), (), tables.micros(NOW), 1, 0, "", 0, 0)
    note(ledger, STATE, json.dumps(asdict(state)))
    hour = timedelta(hours=1)
    assert said(ledger, NOW + hour, old=hour) == []
    late = "journeys: counted up to 60 minutes ago"
    assert said(ledger, NOW + hour, old=hour - timedelta(seconds=1)) == [late]
    assert said(ledger, NOW + timedelta(days=9_999), old=timedelta.max) == []


def test_that_another_home_keeps_them_is_named(ledger, tmp_path):
    keeper = make_keeper(tmp_path / "journeys")
    state = KeptState("r", 1, (), (), (), tables.micros(NOW), 1, 0, "", 0, 0, keeper)
    note(ledger, STATE, json.dumps(asdict(state)))
    assert said(ledger, folder=tmp_path / "journeys") == []
    [sentence] = said(ledger, folder=tmp_path / "other")
    assert sentence.startswith("journeys: Another home that uses this ledger keeps its journeys.")


def test_a_process_that_ended_is_named(ledger):
    watch = JourneysWatch(ledger, Path("nowhere"))
    watch._process.problem = "journeys: ended with code 1; see the log"
    watch.look(NOW)
    assert watch.problems == ["journeys: ended with code 1; see the log"]
    watch.stop()
