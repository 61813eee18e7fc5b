"""Fits of effects, to decisions whose effects are known."""

from __future__ import annotations

import numpy as np
import pytest

from features.business.catalog import NO_ACTION
from features.value_labels.labelled_decisions import labelled_decisions
from training.effects.effect_fit import EffectInput, fit_effects
from training.params import EffectParams

SHOP = EffectInput(("mail",), {}, ("size", "noise"), (), 14.0, tells_leaving=False)


def fitted(adds: float, n: int = 2000, bought: bool = True):
    """A fit where a mail adds ``adds`` + size to the purchases, and everybody has 3 without it."""
    rows = np.random.default_rng(5).choice([-1.0, 1.0], (n, 2))
    mailed = np.arange(n) % 2 == 0
    margin = bought * (3.0 + mailed * (adds + rows[:, 0]))
    shown = np.where(mailed, "mail", NO_ACTION).tolist()
    found = labelled_decisions(("mail",), rows, shown, np.full((n, 2), 0.5), margin=margin)
    params = EffectParams(purchases_prior=1.0)
    return fit_effects(lambda step: iter([found.take(np.arange(0, n, step))]), n, SHOP, params)


def test_a_business_that_does_not_tell_who_leaves_learns_what_is_bought():
    large, small = fitted(2.0).predict_each(np.array([[1.0, 0.0], [-1.0, 0.0]]), ("", ""))
    assert large.purchases == pytest.approx([3.0], abs=0.1)
    assert small.purchases == pytest.approx([1.0], abs=0.1)
    assert large.leaving == large.leaving_deviation == [0.0]


@pytest.mark.parametrize(("n", "bought"), [(400, True), (2000, False)])
def test_it_waits_for_decisions_and_for_customers_who_buy(n, bought):
    assert fitted(2.0, n, bought) is None
