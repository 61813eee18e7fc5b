"""Predictions as sums in words: what is told, in which order, and that nothing is lost."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from features.errors import NothingAllowed
from features.journeys.model_input import ModelInput
from serving.contract.decisions import Explanation
from serving.decide.explanation import (
    LEAST_LOG_ODDS,
    explain_acceptance,
    explain_churn,
    explain_intent,
    exploration_share,
    exploration_text,
)
from training.bandit.encoder import Encoder
from training.bandit.exploration import InverseGapWeighting
from training.bandit.reward_model import RewardModel
from training.contributions import Contributions
from training.models.classifier import fit_classifier

AT_S = 1_780_000_000.0
DAY_S = 86_400.0
CLASSES = ("stay", "churn")


@pytest.fixture(scope="module")
def model_input(toy_domain) -> ModelInput:
    return ModelInput(toy_domain)


@pytest.fixture(scope="module")
def row(model_input) -> np.ndarray:
    """Of a customer who came 62 days ago, once; the plan is known, the age is not."""
    fold = model_input.fold
    state = fold.advance(fold.empty(), "visit", "app", AT_S - 62 * DAY_S, {})
    return np.array(model_input.read({"plan": "plus"}, state, AT_S))


def some(model_input: ModelInput, of: tuple[str, ...], **effects: list[float]) -> Contributions:
    """Contributions that are 0 but for the features named."""
    table = np.zeros((len(of), len(model_input.names)))
    for feature, added in effects.items():
        table[:, model_input.names.index(feature)] = added
    return Contributions(of, model_input.names, np.linspace(-1.0, 0.5, len(of)), table)


def churn_of(model_input: ModelInput, row: np.ndarray, **effects: float) -> Explanation:
    found = some(model_input, CLASSES, **{name: [0.0, added] for name, added in effects.items()})
    return explain_churn(found, model_input, row)


# Churn -----------------------------------------------------------------------------------------


def test_the_strongest_come_first_in_words_with_units(model_input, row):
    told = churn_of(
        model_input, row, plan=-0.3, visit_silence_days=0.9, age_years=0.2, order_silence_days=0.1
    )
    assert [one.text for one in told.strongest] == [
        "62 days since the last visit: makes churn more likely",
        "plan is plus: makes churn less likely",
        "nothing known about age in years: makes churn more likely",
        "no order yet (time since the last order): makes churn more likely",
    ]
    assert [(one.feature, one.value, one.unit, one.effect) for one in told.strongest] == [
        ("visit_silence_days", 62.0, "days", 0.9),
        ("plan", "plus", "category", -0.3),
        ("age_years", None, "years", 0.2),
        ("order_silence_days", None, "days", 0.1),
    ]
    assert (told.of, told.scale) == ("churn", "log odds before calibration")


def test_the_sum_is_kept_although_not_all_is_told(model_input, row):
    many = {name: 0.1 + index / 100 for index, name in enumerate(model_input.names[:20])}
    told = churn_of(model_input, row, **many)
    assert [one.feature for one in told.strongest] == list(reversed(model_input.names[15:20]))
    whole = told.baseline + sum(one.effect for one in told.strongest) + told.others
    assert whole == pytest.approx(0.5 + sum(many.values()))


def test_what_hardly_matters_is_not_told_but_counted(model_input, row):
    told = churn_of(model_input, row, plan=LEAST_LOG_ODDS, events_n=0.99 * LEAST_LOG_ODDS)
    assert [one.feature for one in told.strongest] == ["plan"]
    assert told.others == pytest.approx(0.99 * LEAST_LOG_ODDS)


def test_nothing_that_matters_is_an_explanation_too(model_input, row):
    told = churn_of(model_input, row)
    assert (told.strongest, told.baseline, told.others) == ((), 0.5, 0.0)


def test_how_many_are_told_can_be_chosen(model_input, row):
    found = some(model_input, CLASSES, plan=[0, 1.0], events_n=[0, -2.0], sessions_n=[0, 0.5])
    told = explain_churn(found, model_input, row, most=2)
    assert [one.feature for one in told.strongest] == ["events_n", "plan"]


def test_an_explanation_goes_into_an_answer_and_cannot_be_changed(model_input, row):
    told = churn_of(model_input, row, plan=-0.3, age_years=0.2)
    sent = json.loads(told.model_dump_json())
    assert sent["strongest"][1] == {
        "feature": "age_years",
        "value": None,
        "unit": "years",
        "effect": 0.2,
        "text": "nothing known about age in years: makes churn more likely",
    }
    assert Explanation.model_validate(sent) == told
    with pytest.raises(ValidationError, match="frozen"):
        told.of = "intent"


def test_a_trained_model_is_explained_by_what_it_learned(model_input):
    """Silent customers leave; the explanation names that feature and no other."""
    rng = np.random.default_rng(5)
    silent = model_input.names.index("visit_silence_days")
    x = rng.normal(size=(1_500, len(model_input.names)))
    x[:, silent] = rng.uniform(0, 100, len(x))
    x[:, model_input.names.index("plan")] = rng.integers(0, 2, len(x))
    y = (x[:, silent] > 50).astype(np.int64)
    halves = [(np.arange(750), np.arange(750, 1_500))]
    params = {"rounds": 20, "num_leaves": 4, "learning_rate": 0.3}
    model = fit_classifier(x, y, halves, model_input.names, CLASSES, params, seed=1)
    late, early = (
        explain_churn(model.contributions(customer), model_input, customer)
        for customer in (x[x[:, silent].argmax()], x[x[:, silent].argmin()])
    )
    assert late.strongest[0].text == "100 days since the last visit: makes churn more likely"
    assert early.strongest[0].feature == "visit_silence_days"
    assert early.strongest[0].text.endswith("makes churn less likely")


# Intent ----------------------------------------------------------------------------------------


def test_an_intent_is_told_against_the_others_the_likeliest_first(model_input, row):
    found = some(
        model_input,
        ("small", "very_big"),
        plan=[0.5, 1.5],
        # Lifts both alike: it says nothing about which of them it will be.
        events_n=[2.0, 2.0],
    )
    told = explain_intent(found, {"small": 0.25, "very_big": 0.75}, model_input, row)
    assert list(told) == ["very_big", "small"]
    # Against the average of 0.25 x 0.5 + 0.75 x 1.5 = 1.25.
    assert [(one.feature, one.effect) for one in told["very_big"].strongest] == [("plan", 0.25)]
    assert [(one.feature, one.effect) for one in told["small"].strongest] == [("plan", -0.75)]
    text = "plan is plus: makes the intent 'very big' more likely"
    assert told["very_big"].strongest[0].text == text
    assert told["small"].strongest[0].text.endswith("makes the intent 'small' less likely")
    assert told["small"].scale == "log odds against the average intent, before calibration"


# Acceptance ------------------------------------------------------------------------------------


@pytest.fixture
def reward() -> RewardModel:
    encoder = Encoder(
        ("visit_silence_days", "plan"), ("app", "phone"), np.array([30.0, 0.5]), np.array([16, 0.5])
    )
    weights = np.array([[0.01, -0.021, 0.004, 0.12, 0.0], [0.0, 0.0, 0.06, -0.01, 0.2]])
    return RewardModel(
        encoder,
        ("call_back", "discount"),
        prior=np.array([0.2, 0.1]),
        prior_weight=np.ones(2),
        counted=np.zeros(2),
        rate=np.full(2, np.nan),
        weights=weights[None],
        variance=np.zeros((2, 5)),
        covariance=np.zeros((2, 5, 5)),
        noise=0.0,
        basis=np.eye(5),
        expert_weights=np.array([1.0, 0.0]),
    )


def read_by(reward: RewardModel, model_input: ModelInput, row: np.ndarray) -> np.ndarray:
    return row[[model_input.names.index(name) for name in reward.encoder.features]]


def test_acceptance_is_told_in_percentage_points_channel_and_all(model_input, row, reward):
    found = reward.contributions(read_by(reward, model_input, row), "app")
    told = explain_acceptance(found, "app", model_input, row)
    assert [one.text for one in told["call_back"].strongest] == [
        "the decision is for the channel app: raises the acceptance by 12 percentage points",
        "62 days since the last visit: lowers the acceptance by 4.2 percentage points",
    ]
    [plan, channel] = told["discount"].strongest
    assert plan.text == "plan is plus: raises the acceptance by 6 percentage points"
    assert channel.text.endswith("lowers the acceptance by 1 percentage point")
    assert (channel.value, channel.unit) == ("the channel app", "category")


def test_the_told_sum_is_the_acceptance_of_the_model(model_input, row, reward):
    mine = read_by(reward, model_input, row)
    told = explain_acceptance(reward.contributions(mine, "phone"), "phone", model_input, row)
    sums = [
        one.baseline + sum(part.effect for part in one.strongest) + one.others
        for one in told.values()
    ]
    assert sums == pytest.approx(reward.acceptance(mine[None, :], ("phone",))[0], abs=1e-12)


def test_only_the_actions_asked_for_are_told(model_input, row, reward):
    mine = read_by(reward, model_input, row)
    found = reward.contributions(mine, "app", ["discount"])
    assert list(explain_acceptance(found, "app", model_input, row)) == ["discount"]


def test_a_model_that_reads_the_other_channels_too_is_told_as_it_is(model_input, row):
    found = Contributions(("a",), ("channel=phone",), np.array([0.1]), np.array([[-0.02]]))
    [one] = explain_acceptance(found, "app", model_input, row)["a"].strongest
    assert one.text.startswith("the decision is for another channel than phone: lowers")


# Exploration -----------------------------------------------------------------------------------


def test_exploration_is_what_is_left_of_the_best():
    priorities = np.array([1.0, 3.0, np.nan, 0.0])
    chances = InverseGapWeighting(gamma=2.0).probabilities(priorities)
    share = exploration_share(chances, priorities)
    # Three allowed, gaps of 2 and 3: 1 / (3 + 4) + 1 / (3 + 6).
    assert share == pytest.approx(1 / 7 + 1 / 9)
    text = "To learn, 25% of such decisions take another action than the best."
    assert exploration_text(share) == text


def test_two_that_are_best_together_are_no_exploration_of_each_other():
    share = exploration_share(np.array([0.45, 0.45, 0.1]), np.array([2.0, 2.0, 0.0]))
    assert share == pytest.approx(0.1)


def test_a_certain_decision_explores_nothing():
    # The sum of the others leaves a rounding error.
    share = exploration_share(np.array([1.0 - 1e-16, 0.0]), np.array([1.0, np.nan]))
    assert 0.0 <= share < 1e-12
    assert exploration_text(share).startswith("Nothing is tried out")


def test_where_nothing_is_allowed_nothing_can_be_told():
    with pytest.raises(NothingAllowed, match="no allowed candidate"):
        exploration_share(np.zeros(2), np.full(2, np.nan))
