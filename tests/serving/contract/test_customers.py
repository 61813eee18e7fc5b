"""Requests about a customer: bounds, and the field whose name has changed."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from serving.contract.customers import CustomerRequest, ForgetRequest, LinkRequest


def test_forgetting_is_the_default_and_readmitting_is_asked_for():
    assert not ForgetRequest(customer_id="c1").readmit
    assert ForgetRequest.model_validate_json('{"customer_id": "c1", "readmit": true}').readmit


@pytest.mark.parametrize("value", [True, False, None])
def test_the_old_name_of_readmit_is_refused_and_the_new_one_named(value):
    with pytest.raises(ValidationError, match='lift is not a field .*; send "readmit"'):
        ForgetRequest.model_validate_json(json.dumps({"customer_id": "c1", "lift": value}))


def test_a_request_that_is_no_object_is_still_refused_as_such():
    with pytest.raises(ValidationError, match="valid dictionary|Input should be an object"):
        ForgetRequest.model_validate_json('"lift"')


@pytest.mark.parametrize("limit", [0, 201])
def test_a_page_of_the_timeline_has_1_to_200_entries(limit):
    with pytest.raises(ValidationError, match="limit"):
        CustomerRequest(customer_id="c1", limit=limit)


def test_a_link_needs_two_keys_and_a_cause_that_the_database_can_keep():
    assert LinkRequest(keys=("h1", "email:a@b.it"), cause="told an agent").keys[0] == "h1"
    for keys, cause in ((["h1"], "told"), (["h1", "h2"], ""), (["h1", "h2"], "a\x00b")):
        with pytest.raises(ValidationError):
            LinkRequest.model_validate({"keys": keys, "cause": cause})


def test_an_erasure_is_asked_for_by_its_id_alone():
    assert ForgetRequest(erasure_id="0a1b").customer_id is None
    for sent in (
        {},
        {"erasure_id": "0a1b", "customer_id": "h1"},
        {"erasure_id": "0a1b", "readmit": True},
        {"erasure_id": "a\x00b"},
    ):
        with pytest.raises(ValidationError, match="send|pattern"):
            ForgetRequest.model_validate(sent)


def test_a_confirmation_belongs_to_an_erasure_only():
    assert ForgetRequest(customer_id="c1", confirm=("c1", "c2")).confirm == ("c1", "c2")
    for more in ({"customer_id": "c1", "readmit": True}, {"erasure_id": "0a1b"}):
        with pytest.raises(ValidationError, match="confirm|send it alone"):
            ForgetRequest.model_validate({"confirm": ["c1", "c2"], **more})
