"""Tests when the learner fits its encoder, and that all credits are counted again with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.outcomes.delay_epochs import ResponseDelays
from serving.learn import credits
from serving.learn.checkpoints import CheckpointFolder
from serving.learn.stored_state import StateStore
from serving.learn.updates import BanditUpdates, FittedTrees
from tests.bandits import PLAIN
from tests.serving.learn.test_learner import FIRST, HOUR, Shop, a_champion
from training.bandit.artifact import Bandit
from training.bandit.bandit_state import BanditState
from training.bandit.encoder import Encoder

AGES = np.random.default_rng(3).integers(20, 70, 100).tolist()


@pytest.fixture
def shop(ledger, toy_domain, toy_catalog, now) -> Shop:
    return Shop(ledger, toy_domain, toy_catalog, now)


def show(shop: Shop, numbers: range, tell: bool = True) -> None:
    """Show discounts to customers of all ages; the old accept."""
    for number in numbers:
        shop.decide(f"d{number:03}", f"c{AGES[number]}")
        if tell:
            shop.tell(f"d{number:03}", "accepted" if AGES[number] > 45 else "rejected")


def stored(shop: Shop) -> BanditState:
    """The state as a learner restores it that is started now."""
    updates = BanditUpdates(shop.ledger, shop.domain, PLAIN)
    store = StateStore(shop.ledger, updates, PLAIN, CheckpointFolder(shop.folder))

    def recounts(base: str) -> None:
        raise AssertionError("neither a checkpoint nor the steps have the state")

    return store.restore(ResponseDelays(shop.catalog), recounts).bandit


def encoder_of(shop: Shop, n: int) -> Encoder:
    """Fit an encoder on the first n customers."""
    model_input = ModelInput(shop.domain)
    at = shop.now.timestamp()
    attributes = [{"plan": "basic", "age_years": str(age)} for age in AGES[:n]]
    rows = np.array([model_input.read(one, None, at) for one in attributes])
    on = ["app"] * len(rows)
    return Encoder.fit(rows, model_input.names, shop.domain.channels, PLAIN.width, on=on)


def same(ours: BanditState, others: BanditState) -> None:
    """Compare encoders and sums, up to rounding."""
    assert ours.encoded_at == others.encoded_at
    assert ours.memory_scale == others.memory_scale
    assert ours.encoder.features == others.encoder.features
    for name, array in ours.encoder.arrays.items():
        assert others.encoder.arrays[name] == pytest.approx(array, abs=1e-9), name
    assert ours.counted == pytest.approx(others.counted, abs=1e-9)
    assert sorted(ours.actions) == sorted(others.actions)
    for action in ours.actions:
        assert ours.first.first(action) == pytest.approx(others.first.first(action), abs=1e-9)
        seconds = (np.tril(one.first.second(action)) for one in (ours, others))
        assert next(seconds) == pytest.approx(next(seconds), abs=1e-9)


def with_encoder(shop: Shop, encoder: Encoder, encoded_at: int) -> BanditState:
    """Count all credits in a state that had an encoder from the beginning."""
    updates = BanditUpdates(shop.ledger, shop.domain, PLAIN)
    start = BanditState(encoder, PLAIN)
    found = updates.recounted(start, 0, ResponseDelays(shop.catalog))
    found.encoded_at = encoded_at
    return found


# Thresholds -------------------------------------------------------------------------------------


def test_the_encoder_is_blank_before_the_eighth_shown_decision(shop):
    show(shop, range(7))
    learner = shop.learner()
    learner.step(shop.now + HOUR)
    assert stored(shop).encoder.features == () and stored(shop).encoded_at == 0
    show(shop, range(7, 8))
    learner.step(shop.now + HOUR)
    assert stored(shop).encoder.features == ("age_years",) and stored(shop).encoded_at == 8


def test_the_encoder_is_fitted_on_the_first_8_decisions_and_again_on_the_first_16(shop):
    learner = shop.learner()
    for number, encoded_at in ((6, 0), (11, 8), (15, 8), (18, 16), (31, 16), (32, 32)):
        known = int(shop.ledger.read(credits.count_shown_decisions))
        show(shop, range(known, number))
        learner.step(shop.now + HOUR)
        if encoded_at:
            same(stored(shop), with_encoder(shop, encoder_of(shop, encoded_at), encoded_at))
            assert shop.published().encoder.center == pytest.approx(np.mean(AGES[:encoded_at]))


def test_silences_are_recounted_in_the_new_basis_too(shop):
    learner = shop.learner()
    show(shop, range(5))
    show(shop, range(5, 10), tell=False)
    learner.step(shop.now + HOUR)
    same(stored(shop), with_encoder(shop, encoder_of(shop, 8), 8))
    assert stored(shop).counted == pytest.approx(5 + 5 * FIRST)


def test_a_learner_that_comes_late_ends_with_the_same_encoder_and_sums(
    shop, toy_domain, toy_catalog, tmp_path: Path, now
):
    ledger = Ledger(f"sqlite:///{tmp_path / 'late.db'}")
    late, learner = Shop(ledger, toy_domain, toy_catalog, now), shop.learner()
    for number in range(40):
        for one in (shop, late):
            show(one, range(number, number + 1), tell=number % 3 > 0)
        learner.step(shop.now + HOUR)
    comes_late = late.learner()
    while comes_late.step(now + HOUR):
        pass
    assert not learner.step(now + HOUR)
    assert stored(shop).encoded_at == 32
    same(stored(shop), stored(late))
    ours, others = (
        stored(one).model(toy_catalog.priors, toy_catalog.groups_of) for one in (shop, late)
    )
    assert ours.weights == pytest.approx(others.weights, abs=1e-9)
    ledger.close()


def test_decisions_that_were_made_long_before_they_are_shown_count_as_well(shop):
    """Their serials are lower than the newest one that was learned."""
    learner = shop.learner()
    for number in range(9):
        shop.decide(f"d{number:03}", f"c{AGES[number]}", activated_at=None, served=False)
    for number in (8, 0, 1, 2, 3, 4, 5, 6):
        name = f"d{number:03}"
        row = {"activated_at": shop.now, "served": True}
        mine = tables.decisions.c.decision_id == name
        update = tables.decisions.update().where(mine).values(row)
        shop.ledger.write_now(lambda c, update=update: c.execute(update))
        credit = {"decision_id": name, "action_id": "discount", "acceptance": 0.0, "count": 0.0}
        credit["revise_at"] = shop.now
        shop.ledger.write_now(lambda c, credit=credit: c.execute(tables.credits.insert(), credit))
        learner.step(shop.now + HOUR)
    assert stored(shop).encoded_at == 8


def test_shown_decisions_are_not_counted_in_each_step(shop, monkeypatch):
    asked: list[int] = []

    def counted(connection: sa.Connection, before: object) -> int:
        asked.append(1)
        return credits.count_shown_decisions(connection)

    monkeypatch.setattr("serving.learn.updates.count_shown_decisions", counted)
    learner = shop.learner()
    for number in range(20):
        show(shop, range(number, number + 1))
        learner.step(shop.now + HOUR)
        for _ in range(3):
            learner.step(shop.now + HOUR)
    assert stored(shop).encoded_at == 16
    assert len(asked) == 3, "at the start, at 8 and at 16"


# Champions --------------------------------------------------------------------------------------


def test_a_champion_that_was_trained_keeps_its_encoder(shop):
    learner = shop.learner(a_champion("4", accepted=0.5, n=10))
    learner.rebase(shop.now)
    show(shop, range(9))
    learner.step(shop.now + HOUR)
    found = stored(shop)
    assert found.encoded_at == 8 and found.counted == 19
    assert found.encoder.center.tolist() == [40.0] and found.encoder.scale.tolist() == [10.0]


def test_a_champion_that_cannot_be_read_postpones_the_recount_and_learning_goes_on(shop):
    champions = {"now": a_champion("4", accepted=0.5, n=10)()}
    asked: list[int] = []

    def read() -> tuple[str, Bandit] | None:
        asked.append(1)
        return champions.get("now")

    shop.learner(read).rebase(shop.now)
    learner, back = shop.learner(read), champions.pop("now")  # the process was started again
    asked.clear()
    show(shop, range(9))
    assert learner.step(shop.now + HOUR)
    assert stored(shop).encoded_at == 0 and stored(shop).counted == 19
    for _ in range(5):
        assert not learner.step(shop.now + HOUR), "a step without news published"
    assert len(asked) == 1, "the registry is not asked in each step"
    champions["now"] = back
    show(shop, range(9, 11))
    assert learner.step(shop.now + HOUR)
    assert stored(shop).encoded_at == 8 and stored(shop).counted == 21


# Trees and failures -----------------------------------------------------------------------------


def test_trees_that_were_fitted_for_other_features_are_not_adopted(shop):
    learner = shop.learner()
    show(shop, range(7))
    learner.step(shop.now + HOUR)
    fitted = learner.fit_trees()
    assert fitted.features == ()
    show(shop, range(7, 9))
    learner.step(shop.now + HOUR)
    before = stored(shop)
    learner.adopt_trees(fitted, shop.now + HOUR)
    assert stored(shop).fitted_on == before.fitted_on == 0
    learner.adopt_trees(FittedTrees(None, 9.0, ("age_years",)), shop.now + HOUR)
    assert stored(shop).fitted_on == 9.0


def test_a_recount_that_cannot_be_written_is_done_again_and_nothing_counts_twice(shop, monkeypatch):
    learner = shop.learner()
    show(shop, range(5))
    learner.step(shop.now + HOUR)
    show(shop, range(5, 9))

    def disk_full(work: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(shop.ledger, "write_now", disk_full)
        for _ in range(2):
            with pytest.raises(OSError, match="no space left"):
                learner.step(shop.now + HOUR)
    assert stored(shop).encoded_at == 0
    assert learner.step(shop.now + HOUR)
    assert learner.counted == 9
    same(stored(shop), with_encoder(shop, encoder_of(shop, 8), 8))


def test_trees_that_cannot_be_written_are_not_kept_in_memory(shop, monkeypatch):
    learner = shop.learner()
    show(shop, range(9))
    learner.step(shop.now + HOUR)

    def disk_full(work: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(shop.ledger, "write_now", disk_full)
        with pytest.raises(OSError, match="no space left"):
            learner.adopt_trees(FittedTrees(None, 9.0, ("age_years",)), shop.now)
    version = learner.version()
    assert version is not None and version.state.fitted_on == 0
