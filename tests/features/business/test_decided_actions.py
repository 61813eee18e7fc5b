"""Reads the actions of a decision from its answer, or from what retention has left of it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from features.business.decided_actions import (
    decided_actions,
    is_removed,
    shortened_record,
    without_other_keys,
)

RECORD = json.dumps({"request": {"channel": "app"}, "attribution_days": {"call": 7.0, "mail": 3.0}})
ANSWER = json.dumps({"actions": [{"action_id": "call"}, {"action_id": "mail"}]})
SHORT = shortened_record(RECORD)


@pytest.mark.parametrize(
    ("first", "answer", "record", "actions", "removed"),
    [
        ("call", ANSWER, RECORD, ["call", "mail"], False),
        ("call", None, SHORT, ["call", "mail"], True),
        ("no_action", None, '{"attribution_days":{}}', ["no_action"], True),
        ("call", None, None, ["call"], False),  # imported
    ],
)
def test_the_actions_are_known_without_the_answer(first, answer, record, actions, removed):
    row = SimpleNamespace(action_id=first, answer=answer, record=record)
    assert (decided_actions(row), is_removed(row)) == (actions, removed)


def test_of_a_record_the_windows_stay():
    assert json.loads(SHORT) == {"attribution_days": {"call": 7.0, "mail": 3.0}}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"customer_id": "c1"}, {"customer_id": "c1"}),
        ({"identifiers": ["card:1"]}, {"identifiers": ["card:1"]}),
        ({"customer_id": "c1", "identifiers": ["card:2"]}, {"customer_id": "c1"}),
        ({"customer_id": "c9", "identifiers": ["c1"]}, {"identifiers": ["c1"]}),
        ({"identifiers": ["card:2", "c1"]}, {"identifiers": ["c1"]}),
    ],
)
def test_of_several_keys_of_a_request_the_one_of_the_decision_stays(sent, kept):
    assert without_other_keys(sent | {"channel": "app"}, "c1") == kept | {"channel": "app"}
