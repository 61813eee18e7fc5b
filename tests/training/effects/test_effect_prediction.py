"""The effects of a customer stand in the order in which a decision keeps them."""

from __future__ import annotations

from training.effects.effect_prediction import EffectPrediction


def test_the_effects_stand_in_the_order_in_which_a_decision_keeps_them():
    names = ("purchases", "purchases_deviation", "leaving", "leaving_deviation")
    assert EffectPrediction._fields == names
