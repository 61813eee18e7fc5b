"""Tests the learner's state: sums in any order, errors of the experts, a world that changes."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from tests.bandits import PLAIN, outcomes, plain
from training.arrays import pack, unpack
from training.bandit.bandit_state import BanditState, OutcomeBatch, OutdatedState
from training.bandit.encoder import Encoder
from training.bandit.exploration import ThompsonProbabilities
from training.bandit.statistics import Decay
from training.params import BanditParams

HALF_LIFE = 6_000.0
PARAMS = plain(
    {"ridge": 100.0},
    {"ridge": 100.0, "handicap": 20.0, "half_life_decisions": HALF_LIFE},
    trees_from=300,
)
PRIORS = {"call": (0.3, 10.0), "mail": (0.1, 10.0)}
ENCODER = Encoder(("age",), ("app", "web"), np.zeros(1), np.ones(1))


def some_outcomes(
    seed: int, n: int, begin: int = 0, n_experts: int = 3, step: float = 1.0
) -> OutcomeBatch:
    rng = np.random.default_rng(seed)
    return OutcomeBatch(
        rows=rng.normal(size=(n, 1)),
        channels=rng.choice(["app", "web"], n).tolist(),
        actions=rng.choice(["call", "mail"], n).tolist(),
        acceptance=rng.integers(0, 2, n).astype(np.float64),
        count=np.ones(n),
        at=step * (begin + np.arange(n, dtype=np.float64)),
        expert_predictions=rng.random((n, n_experts)),
    )


def subset(told: OutcomeBatch, which: np.ndarray, sign: float = 1.0) -> OutcomeBatch:
    def taken(values):
        is_array = isinstance(values, np.ndarray)
        return values[which] if is_array else [values[index] for index in which]

    part = OutcomeBatch(*(taken(getattr(told, field.name)) for field in fields(told)))
    return replace(part, count=sign * part.count)


def state_of(
    *parts: OutcomeBatch, params: BanditParams = PARAMS, memory_scale: float = 1.0
) -> BanditState:
    state = BanditState(ENCODER, params, memory_scale)
    for part in parts:
        state.learn(part)
    return state


def prediction(state: BanditState) -> np.ndarray:
    """Everything that a model predicts for one customer; the model is solved anew."""
    model = state.copied().model(PRIORS)
    found = model.predict(np.array([[0.7]]), ("app",))
    parts = found.acceptance, found.deviation, found.expert_predictions, model.expert_weights
    return np.concatenate([part.ravel() for part in parts])


def sums(state: BanditState) -> np.ndarray:
    """All sums, as of the newest decision."""
    found = [state.recent_errors().products.ravel(), [state.recent_errors().count, state.counted]]
    for statistics in state.statistics.values():
        shrink = statistics.decay.shrink(state.newest)
        for action in PRIORS:
            found.append(shrink * np.tril(statistics.second(action)).ravel())
            found.append(shrink * statistics.first(action))
        found.append(np.multiply(shrink, statistics.pooled))
    return np.concatenate(found)


# Sums ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 10, 400])
def test_outcomes_in_any_order_and_any_batches_give_the_same_sums(size):
    # Longer than 30 half-lives: sums are rescaled on the way.
    told = some_outcomes(3, 400, step=1_000.0)
    at_once, parts = state_of(told), state_of()
    order = np.random.default_rng(4).permutation(400)
    for start in range(0, 400, size):
        parts.learn(subset(told, order[start : start + size]))
    assert at_once.decay.epoch > 0
    assert sums(parts) == pytest.approx(sums(at_once), rel=1e-9, abs=1e-9)
    assert prediction(parts) == pytest.approx(prediction(at_once), rel=1e-9)
    assert (parts.counted, parts.newest) == (400.0, 399_000.0)


def test_a_retracted_outcome_leaves_no_trace():
    told = some_outcomes(4, 300)
    kept, late = subset(told, np.arange(200)), subset(told, np.arange(200, 300))
    expected, state = state_of(kept), state_of(kept, late)
    assert not np.allclose(prediction(state), prediction(expected), rtol=1e-3)  # it can fail
    state.learn(replace(late, count=-late.count))
    # Seen from the newest decision, which was made all the same.
    expected.newest = state.newest
    assert sums(state) == pytest.approx(sums(expected), rel=1e-9, abs=1e-9)
    assert prediction(state) == pytest.approx(prediction(expected), rel=1e-9)


def test_a_copy_learns_alone():
    told, more = some_outcomes(5, 100), some_outcomes(6, 100, begin=100)
    state = state_of(told)
    state.model(PRIORS)
    copy, before = state.copied(), sums(state)
    copy.learn(more)
    assert sums(state).tolist() == before.tolist()
    assert sums(copy) == pytest.approx(sums(state_of(told, more)), rel=1e-9, abs=1e-9)


def test_no_outcomes_change_nothing():
    state = state_of(some_outcomes(7, 20))
    before = state.to_bytes()
    state.learn(some_outcomes(8, 0))
    assert state.to_bytes() == before


def test_the_variance_of_rewards_is_that_of_all_actions_together():
    told = some_outcomes(9, 200)
    assert state_of(told).variance() == pytest.approx(told.acceptance.var())
    assert state_of().variance() == 1.0
    assert state_of(replace(told, acceptance=np.ones(200))).variance() == 1.0


# Errors of the experts -------------------------------------------------------------------------


def test_the_expert_with_the_smallest_errors_gets_the_largest_weight():
    told = some_outcomes(10, 2_000)
    predicted = np.column_stack([np.full(2_000, 0.5), 0.9 * told.acceptance, np.full(2_000, 0.4)])
    state = state_of(replace(told, expert_predictions=predicted))
    assert state.model(PRIORS).expert_weights.argmax() == 1


def test_only_recorded_predictions_add_errors():
    told = some_outcomes(11, 50)
    silent = told.expert_predictions.copy()
    silent[10:] = np.nan
    state = state_of(replace(told, expert_predictions=silent))
    first = state_of(subset(told, np.arange(10)))
    first.newest = state.newest
    assert state.counted == 50
    assert state.recent_errors().count == pytest.approx(first.recent_errors().count)
    assert state.recent_errors().products == pytest.approx(first.recent_errors().products)
    none = state_of(replace(told, expert_predictions=silent * np.nan))
    assert none.errors.count == 0
    assert none.model(PRIORS).expert_weights[0] > 0.99  # the other one has a handicap


@pytest.mark.parametrize("clear", [False, True])
def test_a_first_batch_of_outcomes_is_weighed_by_evidence(clear):
    """All experts have predicted the prior. Noise asks for the large ridge, a clear rule does not.

    A version of the registry has the weights of the handicaps, as before.
    """
    rng, names = np.random.default_rng(8), tuple(f"x{number}" for number in range(40))
    rows, n = rng.normal(size=(300, 40)), 300
    yes = rows[:, :3].sum(axis=1) > 0 if clear else rng.random(n) < 0.2
    predicted = np.full((n, 4), 0.3)
    told = OutcomeBatch(
        rows, ["app"] * n, ["call"] * n, yes.astype(float), np.ones(n), np.arange(n), predicted
    )
    params = plain(
        {"ridge": 1.0},
        {"ridge": 1_000.0, "handicap": 50.0},
        {"ridge": 100.0, "handicap": 30.0, "half_life_decisions": HALF_LIFE},
    )
    state = BanditState(Encoder(names, ("app",), np.zeros(40), np.ones(40)), params)
    state.learn(told)
    served = state.model(PRIORS, weights_first=True).expert_weights
    assert served.argmax() == (0 if clear else 1) and served.max() > 0.99
    again = BanditState.from_bytes(state.to_bytes())
    version = again.model(PRIORS).expert_weights
    assert version.argmax() == 0 and 0.5 < version[0] < 0.99


def test_errors_decay_with_the_shortest_half_life():
    told = replace(some_outcomes(12, 20), at=np.zeros(20))
    state = state_of(told)
    state.newest = 2 * HALF_LIFE
    assert state.recent_errors().count == pytest.approx(20 / 4)
    assert state.recent_errors().products == pytest.approx(state_of(told).errors.products / 4)


# Settings and memory ---------------------------------------------------------------------------


def test_a_memory_scale_multiplies_all_half_lives():
    told = some_outcomes(13, 200, step=100.0)
    half = state_of(told, memory_scale=0.5)
    faster = plain(
        {"ridge": 100.0},
        {"ridge": 100.0, "handicap": 20.0, "half_life_decisions": HALF_LIFE / 2},
        trees_from=300,
    )
    assert prediction(half) == pytest.approx(prediction(state_of(told, params=faster)))
    assert not np.allclose(prediction(half), prediction(state_of(told)))  # the test can fail
    for state in (half, half.copied(), BanditState.from_bytes(half.to_bytes())):
        assert state.memory_scale == 0.5
        assert state.decay.half_life == HALF_LIFE / 2
        assert state.statistics[HALF_LIFE].decay.half_life == HALF_LIFE / 2


@pytest.mark.parametrize(
    "params",
    [
        PARAMS,
        PLAIN,
        plain({"ridge": 1.0}, {"ridge": 9.0}, {"ridge": 9.0, "half_life_decisions": 50}),
    ],
)
def test_a_state_begins_with_imported_decisions_under_settings_of_its_own(params):
    """They all have the time 0, so that no memory has lost anything of them."""
    told = replace(some_outcomes(14, 300), at=np.zeros(300))
    imported = state_of(told)
    imported.fit_trees(told, 300.0)
    before = imported.to_bytes()
    state = state_of(params=params)
    state.begin_with(imported)
    n_experts = len(params.linear_experts) + 1
    silent = np.full((300, n_experts), np.nan)
    anew = state_of(replace(told, expert_predictions=silent), params=params)
    if n_experts == 3:  # the same experts, so that their errors are taken too
        anew.errors = imported.errors
    anew.use_trees(imported.trees, 300.0)
    assert prediction(state) == pytest.approx(prediction(anew))
    assert (state.counted, state.fitted_on) == (300.0, 300.0)
    state.learn(some_outcomes(15, 10, n_experts=n_experts))
    assert imported.to_bytes() == before


# Trees -----------------------------------------------------------------------------------------


def test_trees_are_wanted_when_enough_is_new():
    told, more = some_outcomes(16, 299), some_outcomes(17, 1)
    state = state_of(told)
    assert not state.wants_trees()
    state.learn(more)
    assert state.wants_trees()
    fitted = state.fit_trees(told, state.counted)
    assert fitted is not None and state.trees is fitted
    assert not state.wants_trees()
    state.learn(some_outcomes(18, 300))
    assert state.wants_trees()
    assert state.wants_trees(growth=2.0)  # exactly twice as many
    assert not state.wants_trees(growth=2.1)


def test_trees_of_outcomes_that_do_not_differ_leave_the_earlier_ones():
    told = some_outcomes(19, 300)
    state = state_of(told)
    fitted = state.fit_trees(told, 300.0)
    same = replace(told, acceptance=np.ones(300))
    assert state.fit_trees(same, 600.0) is fitted
    assert state.fitted_on == 600.0
    assert state_of().fit_trees(same, 300.0) is None


def test_new_trees_are_in_the_next_model():
    told = some_outcomes(20, 300)
    state = state_of(told)
    assert state.model(PRIORS).trees is None
    assert state.model(PRIORS).expert_weights[-1] == 0
    state.fit_trees(told, 300.0)
    assert state.model(PRIORS).trees is state.trees
    other = state_of(told)
    other.model(PRIORS)
    other.use_trees(state.trees, 300.0)
    assert other.model(PRIORS).trees is state.trees


# Bytes -----------------------------------------------------------------------------------------


def test_bytes_give_back_everything():
    told = some_outcomes(21, 300)
    state = state_of(told)
    state.fit_trees(told, 300.0)
    state.encoded_at = 256
    back = BanditState.from_bytes(state.to_bytes())
    assert back.to_bytes() == state.to_bytes()
    assert back.params == PARAMS
    assert (back.newest, back.counted, back.fitted_on, back.encoded_at) == (299, 300, 300, 256)
    assert prediction(back).tolist() == prediction(state).tolist()
    for one in (state, back):
        one.learn(some_outcomes(22, 50, begin=300))
    assert prediction(back) == pytest.approx(prediction(state), rel=1e-9)


def former_bytes(state: BanditState) -> bytes:
    """A state without settings, whose encoder and both triangles of A stand in each memory."""
    note, arrays = unpack(state.to_bytes())
    memories = {}
    for number, statistics in enumerate(state.statistics.values()):
        mine, parts = unpack(statistics.to_bytes())
        lower = np.zeros((len(statistics.actions), statistics.width, statistics.width))
        lower[:, *np.tril_indices(statistics.width)] = parts.pop("triangles")
        parts["second"] = lower + np.tril(lower, -1).transpose(0, 2, 1)
        note_of_it = state.encoder.note | mine | {"ridge": 100.0}
        payload = pack(note_of_it, **state.encoder.arrays, **parts)
        memories[f"memory_{number}"] = np.frombuffer(payload, dtype=np.uint8)
    kept = ("lives", "count", "half_life", "epoch", "newest", "counted", "trees", "fitted_on")
    return pack({key: note[key] for key in kept}, products=arrays["products"], **memories)


def test_a_state_of_the_former_format_is_read_with_the_settings_given():
    told = some_outcomes(23, 300)
    state = state_of(told)
    state.fit_trees(told, 300.0)
    back = BanditState.from_bytes(former_bytes(state), PARAMS)
    assert back.encoder.features == ENCODER.features
    assert (back.params, back.counted, back.newest, back.encoded_at) == (PARAMS, 300, 299, 0)
    assert prediction(back) == pytest.approx(prediction(state))
    assert back.to_bytes() == state.to_bytes()


def test_a_state_of_the_former_format_is_outdated_without_settings():
    with pytest.raises(OutdatedState, match="former format"):
        BanditState.from_bytes(former_bytes(state_of(some_outcomes(24, 20))))


# Models ----------------------------------------------------------------------------------------


def test_a_new_action_starts_where_its_group_is():
    """The channel tells; with it the group accepts, and the new action has its own prior level."""
    n = 2_000
    channels = ["app", "web"] * (n // 2)
    likes = [1.0, 0.0] * (n // 2)
    told = outcomes(np.zeros((n, 1)), channels, ["mail"] * n, likes, n_experts=3)
    state = state_of(told)
    priors = PRIORS | {"letter": (0.1, 10.0)}
    groups = {"mail": "paper", "letter": "paper", "call": "voice"}
    found = state.model(priors, groups).acceptance(np.zeros((2, 1)), ["app", "web"])
    assert found[0, 1] > 0.95 and found[1, 1] < 0.05
    assert found[0, 2] > found[1, 2] + 0.5
    assert found[:, 0] == pytest.approx([0.3, 0.3])


@pytest.mark.parametrize("short", [True, False])
def test_after_a_change_of_the_world_a_short_half_life_finds_the_new_best_action_sooner(short):
    """6,000 decisions in one world, then 4,500 in another; by then only a short one has."""
    experts = [{"ridge": 300.0, "exploration_scale": 0.5}]
    if short:
        experts.append({"ridge": 300.0, "handicap": 20.0, "half_life_decisions": 2_000.0})
    params = plain(*experts, trees_from=10**9, width=24)
    world = TwoWorlds(params)
    chances = [world.step(number) for number in range(105)]
    before, after = np.mean(chances[50:60], axis=0), np.mean(chances[-10:], axis=0)
    assert before[0] > 0.5
    assert (after[2] > 0.5) == short


class TwoWorlds:
    """Customers of two segments, whose best of three actions changes at step 60 in one segment."""

    actions = ("a", "b", "c")

    def __init__(self, params: BanditParams) -> None:
        self.rng = np.random.default_rng(10)
        normal = self.rng.normal(size=(200, 3))
        self.customers = np.column_stack([self.rng.integers(0, 2, 200), normal])
        names = ("segment", "x", "y", "z")
        encoder = Encoder.fit(self.customers, names, ("app",), params.width)
        self.state = BanditState(encoder, params)
        self.policy = ThompsonProbabilities(params.min_probability)
        self.priors = dict.fromkeys(self.actions, (0.1, 30.0))

    def step(self, number: int) -> np.ndarray:
        """Decide and learn 100 times; return the mean probabilities in the first segment."""
        rates = np.array([[0.3, 0.1, 0.1], [0.1, 0.3, 0.1]])
        if number >= 60:
            rates = rates[:, ::-1]  # c is best in one segment; b stays it in the other
        x = self.customers[self.rng.integers(200, size=100)]
        found = self.state.model(self.priors).predict(x, ("app",) * 100)
        both = zip(found.acceptance, found.deviation, strict=True)
        p = np.stack([self.policy.probabilities(*one) for one in both])
        drawn = np.array([self.rng.choice(3, p=row) for row in p])
        y = (self.rng.random(100) < rates[x[:, 0].astype(int), drawn]).astype(np.float64)
        predicted = found.expert_predictions[:, np.arange(100), drawn].T
        taught, at = [self.actions[index] for index in drawn], 100.0 * number + np.arange(100)
        self.state.learn(OutcomeBatch(x, ["app"] * 100, taught, y, np.ones(100), at, predicted))
        return p[x[:, 0] == 0].mean(axis=0)


def test_the_decay_of_the_errors_is_none_where_no_expert_forgets():
    assert BanditState(ENCODER, PLAIN).decay == Decay(None)
