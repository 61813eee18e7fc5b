"""Tests the one Unicode spelling of texts, and the texts that name nobody."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.identity.spelling import (
    PLACEHOLDERS,
    Placeholders,
    decimal_digits,
    folded,
    one_spelling,
    spelled_alike,
)

UNSEEN = ("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\ufe0f", "\U000e0101", "ㅤ")
NOBODY = Placeholders()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("c1", "c1"),
        (" c1 ", "c1"),
        ("\u00a0c1\u3000", "c1"),
        ("Ju\u0308rgen", "Jürgen"),
        ("\u212b", "Å"),
        ("ﬁ", "ﬁ"),  # NFC does not replace compatibility characters
        ("\u1112\u1161\u11ab", "한"),
        ("❤\ufe0f", "❤"),
        ("c1\n", "c1\n"),  # control characters stay, and are refused later
        ("\u200b \u200b", ""),
    ],
)
def test_a_text_is_composed_and_trimmed(sent, kept):
    assert one_spelling(sent) == kept


@pytest.mark.parametrize("unseen", UNSEEN)
def test_characters_that_nobody_sees_are_removed(unseen):
    assert one_spelling(f"{unseen}a{unseen}n{unseen}n ") == "ann"


@given(st.text())
def test_a_spelling_is_stable(text):
    once = one_spelling(text)
    assert one_spelling(once) == once
    assert one_spelling(unicodedata.normalize("NFD", text)) == once
    assert folded(folded(once)) == folded(once)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ANN", "ann"),
        ("JÜRGEN", "Ju\u0308rgen"),
        ("STRASSE", "straße"),
        ("ΟΔΟΣ", "οδος"),
        ("ᾼ", "ᾳ"),
    ],
)
def test_upper_and_lower_case_are_one(one, other):
    assert folded(one_spelling(one)) == folded(one_spelling(other))


def test_digits_of_any_script_become_ascii():
    assert decimal_digits("+39 (055) ٣٤५") == "39055345"
    assert decimal_digits("½²x") == ""


@pytest.mark.parametrize(
    "text",
    [
        *PLACEHOLDERS,
        *(
            "Undefined",
            "NULL",
            "NaN",
            "[object_Object]",
            "(not set)",
            "<null>",
            '"null"',
            "__none__",
        ),
        *("#N/A", "0", "000", "0.0", "00000000-0000-0000-0000-000000000000", "٠٠", "-", "--", "?"),
        *("{{user_id}}", "${id}", "<%= id %>", "%%ID%%"),
    ],
)
def test_a_text_that_programs_send_for_nothing_is_a_placeholder(text):
    assert text in NOBODY


@pytest.mark.parametrize(
    "text",
    [
        *("c0", "100", "0-1", "nullable", "NA", "Guestrow", "truefalse", "undefined@b.it", "a-b"),
        *("00000000-0000-0000-0000-000000000001", "Ни́на", "山田", "❤", "٠١"),
    ],
)
def test_a_text_that_may_name_somebody_is_none(text):
    assert text not in NOBODY


def test_the_domain_file_adds_placeholders():
    added = Placeholders(["Test User", "info@b.it"])
    assert "test_user" in added and "INFO@b.it" in added and "null" in added
    assert "info@b.it" not in NOBODY


@pytest.mark.parametrize(
    "text", ["marketing", "Marketing", "marketing ", "\tMARKETING\n", "\u200bmarketing"]
)
def test_names_that_differ_in_case_and_surrounding_blanks_are_compared_alike(text):
    assert spelled_alike(text) == "marketing"
    assert spelled_alike(spelled_alike(text)) == "marketing"
