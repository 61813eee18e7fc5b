"""An evaluation can be answered without figures, and is read again as it was written."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serving.contract.evaluation import EstimateView, EvaluationView

UNSUPPORTED = EstimateView(
    method="snips", value=None, low=None, high=None, effective_decisions=3.5, note="too few"
)


def test_an_estimate_without_support_has_no_figures_but_a_note():
    view = EvaluationView(
        currency="eur",
        decisions=40,
        customers=30,
        several_slots=0,
        decided=0.2,
        estimates=[UNSUPPORTED],
        gain=None,
        shares=[],
        verdict="Not enough support: too few",
        remarks=[],
    )
    assert EvaluationView.model_validate_json(view.model_dump_json()) == view
    assert view.estimates[0].value is None


def test_an_estimate_says_its_effective_sample_size():
    content = UNSUPPORTED.model_dump()
    del content["effective_decisions"]
    with pytest.raises(ValidationError, match="effective_decisions"):
        EstimateView.model_validate(content)
