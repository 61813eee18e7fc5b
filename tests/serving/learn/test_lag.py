"""Tests the lag: what waits, since when and how much, by indexes that hold only what waits."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from features.clock import utc_now
from features.ledger import tables
from serving.learn import lag
from serving.learn.child_process import only_one
from serving.learn.lag import LearnerLag, lag_sentence, read_lag
from serving.learn.set_aside import set_aside
from tests.conftest import TOY
from tests.decided import decided
from tests.server import Server, ledger_of, running

MINUTE = timedelta(minutes=1)
INDEXES = ("outcomes_to_learn", "credits_to_revise")


def outcome(ledger, name, decision_id, received_at, learned=False):
    row = {
        "outcome_id": name,
        "decision_id": decision_id,
        "action_id": "discount",
        "outcome": "accepted",
        "occurred_at": received_at - 9 * MINUTE,
        "received_at": received_at,
        "learned": learned,
    }
    ledger.write_now(lambda connection: connection.execute(tables.outcomes.insert(), row))


def lag_at(ledger, now):
    return ledger.read(lambda connection: read_lag(connection, now))


def revise_at(ledger, decision_id, at):
    mine = tables.credits.c.decision_id == decision_id
    change = tables.credits.update().where(mine).values(revise_at=at)
    ledger.write_now(lambda connection: connection.execute(change))


on_each = pytest.mark.databases("sqlite", "postgresql")


def test_nothing_waits_in_an_empty_ledger(ledger, now):
    assert lag_at(ledger, now) == LearnerLag(0.0, 0)


@on_each
def test_a_decision_waits_from_its_showing_until_its_silence_is_counted(ledger, now):
    decided(ledger, "d1", now, {"discount": 14})
    assert lag_at(ledger, now - MINUTE) == LearnerLag(0.0, 0)
    assert lag_at(ledger, now + MINUTE) == LearnerLag(60.0, 1)
    revise_at(ledger, "d1", now + 5 * MINUTE)
    assert lag_at(ledger, now + MINUTE) == LearnerLag(0.0, 0)
    assert lag_at(ledger, now + 7 * MINUTE) == LearnerLag(120.0, 1)
    revise_at(ledger, "d1", None)
    assert lag_at(ledger, now + 7 * MINUTE) == LearnerLag(0.0, 0)


@on_each
def test_an_outcome_waits_from_its_receipt_and_a_decision_counts_once(ledger, now):
    decided(ledger, "d1", now, {"discount": 14, "call_back": 14})
    decided(ledger, "d2", now, {})
    outcome(ledger, "o1", "d1", now + MINUTE)
    outcome(ledger, "o2", "d2", now - 3 * MINUTE)
    outcome(ledger, "o3", "d2", now - 9 * MINUTE, learned=True)
    # Of d1 two silences and an outcome wait, of d2 one outcome, which is the first of all.
    assert lag_at(ledger, now + 2 * MINUTE) == LearnerLag(300.0, 2)
    learn = tables.outcomes.update().values(learned=True)
    ledger.write_now(lambda connection: connection.execute(learn))
    assert lag_at(ledger, now + 2 * MINUTE) == LearnerLag(120.0, 1)


def test_a_long_queue_is_counted_up_to_the_bound(ledger, now, monkeypatch):
    monkeypatch.setattr(lag, "MOST_COUNTED", 3)
    for number in range(5):
        decided(ledger, f"d{number}", now - number * MINUTE, {"discount": 14})
        outcome(ledger, f"o{number}", f"d{number}", now - number * MINUTE)
    assert lag_at(ledger, now) == LearnerLag(240.0, 3)


def test_each_query_reads_an_index_of_what_waits_without_a_sort(ledger, now):
    queries: list[tuple[str, object]] = []

    def note(connection, cursor, statement, parameters, context, many):
        queries.append((statement, parameters))

    decided(ledger, "d1", now, {"discount": 14})
    sa.event.listen(ledger.engine, "before_cursor_execute", note)
    assert lag_at(ledger, now).decisions == 1
    sa.event.remove(ledger.engine, "before_cursor_execute", note)
    selects = [one for one in queries if one[0].startswith("SELECT")]
    assert len(selects) == 3
    for text, values in selects:
        plan = ledger.read(
            lambda connection, text=text, values=values: connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {text}", values
            ).all()
        )
        steps = [row[-1] for row in plan]
        reads = [one for one in steps if " outcomes" in one or " credits" in one]
        assert reads and all(any(name in one for name in INDEXES) for one in reads), steps
        assert not any("ORDER BY" in one for one in steps), steps


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (LearnerLag(0.0, 0), ""),
        (LearnerLag(60.0, 9_999), ""),
        (LearnerLag(60.5, 1), "learner: 1 decision waits to be learned from, for up to 60 s"),
        (LearnerLag(4_000, 20), "learner: 20 decisions wait to be learned from, for up to 4,000 s"),
        (LearnerLag(61, 10_000), "learner: at least 10,000 decisions wait to be learned from"),
    ],
)
def test_only_a_long_lag_is_said(found, sentence):
    said = lag_sentence(found)
    assert said.startswith(sentence) and bool(said) == bool(sentence)


def shown(server: Server, name: str) -> float | None:
    """The value of a gauge without labels at `/metrics`."""
    lines = server.get("/metrics")[1].splitlines()
    found = [line for line in lines if line.startswith(f"{name} ")]
    return float(found[0].split()[1]) if found else None


def said(server: Server) -> list[str]:
    degraded = server.get("/readyz")[1]["degraded"]
    return [one for one in degraded if one.startswith("learner: ")]


@pytest.mark.server
def test_a_server_says_that_its_learner_is_behind_and_how_far(tmp_path: Path):
    """Its learner waits for the lock of another one on the machine; then it catches up."""
    env = {
        "NBA_DOMAIN": str(TOY / "domain.yaml"),
        "NBA_MLFLOW_URI": f"sqlite:///{tmp_path / 'none.db'}",
        "NBA_LEARN_EVERY_S": "0.05",
    }
    home = tmp_path / "home"
    home.mkdir()
    with ledger_of(home) as ledger:
        for name in ("d1", "d2"):
            decided(ledger, name, utc_now() - 10 * MINUTE, {"discount": 14})
        decided(ledger, "d3", utc_now() + 10 * MINUTE, {"discount": 14})
        ledger.write_now(lambda c: set_aside(c, ["d3"], "ValueError in credits.py", utc_now()))
    other = ExitStack()
    other.enter_context(only_one(home / "learner.lock"))
    with other, running(home, env) as server:
        sentence, aside = server.wait_for(lambda: said(server))
        assert sentence.startswith("learner: 2 decisions wait to be learned from")
        assert aside.startswith("learner: 1 decision is set aside and not learned from: 'd3'")
        assert shown(server, "nba_learner_set_aside") == 1
        assert shown(server, "nba_learner_lag_decisions") == 2
        assert 600 <= (shown(server, "nba_learner_lag_seconds") or 0) < 700
        other.close()
        server.wait_for(lambda: shown(server, "nba_learner_lag_decisions") == 0)
        assert shown(server, "nba_learner_lag_seconds") == 0
        server.wait_for(lambda: not said(server))
