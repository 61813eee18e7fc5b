"""A reward model comes back from its bytes; bytes of a former format are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serving.models.model_arrays import OutdatedModel, model_bytes, model_from_bytes
from tests.bandits import plain
from tests.training.bandit.test_reward_model import (
    ENCODER,
    HERE,
    PRIORS,
    ROWS,
    learned,
    mixed,
    some_outcomes,
)
from training.arrays import pack, unpack
from training.bandit.bandit_state import BanditState
from training.bandit.encoder import Encoder


@pytest.mark.parametrize("trees", [False, True])
def test_a_model_survives_its_bytes(trees):
    model = mixed([0.5, 0.2, 0.3]) if trees else learned(some_outcomes(60, seed=9))
    back = model_from_bytes(model_bytes(model))
    assert back.actions == model.actions
    assert back.reward_range == model.reward_range
    assert back.encoder.features == model.encoder.features
    now, before = back.predict(ROWS, HERE), model.predict(ROWS, HERE)
    assert now.acceptance == pytest.approx(before.acceptance, abs=1e-14)
    assert now.expert_predictions == pytest.approx(before.expert_predictions, abs=1e-14)
    assert now.deviation == pytest.approx(before.deviation, rel=1e-5)  # in single precision
    assert model_bytes(back) == model_bytes(model)
    found, expected = (one.contributions(ROWS[0], "app") for one in (back, model))
    assert found.effects == pytest.approx(expected.effects, abs=1e-12)
    edited = {"call": (0.5, 20.0), "gift": (0.1, 5.0)}
    now, before = (one.for_priors(edited).predict(ROWS, HERE) for one in (back, model))
    assert now.acceptance == pytest.approx(before.acceptance, abs=1e-14)
    assert now.deviation == pytest.approx(before.deviation, rel=1e-5)


def test_a_model_that_reads_products_of_features_survives_its_bytes():
    state = BanditState(replace(ENCODER, pairs=((0, 1), (1, 2))), plain({"ridge": 5.0}))
    state.learn(some_outcomes(60, seed=9))
    model = state.model(PRIORS)
    back = model_from_bytes(model_bytes(model))
    assert back.encoder.pairs == ((0, 1), (1, 2))
    assert back.acceptance(ROWS, HERE) == pytest.approx(model.acceptance(ROWS, HERE), abs=1e-14)
    found = back.contributions(ROWS[0], HERE[0])
    whole = found.baseline + found.effects.sum(axis=1)
    low, high = back.reward_range
    inside = np.clip(whole, low, high)
    assert inside == pytest.approx(back.acceptance(ROWS[:1], HERE[:1])[0], abs=1e-9)


def test_a_model_without_actions_survives_its_bytes():
    blank = BanditState(Encoder.blank(), plain()).model({})
    back = model_from_bytes(model_bytes(blank)).for_priors({"call": (0.3, 10.0)})
    assert back.acceptance(np.empty((1, 0)), ["app"]).tolist() == [[0.3]]


def test_bytes_are_what_the_model_was_when_they_were_written():
    """The arrays of a model change as its state learns on."""
    state = BanditState(ENCODER, plain({"ridge": 5.0}))
    state.learn(some_outcomes(60, seed=44))
    payload = model_bytes(state.model(PRIORS))
    before = model_from_bytes(payload).acceptance(ROWS, HERE)
    state.learn(some_outcomes(60, seed=45))
    assert not np.allclose(state.model(PRIORS).acceptance(ROWS, HERE), before, atol=1e-3)
    assert model_from_bytes(payload).acceptance(ROWS, HERE).tolist() == before.tolist()


def test_bytes_of_a_former_format_are_refused():
    note, arrays = unpack(model_bytes(learned(some_outcomes(60, seed=9))))
    del arrays["rate"]
    with pytest.raises(OutdatedModel, match="former format"):
        model_from_bytes(pack(note, **arrays))


def test_looks_survive_their_bytes_and_another_catalogue():
    looks = {"": (1.0, 0.5), "app": (1.0, 0.4, 0.1)}
    model = replace(learned(some_outcomes(60, seed=9)), looks=looks)
    back = model_from_bytes(model_bytes(model))
    assert back.looks == back.for_priors({"call": (0.5, 20.0)}).looks == looks
    note, numbers = unpack(model_bytes(model))
    del note["looks"]  # as a former program wrote it
    assert model_from_bytes(pack(note, **numbers)).looks == {}
