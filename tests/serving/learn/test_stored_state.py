"""Tests that a stored state that does not fit any more is counted again from the credits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.outcomes.delay_epochs import ResponseDelays
from serving.learn.checkpoints import CheckpointFolder, read_step_tokens
from serving.learn.learner import Learner
from serving.learn.stored_state import (
    LearnerState,
    RevisionConflict,
    StateStore,
    read_learner_problem,
    read_position,
)
from serving.learn.updates import BanditUpdates
from serving.models.served_models import PRIOR
from tests.bandits import PLAIN
from tests.serving.learn.test_learner import HOUR, PARAMS, Shop, a_champion
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


def test_sums_of_an_earlier_release_are_not_gone_on_from_under_another_champion(shop):
    """No checkpoint can be written: after a restart all is counted again on top of the champion."""
    put_back(shop, stored(shop).to_bytes())
    shop.folder.write_text("a file where the folder should be")
    champion = a_champion("4", accepted=0.5, n=10)
    learner = shop.learner(champion)
    assert learner.rebase(shop.now + HOUR)
    show(shop, range(9, 11))
    learner.step(shop.now + HOUR)
    again = shop.learner(champion)
    assert (again.counted, kept(shop)) == (10 + 11, None)


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


# Checkpoints --------------------------------------------------------------------------------------


def keep(shop: Shop, learner: Learner) -> None:
    """Write a checkpoint of all that was learned."""
    write = learner.checkpoint()
    assert write is not None
    write()


def steps(shop: Shop) -> dict[int, bool]:
    """The revisions in the ledger, and if they have outcomes."""
    found = shop.ledger.read(read_step_tokens)
    return {revision: has for revision, (_, has) in found.items()}


def learn(shop: Shop, learner: Learner, numbers: range) -> None:
    """Learn decisions, a step for each."""
    for number in numbers:
        show(shop, range(number, number + 1))
        learner.step(shop.now + HOUR)


@pytest.fixture
def learner(shop) -> Learner:
    """A learner with two checkpoints, and steps before, between and after them."""
    found = shop.learner()
    learn(shop, found, range(9, 11))
    keep(shop, found)
    learn(shop, found, range(11, 13))
    keep(shop, found)
    learn(shop, found, range(13, 15))
    return found


def again(shop: Shop) -> LearnerState:
    """The state as it is restored, which must not count all credits again."""
    updates = BanditUpdates(shop.ledger, shop.domain, PLAIN)
    store = StateStore(shop.ledger, updates, PLAIN, CheckpointFolder(shop.folder))

    def recounts(base: str) -> BanditState:
        raise AssertionError("all credits are counted again")

    return store.restore(ResponseDelays(shop.catalog), recounts)


def files(shop: Shop) -> list[Path]:
    return sorted(shop.folder.iterdir())


def test_a_restart_reads_the_newest_checkpoint_and_the_steps_after_it(shop, learner):
    assert steps(shop) == {3: False, 4: True, 5: True, 6: True, 7: True}
    same(again(shop).bandit, learner.version().state)
    files(shop)[0].unlink()
    same(again(shop).bandit, learner.version().state)


def test_where_the_newest_checkpoint_is_damaged_the_one_before_is_read(shop, learner):
    files(shop)[1].write_bytes(files(shop)[1].read_bytes()[:-1])
    found = again(shop)
    assert found.revision == 7 and not found.is_new
    same(found.bandit, learner.version().state)


@pytest.mark.parametrize("loss", ["no folder", "both damaged", "a step"])
def test_where_nothing_can_be_read_the_credits_are_counted_again(shop, learner, loss):
    if loss == "no folder":
        shutil.rmtree(shop.folder)
    elif loss == "both damaged":
        for path in files(shop):
            path.write_bytes(path.read_bytes()[:-1])
    else:
        last = tables.learned_steps.c.revision == 7
        shop.ledger.write_now(lambda c: c.execute(tables.learned_steps.delete().where(last)))
    found = read(shop)
    assert found.is_new and found.revision == 7
    before, restarted = learner.version().state, shop.learner()
    restarted.learn(shop.now + HOUR)
    same(stored(shop), before)


def test_checkpoints_of_a_ledger_that_was_put_back_are_not_read(shop, learner):
    """Its steps after the backup are others, though they have the same numbers."""
    tokens = tables.learned_steps.update().values(token="another")
    position = tables.learner_state.update().values(token="another")
    for change in (tokens, position):
        shop.ledger.write_now(lambda c, change=change: c.execute(change))
    assert read(shop).is_new


def test_an_old_checkpoint_that_was_put_back_is_read_only_if_its_steps_are_there(shop, learner):
    old = files(shop)[0]
    content = old.read_bytes()
    keep(shop, learner)
    for path in files(shop):
        path.unlink()
    old.write_bytes(content)
    assert read(shop).is_new, "the steps after it are gone"


def test_where_nothing_was_learned_since_steps_and_older_sums_are_gone_in_the_end(shop, learner):
    keep(shop, learner)
    assert steps(shop) == {5: False, 6: True, 7: True}
    keep(shop, learner)
    assert steps(shop) == {7: False} and learner.checkpoint() is None
    same(again(shop).bandit, learner.version().state)


def test_a_step_of_the_same_number_by_another_learner_is_noticed(shop):
    """As where the ledger was put back, and another learner has gone on from there."""
    learner = shop.learner()
    update = tables.learner_state.update().values(token="of another")
    shop.ledger.write_now(lambda c: c.execute(update))
    show(shop, range(9, 11))
    with pytest.raises(RevisionConflict):
        learner.learn(shop.now + HOUR)


def test_two_learners_with_homes_of_their_own_go_on_from_each_other(shop, tmp_path):
    params = (shop.ledger, shop.domain, shop.catalog, PARAMS, lambda: None)
    pair = [Learner(*params, tmp_path / name) for name in ("one", "other")]
    for number in range(9, 15):
        mine = pair[number % 2]
        show(shop, range(number, number + 1))
        if number > 9:
            with pytest.raises(RevisionConflict):
                mine.learn(shop.now + HOUR)
        mine.learn(shop.now + HOUR)
        mine.checkpoint()()
    assert [one.counted for one in pair if one is mine] == [15]
    expected = read(shop).bandit  # counted again: this folder has none of their checkpoints
    found = mine.version().state
    found.encoded_at = expected.encoded_at = 8
    assert found.counted == expected.counted


def test_learning_goes_on_where_no_checkpoint_can_be_written_and_the_problem_is_named(
    shop, learner, monkeypatch
):
    def disk_full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("os.fsync", disk_full)
        learner.checkpoint()()
        learn(shop, learner, range(15, 17))  # at 16, all are counted again, with a checkpoint
        problem = shop.ledger.read(read_learner_problem)
        assert "its checkpoint cannot be written (No space left on device)" in problem
        assert read(shop).is_new and learner.version().state.encoded_at == 16
    keep(shop, learner)
    assert shop.ledger.read(read_learner_problem) == ""
    same(again(shop).bandit, learner.version().state)
