"""Tests the posteriors of the linear experts against ridge regressions solved by numpy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace

import numpy as np
import pytest

from tests.bandits import outcomes, plain
from training.bandit import posteriors
from training.bandit.bandit_state import BanditState, OutcomeBatch
from training.bandit.encoder import Encoder
from training.bandit.reward_model import RewardModel
from training.models.ridge import FEW_PARAMETERS
from training.params import BanditParams

ENCODER = Encoder(("age", "visits"), ("app", "web"), np.array([40.0, 3.0]), np.array([10.0, 2.0]))
WIDTH = 5  # 1, two features, two channels
RIDGE = 5.0
PRIORS = {"call": (0.3, 10.0), "mail": (0.2, 25.0)}
WIDE = (-1e9, 1e9)  # no reward is cut


def some_outcomes(n: int, seed: int, actions: Sequence[str] = ("call", "mail")) -> OutcomeBatch:
    rng = np.random.default_rng(seed)
    rows = rng.normal([40.0, 3.0], [10.0, 2.0], (n, 2))
    channels, chosen = rng.choice(["app", "web"], n).tolist(), rng.choice([*actions], n).tolist()
    accepted = rng.integers(0, 2, n).tolist()
    return outcomes(rows, channels, chosen, accepted, 0.7)


def state_of(*parts: OutcomeBatch, params: BanditParams | None = None) -> BanditState:
    state = BanditState(ENCODER, params or plain({"ridge": RIDGE}))
    n_experts = len(state.params.linear_experts) + 1
    for part in parts:
        recorded = np.full((len(part.at), n_experts), np.nan)
        state.learn(replace(part, expert_predictions=recorded))
    return state


def ridge(
    told: OutcomeBatch, action: str, prior: tuple[float, float], weight: float = RIDGE
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of an action by least squares, and the inverse of A + D.

    The prior and the ridge are extra rows of one least-squares problem.
    """
    mine = np.array(told.actions) == action
    vectors = ENCODER.encode(told.rows, told.channels)[mine]
    root = np.sqrt(told.count[mine])
    pull = np.diag(np.sqrt([prior[1], *[weight] * (WIDTH - 1)]))
    left = np.vstack([vectors * root[:, None], pull])
    right = np.append((told.acceptance[mine] - prior[0]) * root, np.zeros(WIDTH))
    return np.linalg.lstsq(left, right, rcond=None)[0], np.linalg.inv(left.T @ left)


def visitors(n: int, seed: int = 99) -> tuple[np.ndarray, tuple[str, ...]]:
    rng = np.random.default_rng(seed)
    return rng.normal([40.0, 3.0], [10.0, 2.0], (n, 2)), tuple(rng.choice(["app", "web"], n))


def deviation(model: RewardModel, n: int = 30) -> np.ndarray:
    return model.predict(*visitors(n)).deviation


# Weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("priors", [PRIORS, ["call", "mail"]])
def test_weights_equal_a_brute_force_ridge_solution(priors):
    told = some_outcomes(200, seed=1)
    model = state_of(told).model(priors, {}, WIDE)
    mean = float(np.average(told.acceptance, weights=told.count))
    for index, action in enumerate(model.actions):
        prior = priors[action] if isinstance(priors, Mapping) else (mean, 1.0)
        assert model.prior[index] == pytest.approx(prior[0])
        brute, _ = ridge(told, action, prior)
        assert model.weights[0, index] == pytest.approx(brute, abs=1e-10)


def test_each_expert_has_its_ridge():
    told = some_outcomes(200, seed=2)
    state = state_of(told, params=plain({"ridge": 1.0}, {"ridge": 300.0}))
    model = state.model(PRIORS, {}, WIDE)
    for number, weight in enumerate((1.0, 300.0)):
        brute, _ = ridge(told, "call", PRIORS["call"], weight)
        assert model.weights[number, 0] == pytest.approx(brute, abs=1e-10)


