"""Reads the cells of a row of a contract table: ids, texts, numbers and times.

A row has no empty cells, see `ContractTable.rows`. Every function here raises `InvalidData` for a
cell that breaks its rule.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from decimal import Decimal
from typing import Any

from features.errors import InvalidData, quoted
from features.identity.keys import ID_LENGTH, ID_PATTERN
from features.identity.spelling import one_spelling
from features.journeys.events import as_utc, is_finite_number
from features.ledger import tables

Row = dict[str, Any]
A_NUMBER = "a finite number such as 12.5, or empty"
LARGEST_EXACT = 2**53  # above, a float has lost digits of a whole number
A_TIME = "a time with a time zone, such as 2026-11-22T10:00:00Z"


def required(row: Row, column: str) -> Any:
    """Return a cell that every row must have."""
    if column not in row:
        raise bad_cell(column, None, "a value in every row")
    return row[column]


def read_id(row: Row, column: str) -> str:
    """Read an id, by the rule of the API."""
    return _checked_id(_id_text(row, column), column)


def read_customer_id(row: Row) -> str:
    """Read a customer id in its one spelling, by the rule of the API."""
    return _checked_id(one_spelling(_id_text(row, "customer_id")), "customer_id")


def _id_text(row: Row, column: str) -> str:
    value = required(row, column)
    if isinstance(value, float) and abs(value) >= LARGEST_EXACT:
        raise bad_cell(column, value, "an id as a text or a whole number, as floats lose digits")
    return as_text(value)


def _checked_id(value: str, column: str) -> str:
    if len(value) > ID_LENGTH or not re.fullmatch(ID_PATTERN, value):
        raise bad_cell(column, value, f"at most {ID_LENGTH} characters and no spaces")
    return value


def read_identifiers(row: Row) -> list[str]:
    """Read identifiers: a text with spaces between them, as in CSV, or a list, as in parquet."""
    cell = row.get("identifiers", "")
    return [as_text(one) for one in cell] if isinstance(cell, list) else str(cell).split()


def as_text(value: object) -> str:
    """Convert a cell to a text; pandas makes 7.0 of a 7 in a column with gaps."""
    whole = isinstance(value, float) and value.is_integer()
    return f"{value:.0f}" if whole else str(value)


def read_text(row: Row, column: str) -> str | None:
    """Read a cell as an unchanged text; None if it is empty."""
    if column not in row:
        return None
    value = as_text(row[column])
    if "\0" in value:
        raise bad_cell(
            column, value, "a text without the character NUL, which PostgreSQL cannot keep"
        )
    return value


def read_number(row: Row, column: str) -> float | None:
    """Read a finite number; None if the cell is empty."""
    value = row.get(column)
    if value is None:
        return None
    if not isinstance(value, str):  # parquet may have decimals
        number = float(value) if isinstance(value, Decimal) else value
        if is_finite_number(number):
            return float(number)
    elif value.isascii() and "_" not in value:  # to Python, other digits and 1_250 are numbers, too
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
    raise bad_cell(column, value, A_NUMBER)


def read_time(row: Row, column: str) -> datetime:
    """Read a time with a time zone, as aware UTC."""
    sent = value = required(row, column)
    if isinstance(sent, str):
        try:
            value = datetime.fromisoformat(sent)
        except ValueError:
            raise bad_cell(column, sent, A_TIME) from None
    if not isinstance(value, datetime):
        raise bad_cell(column, sent, A_TIME)
    try:
        # To the microsecond, as the ledger keeps it; a Timestamp of pandas may be finer.
        return tables.from_micros(tables.micros(as_utc(value)))
    except ValueError as error:
        raise bad_cell(column, sent, str(error)) from None


def bad_cell(column: str, value: object, expected: str) -> InvalidData:
    """Make the error for a cell that breaks a rule."""
    shown = value.isoformat() if isinstance(value, datetime) else value
    return InvalidData(
        f"{column} is {quoted(shown)}.",
        expected=expected,
        remedy="Correct the table and load it again.",
    )
