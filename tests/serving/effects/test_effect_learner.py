"""Effects are fitted when enough was looked at, and not where nobody asks for the added value."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.value_labels.later_features import POSITION
from serving.effects import fitting, looks
from serving.effects.effect_learner import PAUSE, EffectLearner
from serving.effects.published import newest_effects, newest_published
from serving.models.watcher import ModelWatcher
from tests.conftest import NOW
from tests.serving.effects.grumpy import CUSTOMERS, MARGIN, Grumpy
from tests.serving.effects.made import made_model, published
from tests.serving.fake_registry import PARAMS as DEFAULTS
from tests.serving.fake_registry import FakeRegistry
from tests.serving.fakes import PLUS, decide, engine_of
from training.params import EffectParams

DAY = timedelta(days=1)
PARAMS = EffectParams(at_least=5, growth=1.2)


@pytest.fixture
def catalog(toy_catalog):
    return toy_catalog.with_parts(objective="added_value")


@pytest.fixture
def grumpy(ledger, toy_domain, toy_catalog):
    return Grumpy(ledger, toy_domain, toy_catalog)


@pytest.fixture
def fits(monkeypatch):
    """The models that fits find, one after the other; an exception is raised."""
    found = []

    def fit(*_):
        model = found.pop(0)
        if isinstance(model, Exception):
            raise model
        return model

    monkeypatch.setattr(fitting, "fit_from_ledger", fit)
    return found


def looked(watched, learner, count, begin=0):
    """So many decisions more were looked at; the time after that."""
    for number in range(begin, begin + count):
        watched.decide(f"d{number}", "ann")
    learner.look_at_all(watched.now + 3 * DAY)
    return watched.now + 3 * DAY


def learns(watched, catalog):
    return EffectLearner(watched.ledger, watched.domain, catalog, PARAMS, watched.read)


def test_effects_are_fitted_when_enough_was_looked_at_and_again_when_it_has_grown(
    watched, catalog, fits
):
    learner = learns(watched, catalog)
    now = looked(watched, learner, 4)
    assert not learner.wants_fit(now)
    looked(watched, learner, 6, begin=4)
    assert learner.wants_fit(now)
    fits.append(made_model(discount=0.5))
    assert learner.publish(learner.fit(now), now)
    assert watched.ledger.read(newest_published) == (1, 10, now)
    again = learns(watched, catalog)
    looked(watched, again, 1, begin=10)
    assert not again.wants_fit(now), "11 looks are less than 1.2 times 10"
    looked(watched, again, 1, begin=11)
    assert again.wants_fit(now) and not again.wants_fit(now, growth=2.0)


def test_effects_are_fitted_again_after_a_week(watched, catalog, fits):
    learner = learns(watched, catalog)
    now = looked(watched, learner, 5)
    fits.append(made_model(discount=0.5))
    learner.publish(learner.fit(now), now)
    assert not learner.wants_fit(now + 6 * DAY)
    assert learner.wants_fit(now + 7 * DAY)


def test_where_a_week_later_nothing_is_found_it_is_not_fitted_again_at_once(watched, catalog, fits):
    learner = learns(watched, catalog)
    now = looked(watched, learner, 10)
    fits += [made_model(discount=0.5), None]
    assert learner.publish(learner.fit(now), now)
    later = now + 7 * DAY  # nobody asked meanwhile, and the features are others now
    assert learner.wants_fit(later)
    assert not learner.publish(learner.fit(later), later)
    assert not learner.wants_fit(later)
    assert learner.wants_fit(later + 7 * DAY)


def test_where_nothing_was_found_it_is_looked_for_again_in_more_decisions(watched, catalog, fits):
    learner = learns(watched, catalog)
    now = looked(watched, learner, 5)
    fits.append(None)
    assert not learner.publish(learner.fit(now), now)
    assert not learner.wants_fit(now)
    looked(watched, learner, 1, begin=5)
    assert learner.wants_fit(now)


def test_a_fit_that_fails_is_repeated_after_a_pause(watched, catalog, fits):
    learner = learns(watched, catalog)
    now = looked(watched, learner, 5)
    fits.append(OSError("no memory"))
    with pytest.raises(OSError, match="no memory"):
        learner.fit(now)
    assert not learner.wants_fit(now)
    assert learner.wants_fit(now + PAUSE)


def test_what_another_learner_has_published_meanwhile_stays(watched, catalog, fits):
    learner = learns(watched, catalog)
    now = looked(watched, learner, 5)
    fits.append(made_model(discount=0.5))
    fitted = learner.fit(now)
    published(watched.ledger, made_model(discount=0.25), now, labels=5)
    assert not learner.publish(fitted, now)
    kept = watched.ledger.read(newest_effects).model
    assert kept.to_bytes() == made_model(discount=0.25).to_bytes()
    assert not learner.wants_fit(now)


def test_where_the_objective_is_acceptance_nobody_is_looked_at(watched, toy_catalog, monkeypatch):
    learner = learns(watched, toy_catalog)
    watched.decide("d1", "ann")
    monkeypatch.setattr(watched.ledger, "read", None)  # and nothing is read
    now = watched.now + 3 * DAY
    learner.look_at_all(now)
    assert not learner.look(now) and not learner.wants_fit(now) and not learner.is_wanted
    assert watched.asked == []


# Decided by ------------------------------------------------------------------------------------


def test_what_was_learned_is_published_loaded_and_decided_by(grumpy, tmp_path):
    """Everybody without a discount orders, nobody with one does, so a discount is worth less."""
    registry = FakeRegistry(tmp_path)
    watcher = ModelWatcher(registry, grumpy.ledger, grumpy.domain, grumpy.catalog, DEFAULTS)
    watcher.refresh()
    people = {"c1": PLUS}
    engine = engine_of(grumpy.catalog, grumpy.domain, grumpy.ledger, people, watcher.current)

    def discount(name):
        answer = decide(engine, NOW + 5 * DAY, decision_id=name, explain=True)
        told = {one.action_id: one for one in answer.explanation.candidates}
        return told["discount"], answer.models["effects"]

    before, version = discount("before")
    assert version is None and before.added_value == pytest.approx(0.2 * 5.0)
    learner = grumpy.learner()
    learner.look_at_all(NOW + 5 * DAY)
    assert learner.publish(learner.fit(NOW + 5 * DAY), NOW + 5 * DAY)
    assert watcher.refresh_snapshot()
    engine.setup = engine.setup.with_models(watcher.current)
    after, version = discount("after")
    assert version == "1" and after.acceptance == before.acceptance
    assert after.added_value == pytest.approx(before.added_value - MARGIN, abs=0.1 * MARGIN)
    change = after.added_value - before.added_value
    assert after.priority - before.priority == pytest.approx(change)


# Killed at any moment --------------------------------------------------------------------------


class Killed(Exception):
    """The process ends."""


def ends_with(grumpy):
    """All that the ledger holds of looks and effects; then it holds none, to begin anew."""
    numberless = [column for column in tables.effect_models.c if column.name != "number"]

    def take(connection):
        position = tables.get_meta(connection, POSITION)
        queries = sa.select(tables.later_features), sa.select(*numberless)
        rows = [connection.execute(query).all() for query in queries]
        for table in (tables.later_features, tables.effect_models):
            connection.execute(table.delete())
        connection.execute(tables.meta.delete().where(tables.meta.c.key == POSITION))
        return position, *rows

    return grumpy.ledger.write_now(take)


def test_a_learner_that_is_killed_at_each_step_ends_as_one_that_is_not(grumpy, monkeypatch):
    now, write_now = NOW + 5 * DAY, grumpy.ledger.write_now
    learner = grumpy.learner()
    learner.look_at_all(now)
    assert learner.publish(learner.fit(now), now)
    expected = ends_with(grumpy)
    assert len(expected[1]) == CUSTOMERS and len(expected[2]) == 1

    attempts = []

    def killed_every_other_time(work):
        def half(connection):
            work(connection)
            raise Killed

        attempts.append(work)
        return write_now(half if len(attempts) % 2 else work)

    with monkeypatch.context() as patched:
        patched.setattr(grumpy.ledger, "write_now", killed_every_other_time)
        patched.setattr(looks.CustomerLooks.step, "__defaults__", (30,))
        while True:
            learner = grumpy.learner()
            try:
                learner.look_at_all(now)
                if not learner.wants_fit(now):
                    break
                learner.publish(learner.fit(now), now)
            except Killed:
                continue
    assert len(attempts) == 2 * (3 + 1), "three steps of looks, and a fit"
    assert ends_with(grumpy) == expected
