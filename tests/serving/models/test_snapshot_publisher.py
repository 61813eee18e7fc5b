"""The publisher writes what has changed, and every snapshot comes back whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa

from features.ledger import tables
from serving.models import snapshot_publisher, thinning
from serving.models.model_arrays import model_bytes
from serving.models.snapshot_publisher import SnapshotConflict, SnapshotPublisher
from serving.models.snapshots import (
    nearest_number,
    newest_snapshot,
    snapshot_numbered,
)
from tests.bandits import bandit, outcomes
from training.bandit.bandit_state import BanditState, OutcomeBatch
from training.bandit.encoder import Encoder
from training.bandit.reward_model import RewardModel

pytestmark = pytest.mark.databases("sqlite", "postgresql")
ROWS = np.array([[20.0], [60.0]] * 4)
ENCODER = Encoder.fit(ROWS, ("age",), ("app",), 8)
PRIORS = {"mail": (0.1, 10.0), "call": (0.2, 10.0), "gift": (0.3, 10.0)}


def a_state() -> BanditState:
    """All three actions were accepted by the young."""
    state = bandit(ENCODER, told("mail")).state
    for action in ("call", "gift"):
        state.learn(told(action))
    return state


def told(action: str, n: int = 8) -> OutcomeBatch:
    accepted = np.where(ROWS[:n, 0] < 40, 1.0, 0.0)
    return outcomes(ROWS[:n], ["app"] * n, [action] * n, accepted)


def publish(publisher, ledger, now, model, base: str = "7") -> int:
    packed = publisher.pack_model(model, base)
    return ledger.write_now(lambda c: publisher.publish(c, base, packed, now))


def written(ledger, sequence: int) -> list[str]:
    """Actions whose rows were written with a snapshot."""
    columns = tables.snapshot_actions.c
    query = sa.select(columns.action_id).where(columns.sequence == sequence)
    return sorted(ledger.read(lambda c: c.execute(query).scalars().all()))


def test_only_actions_that_changed_are_written(ledger, now):
    publisher, state = SnapshotPublisher(ledger), a_state()
    first = publish(publisher, ledger, now, state.model(PRIORS))
    assert written(ledger, first) == ["call", "gift", "mail"]
    state.learn(told("call", 1))
    model = state.model(PRIORS)
    second = publish(publisher, ledger, now, model)
    assert written(ledger, second) == ["call"]
    found = ledger.read(lambda c: snapshot_numbered(c, second))
    assert found.since == first
    assert model_bytes(found.model) == model_bytes(model)
    held = ledger.read(lambda c: snapshot_numbered(c, first))
    before = model_bytes(held.model)
    onward = ledger.read(lambda c: newest_snapshot(c, "7", first, held))
    assert model_bytes(onward.model) == model_bytes(model)
    assert model_bytes(held.model) == before, "decisions are made with it meanwhile"
    assert onward.model.encoder is held.model.encoder, "it was not read again"


def test_a_large_snapshot_is_written_before_it_is_published(ledger, now, monkeypatch):
    monkeypatch.setattr(snapshot_publisher, "PART_BYTES", 1)
    publisher, model = SnapshotPublisher(ledger), a_state().model(PRIORS)
    packed = publisher.pack_model(model, "7")
    count = sa.select(sa.func.count()).select_from(tables.snapshot_parts)
    parts = ledger.read(lambda c: c.execute(count).scalar_one())
    assert parts == len(packed.contents)
    assert ledger.read(lambda c: newest_snapshot(c, "7", 0)) is None
    number = ledger.write_now(lambda c: publisher.publish(c, "7", packed, now))
    assert written(ledger, number) == []
    found = ledger.read(lambda c: newest_snapshot(c, "7", 0))
    assert (found.sequence, found.since) == (number, number)
    assert model_bytes(found.model) == model_bytes(model)


def test_many_changed_rows_are_written_before_they_are_published(ledger, now, monkeypatch):
    monkeypatch.setattr(snapshot_publisher, "PART_BYTES", 1)
    publisher, state = SnapshotPublisher(ledger), a_state()
    first = publish(publisher, ledger, now, state.model(PRIORS))
    held = ledger.read(lambda c: newest_snapshot(c, "7", 0))
    state.learn(told("call", 1))
    state.learn(told("gift", 1))
    model = state.model(PRIORS)
    packed = publisher.pack_model(model, "7")
    number = packed.number
    assert (packed.changed, written(ledger, number)) == ({}, ["call", "gift"])
    assert ledger.read(lambda c: newest_snapshot(c, None, first)) is None
    assert ledger.read(lambda c: snapshot_numbered(c, number)) is None
    assert ledger.read(lambda c: nearest_number(c, number)) == first
    assert ledger.write_now(lambda c: publisher.publish(c, "7", packed, now)) == number
    found = ledger.read(lambda c: newest_snapshot(c, "7", first, held))
    assert (found.sequence, found.since) == (number, first)
    assert model_bytes(found.model) == model_bytes(model)


def other_row(model: RewardModel, action: str) -> RewardModel:
    """The model with other numbers of one action only."""
    weights = model.weights.copy()
    weights[:, model.actions.index(action)] += 1.0
    return replace(model, weights=weights, projections=None)


def test_rows_of_a_snapshot_that_was_never_published_are_of_no_other(ledger, now, monkeypatch):
    """The action changes in the lost snapshot and is back before the next one."""
    monkeypatch.setattr(snapshot_publisher, "PART_BYTES", 1)
    publisher, model = SnapshotPublisher(ledger), a_state().model(PRIORS)
    publish(publisher, ledger, now, model)
    lost = publisher.pack_model(other_row(model, "call"), "7")
    assert written(ledger, lost.number) == ["call"]
    number = publish(publisher, ledger, now, model)
    found = ledger.read(lambda c: snapshot_numbered(c, number))
    assert model_bytes(found.model) == model_bytes(model)
    assert ledger.read(lambda c: nearest_number(c, lost.number)) == lost.number - 1


def test_a_reader_goes_on_to_a_snapshot_that_was_written_whole(ledger, now, monkeypatch):
    """Its rows are in parts, so those that were written since are not all that has changed."""
    monkeypatch.setattr(snapshot_publisher, "PART_BYTES", 1)
    model = a_state().model(PRIORS)
    first = publish(SnapshotPublisher(ledger), ledger, now, model)
    held = ledger.read(lambda c: newest_snapshot(c, "7", 0))
    other = other_row(model, "call")
    publish(SnapshotPublisher(ledger), ledger, now, other)
    found = ledger.read(lambda c: newest_snapshot(c, "7", first, held))
    assert model_bytes(found.model) == model_bytes(other)


def test_a_snapshot_is_not_published_under_a_number_below_the_newest(ledger, now, monkeypatch):
    """No worker would read it, and thinning may have deleted what was written under it."""
    monkeypatch.setattr(snapshot_publisher, "PART_BYTES", 5_000)
    mine, other, model = (
        SnapshotPublisher(ledger),
        SnapshotPublisher(ledger),
        a_state().model(PRIORS),
    )
    packed = mine.pack_model(model, "7")
    assert packed.number is not None
    assert packed.follows is None
    newest = publish(other, ledger, now, model)
    with pytest.raises(SnapshotConflict):
        ledger.write_now(lambda c: mine.publish(c, "7", packed, now))
    mine.forget()
    assert publish(mine, ledger, now, model) > newest


def test_a_snapshot_does_not_follow_one_of_another_learner(ledger, now):
    mine, other = SnapshotPublisher(ledger), SnapshotPublisher(ledger)
    state = a_state()
    publish(mine, ledger, now, state.model(PRIORS))
    packed = mine.pack_model(state.model(PRIORS), "7")
    publish(other, ledger, now, state.model(PRIORS))
    with pytest.raises(SnapshotConflict):
        ledger.write_now(lambda c: mine.publish(c, "7", packed, now))
    number = publish(mine, ledger, now, state.model(PRIORS))
    assert written(ledger, number) == ["call", "gift", "mail"]


def test_snapshots_that_are_too_many_are_deleted(ledger, now, toy_catalog, monkeypatch):
    monkeypatch.setattr(thinning, "NEWEST", 1)
    publisher, state = SnapshotPublisher(ledger), a_state()
    first = publish(publisher, ledger, now, state.model(PRIORS))
    assert publisher.thin(toy_catalog, now) == 0
    state.learn(told("call", 1))
    second = publish(publisher, ledger, now, state.model(PRIORS))
    assert publisher.thin(toy_catalog, now) == 1
    assert (written(ledger, first), written(ledger, second)) == (["gift", "mail"], ["call"])
    found = ledger.read(lambda c: snapshot_numbered(c, second))
    assert model_bytes(found.model) == model_bytes(state.model(PRIORS))


def test_another_catalogue_or_base_begins_anew(ledger, now):
    """Actions that were added, removed, reordered; a base that was promoted; the same priors."""
    publisher, state = SnapshotPublisher(ledger), a_state()
    publish(publisher, ledger, now, state.model(PRIORS))
    fewer = {name: PRIORS[name] for name in ("gift", "mail")}
    wider = {"new": (0.1, 10.0), **PRIORS}
    for priors, base in ((fewer, "7"), (wider, "7"), (PRIORS, "7"), (PRIORS, "8")):
        model = state.model(priors)
        number = publish(publisher, ledger, now, model, base)
        assert written(ledger, number) == sorted(priors)
        found = ledger.read(lambda c, n=number: snapshot_numbered(c, n))
        assert (found.since, found.model.actions) == (number, tuple(priors))
        assert model_bytes(found.model) == model_bytes(model)


def test_another_prior_is_published(ledger, now):
    publisher, state = SnapshotPublisher(ledger), a_state()
    first = publish(publisher, ledger, now, state.model(PRIORS))
    held = ledger.read(lambda c: snapshot_numbered(c, first))
    model = state.model(PRIORS | {"mail": (0.4, 10.0)})
    publish(publisher, ledger, now, model)
    found = ledger.read(lambda c: newest_snapshot(c, "7", first, held))
    assert model_bytes(found.model) == model_bytes(model)
