"""Many identifiers, one customer."""

import pytest

from features.identity import IDENTIFIER, resolve
from features.tables import identifiers, insert_new


@pytest.fixture
def resolved(ledger):
    known = {"email:a@b.it": "c1", "card:1": "c1", "card:2": "c2"}
    rows = [{"identifier": name, "customer_id": customer} for name, customer in known.items()]
    ledger.write_now(lambda connection: insert_new(connection, identifiers, rows))
    return lambda *names: ledger.read(lambda connection: resolve(connection, names))


def test_every_identifier_of_a_customer_leads_to_the_same_one(resolved):
    assert resolved("email:a@b.it") == resolved("card:1") == "c1"


def test_the_first_identifier_we_know_decides(resolved):
    assert resolved("cookie:new", "card:2", "card:1") == "c2"
    assert resolved("card:1", "card:2") == "c1"


def test_a_stranger_is_kept_under_the_first_identifier(resolved):
    assert resolved("cookie:x", "cookie:y") == "cookie:x"


def test_a_value_is_compared_as_it_is_written(resolved):
    assert resolved("card:1 OR 1=1") == "card:1 OR 1=1"
    assert resolved("CARD:1") == "CARD:1"


@pytest.mark.parametrize("text", ["card:1", "e_mail2:a@b.it", "url:http://x/y:z"])
def test_a_namespace_and_a_value_make_an_identifier(text):
    assert IDENTIFIER.fullmatch(text)


@pytest.mark.parametrize("text", ["", "card", "card:", ":1", "Card:1", "2card:1", "card:1 2"])
def test_anything_else_is_no_identifier(text):
    assert not IDENTIFIER.fullmatch(text)
