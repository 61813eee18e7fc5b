"""The steps of `nba guardrails` answer as the routes do."""

from __future__ import annotations

import pytest

from features.errors import InvalidRequest, InvalidSetting
from serving.cli.guardrails.steps import lift_one, read_guardrails
from tests.conftest import TOY


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NBA_HOME", str(tmp_path))
    monkeypatch.setenv("NBA_DOMAIN", str(TOY / "domain.yaml"))
    monkeypatch.setenv("NBA_ACTIONS", str(TOY / "actions.yaml"))


def test_a_catalogue_without_guardrails_has_nothing_to_show():
    found = read_guardrails({"stops": "all"})
    assert (found.guardrails, found.stops) == ([], [])


def test_what_is_wrong_is_told():
    with pytest.raises(InvalidSetting, match="stops is 'then'"):
        read_guardrails({"stops": "then"})
    with pytest.raises(InvalidRequest, match="there is none"):
        lift_one({"guardrail": "g", "action_id": "a", "cause": "c"})
