"""The period of a lift has an order."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serving.contract.lift import LiftRequest

EARLY, LATE = "2026-11-01T00:00:00Z", "2026-11-08T00:00:00Z"


def test_a_period_may_be_open_at_either_end():
    assert LiftRequest().since is None
    assert LiftRequest.model_validate({"since": EARLY}).until is None
    assert LiftRequest.model_validate({"until": LATE}).since is None


@pytest.mark.parametrize("until", [EARLY, "2026-10-31T00:00:00Z"])
def test_a_period_that_ends_before_it_begins_is_refused(until):
    with pytest.raises(ValidationError, match="until is not after since; send a later one"):
        LiftRequest.model_validate({"since": EARLY, "until": until})
