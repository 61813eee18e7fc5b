"""Reads CSV and parquet tables: cells stay what they are, and broken files are named."""

import json
import sqlite3

import pandas as pd
import pytest
import sqlalchemy as sa

from features.errors import InvalidData
from features.ingest import table_reader
from features.ledger import tables
from tests.features.ingest.toy_tables import (
    ALL,
    AT,
    CUSTOMERS,
    DECISIONS,
    EVENTS,
    counts,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_csv_and_parquet_become_the_same_events(folder, load, ledger, now, ending):
    load(folder({"events": EVENTS}, ending))
    query = sa.select(tables.events).order_by(tables.events.c.event_id)
    rows = ledger.read(lambda connection: connection.execute(query).all())
    assert [row.occurred_at for row in rows] == [now] * 3
    assert [row.properties for row in rows] == [
        "{}",
        '{"amount_eur": 12.5, "kind": "small"}',
        '{"amount_eur": 3.0}',
    ]


def _customer_ids(ledger):
    query = sa.select(tables.customers.c.customer_id).order_by(tables.customers.c.customer_id)
    return ledger.read(lambda connection: connection.execute(query).scalars().all())


@pytest.mark.parametrize(
    "ids", [["007", "010", "7"], ["1e3", "2e3", "NA"], ["#NA", "1.#QNAN", "NA"]]
)
def test_an_id_in_a_csv_stays_the_text_it_is(folder, load, ledger, ids):
    load(folder({"customers": CUSTOMERS.assign(customer_id=ids)}))
    assert _customer_ids(ledger) == ids


def test_a_placeholder_is_named_by_row_and_column(folder, load):
    [report] = load(folder({"customers": CUSTOMERS.assign(customer_id=["c1", "null", "nan"])}))
    assert not report.passed
    assert report.first_offender.startswith("row 2: customer_id has 'null', a placeholder")


@pytest.mark.parametrize("note", ["007", "NA", "null", "true", "1e3"])
def test_a_text_in_a_csv_stays_the_text_it_is(folder, load, ledger, note):
    load(folder({"events": EVENTS.tail(1).assign(note=note)}))
    query = sa.select(tables.events.c.properties)
    [properties] = ledger.read(lambda connection: connection.execute(query).scalars().all())
    assert json.loads(properties) == {"amount_eur": 3.0, "note": note}


def test_a_byte_order_mark_does_not_hide_the_first_column(raw, load, ledger):
    load(raw("customers.csv", b"\xef\xbb\xbfcustomer_id,plan\n007,plus\n"))
    assert _customer_ids(ledger) == ["007"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("customers.csv", b"customer_id,plan\nc1,plus\nc2\n"),
        ("customers.csv", b"customer_id,plan\nc1,plus,c2\n"),
        ("customers.csv", b"customer_id,plan\n" + b"c1,plus\n" * 200_000 + b"c2\n"),
        ("customers.csv", b""),
        ("customers.parquet", b"customer_id,plan\nc1,plus\n"),
        ("customers.parquet", b""),
    ],
    ids=["short", "long", "late", "empty", "no parquet", "empty parquet"],
)
def test_a_file_that_is_no_table_is_named_with_what_it_should_hold(
    raw, load, ledger, name, content
):
    with pytest.raises(InvalidData) as caught:
        load(raw(name, content))
    assert f"{name} cannot be read: " in str(caught.value)
    assert "Expected a table with a header and the same number of cells" in str(caught.value)
    assert counts(ledger) == {}


def test_each_table_may_be_missing(folder, load, ledger):
    [report] = load(folder({"decisions": DECISIONS}))
    assert (report.table, report.added) == ("decisions", 2)
    assert counts(ledger) == {"decisions": 2}


def test_two_files_for_one_table_are_refused_by_name(folder, load, ledger):
    folder({"customers": CUSTOMERS.head(1)}, "parquet")
    with pytest.raises(InvalidData) as caught:
        load(folder({"customers": CUSTOMERS}, "csv"))
    said = "holds 2 files for the table customers: customers.csv, customers.parquet."
    assert said in str(caught.value)
    assert counts(ledger) == {}


def test_a_folder_without_tables_is_named_with_those_it_could_hold(tmp_path, load):
    (tmp_path / "sales.csv").touch()
    with pytest.raises(InvalidData) as caught:
        load(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path} holds none of the contract tables.")
    assert "some of customers, events, decisions, outcomes as .csv, .csv.gz or .parquet" in message
    assert message.endswith("Name the folder that holds them. sales.csv is not read.")


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("ending", "note"),
    [
        ("csv", "column 1 has no name and is not read"),
        ("parquet", "column '__index_level_0__' is not read"),
    ],
)
def test_the_index_of_pandas_is_no_property_of_an_event(folder, load, ending, note):
    path, frame = folder({}), EVENTS.assign(occurred_at=pd.to_datetime(EVENTS["occurred_at"]))
    frame.index = pd.Index(["a", "b", "c"])
    if ending == "csv":
        frame.to_csv(path / "events.csv")
    else:
        frame.to_parquet(path / "events.parquet")
    [report] = load(path)
    assert (report.added, report.notes) == (3, (note,))


def test_a_table_with_a_header_only_passes_with_no_rows(folder, load):
    [report] = load(folder({"customers": CUSTOMERS.head(0)}))
    assert (report.passed, report.rows, report.added) == (True, 0, 0)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_the_size_of_a_batch_changes_nothing(folder, load, ledger, monkeypatch, batch):
    monkeypatch.setattr(table_reader, "BATCH_ROWS", batch)
    reports = load(folder(ALL, "parquet"))
    assert [report.added for report in reports] == [3, 3, 2, 1]
    assert counts(ledger)["links"] == 3


def test_a_csv_in_another_encoding_is_a_sentence(raw, load):
    with pytest.raises(InvalidData, match="customers.csv cannot be read: line 1 holds the byte"):
        load(raw("customers.csv", "customer_id;Größe\n".encode("latin-1")))


@pytest.mark.databases("sqlite")
def test_one_cell_in_the_middle_of_a_large_file_makes_it_another_file(folder, load, rows):
    many = [f"c{number}" for number in range(20_000)]
    people = pd.DataFrame({"customer_id": many, "note": "x" * 20})
    load(folder({"customers": people}))
    people.loc[10_000, "customer_id"] = "d10000"  # as long as before
    [report] = load(folder({"customers": people}))
    assert report.added == 1
    assert ("d10000",) in rows(tables.customers, "customer_id")


@pytest.mark.databases("sqlite")
def test_a_transaction_never_names_more_keys_than_a_database_takes(
    folder, load, ledger, monkeypatch
):
    """SQLite, as others build it, takes 32,766 values in one statement; here 50."""
    monkeypatch.setattr(table_reader, "BATCH_KEYS", 30)
    sa.event.listen(
        ledger.engine,
        "checkout",
        lambda connection, *_: connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 50),
    )
    cards = [f"card:{n + 1} email:{n + 1}" for n in range(60)]
    people = pd.DataFrame({"customer_id": [f"c{n}" for n in range(60)], "identifiers": cards})
    visits = {"event_id": people.customer_id, "type": "visit", "occurred_at": AT, "channel": "app"}
    reports = load(folder({"customers": people, "events": people.assign(**visits)}))
    assert [report.added for report in reports] == [60, 60]
