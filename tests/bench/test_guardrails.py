"""The bench of guardrails plays worlds in which harm can be found, and the same ones again."""

from __future__ import annotations

import numpy as np

from tests.bench.guardrails import K, Kinds, NaiveRates, play


def test_a_world_is_the_same_with_the_same_seed_and_what_harms_is_found():
    first, again = play(7, True), play(7, True)
    assert first == again
    assert first.harmful in first.stopped
    calm = play(7, False)
    assert (calm.harmful, calm.stopped) == (None, {})
    assert calm.unsubscribed < first.unsubscribed


def test_a_stopped_action_is_drawn_no_more():
    stopped = np.arange(K) == 2
    chances = Kinds(np.random.default_rng(1)).chances(3, stopped)
    assert (chances[:, 2] == 0).all()
    assert np.allclose(chances.sum(axis=1), 1)


def test_the_chi_square_test_stops_a_rate_that_is_clearly_larger():
    rates = NaiveRates()
    rates.contact(np.repeat(np.arange(K), 1_000))
    rates.harm(np.repeat(np.arange(K), [4] * (K - 1) + [30]))
    rates.look()
    assert rates.stopped == {K - 1}
