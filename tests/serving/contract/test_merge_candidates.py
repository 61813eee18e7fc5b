"""A request about merge candidates is a list or a whole decision."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serving.contract.merge_candidates import MergeCandidatesRequest

WHOLE = {"left": "c1", "right": "c2", "decision": "refuse", "cause": "brother and sister"}


def test_an_empty_request_lists_the_first_open_candidates():
    request = MergeCandidatesRequest()
    assert (request.status, request.limit, request.after) == ("open", 50, None)
    assert request.decision is None


def test_a_decision_has_all_four_fields():
    assert MergeCandidatesRequest.model_validate(WHOLE).decision == "refuse"
    for name in WHOLE:
        half = {one: value for one, value in WHOLE.items() if one != name}
        with pytest.raises(ValidationError, match=f"a decision also needs {name}"):
            MergeCandidatesRequest.model_validate(half)


@pytest.mark.parametrize("name", ["status", "limit", "after"])
def test_a_filter_does_not_belong_to_a_decision(name):
    value = {"status": "open", "limit": 50, "after": "1 c1 c2"}[name]
    with pytest.raises(ValidationError, match=f"a decision has no {name}"):
        MergeCandidatesRequest.model_validate(WHOLE | {name: value})


@pytest.mark.parametrize(
    "wrong", [{"limit": 0}, {"limit": 201}, {"after": "a\x00b"}, {"cause": ""}, {"status": "all"}]
)
def test_values_have_bounds(wrong):
    with pytest.raises(ValidationError):
        MergeCandidatesRequest.model_validate(wrong)
