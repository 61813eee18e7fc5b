"""Tests the encoder: its vectors, and the effects of features on a linear model of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from training.arrays import ToldRewards
from training.bandit.encoder import CLIP, FREQUENCY_SCALE, Encoder

NAN = float("nan")
CHANNELS = ("app", "phone")


def an_encoder() -> Encoder:
    return Encoder(("age", "visits"), CHANNELS, np.array([40.0, 3.0]), np.array([10.0, 2.0]))


def test_a_vector_is_one_then_standardised_features_then_channels():
    vectors = an_encoder().encode(np.array([[50.0, 2.0], [40.0, 3.0]]), ["phone", "app"])
    assert vectors.tolist() == [[1, 1.0, -0.5, 0, 1], [1, 0, 0, 1, 0]]


def test_an_unknown_feature_counts_as_average():
    assert an_encoder().encode(np.array([[NAN, 3.0]]), ["app"]).tolist() == [[1, 0, 0, 1, 0]]


def test_an_outlier_is_clipped():
    odd = np.array([[4_000.0, -4_000.0], [np.inf, -np.inf]])
    assert an_encoder().encode(odd, ["app", "app"])[:, 1:3].tolist() == [[CLIP, -CLIP]] * 2


def test_an_unknown_channel_is_no_channel():
    assert an_encoder().encode(np.array([[40.0, 3.0]]), ["fax"]).tolist() == [[1, 0, 0, 0, 0]]


def test_fitting_learns_mean_and_deviation_of_features_that_vary():
    x = np.array([[NAN, 1.0, 7.0, 0.0], [NAN, 3.0, 7.0, 4.0], [NAN, NAN, 7.0, NAN]])
    encoder = Encoder.fit(x, ("never_seen", "a", "constant", "b"), CHANNELS)
    assert encoder.features == ("a", "b")
    assert encoder.center.tolist() == [2.0, 2.0]
    assert encoder.scale.tolist() == [1.0, 2.0]
    assert encoder.width == 1 + 2 + 2


def test_a_large_constant_column_is_constant_despite_rounding():
    # Its mean is not quite its value: the spread is rounding error, not knowledge.
    assert Encoder.fit(np.full((100, 1), 1e9 + 0.1), ["x"], []).features == ()


def test_a_blank_encoder_tells_no_customers_apart():
    blank = Encoder.blank()
    assert blank.width == 1
    assert blank.encode(np.empty((2, 0)), ["phone", "app"]).tolist() == [[1.0], [1.0]]


# Offset ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [None, 40])
@pytest.mark.parametrize("on", [None, ["app", "app", "phone", "fax"] * 50])
def test_vectors_of_the_rows_of_a_fit_have_the_mean_0_but_for_the_first_element(width, on):
    x = np.random.default_rng(5).normal(size=(200, 3)) * 5 + 2
    encoder = Encoder.fit(x, ("a", "b", "c"), CHANNELS, width, on=on)
    mean = encoder.encode(x, on or ["fax"] * 200).mean(axis=0)
    assert mean == pytest.approx([1.0] + [0.0] * (encoder.width - 1), abs=1e-12)
    if on is not None:
        assert encoder.offset[4:6] == pytest.approx([0.5, 0.25])


def test_arrays_of_a_former_version_have_no_offset():
    encoder = a_fourier_encoder()
    arrays = {name: array for name, array in encoder.arrays.items() if name != "offset"}
    former, row = Encoder.of(encoder.note, arrays), np.array([[1.0, 2.0, 3.0]])
    assert former.encode(row, ["app"])[0, 4:6].tolist() == [1.0, 0.0]
    assert former.encode(row, ["app"]) == pytest.approx(
        encoder.encode(row, ["app"]) + encoder.offset
    )


# Waves and axes --------------------------------------------------------------------------------


def a_fourier_encoder(n_features: int = 3, width: int = 40, n: int = 200) -> Encoder:
    x = np.random.default_rng(0).normal(size=(n, n_features)) * 5 + 2
    names = [f"f{number}" for number in range(n_features)]
    on = np.random.default_rng(1).choice(["app", "phone", "fax"], n).tolist()
    return Encoder.fit(x, names, CHANNELS, width, seed=3, on=on)


def test_fourier_features_fill_the_width_that_features_and_channels_leave():
    assert a_fourier_encoder().width == 40
    assert len(a_fourier_encoder().phases) == 40 - 1 - 3 - 2
    assert Encoder.fit(np.eye(3), ("a", "b", "c"), CHANNELS).width == 1 + 3 + 2


def test_principal_axes_replace_too_many_features():
    encoder = a_fourier_encoder(n_features=60)
    assert encoder.axes.shape == (18, 60)  # half of what 1 and the channels leave of 40
    assert encoder.width == 40
    assert encoder.axes @ encoder.axes.T == pytest.approx(np.eye(18), abs=1e-9)


@pytest.mark.parametrize("n", [5, 20, 59])  # fewer rows than columns; and fewer than axes
def test_of_few_rows_the_first_axes_are_those_along_which_they_vary(n):
    """Against the singular value decomposition; the axes that follow are orthogonal to the rows."""
    x = np.random.default_rng(4).normal(size=(n, 60)) * np.linspace(1, 3, 60)
    encoder = Encoder.fit(x, [f"f{number}" for number in range(60)], CHANNELS, 40)
    assert encoder.axes.shape == (18, 60)
    assert encoder.axes @ encoder.axes.T == pytest.approx(np.eye(18), abs=1e-9)
    z = np.clip((x - x.mean(axis=0)) / x.std(axis=0), -CLIP, CLIP)
    _, singular, axes = np.linalg.svd(z)
    varying = min(18, n - 1)
    found = encoder.axes[:varying] @ axes[:varying].T
    assert np.abs(np.diag(found)) == pytest.approx(np.ones(varying), abs=1e-6)
    along = np.square(z @ encoder.axes.T).sum(axis=0)
    expected = np.append(singular[:varying] ** 2, np.zeros(18 - varying))
    assert along == pytest.approx(expected, abs=1e-6)


def test_products_of_fourier_features_are_a_gaussian_kernel():
    """Rahimi & Recht: on average over features, f(a) f(b) = exp(-|a - b|^2 / 2)."""
    encoder = a_fourier_encoder(width=4_000)
    rows = np.array([[2.0, 2.0, 2.0], [7.0, -1.0, 4.0]])
    vectors = encoder.encode(rows, ["app", "app"]) + encoder.offset
    fourier = vectors[:, 1 + encoder.inputs :]
    a, b = encoder._inputs(encoder._values(rows, ["app", "app"]))
    # The standard deviation of frequencies is not 1, but this, so the kernel is as much wider.
    truth = np.exp(-(((a - b) * FREQUENCY_SCALE) ** 2).sum() / 3 / 2)
    products = fourier[0] * fourier[1]
    error = products.std() / np.sqrt(len(products))
    assert products.mean() == pytest.approx(truth, abs=4 * error)
    assert error < 0.02  # the test can fail


def test_the_same_rows_give_the_same_encoder():
    one, other = a_fourier_encoder(60), a_fourier_encoder(60)
    assert all(one.arrays[name].tolist() == other.arrays[name].tolist() for name in one.arrays)


@pytest.mark.parametrize("channel", ["app", "fax"])
@pytest.mark.parametrize("n_features", [3, 60])
def test_effects_add_up_to_the_product_of_weights_and_vector(n_features, channel):
    encoder, rng = a_fourier_encoder(n_features), np.random.default_rng(1)
    weights, row = rng.normal(size=(2, encoder.width)), rng.normal(size=n_features) * 9
    row[1] = NAN
    baseline, effects = encoder.effects(weights, row, channel)
    whole = weights @ encoder.encode(row[None, :], [channel])[0]
    assert effects.shape == (2, len(encoder.effect_names))
    assert baseline + effects.sum(axis=1) == pytest.approx(whole, abs=1e-9)
    assert effects[:, 1].tolist() == [0, 0]  # unknown: average, and so no cause of anything


def test_an_average_customer_on_no_channel_is_the_baseline():
    encoder = a_fourier_encoder()
    weights = np.random.default_rng(2).normal(size=(2, encoder.width))
    baseline, effects = encoder.effects(weights, encoder.center, "fax")
    assert effects == pytest.approx(np.zeros_like(effects), abs=1e-12)
    vector = encoder.encode(encoder.center[None, :], ["fax"])[0]
    assert baseline == pytest.approx(weights @ vector)


def test_an_encoder_survives_its_note_and_arrays():
    encoder, row = a_fourier_encoder(60), np.random.default_rng(3).normal(size=(1, 60))
    back = Encoder.of(encoder.note, encoder.arrays)
    assert back.encode(row, ["app"]).tolist() == encoder.encode(row, ["app"]).tolist()


# Directions of actions -------------------------------------------------------------------------


def a_wide_log(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, ToldRewards]:
    """200 columns, of which ten factors move 197; the other three tell who accepts."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 10)) @ rng.normal(size=(10, 200)) + 2 * rng.normal(size=(n, 200))
    x[:, :3] = rng.normal(size=(n, 3))
    truth = 1 / (1 + np.exp(1 - x[:, :3].sum(axis=1)))
    accepted = (rng.random(n) < truth) * 1.0
    return x, truth, ToldRewards(np.array(["a"] * n), accepted, np.ones(n))


