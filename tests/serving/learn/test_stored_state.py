"""Tests that a stored state that does not fit any more is counted again from the credits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.outcomes.delay_epochs import ResponseDelays
from serving.learn.learner import Learner
from serving.learn.stored_state import (
    LearnerState,
    read_learner_state,
    read_revision,
    write_learner_state,
)
from serving.learn.updates import BanditUpdates
from serving.models.served_models import PRIOR
from tests.bandits import PLAIN
from tests.serving.learn.test_learner import HOUR, PARAMS, Shop
from tests.serving.learn.test_learner_encoding import same, show, stored
from training.arrays import pack, unpack
from training.bandit.bandit_state import BanditState
from training.params import BanditParams

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def shop(ledger, toy_domain, toy_catalog, now) -> Shop:
    """Nine discounts, which a learner has learned."""
    found = Shop(ledger, toy_domain, toy_catalog, now)
    show(found, range(9))
    found.learner().step(now + HOUR)
    return found


def read(shop: Shop, params: BanditParams = PLAIN) -> LearnerState:
    updates = BanditUpdates(shop.ledger, shop.domain, params)
    return read_learner_state(shop.ledger, updates, params, ResponseDelays(shop.catalog))


def rewrite(shop: Shop, payload: bytes) -> None:
    update = tables.learner_state.update().values(bandit_state=payload)
    shop.ledger.write_now(lambda c: c.execute(update))


def former_format(state: BanditState) -> bytes:
    """A state as it was written before it had its own settings."""
    note, arrays = unpack(state.to_bytes())
    del note["params"]
    return pack(note, **arrays)


def test_what_was_written_is_read(shop):
    found = read(shop)
    written = replace(found, base="4", revision=7, published_under="a fingerprint")
    payload = written.bandit.to_bytes()
    shop.ledger.write_now(lambda c: write_learner_state(c, written, payload))
    again = read(shop)
    assert (again.base, again.revision, again.published_under) == ("4", 7, "a fingerprint")
    same(again.bandit, found.bandit)
    assert shop.ledger.read(read_revision) == 7


def test_without_a_state_nothing_was_written(ledger, toy_domain, toy_catalog, now):
    found = read(Shop(ledger, toy_domain, toy_catalog, now))
    assert (found.base, found.revision, found.published_under) == (PRIOR, 0, None)
    assert found.bandit.counted == 0


def test_a_state_of_a_former_format_is_counted_again_from_the_credits(shop):
    before = stored(shop)
    rewrite(shop, former_format(before))
    found = read(shop)
    assert found.revision == shop.ledger.read(read_revision) == 1
    assert found.bandit.counted == before.counted == 9
    credited = shop.counted()
    learner = shop.learner()
    assert learner.step(shop.now + HOUR), "the encoder is fitted again"
    assert not learner.step(shop.now + HOUR)
    same(stored(shop), before)
    assert shop.counted() == credited
    unlearned = sa.select(tables.outcomes).where(~tables.outcomes.c.learned)
    assert shop.ledger.read(lambda c: c.execute(unlearned).all()) == []


def test_a_state_of_other_settings_is_counted_again_from_the_credits(shop):
    wider = PLAIN.model_copy(update={"width": 16})
    found = read(shop, wider)
    assert found.bandit.params.width == 16 and found.bandit.counted == 9
    changed = PARAMS.model_copy(update={"bandit": wider})
    learner = Learner(shop.ledger, shop.domain, shop.catalog, changed, lambda: None)
    assert learner.step(shop.now + HOUR)
    assert stored(shop).encoder.width == 16 and learner.counted == 9


def test_settings_that_do_not_change_what_is_learned_keep_the_state(shop):
    found = read(shop, PLAIN.model_copy(update={"min_probability": 0.01}))
    assert found.bandit.encoded_at == 8
