"""Tests the sums of each action: in any order, retracted, decayed, and as bytes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from features.errors import InvalidSetting
from training.arrays import pack, unpack
from training.bandit.statistics import FEW, MAX_HALF_LIVES, ROOM, ActionStatistics, Decay

WIDTH = 4
HALF_LIFE = 10.0


class Outcomes(NamedTuple):
    """Outcomes as `ActionStatistics.learn` takes them."""

    vectors: np.ndarray
    actions: list[str]
    rewards: np.ndarray
    count: np.ndarray
    at: np.ndarray

    def part(self, which: np.ndarray | slice, sign: float = 1.0) -> Outcomes:
        index = np.arange(len(self.actions))[which]
        actions = [self.actions[number] for number in index]
        count = sign * self.count[index]
        return Outcomes(self.vectors[index], actions, self.rewards[index], count, self.at[index])


def some_outcomes(n: int, seed: int, start: float = 0.0, kinds: str = "abc") -> Outcomes:
    rng = np.random.default_rng(seed)
    vectors = np.column_stack([np.ones(n), rng.normal(size=(n, WIDTH - 1))])
    actions = rng.choice([*kinds], n).tolist()
    rewards, count = rng.normal(size=n), rng.uniform(0.2, 1, n)
    return Outcomes(vectors, actions, rewards, count, start + rng.uniform(0, 5, n))


def learned(*parts: Outcomes, half_life: float | None = None, basis=None) -> ActionStatistics:
    sums = ActionStatistics(WIDTH, Decay(half_life))
    if basis is not None:
        sums.turn_to(basis, 2)
    for part in parts:
        sums.learn(*part)
    return sums


def numbers(sums: ActionStatistics, now: float = 0.0) -> dict[str, np.ndarray]:
    """All sums of each action, as of a time, in one row."""
    shrink = sums.decay.shrink(now)
    return {
        action: shrink
        * np.concatenate(
            [
                np.tril(sums.second(action)).ravel(),
                sums.first(action),
                np.tril(sums.precision(action)[0]).ravel(),
                sums.precision(action)[1],
                [sums.counted(action)],
            ]
        )
        for action in sums.actions
    }


def assert_equal(one: ActionStatistics, other: ActionStatistics, now: float = 0.0) -> None:
    mine, theirs = numbers(one, now), numbers(other, now)
    for action in {*mine, *theirs}:
        nothing = np.zeros_like(next(iter(mine.values())))
        expected = theirs.get(action, nothing)
        assert mine.get(action, nothing) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    shrink = one.decay.shrink(now), other.decay.shrink(now)
    pooled = np.multiply(one.pooled, shrink[0]), np.multiply(other.pooled, shrink[1])
    assert pooled[0] == pytest.approx(pooled[1], rel=1e-9, abs=1e-9)


def a_basis() -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(0).normal(size=(WIDTH, WIDTH)))[0]


def test_the_sums_are_those_of_their_definition():
    given, basis = some_outcomes(50, seed=1), a_basis()
    sums = learned(given, basis=basis)
    for action in "abc":
        mine = np.array(given.actions) == action
        v, y, c = given.vectors[mine], given.rewards[mine], given.count[mine]
        second = (v * c[:, None]).T @ v
        assert np.tril(sums.second(action)) == pytest.approx(np.tril(second))
        assert sums.second(action)[:, 0] == pytest.approx(second[:, 0])
        assert sums.first(action) == pytest.approx((c * y) @ v)
        turned = basis.T @ second @ basis
        inner, along = sums.precision(action)
        assert along == pytest.approx(turned.diagonal())
        assert inner == pytest.approx(turned[:2, :2])
        assert sums.counted(action) == pytest.approx(c.sum())
        assert sums.rate(action) == pytest.approx((c * y).sum() / c.sum())
    y, c = given.rewards, given.count
    assert sums.pooled == pytest.approx((c.sum(), (c * y).sum(), (c * y**2).sum()))


@pytest.mark.parametrize("turned", [False, True])
def test_order_and_batches_do_not_matter(turned):
    given, basis = some_outcomes(60, seed=2), a_basis() if turned else None
    at_once = learned(given, basis=basis)
    backwards = learned(given.part(slice(None, None, -1)), basis=basis)
    in_parts = learned(given.part(slice(40, 60)), given.part(slice(0, 40)), basis=basis)
    singles = learned(*(given.part(slice(row, row + 1)) for row in range(60)), basis=basis)
    for other in (backwards, in_parts, singles):
        assert_equal(other, at_once)
        assert other.changes("abc").tolist() == at_once.changes("abc").tolist()


def test_a_basis_that_is_turned_to_later_counts_from_the_first_outcome():
    given, basis = some_outcomes(40, seed=3), a_basis()
    before, after = learned(given, basis=basis), learned(given)
    after.turn_to(basis, 2)
    assert_equal(after, before)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_retracted_outcomes_leave_the_sums_without_them(one_by_one):
    before, late = some_outcomes(50, seed=4), some_outcomes(30, seed=5)
    sums, expected = learned(before, late), learned(before)
    assert not np.allclose(sums.first("a"), expected.first("a"))  # the test can fail
    rows = [slice(row, row + 1) for row in range(30)] if one_by_one else [slice(None)]
    for row in rows:
        sums.learn(*late.part(row, sign=-1.0))
    assert_equal(sums, expected)
    assert (sums.changes("a") > expected.changes("a")).all()  # it is solved again


def test_an_outcome_may_be_retracted_before_it_is_learned():
    given, wrong = some_outcomes(20, seed=6), some_outcomes(5, seed=7)
    assert_equal(learned(wrong.part(slice(None), -1.0), given, wrong), learned(given))


def test_an_action_without_outcomes_counts_nothing():
    sums = learned(some_outcomes(5, seed=8, kinds="a"))
    assert (sums.knows("a"), sums.knows("b")) == (True, False)
    assert (sums.counted("b"), sums.changes("b").tolist()) == (0.0, [0])
    assert np.isnan(sums.rate("b"))
    sums.learn(np.empty((0, WIDTH)), [], np.empty(0), np.empty(0), np.empty(0))
    assert sums.actions == ["a"]


def test_more_actions_than_there_is_room_for_at_first_are_kept_apart():
    kinds = "abcdefghijk"
    assert len(kinds) > 2 * ROOM
    given = some_outcomes(200, seed=9, kinds=kinds)
    sums = learned(given, basis=a_basis())
    for action in kinds:
        mine = np.flatnonzero(np.array(given.actions) == action)
        assert numbers(sums)[action] == pytest.approx(
            numbers(learned(given.part(mine), basis=a_basis()))[action]
        )


def test_an_outcome_of_one_half_life_ago_counts_half():
    given = some_outcomes(40, seed=10)
    old = learned(given._replace(at=np.full(40, 90.0)), half_life=HALF_LIFE)
    half = learned(given._replace(count=given.count / 2))
    assert numbers(old, now=100.0)["a"] == pytest.approx(numbers(half)["a"])


@pytest.mark.parametrize("one_by_one", [False, True])
def test_decaying_outcomes_come_in_any_order_and_are_retracted(one_by_one):
    """400 half-lives lie between the outcomes, so the epoch has moved on."""
    early, late = some_outcomes(30, seed=11), some_outcomes(30, seed=12, start=4_000.0)
    wrong = some_outcomes(20, seed=13, start=3_990.0)

    def decayed(*parts: Outcomes) -> ActionStatistics:
        rows = [part.part(slice(row, row + 1)) for part in parts for row in range(len(part.at))]
        given = rows if one_by_one else parts
        return learned(*given, half_life=HALF_LIFE, basis=a_basis())

    expected = decayed(late)  # the early ones are forgotten
    assert expected.decay.epoch > 3_000
    for order in ((early, wrong, late), (late, early, wrong)):
        sums = decayed(*order, wrong.part(slice(None), -1.0))
        assert_equal(sums, expected, now=4_005.0)
    assert not np.allclose(  # the test can fail
        decayed(late, wrong).first("a"), expected.first("a"), rtol=1e-3
    )


def test_principal_axes_are_those_with_the_most_variance_first():
    given = some_outcomes(300, seed=14)
    given = given._replace(vectors=given.vectors * [1.0, 5.0, 0.1, 2.0], count=np.ones(300))
    axes = learned(given).principal_axes()
    assert axes.T @ axes == pytest.approx(np.eye(WIDTH), abs=1e-9)
    spread = np.square(given.vectors @ axes).sum(axis=0)
    assert spread.argsort()[::-1].tolist() == [0, 1, 2, 3]
    assert abs(axes[1, 0]) > 0.99
    assert ActionStatistics(WIDTH).principal_axes().tolist() == np.eye(WIDTH).tolist()


@pytest.mark.parametrize("half_life", [None, HALF_LIFE])
def test_sums_survive_their_bytes_and_go_on_learning(half_life):
    given, more = some_outcomes(40, seed=15), some_outcomes(10, seed=16, start=1_000.0)
    sums = learned(given, half_life=half_life)
    back = ActionStatistics.from_bytes(sums.to_bytes())
    assert (back.actions, back.width, back.decay) == (sums.actions, sums.width, sums.decay)
    assert back.to_bytes() == sums.to_bytes()
    assert_equal(back, sums)
    for one in (sums, back):
        one.learn(*more)
    assert_equal(back, sums, now=1_005.0)
    assert (back.changes("a") > 0).all()


def test_sums_without_outcomes_survive_their_bytes_and_can_learn():
    back = ActionStatistics.from_bytes(ActionStatistics(WIDTH).to_bytes())
    back.learn(*some_outcomes(40, seed=17))
    assert_equal(back, learned(some_outcomes(40, seed=17)))


def test_bytes_in_which_both_triangles_stood_are_read():
    sums = learned(some_outcomes(40, seed=18), half_life=HALF_LIFE)
    note, arrays = unpack(sums.to_bytes())
    lower = [np.tril(sums.second(action)) for action in sums.actions]
    arrays["second"] = np.array([one + np.tril(one, -1).T for one in lower])
    del arrays["triangles"]
    back = ActionStatistics.from_bytes(pack(note | {"ridge": 5.0}, **arrays))
    assert back.to_bytes() == sums.to_bytes()
    more = some_outcomes(10, seed=19)
    for one in (sums, back):
        one.learn(*more)
        one.turn_to(a_basis(), 2)
    assert_equal(back, sums)


def test_a_copy_learns_alone():
    given, more = some_outcomes(40, seed=20), some_outcomes(9, seed=21, kinds="ad")
    sums = learned(given, basis=a_basis())
    copy = sums.copied()
    assert_equal(copy, sums)
    assert copy.changes("a") == sums.changes("a")
    copy.learn(*more)
    assert sums.actions == learned(given).actions
    assert_equal(sums, learned(given, basis=a_basis()))
    assert_equal(copy, learned(given, more, basis=a_basis()))
    sums.learn(*more)
    assert_equal(copy, sums)


# Decay -----------------------------------------------------------------------------------------


def test_an_outcome_counts_half_after_one_half_life():
    decay = Decay(half_life=10.0, epoch=100.0)
    assert (decay.weights(100.0) * decay.shrink(110.0)) == pytest.approx(0.5)
    assert (decay.weights(np.array([110.0, 90.0])) * decay.shrink(110.0)) == pytest.approx(
        [1.0, 0.25]
    )


def test_without_a_half_life_nothing_decays():
    assert Decay().weights(np.array([1.0, 1e9])).tolist() == [1.0, 1.0]
    assert Decay().shrink(1e9) == 1.0
    assert Decay().moved(1e9) == (Decay(), 1.0)


def test_moving_the_epoch_changes_no_weight_as_of_now():
    old, newest = Decay(half_life=2.0), 2.0 * (MAX_HALF_LIVES + 5) + 0.7
    new, scale = old.moved(newest)
    assert new.epoch == 2.0 * (MAX_HALF_LIVES + 5)
    for at in (0.0, 3.3, newest):
        before = old.weights(at) * old.shrink(newest)
        assert new.weights(at) * new.shrink(newest) == pytest.approx(before)
    assert old.weights(4.0) * scale == new.weights(4.0)  # to the bit: only the exponent changes
    assert float(new.weights(newest)) < 2.0


@pytest.mark.parametrize("half_life", [0.0, -1.0, float("nan"), float("inf")])
def test_a_half_life_we_cannot_use_is_named_in_the_error(half_life):
    with pytest.raises(InvalidSetting, match=f"half_life is {half_life!r}. Expected a finite"):
        Decay(half_life)


@pytest.mark.parametrize("each", [1, FEW, FEW + 1, 20])
def test_a_batch_with_few_or_many_outcomes_of_an_action_adds_up_to_each_outcome_alone(each):
    basis = np.linalg.qr(np.random.default_rng(3).normal(size=(WIDTH, WIDTH)))[0]
    some = some_outcomes(3 * each, seed=4)._replace(actions=["a", "b", "c"] * each)
    at_once = numbers(learned(some, half_life=HALF_LIFE, basis=basis))
    alone = [some.part(slice(one, one + 1)) for one in range(len(some.actions))]
    one_by_one = numbers(learned(*alone, half_life=HALF_LIFE, basis=basis))
    assert at_once.keys() == one_by_one.keys() == {"a", "b", "c"}
    for action, found in at_once.items():
        assert found == pytest.approx(one_by_one[action], rel=1e-12)