def test_directions_tell_better_who_accepts_than_principal_components():
    """Of a ridge regression on either, the error on fresh rows."""
    (x, _, told), (fresh, truth, _) = a_wide_log(1_000, 0), a_wide_log(1_000, 1)
    names, errors = [f"f{number}" for number in range(200)], []
    for known in (lambda: told, None):
        encoder = Encoder.fit(x, names, (), 160, told=known)
        assert encoder.width == 160
        vectors = encoder.encode(x, [""] * 1_000)
        sums = vectors.T @ vectors + 30 * np.eye(160)
        weights = np.linalg.solve(sums, vectors.T @ told.rewards)
        errors.append(np.mean((encoder.encode(fresh, [""] * 1_000) @ weights - truth) ** 2))
    assert errors[0] < errors[1] / 2
    assert errors[1] < truth.var() * 1.2  # principal components do not fail altogether


def test_effects_along_directions_add_up_and_survive_their_note():
    x, _, told = a_wide_log(300, 2)
    encoder = Encoder.fit(
        x, [f"f{number}" for number in range(200)], CHANNELS, 60, told=lambda: told
    )
    assert encoder.axes.shape == (1 + 15, 200)
    weights = np.random.default_rng(1).normal(size=(2, 60))
    baseline, effects = encoder.effects(weights, x[7], "app")
    whole = weights @ encoder.encode(x[7:8], ["app"])[0]
    assert baseline + effects.sum(axis=1) == pytest.approx(whole, abs=1e-9)
    back = Encoder.of(json.loads(json.dumps(encoder.note)), encoder.arrays)
    assert back.encode(x[:3], ["app"] * 3).tolist() == encoder.encode(x[:3], ["app"] * 3).tolist()


