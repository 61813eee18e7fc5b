"""Reads the actions of a decision from its answer, or from what retention has left of it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from features.business.decided_actions import (
    Beliefs,
    decided_actions,
    first_slot_chances,
    is_removed,
    read_windows,
    shortened_record,
    shown_beliefs,
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


# What was believed --------------------------------------------------------------------------------

floats = st.floats(allow_nan=True, allow_infinity=True, width=64)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_beliefs_come_back_to_the_bit(data):
    n_actions = data.draw(st.integers(0, 20))
    positions = sorted(
        data.draw(st.sets(st.integers(0, max(n_actions - 1, 0)), max_size=n_actions))
    )
    positions = positions if n_actions else []
    n, n_experts = len(positions), data.draw(st.integers(1, 4))
    shown = data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=3)) if n else []

    def drawn(count):
        return np.array(data.draw(st.lists(floats, min_size=count, max_size=count)), dtype="<f8")

    beliefs = Beliefs(
        n_actions=n_actions,
        allowed=np.array(positions, dtype=np.intp),
        acceptance=drawn(n),
        deviation=drawn(n),
        probability=drawn(n + 1),
        shown=np.array(shown, dtype=np.intp),
        experts=drawn(len(shown) * n_experts).reshape(len(shown), n_experts),
        effects=drawn(4 * n).reshape(4, n) if data.draw(st.booleans()) else None,
    )
    packed = beliefs.to_bytes()
    found = Beliefs.from_bytes(packed)
    names = ("allowed", "acceptance", "deviation", "probability", "shown", "experts")
    assert (found.effects is None) == (beliefs.effects is None)
    for name in (*names, *(["effects"] if beliefs.effects is not None else [])):
        assert getattr(found, name).tobytes() == getattr(beliefs, name).tobytes(), name
        assert getattr(found, name).shape == getattr(beliefs, name).shape
    assert found.n_actions == n_actions
    # A head of 7 bytes, a bit for each action, and 24 bytes for each candidate; 56 with effects.
    each = 24 if beliefs.effects is None else 56
    size = 7 + -(-n_actions // 8) + each * n + 8 + len(shown) * (2 + 8 * n_experts)
    assert len(packed) == size
    chances = np.zeros(n_actions + 1)
    chances[[*positions, n_actions]] = beliefs.probability
    assert first_slot_chances([packed, packed]).tobytes() == chances.tobytes() * 2
    record = {"attribution_days": {str(one): 1.0 for one in shown}}
    told = shown_beliefs(row_of(record, packed), record)
    accepted = [acceptance for acceptance, _ in told.values()]
    assert np.array(accepted).tobytes() == beliefs.acceptance[shown].tobytes()


def row_of(record, believed=b"packed"):
    return SimpleNamespace(record=to_json(record).decode(), believed=believed)


@pytest.mark.parametrize(
    "record",
    [
        {"features_layout": "f", "attribution_days": {"a": 1.5}, "removed": {"b": "dates"}},
        {"features_layout": "f", "attribution_days": {}, "removed": {}, "seed": "s"},
        {"features_layout": "f", "attribution_days": {"removed": 2.0, "x": 1.0}},
        {
            "request": {"context": {"page": ',"removed":{', "x": 1, "removed": "y"}},
            "paces": {"p": 1, "removed": {"spent": 3}},
            "features_layout": "f",
            "attribution_days": {"a": 1.0, "removed": 2.0},
            "removed": {"removed": "eligibility", "z": "dates"},
        },
    ],
)
def test_the_windows_of_a_record_are_read_without_what_was_removed(record):
    found = read_windows(row_of(record))
    for name in ("features_layout", "attribution_days"):
        assert found[name] == record[name]


def test_most_of_a_record_with_many_removed_actions_is_not_parsed():
    record = {"attribution_days": {"a": 1.0}, "removed": {"b": "dates"}, "seed": "s"}
    assert read_windows(row_of(record)) == {"attribution_days": {"a": 1.0}}
    assert read_windows(row_of(record, believed=None)) == record


def test_beliefs_of_a_later_program_or_with_missing_bytes_are_refused():
    packed = Beliefs(
        n_actions=9,
        allowed=np.array([2, 7]),
        acceptance=np.array([0.1, 0.2]),
        deviation=np.zeros(2),
        probability=np.array([0.25, 0.25, 0.5]),
        shown=np.array([1]),
        experts=np.array([[0.3, 0.4]]),
    ).to_bytes()
    for wrong in (b"\x03" + packed[1:], *(packed[:end] for end in range(len(packed)))):
        with pytest.raises(ValueError, match="beliefs of"):
            Beliefs.from_bytes(wrong)
        with pytest.raises(ValueError, match="beliefs of"):
            first_slot_chances([packed, wrong])
