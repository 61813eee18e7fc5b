"""The effect model: predictions by hand, other catalogues, and its bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.bandit.encoder import Encoder
from training.effects.effect_model import EffectModel

# A vector is 1, (visits - 10) / 2, and whether the customer reads e-mail.
ENCODER = Encoder(("visits",), ("email",), np.array([10.0]), np.array([2.0]))
BASIS = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
LEVEL = np.array([np.log(0.002), -0.5, 0.25])
VARIANCES = np.array([np.diag([0.04, 0.01]), np.diag([0.25, 0.0])])
MODEL = EffectModel(
    actions=("mail", "call"),
    encoder=ENCODER,
    basis=BASIS,
    level=LEVEL,
    purchases=np.array([[1.5, -0.5], [0.0, 2.0]]),
    purchases_covariance=VARIANCES,
    leaving=np.array([[0.1, 0.05], [2.0, 3.0]]),
    leaving_covariance=VARIANCES / 4,
    duration_days=45.0,
    distrusted=("reach",),
    note={"looked": 1200.0},
)


def random_model(n_actions: int = 7, n_features: int = 5, width: int = 4) -> EffectModel:
    rng = np.random.default_rng(11)
    names = tuple(f"feature {number}" for number in range(n_features))
    encoder = Encoder.fit(rng.normal(size=(50, n_features)), names, ("email", "app"))
    roots = rng.normal(size=(2, n_actions, width, width))
    purchases_covariance, leaving_covariance = roots @ roots.swapaxes(2, 3)
    return EffectModel(
        actions=tuple(f"action {number}" for number in range(n_actions)),
        encoder=encoder,
        basis=rng.normal(size=(encoder.width, width)),
        level=rng.normal(size=encoder.width) - 6,
        purchases=rng.normal(size=(n_actions, width)),
        purchases_covariance=purchases_covariance,
        leaving=rng.normal(size=(n_actions, width)),
        leaving_covariance=leaving_covariance,
        duration_days=30.5,
    )


def customers(n: int = 9, n_features: int = 5):
    rng = np.random.default_rng(12)
    rows = rng.normal(size=(n, n_features))
    rows[rng.uniform(size=rows.shape) < 0.2] = np.nan
    return rows, [("email", "app", "", "fax")[number % 4] for number in range(n)]


def test_it_counts_the_decisions_of_the_label_that_is_known_of_most():
    assert MODEL.counted == 1200.0 and random_model().counted == 0.0
    sold = replace(MODEL, note={"looked": 0.0, "decisions": 310.5})
    assert sold.counted == 310.5


def test_a_prediction_is_that_by_hand():
    (found,) = MODEL.predict_each(np.array([[14.0]]), ("email",))
    # The vector is (1, 2, 1), along the basis (1, 5). The rate is 0.002 exp(-1 + 0.25) a day.
    assert found.purchases == pytest.approx([1.5 - 2.5, 10.0])
    assert found.purchases_deviation == pytest.approx([np.sqrt(0.04 + 0.25), 0.5])
    leaving = 1 - np.exp(-45 * 0.002 * np.exp(-0.75))
    assert MODEL.expected_leaving(np.array([[14.0]]), ("email",)) == pytest.approx([leaving])
    # A mail has 0.1 + 0.25. A call has 17, which is held at 1.
    factors = np.exp([0.35, 1.0])
    assert found.leaving == pytest.approx(leaving * (factors - 1))
    assert found.leaving_deviation == pytest.approx(leaving * factors * np.sqrt([0.29, 0.25]) / 2)


def test_who_would_hardly_leave_can_hardly_be_driven_away():
    safe = replace(MODEL, level=np.array([-50.0, 0.0, 0.0]))
    (found,) = safe.predict_each(np.array([[14.0]]), ("email",))
    assert (found.leaving > 0).all()
    assert found.leaving.max() < 1e-18


@pytest.mark.parametrize(("visits", "same_as"), [(np.nan, 10.0), (np.inf, 16.0), (-1e300, 4.0)])
def test_unknown_and_extreme_features_are_as_the_average_and_three_deviations(visits, same_as):
    one, other = MODEL.predict_each(np.array([[visits], [same_as]]), ("", ""))
    assert all(np.array_equal(mine, yours) for mine, yours in zip(one, other, strict=True))


def test_many_customers_are_predicted_to_the_bit_as_one_by_one():
    model, (rows, channels) = random_model(), customers()
    together = model.predict_each(rows, channels)
    assert len(together) == 9
    for number, found in enumerate(together):
        (alone,) = model.predict_each(rows[[number]].copy(), channels[number : number + 1])
        for mine, yours in zip(found, alone, strict=True):
            assert np.array_equal(mine, yours)
            assert np.isfinite(mine).all()
    assert model.predict_each(rows[:0], ()) == []


def test_another_catalogue_has_its_order_and_nothing_for_a_new_action():
    model, (rows, channels) = random_model(), customers()
    other = model.for_actions(("action 5", "new", "action 0"))
    assert other.actions == ("action 5", "new", "action 0")
    assert other.features == model.features
    pairs = zip(other.predict_each(rows, channels), model.predict_each(rows, channels), strict=True)
    for found, before in pairs:
        for mine, yours in zip(found, before, strict=True):
            assert mine == pytest.approx([yours[5], 0.0, yours[0]], abs=1e-12)
            assert mine[1] == 0.0
    assert model.for_actions(model.actions) is model
    assert model.for_actions(()).predict_each(rows[:1], ("",))[0].purchases.shape == (0,)


def test_a_model_is_read_as_it_was_written():
    model, (rows, channels) = random_model(), customers()
    model = replace(model, distrusted=("reach",), note={"looked": 1200.0, "audit": []})
    payload = model.to_bytes()
    read = EffectModel.from_bytes(payload)
    assert read.to_bytes() == payload
    for name in ("actions", "features", "duration_days", "distrusted", "note", "width"):
        assert getattr(read, name) == getattr(model, name)
    assert np.array_equal(
        read.expected_leaving(rows, channels), model.expected_leaving(rows, channels)
    )
    pairs = zip(read.predict_each(rows, channels), model.predict_each(rows, channels), strict=True)
    for found, before in pairs:
        assert np.array_equal(found.purchases, before.purchases)
        assert np.array_equal(found.leaving, before.leaving)
        # Covariances are written with 7 digits.
        assert found.purchases_deviation == pytest.approx(before.purchases_deviation, rel=1e-4)
        assert found.leaving_deviation == pytest.approx(before.leaving_deviation, rel=1e-4)


def test_a_model_for_other_actions_can_be_written():
    other = MODEL.for_actions(("new", "mail"))
    (found,) = EffectModel.from_bytes(other.to_bytes()).predict_each(np.array([[14.0]]), ("email",))
    assert found.purchases == pytest.approx([0.0, -1.0])
    assert found.purchases_deviation == pytest.approx([0.0, np.sqrt(0.29)])


def test_a_thousand_actions_are_few_megabytes():
    model = random_model(n_actions=1000, width=20)
    assert len(model.to_bytes()) < 3e6
    (found,) = model.predict_each(np.zeros((1, 5)), ("email",))
    assert found.purchases.shape == found.leaving_deviation.shape == (1000,)