def test_rewards_are_not_read_where_the_features_fit_in():
    def told() -> ToldRewards:
        raise AssertionError("the rewards are not needed")

    x, names = (
        np.random.default_rng(0).normal(size=(200, 18)),
        [f"f{number}" for number in range(18)],
    )
    assert Encoder.fit(x, names, CHANNELS, 40, told=told).axes.shape == (0, 0)
    with pytest.raises(AssertionError, match="not needed"):
        Encoder.fit(x, names, CHANNELS, 38, told=told)


# Products --------------------------------------------------------------------------------------


def an_encoder_with_products(n_features: int = 3) -> Encoder:
    rows = np.random.default_rng(4).normal(size=(200, n_features))
    names = [f"x{number}" for number in range(n_features)]
    pairs = [("x0", "x2"), ("x1", "x1"), ("x0", "channel=app"), ("x0", "gone")]
    return Encoder.fit(rows, names, CHANNELS, 40, on=["app", "phone"] * 100, pairs=pairs)


def test_a_product_is_that_of_standardised_features_and_indicators():
    encoder = an_encoder_with_products()
    row = encoder.center + encoder.scale * np.array([2.0, -3.0, 0.5])
    vectors = encoder.encode(np.array([row, row]), ["app", "phone"]) + encoder.offset
    assert encoder.width == 40
    assert vectors[:, -3:] == pytest.approx(np.array([[1.0, 9.0, 2.0], [1.0, 9.0, 0.0]]))


def test_products_do_not_change_the_features_before_them():
    with_products, without = an_encoder_with_products(), an_encoder()
    assert without.pairs == ()
    plain = replace(with_products, pairs=(), offset=np.empty(0))
    rows = np.random.default_rng(5).normal(size=(4, 3))
    on = ["app", "fax", "phone", "app"]
    vectors = with_products.encode(rows, on) + with_products.offset
    assert vectors[:, :-3] == pytest.approx(plain.encode(rows, on))


@pytest.mark.parametrize("n_features", [3, 60])
def test_effects_of_products_add_up_and_both_factors_share_them(n_features):
    encoder = an_encoder_with_products(n_features)
    rng = np.random.default_rng(6)
    weights, row = rng.normal(size=(2, encoder.width)), rng.normal(size=n_features)
    baseline, effects = encoder.effects(weights, row, "app")
    whole = weights @ encoder.encode(row[None, :], ["app"])[0]
    assert baseline + effects.sum(axis=1) == pytest.approx(whole, abs=1e-9)
    of_product = np.zeros((1, encoder.width))
    of_product[0, -3] = 2.0
    _, effects = encoder.effects(of_product, row, "app")
    z = (row - encoder.center) / encoder.scale
    assert effects[0, [0, 2]] == pytest.approx([z[0] * z[2]] * 2)
    assert np.count_nonzero(effects) == 2


def test_products_survive_the_note_and_a_former_note_has_none():
    encoder, row = an_encoder_with_products(), np.array([[0.3, 0.2, -0.1]])
    back = Encoder.of(json.loads(json.dumps(encoder.note)), encoder.arrays)
    assert back.pairs == ((0, 2), (1, 1), (0, 3))
    assert back.encode(row, ["app"]).tolist() == encoder.encode(row, ["app"]).tolist()
    note = {name: value for name, value in an_encoder().note.items() if name != "pairs"}
    assert Encoder.of(note, an_encoder().arrays).pairs == ()
