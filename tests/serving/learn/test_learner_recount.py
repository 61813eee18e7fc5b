"""Tests that all credits are counted again beside the steps, where there are many decisions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from serving.learn import champion_reader
from serving.learn.learner import ALWAYS_AT_ONCE, Learner, RevisionConflict
from serving.models.served_models import PRIOR
from tests.serving.learn.test_learner import HOUR, PARAMS, Shop, a_champion
from tests.serving.learn.test_learner_encoding import (
    AGES,
    encoder_of,
    same,
    show,
    stored,
    with_encoder,
)


@pytest.fixture
def shop(ledger, toy_domain, toy_catalog, now, monkeypatch) -> Shop:
    monkeypatch.setattr(
        champion_reader, "AT_ONCE", 10
    )  # so that the 16th decision begins a recount
    monkeypatch.setattr(champion_reader, "CHUNK", 3)
    return Shop(ledger, toy_domain, toy_catalog, now)


class Beside:
    """Holds what a learner starts beside itself, and runs it when the test says so."""

    def __init__(self, learner: Learner) -> None:
        self.started: list[Callable[[], None]] = []
        learner._recounts._start = self.started.append

    def chunks(self) -> Iterator[None]:
        [run] = self.started
        yield from run.__self__.chunks()  # type: ignore[attr-defined]


def begun(shop: Shop) -> tuple[Learner, Beside]:
    """A learner of 18 decisions that has begun to count them again, and goes on as before."""
    learner = shop.learner()
    beside = Beside(learner)
    show(shop, range(12))
    learner.step(shop.now + HOUR)
    assert stored(shop).encoded_at == 8 and not beside.started
    show(shop, range(12, 18))
    learner.step(shop.now + HOUR)
    assert stored(shop).encoded_at == 8 and len(beside.started) == 1
    return learner, beside


@pytest.mark.parametrize("seed", range(4))
def test_steps_meanwhile_are_counted_once_whatever_chunk_they_change(shop, seed):
    learner, beside = begun(shop)
    rng, told = np.random.default_rng(seed), []
    for number, _ in enumerate(beside.chunks()):
        for place in rng.choice(18, size=3, replace=False):
            name = ("accepted", "rejected")[rng.integers(2)]
            told.append((f"d{place:03}", shop.tell(f"d{place:03}", name)))
        taken_back, outcome_id = told.pop(rng.integers(len(told)))
        shop.tell(taken_back, "accepted", retracts=outcome_id)
        for new in (f"a{number}", f"d{number:03}x", f"z{number}"):  # before, among and after
            shop.decide(new, f"c{AGES[number]}")
            if rng.random() < 0.5:
                shop.tell(new, "accepted")
        if rng.random() < 0.7:  # else a later step learns it
            learner.step(shop.now + HOUR)
        assert stored(shop).encoded_at == 8
    learner.step(shop.now + HOUR)
    assert stored(shop).counted > 20
    same(stored(shop), with_encoder(shop, encoder_of(shop, 16), 16))
    # Further steps go on from there.
    shop.tell("d001", "accepted")
    learner.step(shop.now + HOUR)
    same(stored(shop), with_encoder(shop, encoder_of(shop, 16), 16))
    # At the 32nd decision it is counted once more.
    assert len(beside.started) == 1 + (learner._updates.shown() >= 32)


def test_a_thread_counts_and_a_later_step_uses_it(shop, monkeypatch):
    monkeypatch.setattr(champion_reader, "PAUSE", 0.0)
    learner = shop.learner()
    show(shop, range(18))
    learner.step(shop.now + HOUR)
    for thread in threading.enumerate():
        if thread.name == "learner-recount":
            thread.join(20)
    learner.step(shop.now + HOUR)
    same(stored(shop), with_encoder(shop, encoder_of(shop, 16), 16))


def test_a_recount_that_fails_is_tried_again_with_more_decisions(shop, monkeypatch, caplog):
    learner, beside = begun(shop)

    def fail(*_: object) -> None:
        raise ValueError("no basis")

    with monkeypatch.context() as broken:
        broken.setattr(learner._updates, "begun", fail)
        beside.started.pop()()
    assert "cannot be counted again" in caplog.text
    learner.step(shop.now + HOUR)
    assert not beside.started and stored(shop).encoded_at == 8
    show(shop, range(18, 21))  # an eighth more
    learner.step(shop.now + HOUR)
    [*_] = beside.chunks()
    learner.step(shop.now + HOUR)
    same(stored(shop), with_encoder(shop, encoder_of(shop, 16), 16))


def test_what_another_learner_has_written_is_counted_from_the_beginning(shop):
    learner, beside = begun(shop)
    chunks = beside.chunks()
    next(chunks), next(chunks)
    shop.tell("d001", "accepted")
    other = shop.learner()
    Beside(other)
    other.step(shop.now + HOUR)
    shop.tell("d002", "accepted")
    with pytest.raises(RevisionConflict):
        learner.step(shop.now + HOUR)
    first = beside.started.pop()
    learner.step(shop.now + HOUR)
    assert first.__self__.is_dropped  # type: ignore[attr-defined]
    [*_] = beside.chunks()
    learner.step(shop.now + HOUR)
    same(stored(shop), with_encoder(shop, encoder_of(shop, 16), 16))


def test_a_promoted_champion_is_counted_on_beside_the_steps_and_then_built_on(shop):
    show(shop, range(12))
    shop.learner().step(shop.now + HOUR)
    learner = shop.learner(a_champion("4", accepted=0.5, n=10))
    beside = Beside(learner)
    assert not learner.rebase(shop.now + HOUR), "it is counted"
    for number, _ in enumerate(beside.chunks()):
        show(shop, range(12 + number, 13 + number))
        learner.step(shop.now + HOUR)
        assert not learner.rebase(shop.now + HOUR), "it does not begin again"
        assert shop.snapshots()[-1].base == PRIOR
    learner.step(shop.now + HOUR)
    assert shop.snapshots()[-1].base == "4"
    found = stored(shop)
    assert found.encoder.features == ("age_years",) and found.encoder.center.tolist() == [40.0]
    assert found.counted == learner.counted == 10 + 12 + number + 1
    assert not learner.rebase(shop.now + HOUR) and len(beside.started) == 1


def test_a_recount_takes_less_of_the_time_while_decisions_wait(monkeypatch):
    class Chunks(champion_reader.Recount):
        def chunks(self):
            for behind in (False, True, False):
                self.is_behind = behind
                yield

    pauses, times = [], iter([0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0])
    monkeypatch.setattr(champion_reader.time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(champion_reader.time, "sleep", pauses.append)
    Chunks(None, None, 8, None).run()
    assert pauses == [champion_reader.PAUSE, champion_reader.PAUSE_BEHIND, champion_reader.PAUSE]


def test_a_recount_is_told_whether_decisions_wait(shop, monkeypatch):
    monkeypatch.setattr("serving.learn.learner.AT_ONCE", 4)
    learner, told = shop.learner(), []
    monkeypatch.setattr(learner._recounts, "give_way", told.append)
    show(shop, range(6))
    answers = [learner.learn(shop.now + HOUR) for _ in range(4)]
    assert told == answers
    assert answers[0] and not answers[-1]


def test_a_learner_may_count_any_number_within_a_step(shop):
    learner = Learner(
        shop.ledger,
        shop.domain,
        shop.catalog,
        PARAMS,
        lambda: None,
        shop.folder,
        at_once=ALWAYS_AT_ONCE,
    )
    beside = Beside(learner)
    show(shop, range(18))
    learner.step(shop.now + HOUR)
    assert not beside.started
    same(stored(shop), with_encoder(shop, encoder_of(shop, 16), 16))
