"""Checks headers of tables: what is read, and what is not, under which name."""

from __future__ import annotations

import pytest

from features.errors import InvalidData
from features.ingest.checks.table_columns import (
    TABLES,
    check_header,
    columns_read,
    id_columns,
    proposal,
)


@pytest.mark.parametrize(
    ("header", "notes"),
    [
        (["customer_id", "plan", "age_years", "identifiers", "as_of"], []),
        (["customer_id", " plan"], ["column ' plan' is read as 'plan'"]),
        (["customer_id", "Plan"], ["column 'Plan' is not read; did you mean 'plan'?"]),
        (["customer_id", "age_yrs"], ["column 'age_yrs' is not read; did you mean 'age_years'?"]),
        (["customer_id", "zip"], ["column 'zip' is not read"]),
        (
            ["customer_id", "", " "],
            ["column 2 has no name and is not read"] * 1 + ["column 3 has no name and is not read"],
        ),
    ],
)
def test_columns_that_nobody_reads_are_named(toy_domain, header, notes):
    assert check_header("customers.csv", header, "customers", toy_domain) == notes


@pytest.mark.parametrize(
    "header", [["customer_id", "plan", "plan"], ["plan", "customer_id", "plan "]]
)
def test_a_column_that_stands_twice_is_refused(toy_domain, header):
    with pytest.raises(
        InvalidData, match=r"^c.csv has the column 'plan' 2 times, as columns \d, 3\."
    ):
        check_header("c.csv", header, "customers", toy_domain)


@pytest.mark.parametrize(
    ("table", "header", "said"),
    [
        ("customers", ["Customer_ID"], "c.csv has no column customer_id; its columns are 'Custom"),
        ("outcomes", ["decision_id|outcome"], "has no column decision_id; its columns are 'dec"),
        ("events", ["event_id", "type", "channel"], "has no column occurred_at"),
    ],
)
def test_a_column_that_must_be_there_is_named_beside_those_that_are(
    toy_domain, table, header, said
):
    with pytest.raises(InvalidData, match="separated by commas, semicolons or tabs") as caught:
        check_header("c.csv", header, table, toy_domain)
    assert said in str(caught.value)


def test_properties_and_attributes_and_the_account_are_columns(toy_domain):
    domain = toy_domain.model_copy(update={"account": "company"})
    assert {"plan", "age_years", "company"} <= {*columns_read("customers", domain)}
    assert {"amount_eur", "kind", "note"} <= {*columns_read("events", domain)}
    assert [id_columns(table, domain) for table in TABLES] == [
        ["customer_id", "company"],
        ["customer_id", "event_id"],
        ["customer_id", "decision_id"],
        ["decision_id", "outcome_id", "shared_id"],
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [("Event", "; did you mean 'events'?"), (" EVENTS", "; did you mean 'events'?"), ("x", "")],
)
def test_the_nearest_name_is_proposed(name, said):
    assert proposal(name, TABLES) == said
