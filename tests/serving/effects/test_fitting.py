"""Effects are fitted to what the ledger knows."""

from __future__ import annotations

import itertools
from datetime import timedelta

import numpy as np
import pytest

from features.journeys.model_input import ModelInput
from features.value_labels.labelled_reader import stream_labelled
from serving.effects import fitting
from serving.effects.fitting import FitEnded, fit_from_ledger
from tests.conftest import NOW
from tests.serving.effects.grumpy import CUSTOMERS, FEW, MARGIN, Grumpy

AFTERWARDS = NOW + timedelta(days=5)


@pytest.fixture
def grumpy(ledger, toy_domain, toy_catalog):
    return Grumpy(ledger, toy_domain, toy_catalog)


def fitted(grumpy, **settings):
    model_input = ModelInput(grumpy.domain)
    given = grumpy.ledger, grumpy.domain, grumpy.catalog, model_input, FEW, AFTERWARDS
    return fit_from_ledger(*given, **settings), model_input


def test_nothing_is_fitted_before_customers_were_looked_at_again(grumpy):
    assert fitted(grumpy)[0] is None


def test_the_margin_that_a_discount_costs_is_found(grumpy):
    """Everybody without a discount orders, nobody with one does."""
    grumpy.learner().look_at_all(AFTERWARDS)
    model, model_input = fitted(grumpy)
    assert model.actions == tuple(grumpy.catalog.actions)
    assert model.note["looked"] + CUSTOMERS // 10 == model.note["decisions"] == CUSTOMERS
    rows = [model_input.read({"age_years": "30"}, None, NOW.timestamp())]
    columns = [model_input.names.index(name) for name in model.features]
    [found] = model.predict_each(np.array(rows)[:, columns], ["app"])
    effect = dict(zip(model.actions, found.purchases, strict=True))
    assert effect["discount"] == pytest.approx(-MARGIN, rel=0.05)


def test_what_is_kept_in_memory_is_read_once_and_makes_the_same_model(grumpy, monkeypatch):
    grumpy.learner().look_at_all(AFTERWARDS)
    reads = []

    def counted(*given, **settings):
        reads.append(given)
        return stream_labelled(*given, **settings)

    monkeypatch.setattr("serving.effects.fitting.stream_labelled", counted)
    kept, _ = fitted(grumpy)
    assert len(reads) == 1
    read_anew, _ = fitted(grumpy, keep=CUSTOMERS - 1)
    assert len(reads) > 2
    assert kept.to_bytes() == read_anew.to_bytes()


def test_after_each_batch_a_fit_pauses_so_that_the_steps_of_a_learner_go_on(grumpy, monkeypatch):
    """Each look at the clock comes a second later; all decisions are one batch."""
    grumpy.learner().look_at_all(AFTERWARDS)
    seconds, pauses = itertools.count(), []
    monkeypatch.setattr(fitting, "monotonic_s", lambda: next(seconds))
    monkeypatch.setattr(fitting.time, "sleep", pauses.append)
    learner = grumpy.learner()
    assert learner.fit(AFTERWARDS, pause=2.0).payload == learner.fit(AFTERWARDS).payload
    half = len(pauses) // 2
    assert half >= 3 and pauses == [2.0] * half + [0.0] * half


def test_a_fit_ends_at_its_next_batch_when_its_process_is_told_to_end(grumpy, monkeypatch):
    """It does not go on for minutes, after which the process would be killed."""
    grumpy.learner().look_at_all(AFTERWARDS)
    learner, reads = grumpy.learner(), []

    def told_to_end(*given, **settings):
        for batch in stream_labelled(*given, **settings, size=10):
            reads.append(batch.n_decisions)
            if len(reads) == 2:
                learner.end()
            yield batch

    monkeypatch.setattr(fitting, "stream_labelled", told_to_end)
    with pytest.raises(FitEnded):
        learner.fit(AFTERWARDS)
    assert len(reads) == 2


@pytest.mark.parametrize("churn", [None, {"when": "silent", "silent_days": 21}])
def test_a_silence_that_counts_as_leaving_tells_who_leaves(grumpy, monkeypatch, churn):
    asked = []
    monkeypatch.setattr(fitting, "fit_effects", lambda *given: asked.append(given[2]))
    silent = churn and grumpy.domain.churn.model_copy(update=churn)
    grumpy.domain = grumpy.domain.model_copy(update={"churn": silent})
    fitted(grumpy)
    assert [one.tells_leaving for one in asked] == [churn is not None]
