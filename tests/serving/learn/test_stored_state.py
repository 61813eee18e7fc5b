"""Tests that a stored state that does not fit any more is counted again from the credits."""

from __future__ import annotations

import shutil

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.outcomes.delay_epochs import ResponseDelays
from serving.learn.checkpoints import CheckpointFolder
from serving.learn.learner import Learner
from serving.learn.stored_state import LearnerState, StateStore, read_position
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
    store = StateStore(shop.ledger, updates, params, CheckpointFolder(shop.folder))
    return store.restore(ResponseDelays(shop.catalog), lambda base: updates.blank())


def put_back(shop: Shop, payload: bytes) -> None:
    """Make the ledger like one of the release that kept the state in it, with this state."""
    update = tables.learner_state.update().values(bandit_state=payload, token=None)
    for change in (update, tables.learned_steps.delete()):
        shop.ledger.write_now(lambda c, change=change: c.execute(change))
    shutil.rmtree(shop.folder, ignore_errors=True)


def kept(shop: Shop) -> bytes | None:
    """The state that an earlier release left in the ledger."""
    query = sa.select(tables.learner_state.c.bandit_state)
    return shop.ledger.read(lambda c: c.execute(query).scalar())


def former_format(state: BanditState) -> bytes:
    """A state as it was written before it had its own settings."""
    note, arrays = unpack(state.to_bytes())
    del note["params"]
    return pack(note, **arrays)


def test_without_a_state_nothing_was_written(ledger, toy_domain, toy_catalog, now):
    found = read(Shop(ledger, toy_domain, toy_catalog, now))
    assert (found.base, found.revision, found.published_under) == (PRIOR, 0, None)
    assert found.bandit.counted == 0 and not found.is_new


def test_the_state_of_an_earlier_release_is_gone_on_from_and_leaves_the_ledger(shop):
    before = stored(shop)
    put_back(shop, before.to_bytes())
    same(read(shop).bandit, before)
    learner = shop.learner()
    learner.learn(shop.now + HOUR)
    assert kept(shop) is None
    same(stored(shop), before)
    show(shop, range(9, 11))
    learner.step(shop.now + HOUR)
    assert stored(shop).counted == 11


def test_where_no_checkpoint_can_be_written_the_ledger_keeps_the_state_of_before(shop):
    before = stored(shop)
    put_back(shop, before.to_bytes())
    shop.folder.write_text("a file where the folder should be")
    learner = shop.learner()
    learner.learn(shop.now + HOUR)
    show(shop, range(9, 11))
    assert learner.step(shop.now + HOUR)
    assert kept(shop) is not None
    assert stored(shop).counted == 11
    shop.folder.unlink()
    learner.learn(shop.now + HOUR)
    assert kept(shop) is None and stored(shop).counted == 11


def test_a_state_of_a_former_format_is_counted_again_from_the_credits(shop):
    before = stored(shop)
    put_back(shop, former_format(before))
    found = read(shop)
    assert found.revision == shop.ledger.read(read_position)[0] == 1
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
    learner = Learner(shop.ledger, shop.domain, shop.catalog, changed, lambda: None, shop.folder)
    assert learner.step(shop.now + HOUR)
    assert read(shop, wider).bandit.encoder.width == 16 and learner.counted == 9
    assert not read(shop, wider).is_new


def test_settings_that_do_not_change_what_is_learned_keep_the_state(shop):
    found = read(shop, PLAIN.model_copy(update={"min_probability": 0.01}))
    assert found.bandit.encoded_at == 8
