"""A domain file says what a customer is worth."""

import pytest

from features.business.experiment.objective import Objective, RemainingValue
from features.errors import InvalidDomain

ORDER = "order.amount_eur"


def measured(toy_domain):
    content = toy_domain.model_dump(mode="json")
    content["events"]["order"]["properties"]["amount_eur"]["measures"] = "spend"
    return toy_domain.model_validate(content)


@pytest.mark.parametrize(
    ("margin", "share"),
    [(None, 1.0), (0.3, 0.3), ("amount_eur", 1.0), ({ORDER: -2}, -2.0)],
)
def test_the_margin_is_a_share_a_property_or_several_shares(toy_domain, margin, share):
    objective = Objective() if margin is None else Objective(margin=margin)
    assert objective.shares(measured(toy_domain).events) == {"order": {"amount_eur": share}}


def test_only_what_measures_spend_has_a_margin_by_itself(toy_domain):
    assert Objective().shares(toy_domain.events) == {}
    assert Objective(margin="amount_eur").shares(toy_domain.events) != {}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (12, RemainingValue(otherwise=12)),
        ("age_years", RemainingValue(attribute="age_years")),
        (
            {"attribute": "age_years", "times": 3, "otherwise": 1},
            RemainingValue(attribute="age_years", times=3, otherwise=1),
        ),
    ],
)
def test_the_remaining_value_is_a_number_or_an_attribute(toy, written, read):
    assert toy(objective={"remaining_value": written}).objective.remaining_value == read


def test_without_the_key_nobody_takes_anything_along(toy_domain):
    assert toy_domain.objective == Objective()
    assert toy_domain.objective.remaining_value == RemainingValue()
    assert toy_domain.objective.horizon_days == 28


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("margin", "amount_er", "is 'amount_er'. Expected one of amount_eur. Did you mean 'amount"),
        ("margin", {"order.amont": 1}, "Expected some of order.amount_eur; not order.amont. Did"),
        ("margin", {ORDER: 0}, "objective.margin.order.amount_eur is 0. Expected a share from -10"),
        ("margin", {ORDER: 11}, "is 11. Expected a share from -10 to 10 that is not 0; that of a"),
        ("margin", {ORDER: True}, "objective.margin.order.amount_eur is true. Expected a"),
        ("margin", 0, "objective.margin is 0. Expected a share of what is spent (greater than 0"),
        ("margin", 1.5, "objective.margin is 1.5. Expected a share of what is spent"),
        ("margin", [1], "objective.margin is [1]. Expected a share of what is spent"),
        ("margin", "Amount", "objective.margin is 'Amount'. Expected a share of what is spent"),
        ("remaining_value", -1, "objective.remaining_value is -1. Expected a number from 0 to"),
        ("remaining_value", "age_year", "Expected one of age_years. Did you mean 'age_years'?"),
        ("remaining_value", "plan", "objective.remaining_value is 'plan'. Expected one of age"),
        ("remaining_value", [], "objective.remaining_value is []. Expected a number from 0 to"),
        (
            "remaining_value",
            {"atribute": "age_years"},
            "objective.remaining_value.atribute is 'age_years'. Expected one of the keys "
            "attribute, times, otherwise. Did you mean 'attribute'?",
        ),
        ("remaining_value", {"attribute": "age_years", "times": 0}, "remaining_value.times is 0."),
        ("horizon_days", 0, "objective.horizon_days is 0. Expected an integer"),
        ("horizon", 3, "objective.horizon is 3. Expected one of the keys margin, remaining_value,"),
    ],
)
def test_a_mistake_is_named_once_with_its_line_and_remedy(toy, key, value, said):
    with pytest.raises(InvalidDomain) as caught:
        toy(objective={key: value})
    assert said in str(caught.value)
    assert ", line " in str(caught.value)
    assert "mistakes" not in str(caught.value)
