"""Rules that all requests share: a customer is named, and no field is unknown."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serving.contract.requests import About, Error


def test_a_customer_is_named_by_id_or_by_identifiers():
    assert About(customer_id="c1").identifiers == ()
    assert About(identifiers=("email:a@b.it",)).customer_id is None
    with pytest.raises(ValidationError, match="customer_id and identifiers are both missing"):
        About()


def test_an_unknown_field_is_refused_and_not_ignored():
    with pytest.raises(ValidationError, match="custommer_id"):
        About.model_validate({"customer_id": "c1", "custommer_id": "c2"})


def test_a_request_does_not_change_once_it_is_read():
    request = About(customer_id="c1")
    with pytest.raises(ValidationError, match="frozen"):
        request.customer_id = "c2"


def test_an_error_is_one_sentence_under_one_key():
    assert Error(error="channel is missing. Send it.").model_dump() == {
        "error": "channel is missing. Send it."
    }
