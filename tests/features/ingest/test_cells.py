"""Reads cells as CSV, pandas and parquet give them, and refuses the others by name."""

from datetime import UTC, datetime
from decimal import Decimal

import pandas as pd
import pytest

from features.errors import InvalidData
from features.ingest.cells import (
    as_text,
    read_id,
    read_identifiers,
    read_number,
    read_text,
    read_time,
    required,
)

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"), [("007", "007"), (7, "7"), (7.0, "7"), (7.5, "7.5"), (True, "True")]
)
def test_a_whole_number_is_a_text_without_a_fraction(value, text):
    assert as_text(value) == text


@pytest.mark.parametrize(
    "value", ["2026-11-22T11:00:00+01:00", "2026-11-22T10:00:00Z", AT, pd.Timestamp(AT)]
)
def test_a_time_is_read_from_a_text_or_a_timestamp(value):
    assert read_time({"at": value}, "at") == AT


@pytest.mark.parametrize("value", ["2.5", 2.5, Decimal("2.5")])
def test_a_number_is_read_from_a_text_or_a_decimal(value):
    assert read_number({"value": value}, "value") == 2.5


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("-7.", -7), (".5", 0.5), ("+1e3", 1000), (" 12.50\t", 12.5), ("0", 0)],
)
def test_a_number_is_written_with_the_digits_0_to_9_and_a_point(text, number):
    assert read_number({"value": text}, "value") == number


def test_an_empty_cell_is_none_unless_it_is_required():
    assert read_number({}, "value") is None
    assert read_text({}, "note") is None
    assert read_identifiers({}) == []
    with pytest.raises(InvalidData, match="kind is None. Expected a value in every row"):
        required({}, "kind")


@pytest.mark.parametrize("cell", ["card:1 email:a@b.it", ["card:1", "email:a@b.it"]])
def test_identifiers_are_separated_by_spaces_or_a_list(cell):
    assert read_identifiers({"identifiers": cell}) == ["card:1", "email:a@b.it"]


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (read_id, "a b", "at most 200 characters and no spaces"),
        (read_id, "x" * 201, "at most 200 characters and no spaces"),
        (read_text, "a\0b", "a text without the character NUL"),
        (read_number, "many", "a finite number such as 12.5, or empty"),
        (read_number, "inf", "a finite number such as 12.5, or empty"),
        (read_number, "nan", "a finite number such as 12.5, or empty"),
        (read_number, "12,50", "a finite number such as 12.5, or empty"),
        (read_number, "1,234.56", "a finite number such as 12.5, or empty"),
        (read_number, "$3", "a finite number such as 12.5, or empty"),
        (read_number, "1_250", "a finite number such as 12.5, or empty"),
        (read_number, "\uff11\uff12", "a finite number such as 12.5, or empty"),
        (read_number, "\u0661\u0662", "a finite number such as 12.5, or empty"),
        (read_number, "0x10", "a finite number such as 12.5, or empty"),
        (read_number, "1e999", "a finite number such as 12.5, or empty"),
        (read_number, Decimal("NaN"), "a finite number such as 12.5, or empty"),
        (read_number, " ", "a finite number such as 12.5, or empty"),
        (read_id, 2.0**53, "an id as a text or a whole number, as floats lose digits"),
        (read_time, "2026-11-22T10:00:00", "a time with a time zone"),
        (read_time, "yesterday", "a time with a time zone"),
        (read_time, 7, "a time with a time zone"),
    ],
)
def test_a_cell_that_breaks_its_rule_is_named_with_what_is_expected(read, value, expected):
    with pytest.raises(InvalidData, match=f"cell is .*Expected {expected}") as caught:
        read({"cell": value}, "cell")
    assert "Correct the table and load it again." in str(caught.value)
