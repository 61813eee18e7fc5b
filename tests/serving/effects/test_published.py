"""Effect models are rows of the ledger, of which the newest serves."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.ledger import tables
from serving.effects.published import (
    KEPT,
    FittedEffects,
    PublishedAt,
    newest_effects,
    newest_note,
    newest_published,
    publish_effects,
)
from tests.serving.effects.made import made_model, published


def test_the_newest_model_is_read_as_it_was_written(ledger, now):
    assert ledger.read(newest_effects) is None and ledger.read(newest_note) is None
    assert ledger.read(newest_published) == PublishedAt(0, 0, None)
    first = published(ledger, made_model(discount=0.25), now, labels=500)
    later = now + timedelta(days=1)
    second = published(ledger, made_model(discount=0.5), later, after=first, labels=600)
    found = ledger.read(newest_effects)
    assert found.number == second > first
    assert found.model.to_bytes() == made_model(discount=0.5).to_bytes()
    assert ledger.read(newest_published) == PublishedAt(second, 600, later)
    assert ledger.read(newest_note) == {"looked": 9}


def test_nothing_is_read_where_the_newest_is_known(ledger, now):
    number = published(ledger, made_model(discount=0.25), now)
    assert ledger.read(lambda c: newest_effects(c, number)) is None
    assert ledger.read(lambda c: newest_effects(c, number - 1)).number == number


@pytest.mark.databases("sqlite", "postgresql")
def test_of_two_learners_that_fit_at_a_time_the_first_publishes(ledger, now):
    number = published(ledger, made_model(discount=0.25), now, after=0)
    assert published(ledger, made_model(discount=0.5), now, after=0) is None
    assert ledger.read(newest_published).number == number
    assert published(ledger, made_model(discount=0.5), now, after=number) == number + 1


def test_where_no_effects_were_fitted_nothing_is_published(ledger, now):
    fitted = FittedEffects(None, {}, 500, 0)
    assert ledger.write_now(lambda c: publish_effects(c, fitted, now)) is None
    assert ledger.read(newest_effects) is None


@pytest.mark.databases("sqlite", "postgresql")
def test_the_last_ones_are_kept_and_no_number_is_used_again(ledger, now):
    number = 0
    for _ in range(KEPT + 3):
        number = published(ledger, made_model(discount=0.5), now, after=number)
    numbers = sa.select(tables.effect_models.c.number).order_by(tables.effect_models.c.number)
    assert ledger.read(lambda c: c.execute(numbers).scalars().all()) == [*range(4, KEPT + 4)]
    ledger.write_now(lambda c: c.execute(sa.delete(tables.effect_models)))
    assert published(ledger, made_model(discount=0.5), now) == KEPT + 4
