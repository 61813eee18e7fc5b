"""The truth about leaving tells how long an effect lasts, corrects it, and finds wrong ones."""

from __future__ import annotations

import numpy as np
import pytest

from features.business.catalog import NO_ACTION
from features.value_labels.labelled_decisions import labelled_decisions
from training.bandit.encoder import Encoder
from training.effects.effect_blocks import centred_indicators
from training.effects.effect_model import EffectModel
from training.effects.leaving_rates import leaving_within
from training.effects.leaving_truth import DISTRUSTED_SD, LeavingTruth
from training.params import EffectParams

RATE = 0.005  # of leaving a day
PARAMS = EffectParams()
TOLD = 0.5  # the log effect of a mail by the surrogate


def model(told: float = TOLD) -> EffectModel:
    return EffectModel(
        actions=("mail",),
        encoder=Encoder((), (), np.empty(0), np.empty(0)),
        basis=np.eye(1),
        level=np.array([np.log(RATE)]),
        purchases=np.zeros((1, 1)),
        purchases_covariance=np.zeros((1, 1, 1)),
        leaving=np.array([[told]]),
        leaving_covariance=np.ones((1, 1, 1)),
        duration_days=45.0,
    )


def truth(added: float, params=PARAMS, told=TOLD, n=40_000, **changed):
    """Half of the customers get a mail, after which ``added`` more of them leave in 21 days."""
    found = LeavingTruth(model(told), {}, params, 28.0)
    mailed = np.arange(n) % 2 == 0
    share = leaving_within(RATE, 21.0) + np.where(mailed, added, 0.0)
    left = (np.arange(n) // 2 + 0.5) / (n / 2) < share
    some = labelled_decisions(
        ("mail",),
        np.empty((n, 0)),
        np.where(mailed, "mail", NO_ACTION).tolist(),
        np.full((n, 2), 0.5),
        **{
            "left_after_days": np.where(left, 10.0, np.nan),
            "looked_after_days": np.full(n, 3.0),
            "age_days": np.full(n, 21.0),
            **changed,
        },
    )
    later = np.where(mailed, RATE * np.exp(told), RATE)
    found.add(some, np.ones((n, 1)), centred_indicators(some.shown, some.chances), later)
    return found


def test_the_audit_holds_what_was_told_against_who_left():
    added = leaving_within(RATE * np.exp(TOLD), 18.0) - leaving_within(RATE, 18.0)
    [row] = truth(float(added)).note["audit"]
    assert row["by_truth"] == pytest.approx(row["by_surrogate"], abs=1e-4)
    assert row["by_surrogate"] == pytest.approx(added)
    assert not row["disagrees"]


@pytest.mark.parametrize(("days", "least", "most"), [(12.0, 10.0, 15.0), (45.0, 38.0, 52.0)])
def test_the_duration_is_learned_and_is_the_prior_where_little_is_told(days, least, most):
    """After 21 days, d (1 - exp(-21 / d)) of the days of a fading effect have come."""
    come = days * (1 - np.exp(-21 / days))
    added = RATE * (np.exp(TOLD) - 1) * come
    found = truth(added, EffectParams(correction_sd=1e-6), n=400_000)
    assert least < found.solved().duration_days < most
    assert truth(added, n=200).solved().duration_days == pytest.approx(45.0, abs=0.5)


def test_a_mean_that_features_do_not_tell_is_corrected_from_who_left():
    # Nothing was told, and 1 point more leave. The slope of leaving on the drawn rate, with the
    # prior, is the correction: sums of 40,000 x 0.25.
    found = truth(0.01, told=0.0).solved()
    expected = float(leaving_within(RATE, 21.0))
    days = 45 * (1 - np.exp(-21 / 45))
    weight = 10_000 * (RATE * days) ** 2 / (expected * (1 - expected))
    first = 10_000 * 0.01 * RATE * days / (expected * (1 - expected))
    sd = DISTRUSTED_SD if truth(0.01, told=0.0).distrusted else EffectParams().correction_sd
    assert found.corrections == pytest.approx([first / (weight + sd**-2)], rel=0.05)


def test_a_surrogate_that_is_wrong_is_shrunk_to_what_who_left_tells():
    found = truth(0.1, told=0.2).corrected()  # 10 of 100 leave more; the features tell 2
    assert found.distrusted == ("mail",)
    [[effect]], [[[variance]]] = found.leaving, found.leaving_covariance
    [correction] = truth(0.1, told=0.2).solved().corrections
    assert effect == correction > 0.5 and 0 < variance < DISTRUSTED_SD**2
    trusted = truth(0.04).corrected()
    assert trusted.distrusted == () and trusted.leaving_covariance.tolist() == [[[1.0]]]


def test_who_left_before_the_look_or_was_not_looked_at_says_nothing_of_the_surrogate():
    gone = np.ones(4000, dtype=bool)
    [row] = truth(0.1, n=4000, gone_at_look=gone).note["audit"]
    assert row["by_truth"] == row["by_surrogate"]
    unknown = truth(0.1, n=4000, looked_after_days=np.full(4000, np.nan))
    assert unknown.note["audit"] == [] and unknown.note["matured"] == 4000


def test_a_young_decision_is_audited_and_not_yet_matured():
    young = truth(0.1, n=4000, age_days=np.full(4000, 12.0))
    assert young.note["matured"] == 0 and young.note["audit"][0]["decisions"] == 2000
    assert young.note["duration_days"] == pytest.approx(45.0, abs=0.01)
    assert truth(0.1, n=400, age_days=np.full(400, 2.0)).note["audit"] == []


def test_an_old_decision_tells_nothing_before_it_is_known_who_left():
    """Of a decision of 21 days, 2 are known where a silence of 19 is leaving."""
    found = truth(0.1, n=400, leaving_known_days=np.full(400, 2.0))
    assert (found.note["matured"], found.note["audit"]) == (0, [])


def test_a_decision_for_a_customer_who_had_left_before_tells_nothing():
    found = truth(0.1, n=400, left_after_days=np.full(400, -1.0))
    assert found.note["matured"] == 0 and found.note["audit"] == []