def test_an_action_without_outcomes_is_expected_at_its_prior():
    model = state_of(some_outcomes(50, seed=3, actions=["call"])).model(PRIORS)
    assert model.acceptance(*visitors(5))[:, 1].tolist() == [0.2] * 5


def test_many_outcomes_outweigh_the_prior():
    n = 100_000
    rows, taught = np.tile([[40.0, 3.0]], (n, 1)), [1.0, 0.0, 0.0, 0.0] * (n // 4)
    state = state_of(outcomes(rows, ["app"] * n, ["call"] * n, taught))
    model = state.model({"call": (0.9, 10.0)})
    assert model.acceptance(rows[:1], ["app"])[0, 0] == pytest.approx(0.25, abs=1e-3)


def test_a_prior_that_is_edited_later_counts_as_if_it_had_always_been_so():
    state, edited = state_of(some_outcomes(40, seed=4)), dict(PRIORS)
    before = state.model(edited).weights.copy()
    edited["call"] = (0.6, 3.0)  # the catalogue's own object may be edited too
    expected = state_of(some_outcomes(40, seed=4)).model(edited).weights
    assert not np.allclose(before, expected, atol=0.01)  # the test can fail
    assert state.model(edited).weights.tolist() == expected.tolist()


def test_the_same_priors_in_another_order_give_actions_in_that_order():
    state = state_of(some_outcomes(40, seed=5))
    one = state.model(PRIORS).acceptance(*visitors(3))
    turned = state.model(dict(reversed(PRIORS.items())))
    assert turned.actions == ("mail", "call")
    assert turned.acceptance(*visitors(3)) == pytest.approx(one[:, ::-1])


# Groups ----------------------------------------------------------------------------------------

GROUPS = {"call": "talk", "visit": "talk", "mail": "paper"}
OLD_AND_YOUNG = np.array([[55.0, 3.0], [25.0, 3.0]])


def the_older_accept(n: int, action: str) -> OutcomeBatch:
    rows = np.random.default_rng(6).normal([40.0, 3.0], [10.0, 2.0], (n, 2))
    return outcomes(rows, ["app"] * n, [action] * n, (rows[:, 0] > 40).astype(float).tolist())


def test_a_new_action_starts_from_the_weights_of_its_group_and_its_own_prior_level():
    state = state_of(the_older_accept(200, "call"))
    priors = PRIORS | {"visit": (0.15, 10.0)}
    model = state.model(priors, GROUPS, WIDE)
    old, young = model.acceptance(OLD_AND_YOUNG, ["app", "app"])
    assert old[2] > young[2] + 0.3
    assert old[1] == young[1] == pytest.approx(0.2)  # alone in its group
    assert model.weights[0, 2, 0] == 0.0  # the level is its own
    assert model.weights[0, 2, 1:] == pytest.approx(model.weights[0, 0, 1:], rel=0.2)
    apart = state.model(priors, {}).acceptance(OLD_AND_YOUNG, ["app", "app"])
    assert apart[:, 2] == pytest.approx([0.15, 0.15])


def test_the_weights_of_a_group_fade_as_the_action_gets_outcomes_of_its_own():
    """All of the same average age, so that they say nothing about the weight of age."""
    pull = []
    for n in (0, 20, 200):
        rows = np.tile([[40.0, 3.0]], (n, 1))
        own = outcomes(rows, ["app"] * n, ["visit"] * n, [0.15] * n)
        state = state_of(the_older_accept(200, "call"), own)
        model = state.model(PRIORS | {"visit": (0.15, 10.0)}, GROUPS, WIDE)
        pull.append(model.weights[0, 2, 1])
    # 20 outcomes of its own halve the pull, and 200 leave 20 / 220 of it.
    assert pull[1] == pytest.approx(pull[0] / 2, rel=0.05)
    assert pull[2] == pytest.approx(pull[0] / 11, rel=0.2)


def test_own_outcomes_outweigh_those_of_the_group():
    n = 2_000
    rows = np.tile([[40.0, 3.0]], (n, 1))
    state = state_of(
        outcomes(rows, ["app"] * n, ["call"] * n, [1.0] * n),
        outcomes(rows, ["app"] * n, ["mail"] * n, [0.0] * n),
    )
    call, mail = state.model(PRIORS, dict.fromkeys(PRIORS, "all")).acceptance(rows[:1], ["app"])[0]
    assert call > 0.98 and mail < 0.02


# Experts that forget ---------------------------------------------------------------------------

FORGETS = {"ridge": RIDGE, "half_life_decisions": 50.0}


@pytest.mark.parametrize("forgetting_first", [False, True])
def test_an_expert_with_a_half_life_starts_from_the_one_without(forgetting_first):
    experts = [{"ridge": RIDGE}, FORGETS]
    state = state_of(
        some_outcomes(200, seed=7),
        params=plain(*(experts[::-1] if forgetting_first else experts)),
    )
    lasting, forgets = (1, 0) if forgetting_first else (0, 1)
    model = state.model(PRIORS, {}, WIDE)
    assert not np.allclose(model.weights[forgets], model.weights[lasting], atol=0.01)
    state.newest += 100 * 50.0  # all is forgotten, so only the start is left
    model = state.model(PRIORS, {}, WIDE)
    assert model.weights[forgets] == pytest.approx(model.weights[lasting], abs=1e-9)


@pytest.mark.parametrize("forgetting_first", [False, True])
def test_an_expert_with_a_half_life_equals_a_ridge_about_its_start(forgetting_first):
    told, experts = some_outcomes(120, seed=8), [{"ridge": RIDGE}, FORGETS]
    lasting, forgets = (1, 0) if forgetting_first else (0, 1)
    params = plain(*(experts[::-1] if forgetting_first else experts))
    model = state_of(told, params=params).model(PRIORS, {}, WIDE)
    faded = told.count * 2 ** ((told.at - told.at.max()) / 50.0)
    mine = np.array(told.actions) == "call"
    vectors = ENCODER.encode(told.rows, told.channels)[mine]
    start = model.weights[lasting, 0]
    pull = np.diag([posteriors.DRIFT_PRIOR, *[RIDGE] * (WIDTH - 1)])
    weighted = vectors * faded[mine][:, None]
    left = weighted.T @ vectors + pull
    right = weighted.T @ (told.acceptance[mine] - 0.3) + pull @ start
    assert model.weights[forgets, 0] == pytest.approx(np.linalg.solve(left, right), abs=1e-9)


# Variance --------------------------------------------------------------------------------------


def exact_variance(told: OutcomeBatch, action: str) -> np.ndarray:
    """v' (A + D)^-1 v of the visitors."""
    _, inverse = ridge(told, action, PRIORS[action])
    vectors = ENCODER.encode(*visitors(30))
    return np.einsum("ni,ij,nj->n", vectors, inverse, vectors)


def test_the_variance_is_exact_along_the_first_axes():
    """All axes are among the first ones."""
    assert WIDTH <= posteriors.EXACT_AXES
    told = some_outcomes(60, seed=9)
    model = state_of(told).model(PRIORS, {}, WIDE)
    found = deviation(model) ** 2
    rates = {action: told.acceptance[np.array(told.actions) == action].mean() for action in PRIORS}
    for index, (action, (prior, weight)) in enumerate(PRIORS.items()):
        share = weight / (weight + 0.7 * told.actions.count(action))
        p = share * prior + (1 - share) * rates[action]
        noise = model.dispersion * p * (1 - p)
        factor = (found[:, index] - noise * share**2 / weight) / exact_variance(told, action)
        assert factor == pytest.approx(factor[0], rel=1e-9)
        parameters = FEW_PARAMETERS * np.sqrt(noise * (1 - share) / factor[0] - 1)
        assert 2 < parameters < WIDTH  # so many that the priors do not tell


def test_the_diagonal_alone_is_not_exact(monkeypatch):
    told = some_outcomes(60, seed=9)
    monkeypatch.setattr(posteriors, "EXACT_AXES", 1)  # the covariance of one axis is diagonal
    found = deviation(state_of(told).model(PRIORS, {}, WIDE))[:, 0] ** 2
    factor = found / exact_variance(told, "call")
    assert np.ptp(factor) > 0.01 * factor.mean()


def rare_kind() -> tuple[BanditState, np.ndarray]:
    """'mail' was shown to everybody, 'call' never to the rare kind with many visits.

    Most customers are alike, and age tells nothing. Returned too: a usual and a rare customer.
    """
    rng, n = np.random.default_rng(10), 4_000
    rare = np.arange(n) % 40 == 0
    rows = np.column_stack([rng.normal(40.0, 10.0, n), np.where(rare, 9.0, 2.85)])
    actions = np.where(rare | (np.arange(n) % 2 == 0), "mail", "call")
    state = state_of(outcomes(rows, ["app"] * n, actions.tolist(), rng.integers(0, 2, n).tolist()))
    return state, np.array([[40.0, 2.85], [40.0, 9.0]])


def test_an_action_never_tried_with_a_rare_kind_of_customer_stays_uncertain_for_them():
    state, both = rare_kind()
    usual, rare = state.model(PRIORS).predict(both, ["app", "app"]).deviation
    assert rare[0] > 3 * rare[1]  # 'call' was never tried with them
    assert usual[0] < 2 * usual[1]
    assert rare[0] > 5 * usual[0]


def test_the_diagonal_alone_is_too_certain_of_a_rare_kind_of_customer(monkeypatch):
    state, both = rare_kind()
    exact = state.model(PRIORS).predict(both, ["app", "app"]).deviation
    monkeypatch.setattr(posteriors, "EXACT_AXES", 1)  # the covariance of one axis is diagonal
    alone = state.copied().model(PRIORS).predict(both, ["app", "app"]).deviation
    assert alone[1, 0] < exact[1, 0] / 1.5


def test_more_outcomes_make_the_deviation_smaller():
    few, many = state_of(some_outcomes(20, seed=11)), state_of(some_outcomes(2_000, seed=11))
    assert (deviation(many.model(PRIORS)) < deviation(few.model(PRIORS)) / 2).all()


def test_an_exploration_scale_scales_the_deviation_but_for_that_of_the_prior():
    told = some_outcomes(50, seed=12)
    none, one, twice = (
        deviation(
            state_of(told, params=plain({"ridge": RIDGE, "exploration_scale": scale})).model(PRIORS)
        )
        for scale in (1e-9, 1.0, 2.0)
    )
    assert twice**2 - none**2 == pytest.approx(4 * (one**2 - none**2))
    assert (none > 0).all()


COLD = {"a": (0.3, 30.0), "b": (0.02, 1000.0)}


@pytest.mark.parametrize("encoder", [ENCODER, Encoder.blank()])
def test_before_any_outcome_the_deviation_is_that_of_a_rate(encoder):
    """sqrt(p (1 - p) / weight): the standard error of so many outcomes."""
    model = BanditState(encoder, plain({"ridge": RIDGE})).model(COLD)
    rows = np.array([[50.0, 3.0]])[:, : len(encoder.features)]
    found = model.predict(rows, ["app"])
    assert found.acceptance[0] == pytest.approx([0.3, 0.02])
    assert found.deviation[0] == pytest.approx([0.083666, 0.0044272], rel=1e-4)


def test_a_cold_model_for_another_catalogue_is_the_cold_model_of_that():
    cold = BanditState(Encoder.blank(), plain({"ridge": RIDGE})).model({"a": (0.5, 3.0)})
    found = cold.for_priors(COLD).predict(np.empty((1, 0)), ["app"])
    assert found.acceptance[0] == pytest.approx([0.3, 0.02])
    assert found.deviation[0] == pytest.approx([0.083666, 0.0044272], rel=1e-4)


@pytest.mark.parametrize("n", [1, 30, 5_000])
def test_the_level_is_the_mean_of_prior_and_outcomes_by_their_weights(n):
    taught = (np.arange(n) % 4 == 0).astype(float)
    state = BanditState(Encoder.blank(), plain({"ridge": RIDGE}))
    state.learn(outcomes(np.empty((n, 0)), ["app"] * n, ["a"] * n, taught.tolist()))
    found = state.model(COLD).acceptance(np.empty((1, 0)), ["app"])[0]
    assert found == pytest.approx([(0.3 * 30 + taught.sum()) / (30 + n), 0.02], abs=1e-9)


def test_an_action_that_is_seldom_accepted_is_explored_less():
    n = 2_000
    state = BanditState(Encoder.blank(), plain({"ridge": RIDGE}))
    for action, every in (("a", 2), ("b", 50)):
        taught = (np.arange(n) % every == 0).astype(float).tolist()
        state.learn(outcomes(np.empty((n, 0)), ["app"] * n, [action] * n, taught))
    found = state.model({"a": (0.5, 10.0), "b": (0.02, 10.0)})
    a, b = found.predict(np.empty((1, 0)), ["app"]).deviation[0]
    assert (a / b) ** 2 == pytest.approx(0.5 * 0.5 / (0.02 * 0.98))
    alike = state.model(["a", "b"]).predict(np.empty((1, 0)), ["app"]).deviation[0]
    assert alike[0] == pytest.approx(alike[1])  # without priors: rewards of any unit


def test_priors_in_money_are_no_rates():
    """A reward has then the same noise for every action."""
    state = BanditState(Encoder.blank(), plain({"ridge": RIDGE}))
    state.learn(outcomes(np.empty((4, 0)), ["app"] * 4, ["a"] * 4, [0.0, 9.0, 0.0, 9.0]))
    model = state.model({"a": (4.0, 2.0), "b": (0.5, 8.0)}, {}, WIDE)
    assert model.dispersion is None
    found = model.predict(np.empty((1, 0)), ["app"]).deviation[0]
    assert found[1] == pytest.approx(np.sqrt(model.noise / 8))
    assert found[0] > found[1]


@pytest.mark.parametrize("count", [-1.0, -50.0])
def test_more_retracted_than_learned_leaves_numbers(count):
    """A retraction may come before its outcome; until then, A + D need not be positive."""
    state, early = state_of(some_outcomes(30, seed=13)), some_outcomes(10, seed=14)
    taught = early.acceptance.tolist()
    retraction = outcomes(early.rows, early.channels, early.actions, taught, count)
    state.learn(retraction)
    found = state.model(PRIORS).predict(*visitors(5))
    assert np.isfinite(found.acceptance).all()
    assert (found.deviation > 0).all()


# Solved again where something has changed ------------------------------------------------------


def one_by_one(told: OutcomeBatch) -> Iterator[OutcomeBatch]:
    for row in range(len(told.at)):
        here = slice(row, row + 1)
        yield OutcomeBatch(*(getattr(told, field.name)[here] for field in fields(told)))


@pytest.mark.parametrize("experts", [[{"ridge": RIDGE}], [{"ridge": RIDGE}, FORGETS]])
def test_incremental_solving_equals_solving_anew(monkeypatch, experts):
    for name, value in {"STALE": 0.0, "DRIFTED": 0.0, "WEIGHTS_GROWTH": 1.0}.items():
        monkeypatch.setattr(posteriors, name, value)
    params, told = plain(*experts), some_outcomes(150, seed=15)
    recorded = np.random.default_rng(16).random((150, len(experts) + 1))
    told = replace(told, expert_predictions=recorded)
    state = state_of(params=params)
    for part in one_by_one(told):
        state.learn(part)
        model = state.model(PRIORS, {}, WIDE)
    anew = state.copied().model(PRIORS, {}, WIDE)
    assert model.weights == pytest.approx(anew.weights, abs=1e-10)
    assert model.expert_weights == pytest.approx(anew.expert_weights, abs=1e-10)
    assert model.counted.tolist() == anew.counted.tolist()
    # The axes are older, so that the number of fitted parameters is another one.
    assert deviation(model) == pytest.approx(deviation(anew), rel=0.05)


def test_only_actions_with_outcomes_are_solved_again(monkeypatch):
    state, solved = state_of(some_outcomes(50, seed=17)), []
    state.model(PRIORS)
    solve = posteriors.LinearPosteriors._solve
    monkeypatch.setattr(
        posteriors.LinearPosteriors,
        "_solve",
        lambda self, *which: solved.append(which) or solve(self, *which),
    )
    state.learn(some_outcomes(3, seed=18, actions=["mail"]))
    state.model(PRIORS)
    assert solved == [(0, 1)]
    state.model(PRIORS)
    assert solved == [(0, 1)]
    state.model({"call": (0.3, 10.0), "mail": (0.2, 26.0)})
    assert solved == [(0, 1), (0, 0), (0, 1)]


def test_an_action_with_few_new_outcomes_is_not_solved_again_until_there_are_more():
    state, told = state_of(some_outcomes(4_000, seed=21)), some_outcomes(5, seed=22)
    before = state.model(PRIORS, {}, WIDE).weights.copy()
    state.learn(told)
    assert state.model(PRIORS, {}, WIDE).weights.tolist() == before.tolist()
    anew = state.copied().model(PRIORS, {}, WIDE)
    assert not np.allclose(anew.weights, before, atol=1e-6)
    state.learn(some_outcomes(100, seed=23))  # 1/40 of those that were known
    anew = state.copied().model(PRIORS, {}, WIDE)
    assert state.model(PRIORS, {}, WIDE).weights == pytest.approx(anew.weights, abs=1e-10)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_an_action_of_which_an_outcome_was_taken_back_is_solved_again_and_no_other(one_by_one):
    """However many outcomes it has; those that remain are solved as if there were no other."""
    told = some_outcomes(4_000, seed=21)
    state = state_of(told)
    before = state.model(PRIORS, {}, WIDE).weights.copy()
    places = np.flatnonzero(np.array(told.actions) == "mail")[: 1 if one_by_one else 3]
    columns = {field.name: np.array(getattr(told, field.name))[places] for field in fields(told)}
    back = OutcomeBatch(**columns | {"count": -np.ones(len(places))})
    state.learn(replace(back, actions=back.actions.tolist(), channels=back.channels.tolist()))
    weights = state.model(PRIORS, {}, WIDE).weights
    call, mail = (list(PRIORS).index(action) for action in ("call", "mail"))
    assert weights[:, call].tolist() == before[:, call].tolist()
    anew = state.copied().model(PRIORS, {}, WIDE).weights
    assert weights[:, mail] == pytest.approx(anew[:, mail], abs=1e-10)
    assert not np.allclose(weights[:, mail], before[:, mail], atol=1e-9)


def test_because_of_decay_alone_only_some_actions_are_solved_again_the_oldest_first(monkeypatch):
    monkeypatch.setattr(posteriors, "AT_ONCE", 2)
    names = [f"action {number}" for number in range(5)]
    state = state_of(
        some_outcomes(500, seed=24, actions=names), params=plain({"ridge": RIDGE}, FORGETS)
    )
    priors, solved = dict.fromkeys(names, (0.2, 10.0)), []
    state.model(priors)
    solve = posteriors.LinearPosteriors._solve
    monkeypatch.setattr(
        posteriors.LinearPosteriors,
        "_solve",
        lambda self, *which: solved.append(which) or solve(self, *which),
    )
    state.newest += 10.0 * FORGETS["half_life_decisions"]
    for _ in range(4):
        state.model(priors)
    assert sorted(solved) == [(1, number) for number in range(5)], "each once, 2 at a time"
    anew = state.copied().model(priors)
    assert state.model(priors).weights == pytest.approx(anew.weights, abs=1e-10)
    assert state.model(priors).drift == pytest.approx(anew.drift, abs=1e-12)


# Changed priors --------------------------------------------------------------------------------


def test_a_model_counts_the_outcomes_of_each_action_and_their_mean():
    told = outcomes(np.tile([[40.0, 3.0]], (30, 1)), ["app"] * 30, ["call"] * 30, [1.0] * 30)
    model = state_of(told).model(PRIORS)
    assert model.prior_weight.tolist() == [10.0, 25.0]
    assert model.counted.tolist() == [30.0, 0.0]
    assert model.rate == pytest.approx([1.0, np.nan], nan_ok=True)


@pytest.mark.parametrize("weight", [30.0, 3.0, 3_000.0])
@pytest.mark.parametrize("forgets", [False, True])
def test_a_changed_prior_replaces_the_earlier_one(weight, forgets):
    """20,000 outcomes at 0.05; the catalogue's prior is edited from 0.10 to 0.40."""
    n, channels = 20_000, ["app", "web"] * 10_000
    rows = np.random.default_rng(19).normal([40.0, 3.0], [10.0, 2.0], (n, 2))
    encoder = Encoder.fit(rows, ("age", "visits"), ("app", "web"), 12, on=channels)
    taught = (np.arange(n) % 20 == 0).astype(float).tolist()
    experts = [{"ridge": 100.0}, {"ridge": 100.0, "half_life_decisions": 6_000.0}]
    state = BanditState(encoder, plain(*experts[: 1 + forgets]))
    told = outcomes(rows, channels, ["call"] * n, taught, n_experts=2 + forgets)
    state.learn(told)
    before = state.model({"call": (0.10, 30.0)})
    edited = before.for_priors({"call": (0.40, weight)})
    anew = state.copied().model({"call": (0.40, weight)})
    now, expected = (one.predict(*visitors(30)) for one in (edited, anew))
    assert now.acceptance == pytest.approx(expected.acceptance, abs=0.0005)
    assert now.deviation == pytest.approx(expected.deviation, rel=0.02)
    level = (0.40 * weight + 0.05 * n) / (weight + n)
    assert before.acceptance(*visitors(5_000)).mean() == pytest.approx(0.05, abs=0.001)
    if not forgets:  # one that forgets has outcomes enough to differ from the prior
        assert edited.acceptance(*visitors(5_000)).mean() == pytest.approx(level, abs=0.001)
    assert edited.prior.tolist() == [0.40]


def test_a_changed_prior_of_an_action_without_outcomes_is_what_is_expected():
    model = state_of(some_outcomes(50, seed=20, actions=["call"])).model(PRIORS)
    priors = {"call": PRIORS["call"], "mail": (0.45, 25.0), "gift": (0.07, 2.0)}
    found = model.for_priors(priors).predict(*visitors(4))
    assert found.acceptance[:, 1:] == pytest.approx(np.tile([0.45, 0.07], (4, 1)))
    before = model.predict(*visitors(4))
    assert found.acceptance[:, 0] == pytest.approx(before.acceptance[:, 0])
    assert found.deviation[:, 0] == pytest.approx(before.deviation[:, 0])
    expected = [model.dispersion * 0.45 * 0.55 / 25, model.dispersion * 0.07 * 0.93 / 2]
    assert found.deviation[:, 1:] ** 2 == pytest.approx(np.tile(expected, (4, 1)))
