"""Tests the one spelling of each key, and the rank by which a key names a customer."""

import pytest

from features.errors import InvalidData, quoted
from features.identity.keys import (
    ANONYMOUS_RANK,
    CUSTOMER_ID_RANK,
    IDENTIFIER,
    IDENTIFIER_RANK,
    KeyNormalizer,
)
from tests.features.live import SHOP

NORMALIZER = KeyNormalizer(SHOP)
ANY = KeyNormalizer(SHOP.model_copy(update={"identifiers": {}}))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("email:Ann@B.IT", "email:ann@b.it"),
        (" email: Ann@b.it ", "email:ann@b.it"),
        ("email:É@b.it", "email:é@b.it"),
        ("phone:+39 (055) 12-34", "phone:390551234"),
        ("phone:0039 055 1234", "phone:390551234"),
        ("phone:00390551234", "phone:390551234"),
        ("phone:0551234", "phone:0551234"),
        ("card:AbC-7", "card:AbC-7"),
        ("card:x:y", "card:x:y"),
    ],
)
def test_the_spellings_of_an_identifier_are_made_one(sent, kept):
    assert NORMALIZER.identifier(sent) == kept
    assert NORMALIZER.identifier(kept) == kept


@pytest.mark.parametrize(
    "text",
    [
        *("", "card", "card:", ":1", "Card:1", "2card:1", "card:1 2", "fax:1", "ann@b.it"),
        *("phone:none", "phone:00", "email: ", "card:\x00", "card:a\x7fb", "card:1\n2"),
        "card:" + 200 * "x",
    ],
)
def test_what_is_no_identifier_is_refused_and_named(text):
    with pytest.raises(InvalidData) as refused:
        NORMALIZER.identifier(text)
    assert quoted(text) in str(refused.value)


def test_an_unknown_namespace_is_refused_with_those_there_are():
    with pytest.raises(InvalidData, match="email, phone, card, cookie, such as email:123"):
        NORMALIZER.identifier("fax:1")


def test_without_namespaces_any_is_taken_as_it_comes():
    assert ANY.identifier("fax:Ab") == "fax:Ab"
    assert ANY.customer("fax:Ab") == "fax:Ab"
    with pytest.raises(InvalidData):
        ANY.identifier("no-namespace")


@pytest.mark.parametrize("text", ["card:1", "e_mail2:a@b.it", "url:http://x/y:z"])
def test_a_namespace_and_a_value_make_an_identifier(text):
    assert IDENTIFIER.fullmatch(text)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("c1", "c1"),
        ("Ann@B.it", "Ann@B.it"),
        ("email:Ann@B.it", "email:ann@b.it"),
        ("phone:0039-055", "phone:39055"),
        ("fax:Ab", "fax:Ab"),  # nobody's namespace, so a name like another
        (":x", ":x"),
    ],
)
def test_a_customer_id_is_kept_as_it_is_unless_it_is_an_identifier(sent, kept):
    assert NORMALIZER.customer(sent) == kept


@pytest.mark.parametrize("text", ["", "c 1", "c1\n", "c\x001", "email:", "phone:x"])
def test_a_customer_id_that_nobody_could_ask_for_is_refused(text):
    with pytest.raises(InvalidData):
        NORMALIZER.customer(text)


def test_all_keys_of_a_caller_the_customer_id_first_each_once():
    named = ["email:A@b.it", "phone:0039 1", "email:a@B.it", "phone:391"]
    assert NORMALIZER.keys("c1", named) == ("c1", "email:a@b.it", "phone:391")
    assert NORMALIZER.keys("email:a@b.it", named) == ("email:a@b.it", "phone:391")
    assert NORMALIZER.keys(None, []) == ()
    assert NORMALIZER.each(["c1", "email:A@b.it", "c1"]) == ["c1", "email:a@b.it", "c1"]


def test_a_customer_id_is_the_best_name_and_a_cookie_the_worst():
    ranks = [NORMALIZER.rank(key) for key in ("c1", "fax:1", "email:a@b.it", "cookie:1")]
    assert ranks == [CUSTOMER_ID_RANK, CUSTOMER_ID_RANK, IDENTIFIER_RANK, ANONYMOUS_RANK]
    assert ANY.rank("c1") < ANY.rank("cookie:1") == IDENTIFIER_RANK
