"""The expectations of a business, and under which conditions they hold."""

import pytest
from pydantic import ValidationError

from features.business.experiment.prior import ConditionalPrior, Prior

NAN = {"adds": float("nan")}


def test_a_condition_has_an_acceptance_and_a_weight_of_its_own():
    said = {"when": "context_page == 'data'", "acceptance": 0.2}
    more = said | {"weight": 10, "adds": -1.5}
    prior = Prior.model_validate({"acceptance": 0.05, "where": [said, more]})
    assert prior.where[0] == ConditionalPrior(**said, weight=300.0, adds=None)
    assert prior.where[1].adds == -1.5 and "adds" not in prior.where[0].model_dump_json()
    assert (prior.where[1].weight, prior.weight) == (10.0, 30.0)
    assert Prior.model_validate_json(prior.model_dump_json()) == prior


def test_a_prior_of_before_is_written_as_before():
    assert Prior(acceptance=0.05).model_dump_json() == '{"acceptance":0.05,"weight":30.0}'
    assert Prior(acceptance=0.05, adds=0.0).model_dump_json().endswith('"adds":0.0}')


@pytest.mark.parametrize(
    "wrong", [{"acceptance": 1.0}, {"weight": 0}, {"if": "True"}, {"when": 3}, NAN]
)
def test_what_is_no_conditional_prior_is_refused(wrong):
    with pytest.raises(ValidationError):
        ConditionalPrior.model_validate({"when": "churn > 0.5", "acceptance": 0.1} | wrong)
