"""The action that was drawn does not decide which decisions are judged."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.ledger.tables import EPOCH
from serving.audit import logged_decisions
from serving.audit.archive import keep_catalog
from serving.audit.logged_decisions import OPEN, LoggedDecisions, Period
from serving.decide.activation import activate
from tests.serving.fakes import FakeArchive, changed, decide, engine_of, models_of

HOUR = timedelta(hours=1)
SHORT, LONG = timedelta(days=3), timedelta(days=21)
WINDOWS = {"call_back": SHORT, "discount": LONG, "talk_plus": LONG}


@pytest.fixture
def catalog(toy_catalog):
    """Call_back has a window of 3 days, discount one of 21; all may follow each other."""
    actions = toy_catalog.model_dump(mode="json", by_alias=True)["actions"]
    days = {name: length / timedelta(days=1) for name, length in WINDOWS.items()}
    changes = {name: one | {"attribution_days": days[name]} for name, one in actions.items()}
    return changed(toy_catalog, actions=changes, contact_policy={"activate_within_hours": 24})


@pytest.fixture
def engine(toy_domain, catalog, ledger, now):
    keep_catalog(ledger, catalog, now)
    return engine_of(catalog, toy_domain, ledger, {}, models_of(catalog, "1"))


@pytest.fixture
def judged(toy_domain, catalog, ledger, engine):
    """The ids of the decisions that are judged at a time, and how many are open."""
    archive = FakeArchive(toy_domain, ledger)

    def ids(at, since=EPOCH, until=None):
        left_out = Counter()
        log = LoggedDecisions(ledger, archive, catalog, left_out)
        batches = list(log.read(Period(since, until), at))
        return [one.row.decision_id for batch in batches for one in batch], left_out[OPEN]

    return ids


def drawn(engine, now, action, number=0, **fields):
    """Decide until an action is drawn; all other decisions are of other customers."""
    while True:
        number += 1
        name = f"{action}{number}"
        answer = decide(engine, now, customer_id=name, decision_id=name, **fields)
        if answer.actions[0].action_id == action:
            return name


@pytest.mark.parametrize("action", ["call_back", "discount", "no_action"])
def test_a_decision_is_judged_from_the_end_of_the_longest_window_whatever_was_drawn(
    engine, judged, now, action
):
    name = drawn(engine, now, action, actions=["call_back", "discount"])
    assert name not in judged(now + LONG - HOUR)[0]
    assert judged(now + LONG - HOUR)[1] > 0
    found, still_open = judged(now + LONG)
    assert name in found and not still_open


def test_the_windows_of_actions_that_could_not_be_drawn_do_not_count(engine, judged, now):
    decide(engine, now, decision_id="short", actions=["call_back"])
    assert judged(now + SHORT - HOUR) == ([], 1)
    assert judged(now + SHORT) == (["short"], 0)


@pytest.mark.parametrize("action", ["call_back", "no_action"])
def test_a_decision_that_is_shown_later_is_judged_when_that_can_be_no_more(
    engine, judged, now, action
):
    asked = {"actions": ["call_back"], "activate": False}
    name = drawn(engine, now, action, **asked)
    end = now + timedelta(hours=24) + SHORT  # shown within 24 hours, then 3 days
    assert name not in judged(end - HOUR)[0]
    assert name in judged(end)[0]
    # Whether and when it is shown changes nothing.
    asyncio.run(activate(engine, name, now + HOUR))
    assert name not in judged(end - HOUR)[0]
    assert name in judged(end)[0]


def test_the_longest_time_of_any_catalogue_counts_for_showing_later(
    toy_domain, catalog, ledger, engine, judged, now
):
    name = drawn(engine, now, "call_back", actions=["call_back"], activate=False)
    longer = changed(catalog, contact_policy={"activate_within_hours": 100})
    keep_catalog(ledger, longer, now)
    end = now + timedelta(hours=100) + SHORT
    assert name not in judged(end - HOUR)[0]
    assert name in judged(end)[0]


def test_an_action_that_was_never_shown_or_withdrawn_earned_nothing_at_no_cost(
    toy_domain, catalog, ledger, engine, now
):
    asked = {"actions": ["discount"], "activate": False}
    never = drawn(engine, now, "discount", **asked)
    withdrawn = drawn(engine, now, "discount", 100, **asked)
    shown = drawn(engine, now, "discount", 200, **asked)
    asyncio.run(activate(engine, shown, now + HOUR))
    none_left = changed(catalog, contact_policy={"caps": [{"at_most": 0, "days": 1}]})
    strict = engine_of(none_left, toy_domain, ledger, {}, models_of(catalog, "1"))
    assert not asyncio.run(activate(strict, withdrawn, now + HOUR)).activated
    log = LoggedDecisions(ledger, FakeArchive(toy_domain, ledger), catalog, Counter())
    found = [one for batch in log.read(Period(EPOCH, None), now + 2 * LONG) for one in batch]
    assert {never, withdrawn, shown} <= {one.row.decision_id for one in found}
    rewards = log.rewards(found)
    assert rewards == {shown: -catalog.actions["discount"].cost}


def test_decisions_come_newest_first_in_pages_and_a_period_chooses_them(
    engine, judged, now, monkeypatch
):
    monkeypatch.setattr(logged_decisions, "PAGE", 3)  # a page ends between two of one time
    monkeypatch.setattr(logged_decisions, "BATCH", 2)
    for number in range(10):
        at = now + number // 2 * HOUR  # two at each time
        decide(engine, at, customer_id=f"c{number}", decision_id=f"d{number}")
    late = now + 2 * LONG
    expected = ["d8", "d9", "d6", "d7", "d4", "d5", "d2", "d3", "d0", "d1"]
    assert judged(late) == (expected, 0)
    assert judged(late, now + HOUR, now + 3 * HOUR)[0] == ["d4", "d5", "d2", "d3"]


def test_a_decision_whose_record_is_removed_is_not_read(
    toy_domain, catalog, ledger, engine, judged, now
):
    decide(engine, now, decision_id="old")
    decide(engine, now, decision_id="kept", customer_id="c2")
    columns = tables.decisions.c
    gone = sa.update(tables.decisions).where(columns.decision_id == "old").values(answer=None)
    ledger.write_now(lambda connection: connection.execute(gone))
    assert judged(now + 2 * LONG)[0] == ["kept"]
