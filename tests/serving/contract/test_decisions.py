"""Bounds of requests that no single field's type can tell."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from serving.contract.decisions import MAX_CONTEXT_DEPTH, DecideRequest, differing_field


def asked(context: bytes) -> DecideRequest:
    body = b'{"customer_id": "c1", "channel": "app", "context": %s}' % context
    return DecideRequest.model_validate_json(body)


def nested(depth: int) -> bytes:
    return b'{"a": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize("depth", [MAX_CONTEXT_DEPTH + 1, 198, 200])
def test_a_context_that_is_nested_too_deep_is_refused(depth):
    """The deepest that a parser lets in could not be read back from within the log's record."""
    with pytest.raises(ValidationError, match="is nested more than 20 deep; send it flatter"):
        asked(nested(depth))


def test_the_deepest_context_can_be_logged_and_read_again():
    context = asked(nested(MAX_CONTEXT_DEPTH)).context
    assert from_json(to_json({"record": {"request": {"context": context}}}))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-1e400", "1" + "0" * 400])
@pytest.mark.parametrize("place", ['{"a": %s}', '{"a": {"b": [0, %s]}}'])
def test_a_number_of_the_context_that_a_float_cannot_hold_is_refused(number, place):
    """The log would keep null in its place, and repeating the decision would give another one."""
    with pytest.raises(ValidationError, match="has a number that is not finite"):
        asked((place % number).encode())


def test_an_ordinary_context_stays_as_it_is():
    context = {"page": "offers", "cart": 17.5, "items": [1, 2], "new": True, "ref": None}
    assert asked(json.dumps(context).encode()).context == context


@pytest.mark.parametrize("channel", ["", " \t"])
def test_a_blank_channel_is_refused_as_an_empty_text(channel):
    with pytest.raises(ValidationError, match="at least 1 character"):
        DecideRequest(customer_id="c1", channel=channel)
    assert DecideRequest(customer_id="c1", channel=" APP\t").channel == "app"


@pytest.mark.parametrize(
    ("then", "now", "differs"),
    [
        ('{"a": {"b": null}}', '{"a": {}}', False),
        ('{"a": [1, 2.0]}', '{"a": [1.0, 2]}', False),
        ('{"a": 12345678901234567890123}', '{"a": 12345678901234567890123}', False),
        ('{"a": [true]}', '{"a": [1]}', True),
        ('{"a": {"b": 0}}', '{"a": {}}', True),
        ('{"a": [1, 2]}', '{"a": [2, 1]}', True),
    ],
)
def test_contexts_are_compared_by_their_values(then, now, differs):
    kept = from_json(to_json(asked(then.encode())))
    assert differing_field(asked(now.encode()), kept) == ("context.a" if differs else None)
