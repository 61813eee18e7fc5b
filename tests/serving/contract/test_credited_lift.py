"""Credited rewards are told without a figure while there is none."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serving.contract.credited_lift import CreditedArm


def test_a_mean_may_be_unknown_and_a_count_may_not():
    arm = {"customers": 0, "decisions": 0, "reward_per_customer": None, "reward_per_decision": None}
    assert CreditedArm.model_validate(arm).reward_per_customer is None
    with pytest.raises(ValidationError, match="customers"):
        CreditedArm.model_validate(arm | {"customers": None})
