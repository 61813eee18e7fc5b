"""Requests about guardrails say which stop is lifted, and why."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serving.contract.guardrails import GuardrailsRequest, LiftStopRequest

WHOLE = {"guardrail": "complaints", "action_id": "call_back", "cause": "another wording"}


def test_an_empty_request_asks_for_the_stops_of_now():
    assert GuardrailsRequest().stops == "now"
    with pytest.raises(ValidationError, match="stops"):
        GuardrailsRequest.model_validate({"stops": "open"})


@pytest.mark.parametrize("missing", WHOLE)
def test_a_stop_is_lifted_by_its_names_and_with_a_cause(missing):
    assert LiftStopRequest.model_validate(WHOLE).action_id == "call_back"
    with pytest.raises(ValidationError, match=missing):
        LiftStopRequest.model_validate({k: v for k, v in WHOLE.items() if k != missing})


@pytest.mark.parametrize("wrong", [{"guardrail": ""}, {"action_id": "a\x00"}, {"cause": "c" * 501}])
def test_names_and_causes_have_bounds(wrong):
    with pytest.raises(ValidationError):
        LiftStopRequest.model_validate(WHOLE | wrong)
