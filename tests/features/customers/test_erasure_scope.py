"""An erasure of several named keys is confirmed by naming them all."""

from __future__ import annotations

import pytest

from features.customers.erasure_scope import Confirmation, asked_keys, customers_of
from features.errors import CustomerForgotten, IdentityUnknown, InvalidKey, NotConfirmed
from features.identity import links
from features.identity.keys import KeyNormalizer
from features.identity.tombstones import add_tombstones
from features.ledger import tables
from tests.features.erasing import known
from tests.features.live import NOW, SHOP, add, decision, stored

NORMALIZER = KeyNormalizer(SHOP)
MERGED = ["c2", "c1", "card:1", "email:a@b.it", "cookie:x"]


def named(*customers, confirm=()):
    """Named keys that have to be repeated; empty if the erasure may begin."""
    try:
        Confirmation(NORMALIZER, confirm).check(customers)
    except NotConfirmed as error:
        return error.named
    return []


def test_a_customer_with_one_named_key_needs_no_confirmation():
    assert named(["c1", "card:1", "card:2", "email:a@b.it", "cookie:x"]) == []
    assert named(["card:1", "cookie:x", "cookie:y"]) == []
    assert named(["cookie:x"]) == []


def test_all_keys_of_the_strongest_kind_have_to_be_named():
    assert named(MERGED) == ["c1", "c2"]
    assert named(["card:9", "card:1", "cookie:x"]) == ["card:1", "card:9"]


def test_several_customers_who_are_not_merged_have_to_be_named_too():
    assert named(["c1", "card:1"], ["email:a@b.it"]) == ["c1", "email:a@b.it"]


@pytest.mark.parametrize("confirm", [["c1", "c2"], ["c2", "c1"], ("c1", "c2", "c1")])
def test_the_list_may_be_repeated_in_any_order(confirm):
    assert named(MERGED, confirm=confirm) == []


@pytest.mark.parametrize("confirm", [["c1"], ["c1", "c3"], ["c1", "c2", "c3"]])
def test_another_list_is_refused_with_the_present_one(confirm):
    assert named(MERGED, confirm=confirm) == ["c1", "c2"]


def test_a_list_of_a_customer_who_was_split_meanwhile_is_refused():
    assert named(["c1", "card:1"], confirm=["c1", "c2"]) == ["c1"]
    assert named(["c1", "card:1"], confirm=["c1"]) == []


def test_the_refusal_names_some_and_says_what_to_do():
    many = [f"c{number:02}" for number in range(25)]
    with pytest.raises(NotConfirmed) as refused:
        Confirmation(NORMALIZER).check([many])
    text = str(refused.value)
    assert text.startswith("The erasure would erase 25 customers who were merged into one: 'c00', ")
    assert "'c19' and 5 more. Nothing was erased." in text and "'confirm'" in text
    assert refused.value.named == many


@pytest.mark.databases("sqlite", "postgresql")
def test_the_known_customers_of_some_keys_are_found_with_all_their_keys(ledger):
    known(ledger, "ann")
    pair = ("bob", "card:1")
    ledger.write_now(lambda c: links.link(c, NORMALIZER, pair, "told an agent", NOW))
    asked = ["card:1", "ann", "never", "bob"]
    found = ledger.read(lambda c: customers_of(c, asked))
    assert found == {"bob": ["bob", "card:1"], "ann": ["ann"]}
    with pytest.raises(IdentityUnknown, match="Nothing is stored under 'never', 'card:9'"):
        ledger.read(lambda c: customers_of(c, ["never", "card:9"]))


@pytest.mark.databases("sqlite", "postgresql")
def test_a_customer_is_known_by_a_row_of_any_kind(ledger):
    add(ledger, tables.events, stored("e1", "by-event", NOW))
    add(ledger, tables.decisions, decision(1, "by-decision", "by-decision"))
    state = {"customer_id": "by-state", "online": True, "profile_online": True}
    ledger.write_now(lambda c: tables.insert_new(c, tables.journey_states, [state]))
    for key in ("by-event", "by-decision", "by-state"):
        assert ledger.read(lambda c, key=key: customers_of(c, [key])) == {key: [key]}


@pytest.mark.databases("sqlite", "postgresql")
def test_a_placeholder_is_a_key_if_something_is_stored_under_each_key(ledger):
    def asked(customer_id, *identifiers):
        return ledger.read(lambda c: asked_keys(c, NORMALIZER, customer_id, identifiers))

    for customer_id, identifier in (("null", "card:1"), (None, "cookie:undefined")):
        with pytest.raises(InvalidKey, match="a placeholder that names nobody"):
            asked(customer_id, identifier)
    known(ledger, "null", "cookie:undefined", "c1")
    assert asked("null") == ("null",) and asked(None, "cookie:undefined") == ("cookie:undefined",)
    assert asked("c1", "cookie:undefined") == asked("c1") == ("c1",)
    for customer_id, identifier in (("null", "card:1"), ("c1", "cookie:null"), ("null", "card:")):
        with pytest.raises(InvalidKey):
            asked(customer_id, identifier)
    ledger.write_now(lambda c: add_tombstones(c, ["null"], NOW))
    with pytest.raises(CustomerForgotten):
        asked("null")
