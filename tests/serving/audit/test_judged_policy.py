"""Tests which decisions are judged, and whether a policy has learned from one of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.ledger.tables import EPOCH
from serving.audit.judged_policy import (
    LearnedDecisions,
    count_imported,
    count_own,
    imported_among,
    judged_span,
    refusal,
    served_among,
)
from tests.bandits import PLAIN, bandit, outcomes
from tests.decided import decided
from training.bandit.artifact import Bandit
from training.bandit.bandit_state import BanditState
from training.bandit.encoder import Encoder

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DAY = timedelta(days=1)
DISCOUNT = {"discount": 14}
IMPORTED = {"served": False, "arm": None, "record": None, "answer": None, "features": None}


@pytest.fixture
def decisions(ledger, now):
    """Two imported decisions, one of which has no probability, then two own ones, a day apart."""
    decided(ledger, "i1", now, DISCOUNT, **IMPORTED)
    decided(ledger, "i2", now + DAY, DISCOUNT, **IMPORTED, probability=None)
    decided(ledger, "d1", now + 2 * DAY, DISCOUNT)
    decided(ledger, "d2", now + 3 * DAY, DISCOUNT)


def serial_of(ledger, decision_id: str) -> int:
    query = sa.select(tables.decisions.c.serial).where(
        tables.decisions.c.decision_id == decision_id
    )
    return ledger.read(lambda c: c.execute(query).scalar_one())


def learned_until(serial: int) -> Bandit:
    """A version that the learner logged when it had learned from a decision."""
    told = outcomes(np.empty((1, 0)), ["app"], ["discount"], [1.0])
    state = BanditState(Encoder.blank(), PLAIN)
    state.learn(replace(told, at=np.array([float(serial)])))
    return Bandit(state, PLAIN, BanditState(Encoder.blank(), PLAIN))


def trained(until=None) -> Bandit:
    """A version that was trained on an imported decision."""
    told = outcomes(np.empty((1, 0)), ["app"], ["discount"], [1.0])
    return replace(bandit(Encoder.blank(), told), imported_until=until)


def test_the_span_begins_with_the_oldest_decision_that_can_be_judged(ledger, decisions, now):
    span = judged_span(ledger, EPOCH, None, None, now + 9 * DAY)
    assert (span.first_at, span.since, span.until) == (now, EPOCH, None)
    # i2 has no probability, and cannot be judged.
    later = judged_span(ledger, now + timedelta(hours=1), now + 9 * DAY, 10, now + 9 * DAY)
    assert (later.first_at, later.since) == (now + 2 * DAY, now + timedelta(hours=1))
    nothing = judged_span(ledger, now + 8 * DAY, None, 10, now + 9 * DAY)
    assert (nothing.first_at, nothing.since) == (now + 8 * DAY, now + 8 * DAY)


def test_with_a_limit_it_begins_with_so_many_closed_ones(ledger, decisions, now):
    span = judged_span(ledger, EPOCH, None, 2, now + 9 * DAY)
    assert (span.first_at, span.since) == (now + 2 * DAY, now + 2 * DAY)
    # d2 is open, so the two newest closed ones are i1 and d1.
    span = judged_span(ledger, EPOCH, None, 2, now + 3 * DAY)
    assert span.first_at == now


def test_decisions_are_counted_as_own_or_imported(ledger, decisions, now):
    assert count_own(ledger, EPOCH, None) == 2
    assert count_imported(ledger, EPOCH, None) == (1, 1)
    assert count_imported(ledger, now + DAY, None) == (0, 1)
    assert count_own(ledger, now, now + 3 * DAY) == 1


def test_a_version_has_learned_from_the_decisions_up_to_its_newest(ledger, decisions, now):
    newest = learned_until(serial_of(ledger, "d1"))
    found = served_among(ledger, newest, EPOCH, None)
    at = now + 2 * DAY
    assert found == LearnedDecisions(1, "d1", at, at, imported=False)
    assert served_among(ledger, newest, at + timedelta(seconds=1), None) is None
    both = served_among(ledger, learned_until(serial_of(ledger, "d2")), EPOCH, None)
    assert both == LearnedDecisions(2, "d1", at, at + DAY, imported=False)
    assert served_among(ledger, trained(), EPOCH, None) is None


def test_a_trained_version_has_learned_from_imported_ones_up_to_a_time(ledger, decisions, now):
    first = LearnedDecisions(1, "i1", now, now, imported=True)
    assert imported_among(ledger, trained(until=now), EPOCH, None) == first
    assert imported_among(ledger, trained(until=now - DAY), EPOCH, None) is None
    assert imported_among(ledger, trained(), EPOCH, None) == first, "nobody knows up to when"
    assert imported_among(ledger, learned_until(9), EPOCH, None) is None


def test_the_refusal_names_version_decision_and_remedy(now):
    of_log = refusal("challenger", "7", LearnedDecisions(1200, "i1", now, now + DAY, imported=True))
    assert str(of_log) == (
        "policy is 'challenger': bandit version 7 has learned from 1,200 of the imported decisions "
        "to be judged. The first is 'i1' of 2026-11-22T10:00:00+00:00. Expected a policy that has "
        "learned from none of them, or it looks better than it is. Judge it on later ones: --since "
        "2026-11-23T10:00:01+00:00; or train one without them: 'nba train bandit --until "
        "2026-11-22T10:00:00+00:00'."
    )
    of_service = refusal("learned", "9", LearnedDecisions(3, "d1", now, now, imported=False))
    assert "3 of the decisions to be judged. The first is 'd1'" in str(of_service)
    assert "or name a version that was trained before them" in str(of_service)
