"""Tests the one spelling of each key, and the rank by which a key names a customer."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.business.domain import IdentityRules
from features.errors import InvalidData, InvalidKey, quoted
from features.identity.keys import (
    ANONYMOUS_RANK,
    CUSTOMER_ID_RANK,
    IDENTIFIER,
    IDENTIFIER_RANK,
    KeyNormalizer,
)
from tests.features.live import SHOP

NORMALIZER = KeyNormalizer(SHOP)
PLACED = ("0", "000", "undefined", "[object_Object]", "NULL", "email:none", "not_set", "\u200b")
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
        ("phone:0000390551234", "phone:390551234"),
        ("phone:+٣٩ 055", "phone:39055"),
        ("email:  JÜRGEN@MÜNCHEN.example ", "email:jürgen@münchen.example"),
        ("email:Ju\u0308rgen@mu\u0308nchen.example", "email:jürgen@münchen.example"),
        ("email:ju\u00adrgen\u200b@b.it\ufeff", "email:jurgen@b.it"),
        ("email:STRASSE@b.it", "email:strasse@b.it"),
        ("email:straße@b.it", "email:strasse@b.it"),
        ("card:Ju\u0308-7", "card:Jü-7"),
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
        *("card:a\x85b", "card:\u200b", "card:" + 100 * "\u0958"),  # NFC makes two of each
        *("cookie:undefined", "email:null", "card:[object_Object]", "cookie:NaN", "phone:000"),
        *("card:00000000-0000-0000-0000-000000000000", "cookie:{{id}}", "card:-"),
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
        (" c1\u00a0", "c1"),
        ("\ufeffc1\u200b", "c1"),
        ("\ufeffemail:Ann@B.it", "email:ann@b.it"),
        ("JU\u0308RGEN", "JÜRGEN"),
        ("shop:0", "shop:0"),
    ],
)
def test_a_customer_id_is_kept_as_it_is_unless_it_is_an_identifier(sent, kept):
    assert NORMALIZER.customer(sent) == kept


@pytest.mark.parametrize("text", ["", "c 1", "c1\n", "c\x001", "email:", "phone:x", *PLACED])
def test_a_customer_id_that_nobody_could_ask_for_is_refused(text):
    with pytest.raises(InvalidData):
        NORMALIZER.customer(text)


def test_all_keys_of_a_caller_the_customer_id_first_each_once():
    named = ["email:A@b.it", "phone:0039 1", "email:a@B.it", "phone:391"]
    assert NORMALIZER.keys("c1", named) == ("c1", "email:a@b.it", "phone:391")
    assert NORMALIZER.keys("email:a@b.it", named) == ("email:a@b.it", "phone:391")
    assert NORMALIZER.keys(None, []) == ()
    assert NORMALIZER.each(["c1", "email:A@b.it", "c1"]) == ["c1", "email:a@b.it", "c1"]


def test_the_keys_of_a_caller_are_ordered_by_strength_and_devices_are_last():
    named = ["cookie:x", "email:a@b.it", "card:1", "phone:391"]
    assert NORMALIZER.keys("c1", named) == ("c1", "card:1", "email:a@b.it", "phone:391", "cookie:x")
    assert NORMALIZER.keys("cookie:x", ["card:1"]) == ("card:1", "cookie:x")


def test_a_caller_asks_about_the_customer_id_or_else_about_named_identifiers():
    named = ["cookie:x", "email:a@b.it", "card:1"]
    assert NORMALIZER.asked("c1", named) == ("c1",)
    assert NORMALIZER.asked(None, named) == ("card:1", "email:a@b.it")
    assert NORMALIZER.asked(None, named[:1]) == ("cookie:x",)


def test_a_customer_id_is_the_best_name_and_a_cookie_the_worst():
    ranks = [NORMALIZER.rank(key) for key in ("c1", "fax:1", "email:a@b.it", "cookie:1")]
    assert ranks == [CUSTOMER_ID_RANK, CUSTOMER_ID_RANK, IDENTIFIER_RANK, ANONYMOUS_RANK]
    assert ANY.rank("c1") < ANY.rank("cookie:1") == IDENTIFIER_RANK


def test_an_error_names_the_field():
    for call, field in (
        (lambda: NORMALIZER.keys("undefined", []), "customer_id"),
        (lambda: NORMALIZER.keys("c1", ["cookie:undefined"]), "identifiers"),
        (lambda: NORMALIZER.each(["c1", "c 1"]), "keys"),
        (lambda: NORMALIZER.each(["c 1"], "left"), "left"),
        (lambda: NORMALIZER.refuse_placeholders(["c1", "cookie:null"], "keys"), "keys"),
    ):
        with pytest.raises(InvalidKey, match=f"^{field} has ") as refused:
            call()
        assert refused.value.field == field


def test_a_placeholder_can_still_be_named_to_undo_its_links():
    both = ["undefined", "cookie:undefined"]
    assert NORMALIZER.each(both) == both
    assert NORMALIZER.with_placeholders().keys(both[0], both[1:]) == (*both,)
    with pytest.raises(InvalidKey):
        NORMALIZER.keys("c1", both[1:])


def test_the_domain_file_adds_placeholders():
    rules = IdentityRules(placeholders=("test_user", "phone:5550100"))
    normalizer = KeyNormalizer(SHOP.model_copy(update={"identity": rules}))
    for text in ("card:Test User".replace(" ", "_"), "phone:555-0100"):
        with pytest.raises(InvalidKey, match="a placeholder that names nobody"):
            normalizer.identifier(text)
        NORMALIZER.identifier(text)
    with pytest.raises(InvalidKey):
        normalizer.customer("TEST_USER")


def test_without_namespaces_the_value_of_an_identifier_is_no_placeholder_either():
    for call in (ANY.identifier, ANY.customer):
        with pytest.raises(InvalidKey):
            call("fax:undefined")


TEXTS = st.text(
    st.characters(categories=("L", "N", "M", "P", "S", "Zs", "Cf"), max_codepoint=0x1FFFF),
    min_size=1,
    max_size=30,
)


@given(st.sampled_from(["email", "phone", "card", "cookie"]), TEXTS)
def test_a_spelling_is_stable(namespace, value):
    for normalize, text in ((NORMALIZER.identifier, f"{namespace}:{value}"), (ANY.customer, value)):
        try:
            kept = normalize(text)
        except InvalidKey:
            continue
        assert normalize(kept) == kept
        assert normalize(unicodedata.normalize("NFD", text)) == kept


def has_one_case_folding(letter: str) -> bool:
    return letter.upper().casefold() == letter.casefold()  # not so of the dotless i


LETTERS = st.characters(categories=("Ll", "Lu", "Lt", "Lo"), max_codepoint=0x24FF)


@given(st.text(LETTERS.filter(has_one_case_folding), min_size=1, max_size=20))
def test_all_spellings_of_an_address_are_one_key(name):
    address = f"{name}@münchen.example"
    spellings = (
        unicodedata.normalize("NFC", address),
        unicodedata.normalize("NFD", address),
        address.upper(),
        f"  {address}\u00a0",
        "\u200b".join(address),
    )
    assert len({NORMALIZER.identifier(f"email:{one}") for one in spellings}) == 1
