"""The encoder: what the models are linear in, and what of it each feature is to blame for."""

from __future__ import annotations

import numpy as np

from training.encoder import CLIP, Encoder

NAN = float("nan")
CHANNELS = ("app", "phone")


def an_encoder() -> Encoder:
    return Encoder(("age", "visits"), CHANNELS, np.array([40.0, 3.0]), np.array([10.0, 2.0]))


def test_a_vector_is_one_then_standardised_features_then_channels():
    vectors = an_encoder().encode(np.array([[50.0, 2.0], [40.0, 3.0]]), ["phone", "app"])
    assert vectors.tolist() == [[1, 1.0, -0.5, 0, 1], [1, 0, 0, 1, 0]]


def test_what_is_unknown_counts_as_average():
    assert an_encoder().encode(np.array([[NAN, 3.0]]), ["app"]).tolist() == [[1, 0, 0, 1, 0]]


def test_one_odd_customer_is_clipped():
    odd = np.array([[4_000.0, -4_000.0], [np.inf, -np.inf]])
    assert an_encoder().encode(odd, ["app", "app"])[:, 1:3].tolist() == [[CLIP, -CLIP]] * 2


def test_a_channel_never_heard_of_is_no_channel():
    assert an_encoder().encode(np.array([[40.0, 3.0]]), ["fax"]).tolist() == [[1, 0, 0, 0, 0]]


def test_fitting_learns_mean_and_spread_of_what_is_known_and_varies():
    x = np.array([[NAN, 1.0, 7.0, 0.0], [NAN, 3.0, 7.0, 4.0], [NAN, NAN, 7.0, NAN]])
    encoder = Encoder.fit(x, ("never_seen", "a", "constant", "b"), CHANNELS)
    assert encoder.features == ("a", "b")
    assert encoder.center.tolist() == [2.0, 2.0]
    assert encoder.scale.tolist() == [1.0, 2.0]
    assert encoder.width == 1 + 2 + 2


def test_a_large_constant_column_is_seen_as_constant():
    # Its mean is not quite its value: the spread is rounding error, not knowledge.
    assert Encoder.fit(np.full((100, 1), 1e9 + 0.1), ["x"], []).features == ()


def test_a_blank_encoder_knows_channels_only():
    blank = Encoder.blank(CHANNELS)
    assert blank.width == 3
    assert blank.encode(np.empty((2, 0)), ["phone", "app"]).tolist() == [[1, 0, 1], [1, 1, 0]]
