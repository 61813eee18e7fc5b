"""Tests that a decision that cannot be learned from keeps no other one from being learned."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from features.errors import LedgerDown, NotRepeatable
from features.ledger import tables
from serving.learn.learner import Learner
from serving.learn.set_aside import (
    IN_A_ROW,
    TRIES,
    StepSize,
    learner_set_aside_sentence,
    read_learner_set_aside,
)
from serving.learn.steps import next_batch, unlearned_outcomes
from tests.serving.learn.test_learner import HOUR, Shop

pytestmark = pytest.mark.databases("sqlite", "postgresql")

BROKEN = b"seven b"  # of features: no whole number of float64


@pytest.fixture
def shop(ledger, toy_domain, toy_catalog, now) -> Shop:
    """Five told decisions, one of which has features that cannot be read."""
    found = Shop(ledger, toy_domain, toy_catalog, now)
    for number in range(5):
        found.decide(f"d{number}")
        found.tell(f"d{number}", "accepted")
    features(found, "d3", BROKEN)
    return found


def features(shop: Shop, decision_id: str, content: bytes) -> None:
    mine = tables.decisions.c.decision_id == decision_id
    stored = sa.type_coerce(content, sa.LargeBinary)
    update = tables.decisions.update().where(mine).values(features=stored)
    shop.ledger.write_now(lambda connection: connection.execute(update))


def readable(shop: Shop) -> bytes:
    columns = tables.decisions.c
    query = sa.select(sa.type_coerce(columns.features, sa.LargeBinary))
    query = query.where(columns.decision_id == "d0")
    return shop.ledger.read(lambda c: c.execute(query).scalar_one())


def rounds(shop: Shop, learner: Learner, most: int = 30) -> int:
    """Learn all that waits; return the number of rounds that failed."""
    failed = 0
    for _ in range(most):
        try:
            learner.learn(shop.now + HOUR)
        except NotRepeatable:
            failed += 1
        if not shop.ledger.read(lambda c: next_batch(c, shop.now + HOUR, 1)).decision_ids:
            return failed
    raise AssertionError("work is left")


def test_the_decision_that_fails_is_found_and_set_aside_and_the_others_are_learned(shop):
    failed = rounds(shop, shop.learner())
    assert 3 <= failed <= 6, "three tries, then halves"
    assert set(shop.credits()) == {
        ("d0", "discount"),
        ("d1", "discount"),
        ("d2", "discount"),
        ("d4", "discount"),
    }
    count, [(name, problem)] = shop.ledger.read(read_learner_set_aside)
    assert (count, name) == (1, "d3") and problem == "NotRepeatable in columns.py"
    assert shop.ledger.read(lambda c: unlearned_outcomes(c, 9)) == {}


def test_a_decision_that_is_set_aside_is_tried_again_when_the_learner_starts(shop):
    rounds(shop, shop.learner())
    again = shop.learner()
    assert rounds(shop, again) == 0, "it is tried alone, and once"
    assert shop.ledger.read(read_learner_set_aside)[0] == 1
    features(shop, "d3", readable(shop))
    assert rounds(shop, shop.learner()) == 0
    assert shop.ledger.read(read_learner_set_aside) == (0, [])
    assert shop.credits()["d3", "discount"] == 1.0 and shop.learner().counted == 5


def test_a_decision_that_is_set_aside_is_tried_again_when_an_outcome_of_it_comes(shop):
    learner = shop.learner()
    rounds(shop, learner)
    features(shop, "d3", readable(shop))
    assert rounds(shop, learner) == 0 and ("d3", "discount") not in shop.credits()
    shop.tell("d3", "clicked")
    shop.decide("d5")
    shop.tell("d5", "rejected")
    assert rounds(shop, learner) == 0
    assert shop.ledger.read(read_learner_set_aside) == (0, [])
    assert shop.credits()["d3", "discount"] == 1.0 and learner.counted == 6


def test_trees_and_encoder_are_fitted_without_a_decision_that_is_set_aside(shop):
    learner = shop.learner()
    rounds(shop, learner)
    for number in range(5, 9):
        shop.decide(f"d{number}", f"c{20 + number}")
        shop.tell(f"d{number}", "rejected")
    rounds(shop, learner)
    assert learner.version().state.encoded_at == 8
    assert learner.fit_trees().counted == 8


def test_a_ledger_that_does_not_answer_is_no_failure_of_a_decision(shop, monkeypatch):
    features(shop, "d3", readable(shop))
    learner = shop.learner()

    def down(work: object) -> None:
        raise LedgerDown("It does not answer.", expected="an answer", remedy="Wait.")

    with monkeypatch.context() as broken:
        broken.setattr(shop.ledger, "write_now", down)
        for _ in range(9):
            with pytest.raises(LedgerDown):
                learner.learn(shop.now + HOUR)
    assert rounds(shop, learner) == 0
    assert shop.ledger.read(read_learner_set_aside) == (0, []) and learner.counted == 5


def test_a_failure_that_meets_every_decision_sets_some_aside_and_then_none():
    size, given_up = StepSize(4), 0
    for _ in range(10 * IN_A_ROW):
        if size.gives_up(ValueError(), size.most, is_retried=False):
            size.went_on(has_learned=False)
            given_up += 1
    assert given_up == IN_A_ROW


def test_after_a_failure_steps_grow_to_their_size_again():
    size, sizes = StepSize(8), []
    for _ in range(3):
        assert not size.gives_up(ValueError(), size.most, is_retried=False)
        sizes.append(size.most)
    assert sizes == [8, 8, 4]
    size.went_on(has_learned=True)
    assert size.most == 8
    assert not size.gives_up(ValueError(), 8, is_retried=False) and size.most == 8


def test_the_sentence_names_some_decisions_and_says_what_becomes_of_them():
    assert learner_set_aside_sentence(0, []) == ""
    one = learner_set_aside_sentence(1, [("d3", "ValueError in credits.py")])
    assert one == (
        "learner: 1 decision is set aside and not learned from: 'd3' (ValueError in credits.py); "
        "see the log of the learner; tried again with its next outcome, and when the server starts"
    )
    many = learner_set_aside_sentence(1_200, [("d3", "KeyError"), ("d4", "KeyError")])
    assert "1,200 decisions are set aside" in many and "'d4' (KeyError), ...;" in many


def test_decisions_that_fail_again_after_a_restart_are_not_taken_for_a_failure_of_all():
    """Each was set aside before, so it fails alone; a new one is still set aside after them."""
    size, error = StepSize(1), ValueError()
    for _ in range(IN_A_ROW + 5):
        assert size.gives_up(error, 1, is_retried=True)
        size.went_on(has_learned=False)
    assert [size.gives_up(error, 1, is_retried=False) for _ in range(TRIES)] == [False, False, True]
