"""Tests the bench of what learning costs: what it feeds is learned, and a miss is said."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import sqlalchemy as sa

from features.clock import utc_now
from features.ledger import tables
from serving.learn.lag import read_lag
from tests.bench import learner_cost
from tests.bench.cost_home import Feeder, action, make_home, opened, templates
from tests.bench.learner_cost import Figures, Plan, feed_for, steps, timed_locks

ACTIONS = 3


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    env = make_home(tmp_path_factory.mktemp("cost"), ACTIONS)
    with opened(env) as components:
        yield components


@pytest.fixture(scope="module")
def each(parts):
    return templates(parts, 0, [action(number) for number in range(ACTIONS)])


def count(parts, table, *holds):
    query = sa.select(sa.func.count()).select_from(table).where(*holds)
    return parts.ledger.read(lambda c: c.execute(query).scalar_one())


def test_there_is_a_template_of_each_action(each):
    assert sorted({one.action for one in each}) == [action(number) for number in range(ACTIONS)]


def test_what_is_fed_is_learned_and_measured(parts, each):
    figures = Figures()
    steps(parts, each, Plan(each=2, batches=1), ACTIONS, figures)
    found = {name: value for name, value, _, _ in figures.rows}
    assert parts.ledger.read(lambda c: read_lag(c, utc_now())).decisions == 0
    fed = tables.credits.c.decision_id.like("fed%")
    assert count(parts, tables.credits, fed) == 2 * len(each) + 300
    told = tables.credits.c.acceptance == 1
    assert count(parts, tables.credits, told) == count(parts, tables.outcomes)
    assert count(parts, tables.outcomes) > learner_cost.OUTCOMES
    written = found[f"{ACTIONS} actions: a step of {learner_cost.OUTCOMES} outcomes writes"]
    assert 0.001 < written < 4
    assert found[f"{ACTIONS} actions: transactions timed"] >= 2
    assert found[f"{ACTIONS} actions: lock held, median"] > 0


def test_another_process_feeds_by_the_clock(parts, each):
    before, fed = count(parts, tables.decisions), SimpleNamespace(value=0)
    feed_for(parts.ledger.url, each, rate=30_000, seconds=0.01, seed=1, fed=fed)
    assert count(parts, tables.decisions) - before == 300 >= fed.value


def test_only_transactions_are_timed_not_the_time_between_them(parts, each):
    feeder = Feeder(parts.ledger, each, seed=9)
    with timed_locks(parts.ledger) as held_ms:
        feeder.feed(2, utc_now())
        with learner_cost.untimed(held_ms):
            feeder.feed(2, utc_now())
        feeder.feed(2, utc_now())
    assert len(held_ms) == 2 and min(held_ms) > 0
    feeder.feed(2, utc_now())
    assert len(held_ms) == 2


def test_a_value_above_what_is_allowed_is_a_miss():
    figures = Figures()
    figures.add("more", 2.1, 2.0, "MB")
    figures.add("as much", 2.0, 2.0, "MB")
    figures.add("without a bound", np.inf, None, "s")
    assert figures.missed == ["more"]


def test_the_command_ends_with_an_error_where_a_goal_is_missed(monkeypatch):
    figures = Figures()
    monkeypatch.setattr(learner_cost, "measure", lambda folder, plan: figures)
    monkeypatch.setattr("sys.argv", ["learner_cost"])
    assert learner_cost.main() == 0
    figures.add("lag", 6.0, 5.0, "s")
    assert learner_cost.main() == 1
