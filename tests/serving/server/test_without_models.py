"""A server decides without any model, from the priors of the catalogue, and says so."""

from __future__ import annotations

import pytest

from tests.serving.server.test_events import basket, send
from tests.serving.test_service import decide

pytestmark = pytest.mark.server


def test_without_models_the_server_decides_from_priors_and_says_so(first_day_server):
    send(first_day_server, basket("before-models", "without-models"))
    asked = {"customer_id": "without-models", "actions": ["fuel_points"]}
    answer = decide(first_day_server, **asked)
    assert answer["known"]
    assert answer["predictions"] == {"churn": None, "intent": None, "stage": None}
    assert any("churn: no champion in MLflow" in text for text in answer["degraded"])
    assert first_day_server.get("/readyz")[1]["status"] == "degraded"
    answers = [decide(first_day_server, **asked) for _ in range(40)]
    shown = [action for one in answers for action in one["actions"]]
    # Its prior in grocery.actions.yaml; shown with probability 0.97 or so each time.
    assert 0.08 in [action["acceptance"] for action in shown]
