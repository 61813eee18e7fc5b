"""The shared event types stand before those of the business, in its currency."""

from __future__ import annotations

import pytest

from features.business.vocabulary import shared_names, with_vocabulary


def test_the_event_types_that_are_named_are_put_in():
    content = {"currency": "eur", "vocabulary": ["purchase"], "events": {"left": {"journey": "x"}}}
    full = with_vocabulary(content)
    assert list(full["events"]) == ["purchase", "left"]
    assert "amount_eur" in full["events"]["purchase"]["properties"]
    assert list(full["journeys"]) == ["purchase"]
    assert content["events"] == {"left": {"journey": "x"}}


def test_without_the_key_nothing_is_put_in():
    for content in ({"events": {}}, {"vocabulary": []}, {"vocabulary": "all", "events": 3}, None):
        assert with_vocabulary(content) is content


def test_all_names_that_are_unknown_are_refused():
    with pytest.raises(ValueError, match=r"vocabulary: some of nps, .*; not visits, nsp"):
        with_vocabulary({"vocabulary": ["visits", "call", "nsp"]})


def test_the_shared_names_are_those_of_the_word_all():
    content = {"currency": "eur", "vocabulary": "all", "events": {}}
    assert list(shared_names()) == list(with_vocabulary(content)["events"])
