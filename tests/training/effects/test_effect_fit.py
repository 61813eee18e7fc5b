"""Fits of effects, to decisions whose effects are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from features.business.catalog import NO_ACTION
from features.value_labels.labelled_decisions import LabelledDecisions, labelled_decisions
from training.effects.effect_fit import EffectInput, fit_effects
from training.effects.effect_model import EffectModel
from training.params import EffectParams

SHOP = EffectInput(("mail",), {}, ("size", "noise"), (), 14.0, tells_leaving=False)
PHONE = EffectInput(("mail", "call"), {"mail": "reach"}, ("size", "mood"), ("email", "app"), 30.0)
# Priors so weak that what was made up can be found again; who really left moves nothing.
WEAK = EffectParams(
    leaving_ridge=1.0,
    leaving_prior=1.0,
    purchases_prior=1.0,
    duration_days=30.0,
    duration_sd=0.01,
    correction_sd=1e-4,
)


def fitted(adds: float, n: int = 2000, bought: bool = True, prior: float = 1.0):
    """A fit where a mail adds ``adds`` + size to the purchases, and everybody has 3 without it."""
    rows = np.random.default_rng(5).choice([-1.0, 1.0], (n, 2))
    mailed = np.arange(n) % 2 == 0
    margin = bought * (3.0 + mailed * (adds + rows[:, 0]))
    shown = np.where(mailed, "mail", NO_ACTION).tolist()
    found = labelled_decisions(("mail",), rows, shown, np.full((n, 2), 0.5), margin=margin)
    return fit([found], SHOP, EffectParams(purchases_prior=prior))


def fit(
    parts: Sequence[LabelledDecisions],
    business: EffectInput = PHONE,
    params: EffectParams = WEAK,
) -> EffectModel | None:
    """Fit to decisions that come in these parts."""
    total = sum(part.n_decisions for part in parts)
    return fit_effects(
        lambda step: (part.take(np.s_[::step]) for part in parts), total, business, params
    )


def sold(margin, shown, n: int = 2000, chances=None, actions=("mail",), rows=None, **told):
    """Decisions of a shop, where nobody tells who leaves."""
    rows = np.random.default_rng(5).choice([-1.0, 1.0], (n, 2)) if rows is None else rows
    even = np.full((n, len(actions) + 1), 1 / (len(actions) + 1))
    chances = even if chances is None else chances
    return labelled_decisions(actions, rows, shown, chances, margin=margin, **told)


def phoned(n: int = 12_000, seed: int = 1) -> LabelledDecisions:
    """A telephone company: a call costs mood and sells, a mail lifts mood a little.

    The log rate of leaving is -4.5 - mood; a mail moves mood by 0.1 and a call by -0.4, of large
    customers by -0.6 and of small ones by -0.2. A mail sells 1, a call 2 and ``size`` more.
    """
    rng = np.random.default_rng(seed)
    size, mood = rng.choice([-1.0, 1.0], n), rng.normal(size=n).clip(-2, 2)
    chances = np.where(size[:, None] > 0, [[0.2, 0.5, 0.3]], [[0.5, 0.2, 0.3]])
    shown = (rng.uniform(size=n)[:, None] > chances.cumsum(axis=1)).sum(axis=1)
    mailed, called = shown == 0, shown == 1
    moved = 0.1 * mailed - (0.4 + 0.2 * size) * called
    rate = np.exp(-4.5 - (mood + moved))
    left_after = rng.exponential(1 / rate)
    left_after = np.where(left_after < 30.0, np.floor(left_after), np.nan)
    gone = left_after < 3
    rows, later = np.column_stack([size, mood]), np.column_stack([size, mood + moved])
    later[:, 1] += rng.normal(0, 0.2, n)  # other things happen too
    later[gone] = np.nan
    sells = mailed + (2 + size) * called
    return labelled_decisions(
        ("mail", "call"),
        rows,
        np.array(["mail", "call", NO_ACTION])[shown],
        chances,
        later=later,
        looked_after_days=np.full(n, 3.0),
        gone_at_look=gone,
        channels=rng.choice(["email", "app"], n),
        age_days=np.full(n, 60.0),
        margin=5 + 4 * mood + sells + rng.normal(0, 3.0, n),
        left_after_days=left_after,
    )


@pytest.fixture(scope="module")
def phone() -> LabelledDecisions:
    return phoned()


def test_a_business_that_does_not_tell_who_leaves_learns_what_is_bought():
    large, small = fitted(2.0).predict_each(np.array([[1.0, 0.0], [-1.0, 0.0]]), ("", ""))
    assert large.purchases == pytest.approx([3.0], abs=0.1)
    assert small.purchases == pytest.approx([1.0], abs=0.1)
    assert large.leaving == large.leaving_deviation == [0.0]


def test_a_clear_effect_on_purchases_overrides_a_prior_of_many_more_decisions():
    [large] = fitted(2.0, prior=40_000.0).predict_each(np.array([[1.0, 0.0]]), ("",))
    assert large.purchases == pytest.approx([3.0], abs=0.1)


@pytest.mark.parametrize(("n", "bought"), [(400, True), (2000, False)])
def test_it_waits_for_decisions_and_for_customers_who_buy(n, bought):
    assert fitted(2.0, n, bought) is None


def test_effects_are_found_within_their_intervals(phone):
    model = fit([phone])
    rows = np.array([[1.0, 0.5], [-1.0, 0.5], [1.0, -1.0], [-1.0, -1.0]])
    expected = model.expected_leaving(rows, ("",) * 4)
    # The level counts leavings after what was shown: between the lowest and the highest rate.
    assert expected == pytest.approx(1 - np.exp(-30 * np.exp(-4.5 - rows[:, 1])), rel=0.5)
    for (size, _), probability, found in zip(
        rows, expected, model.predict_each(rows, ("email",) * 4), strict=True
    ):
        sells = np.array([1.0, 2.0 + size])
        assert (abs(found.purchases - sells) < 3.5 * found.purchases_deviation).all()
        assert (found.purchases_deviation < 0.25).all()
        leaves = np.exp([-0.1, 0.4 + 0.2 * size]) - 1
        assert found.leaving / probability == pytest.approx(leaves, rel=0.2, abs=0.02)
        assert (found.leaving_deviation / probability < 0.05).all()
    assert model.note["decisions"] == 12_000
    assert model.note["looked"] == (~phone.gone_at_look).sum()


def test_a_purchase_that_would_have_come_anyway_takes_the_acceptance_back():
    # Half of the customers buy for 8 each week; where mailed, they do so through the mail.
    n = 2000
    rows = np.random.default_rng(5).choice([-1.0, 1.0], (n, 2))
    buys, mailed = rows[:, 0] > 0, np.arange(n) % 2 == 0
    shown = np.where(mailed, "mail", NO_ACTION)
    found = sold(8.0 * buys, shown, rows=rows, credited=8.0 * (buys & mailed))
    sure, other = fit([found], SHOP).predict_each(np.array([[1.0, 0.0], [-1.0, 0.0]]), ("", ""))
    assert sure.purchases == pytest.approx([-8.0], abs=0.1)
    assert other.purchases == pytest.approx([0.0], abs=0.1)


def test_a_young_decision_is_extrapolated_and_counts_for_the_part_that_has_passed():
    # A mail has sold 2 to those of 14 days and more, 6 to those of a quarter, who will buy for 24;
    # hours are too early.
    kind = np.arange(4000) // 2 % 4
    mailed = np.arange(4000) % 2 == 0
    margin = 3 + mailed * np.array([2.0, 2.0, 6.0, 1000.0])[kind]
    rows = np.zeros((4000, 2))
    age = np.array([14.0, 300.0, 3.5, 0.9])[kind]
    found = sold(margin, np.where(mailed, "mail", NO_ACTION), 4000, rows=rows, age_days=age)
    model = fit([found], SHOP)
    assert model.purchases[0] == pytest.approx([(2 + 2 + 24 / 4) / (1 + 1 + 1 / 4)], abs=0.02)
    assert model.note["decisions"] == pytest.approx(1000 * (1 + 1 + 1 / 4))


def test_no_effect_is_found_where_nothing_was_drawn(phone):
    certain = np.eye(3)[phone.shown]
    model = fit([phone._replace(chances=certain)])
    assert not model.purchases.any()
    assert not model.leaving.any()
    assert (model.predict_each(phone.rows[:1], ("",))[0].purchases_deviation > 0).all()


def test_the_cut_of_batches_does_not_matter(phone):
    some = phone.take(np.arange(4000))
    cuts = [(0, 1), (1, 1), (1, 700), (700, 4000)]
    params = WEAK.model_copy(update={"sample": 4000})
    whole = fit([some], params=params)
    parts = fit([some.take(np.arange(begin, end)) for begin, end in cuts], params=params)
    assert fit([some], params=params).to_bytes() == whole.to_bytes()
    for name in ("purchases", "leaving", "level", "basis", "purchases_covariance"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-6, abs=1e-9)


def test_the_exploration_scale_multiplies_the_deviations_alone(phone):
    some, row = phone.take(np.arange(4000)), phone.rows[:1]
    (one,) = fit([some]).predict_each(row, ("app",))
    wider = WEAK.model_copy(update={"exploration_scale": 3.0})
    (other,) = fit([some], params=wider).predict_each(row, ("app",))
    assert other.purchases == pytest.approx(one.purchases)
    assert other.purchases_deviation == pytest.approx(3 * one.purchases_deviation)
    assert other.leaving == pytest.approx(one.leaving, abs=1e-3)


def test_revised_and_erased_labels_are_right_at_the_next_fit(phone):
    some = phone.take(np.arange(4000))
    wrong = some._replace(margin=some.margin + 50 * (some.shown == 1))
    both = [some.take(np.arange(3000)), wrong.take(np.arange(3000, 4000))]
    was, now = fit(both), fit([some])
    assert was.purchases[1, 0] > now.purchases[1, 0] + 5
    assert fit([some]).to_bytes() == now.to_bytes()
    erased = fit([both[0]])
    assert erased.note["decisions"] == 3000
    assert erased.purchases[1, 0] == pytest.approx(now.purchases[1, 0], abs=0.5)


def test_an_action_that_is_gone_does_not_bend_the_effects_of_the_others():
    # Customers on the old action's list are rich: they were shown it more often.
    rng = np.random.default_rng(7)
    n, actions = 6000, ("old", "call", "mail")
    rows = rng.choice([-1.0, 1.0], (n, 2))
    chances = np.where(rows[:, [0]] > 0, [[0.7, 0.1, 0.1, 0.1]], [[0.1, 0.3, 0.4, 0.2]])
    shown = (rng.uniform(size=n)[:, None] > chances.cumsum(axis=1)).sum(axis=1)
    margin = 100.0 + np.array([9.0, 1.0, 2.0, 0.0])[shown] + rng.normal(size=n)
    names = np.array([*actions, NO_ACTION])[shown]
    found = sold(margin, names, n, chances, actions, rows)
    model = fit([found], replace(SHOP, actions=("mail", "call", "new")))
    prediction = model.predict_each(rows[:1], ("",))[0]
    # A new action has what all have in common: with two others, a third of the sum of theirs.
    assert prediction.purchases == pytest.approx([2.0, 1.0, 1.0], abs=0.3)
    assert model.note["decisions"] == (shown > 0).sum()


@pytest.mark.parametrize("constant", [7.0, np.nan])
def test_a_feature_that_tells_nobody_apart_is_not_read(phone, constant):
    rows, later = phone.rows.copy(), phone.later.copy()
    rows[:, 0] = later[:, 0] = constant
    model = fit([phone._replace(rows=rows, later=later).take(np.arange(4000))])
    assert model.features == ("mood",)
    assert np.isfinite(model.predict_each(np.array([[0.3]]), ("app",))[0]).all()


def test_a_feature_that_is_often_unknown_counts_as_average(phone):
    rows = phone.rows.copy()
    rows[::3] = np.nan
    model = fit([phone._replace(rows=rows).take(np.arange(4000))])
    unknown, average = model.predict_each(np.array([[np.nan] * 2, model.encoder.center]), ("", ""))
    assert np.isfinite(unknown).all()
    assert np.array_equal(unknown, average)


def test_customers_without_features_have_one_effect_in_common(phone):
    bare = phone._replace(rows=np.zeros((12_000, 1)), later=np.zeros((12_000, 1)))
    model = fit([bare], replace(PHONE, features=("none",), channels=()))
    assert model.features == ()
    assert model.width == 1
    (found,) = model.predict_each(np.zeros((1, 0)), ("",))
    # Of a call: 3 of large customers, 1 of small ones; the variances of the draws are 0.25, 0.16.
    assert found.purchases == pytest.approx([1.0, 0.91 / 0.41], abs=0.3)
    assert np.isfinite(found).all()


def test_margins_of_1e12_do_not_overflow(phone):
    some = phone.take(np.arange(4000))
    large = fit([some._replace(margin=some.margin * 1e12)])
    one = EffectModel.from_bytes(large.to_bytes()).predict_each(some.rows[:1], ("",))[0]
    other = fit([some]).predict_each(some.rows[:1], ("",))[0]
    assert one.purchases / 1e12 == pytest.approx(other.purchases, rel=1e-4)
    assert one.purchases_deviation / 1e12 == pytest.approx(other.purchases_deviation, rel=1e-4)


def test_a_mean_effect_on_purchases_is_believed_after_some_thousand_decisions():
    # A mail takes 1 from everybody; the purchases of a customer vary by 10, so that the mean effect
    # has a standard error of 0.3. Half of the decisions mail: they weigh a quarter, 1,000 against
    # a prior of 40,000 / 64, halved, as the effect is that of any action plus that of the mail.
    n, rng = 4000, np.random.default_rng(11)
    mailed = rng.uniform(size=n) < 0.5
    noise = rng.normal(0, 10, n)
    noise -= (mailed - 0.5) * 2 * (noise * (mailed - 0.5) * 2).mean()  # it tells no effect at all
    shown = np.where(mailed, "mail", NO_ACTION).tolist()
    model = fit([sold(20 - mailed + noise, shown, n)], SHOP, EffectParams())
    [found] = model.predict_each(np.zeros((1, 2)), ("",))
    assert found.purchases == pytest.approx([-1000 / (1000 + 625 / 2)], abs=0.05)


def test_effects_on_purchases_do_not_change_with_what_grows_in_time():
    # A mail takes 14 from the purchases of the 14 days after it, 1 a day until then. Half of the
    # decisions are younger, and `size` is the day on which each was made.
    n, rng = 20_000, np.random.default_rng(3)
    day = rng.uniform(0, 27, n)
    mailed = rng.uniform(size=n) < 0.5
    age = 28 - day
    rows = np.column_stack([day, rng.normal(size=n)])
    margin = (3.0 - mailed) * np.minimum(age, 14.0) + rng.normal(size=n)
    shown = np.where(mailed, "mail", NO_ACTION).tolist()
    some = sold(margin, shown, n, rows=rows, age_days=age)
    first, last = fit([some], SHOP).predict_each(np.array([[1.0, 0.0], [27.0, 0.0]]), ("", ""))
    assert first.purchases == pytest.approx([-14.0], abs=0.5)
    assert last.purchases == pytest.approx([-14.0], abs=0.5)


NOBODY = {
    "nobody-left": lambda some: some._replace(left_after_days=np.full(some.n_decisions, np.nan)),
    "left-before": lambda some: some._replace(
        left_after_days=np.where(some.is_left(), -1.0, np.nan)
    ),
    "nine-left": lambda some: some._replace(
        left_after_days=np.where(np.cumsum(some.is_left()) < 10, some.left_after_days, np.nan)
    ),
}


@pytest.mark.parametrize("after", NOBODY.values(), ids=NOBODY)
def test_before_customers_leave_purchases_alone_are_learned(phone, after):
    found = after(phone)
    model = fit([found])
    prediction = model.predict_each(phone.rows[:1], ("email",))[0]
    assert not prediction.leaving.any()
    assert not prediction.leaving_deviation.any()
    assert prediction.purchases == pytest.approx([1.0, 2.0 + phone.rows[0, 0]], abs=0.5)
    assert fit([found._replace(margin=found.credited)]) is None


@pytest.mark.parametrize(
    "lacks",
    [
        lambda some: some.take(np.arange(400)),
        lambda some: some._replace(customers=np.arange(some.n_decisions) % 9),
        lambda some: some._replace(looked_after_days=np.full(some.n_decisions, np.nan)),
        lambda some: some.for_actions(("another", "third")).take(some.shown < 2),
        lambda some: some.take(np.arange(0)),
    ],
    ids=["few", "nine-customers", "no-looks", "gone", "nothing"],
)
def test_it_waits_for_what_tells_effects(phone, lacks):
    assert fit([lacks(phone)]) is None


def test_no_decisions_are_no_model():
    assert fit([]) is None


def test_many_features_of_few_customers_do_not_take_an_effect_along():
    rng = np.random.default_rng(8)
    n, names = 1000, tuple(f"feature {number}" for number in range(300))
    rows, mailed = rng.normal(size=(n, 300)), np.arange(n) % 2 == 0
    margin = 4.0 * mailed + rng.normal(size=n)
    found = sold(margin, np.where(mailed, "mail", NO_ACTION), n, rows=rows)
    params = WEAK.model_copy(update={"directions": 0})
    model = fit([found], replace(SHOP, features=names), params)
    assert model.purchases[0, 0] == pytest.approx(4.0, rel=0.1)


def test_what_features_tell_of_purchases_does_not_blur_the_effect():
    """Purchases differ by 20 with a feature that no effect depends on; an effect of 1 is clear."""
    rows = np.random.default_rng(5).choice([-1.0, 1.0], (2000, 2))
    mailed = np.arange(2000) % 2 == 0
    margin = 3.0 + 10.0 * rows[:, 1] + mailed * 1.0
    model = fit([sold(margin, np.where(mailed, "mail", NO_ACTION).tolist(), rows=rows)], SHOP)
    [found] = model.predict_each(np.zeros((1, 2)), [""])
    assert found.purchases[0] == pytest.approx(1.0, abs=0.1)
    assert found.purchases_deviation[0] < 0.1  # 10 / root of (2,000 / 4) = 0.45 without a baseline


def test_what_features_tell_of_the_look_does_not_blur_the_effect_on_leaving():
    """Customers leave by two features, of which one has gone back to 0 at every look."""
    rng, n = np.random.default_rng(8), 8_000
    rows = rng.choice([-1.0, 1.0], (n, 2))
    left_after = np.floor(rng.exponential(1 / np.exp(-4.5 + rows.sum(axis=1))))
    left_after[left_after >= 30] = np.nan
    shown = np.where(np.arange(n) % 2 == 0, "mail", NO_ACTION).tolist()
    found = labelled_decisions(
        ("mail",),
        rows,
        shown,
        np.full((n, 2), 0.5),
        later=rows * [1.0, 0.0],
        looked_after_days=np.full(n, 3.0),
        gone_at_look=left_after < 3,
        left_after_days=left_after,
    )
    model = fit([found], replace(SHOP, tells_leaving=True))
    change = np.sqrt(model.leaving_covariance[0, 0, 0])
    assert change < 0.003  # some 0.01 where the other feature is not taken away first


def test_a_silence_that_had_begun_at_the_look_tells_who_leaves():
    """Every fifth customer falls silent at once, and every tenth of those who get a mail.

    The second feature is the silence. At the look nobody has left: it has to last for weeks. Every
    tenth of the others is silent, too, and will be back.
    """
    n = 8_000
    mailed, silent = np.arange(n) % 2 == 0, np.arange(n) // 2 % 5 == 0
    silent &= ~mailed | (np.arange(n) // 10 % 2 == 0)
    rng = np.random.default_rng(2)
    rows, quiet = rng.choice([0.0, 1.0], (n, 2)), silent | (rng.uniform(size=n) < 0.1)
    found = labelled_decisions(
        ("mail",),
        rows,
        np.where(mailed, "mail", NO_ACTION).tolist(),
        np.full((n, 2), 0.5),
        later=np.column_stack([rows[:, 0], np.where(quiet, 3.0, rows[:, 1])]),
        looked_after_days=np.full(n, 3.0),
        left_after_days=np.where(silent, 0.0, np.nan),
        age_days=np.full(n, 60.0),
        leaving_known_days=np.full(n, 40.0),
    )
    model = fit([found], replace(SHOP, tells_leaving=True))
    assert model.distrusted == ()
    assert model.leaving[0, 0] < -0.05


def test_decisions_of_which_it_is_not_known_yet_who_left_do_not_lower_the_rate():
    """Every fifth customer leaves. Half of the decisions are old, and too young for a silence."""
    n = 8_000
    known, rng = np.arange(n) < n // 2, np.random.default_rng(6)
    rows, left = rng.choice([-1.0, 1.0], (n, 2)), known & (rng.uniform(size=n) < 0.2)
    found = labelled_decisions(
        ("mail",),
        rows,
        np.where(rng.uniform(size=n) < 0.5, "mail", NO_ACTION).tolist(),
        np.full((n, 2), 0.5),
        later=rows,
        looked_after_days=np.full(n, 3.0),
        left_after_days=np.where(left, 7.0, np.nan),
        age_days=np.full(n, 60.0),
        leaving_known_days=np.where(known, 40.0, -5.0),
    )
    told = replace(SHOP, tells_leaving=True)
    both, alone = (fit([some], told) for some in (found, found.take(known)))
    expected = alone.expected_leaving(rows, [""] * n).mean()
    assert expected > 0.2
    assert both.expected_leaving(rows, [""] * n).mean() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(("credited", "least", "most"), [(0.0, 2.0, 6.0), (0.1, -0.5, 0.5)])
def test_a_mean_effect_is_held_by_what_the_acceptances_of_a_showing_bring(credited, least, most):
    """An effect of 4 in a noise of 30 is three standard errors; acceptances bring 0.1."""
    mailed, n = np.arange(2000) % 2 == 0, 2000
    margin = 4.0 * mailed + np.random.default_rng(9).normal(0, 30, n)
    shown = np.where(mailed, "mail", NO_ACTION).tolist()
    model = fit([sold(margin, shown, credited=credited * mailed)], SHOP)
    [found] = model.predict_each(np.zeros((1, 2)), [""])
    assert least < found.purchases[0] < most
