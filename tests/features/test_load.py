"""From a folder of tables to the ledger: checked as a whole, written once."""

import json
from datetime import timedelta

import pandas as pd
import pytest
import sqlalchemy as sa

from features import ingest, tables
from features.errors import InvalidData
from features.load import Report, is_loaded, load_folder, shift_of

AT = "2026-11-22T10:00:00Z"
CUSTOMERS = pd.DataFrame(
    {
        "customer_id": ["c1", "c2", "c3"],
        "plan": ["basic", "plus", None],
        "identifiers": ["card:1 email:a@b.it", "card:2", None],
    }
)
EVENTS = pd.DataFrame(
    {
        "event_id": ["e1", "e2", "e3"],
        "customer_id": ["c1", "c1", "c2"],
        "type": ["visit", "order", "order"],
        "occurred_at": [AT, AT, AT],
        "channel": ["app", "app", "phone"],
        "amount_eur": [None, 12.5, 3.0],
        "kind": [None, "small", None],
    }
)
DECISIONS = pd.DataFrame(
    {
        "decision_id": ["d1", "d2"],
        "customer_id": ["c1", "c2"],
        "decided_at": [AT, AT],
        "channel": ["app", "phone"],
        "action_id": ["discount", "no_action"],
        "probability": [0.5, None],
    }
)
OUTCOMES = pd.DataFrame(
    {"decision_id": ["d1"], "outcome": ["accepted"], "value": [None], "occurred_at": [AT]}
)
ALL = {"customers": CUSTOMERS, "events": EVENTS, "decisions": DECISIONS, "outcomes": OUTCOMES}


@pytest.fixture
def folder(tmp_path):
    """Writes tables into a folder: as csv, or as parquet with real times."""

    def write(frames, ending="csv"):
        path = tmp_path / "tables"
        path.mkdir(exist_ok=True)
        for name, frame in frames.items():
            if ending == "csv":
                frame.to_csv(path / f"{name}.csv", index=False)
                continue
            times = [column for column in frame if column.endswith("_at")]
            frame = frame.assign(**{time: pd.to_datetime(frame[time]) for time in times})
            frame.to_parquet(path / f"{name}.parquet", index=False)
        return path

    return write


@pytest.fixture
def load(ledger, toy_domain, toy_catalog):
    return lambda path, **more: load_folder(path, ledger, toy_domain, toy_catalog, **more)


def _counts(ledger):
    """Rows in the ledger, where there are any."""
    names = [*ALL, "identifiers"]
    queries = {
        name: sa.select(sa.func.count()).select_from(tables.metadata.tables[name]) for name in names
    }
    return ledger.read(
        lambda connection: {
            name: count
            for name, query in queries.items()
            if (count := connection.execute(query).scalar_one())
        }
    )


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_all_four_tables_come_in(folder, load, ledger, ending):
    reports = load(folder(ALL, ending))
    assert [(r.table, r.rows, r.good, r.added) for r in reports] == [
        ("customers", 3, 3, 3),
        ("events", 3, 3, 3),
        ("decisions", 2, 2, 2),
        ("outcomes", 1, 1, 1),
    ]
    assert all(report.passed for report in reports)
    assert _counts(ledger) == {
        "customers": 3,
        "events": 3,
        "decisions": 2,
        "outcomes": 1,
        "identifiers": 3,
    }


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


@pytest.fixture
def raw(tmp_path):
    """Writes a file as it is, byte by byte."""

    def write(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path

    return write


def _customer_ids(ledger):
    query = sa.select(tables.customers.c.customer_id).order_by(tables.customers.c.customer_id)
    return ledger.read(lambda connection: connection.execute(query).scalars().all())


@pytest.mark.parametrize("ids", [["007", "010", "7"], ["1e3", "2e3", "NA"], ["NA", "nan", "null"]])
def test_an_id_in_a_csv_stays_the_text_it_is(folder, load, ledger, ids):
    load(folder({"customers": CUSTOMERS.assign(customer_id=ids)}))
    assert _customer_ids(ledger) == ids


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
        ("customers.csv", b"customer_id,plan,plan\nc1,plus,basic\n"),
        ("customers.csv", b""),
        ("customers.parquet", b"customer_id,plan\nc1,plus\n"),
        ("customers.parquet", b""),
    ],
    ids=["short", "long", "late", "twice", "empty", "no parquet", "empty parquet"],
)
def test_a_file_that_is_no_table_is_named_with_what_it_should_hold(
    raw, load, ledger, name, content
):
    with pytest.raises(InvalidData) as caught:
        load(raw(name, content))
    assert f"{name} cannot be read: " in str(caught.value)
    assert "Expected a table with a header and the same number of cells" in str(caught.value)
    assert _counts(ledger) == {}


def test_loading_twice_adds_nothing(folder, load, ledger):
    path = folder(ALL)
    load(path)
    before = _counts(ledger)
    assert [report.added for report in load(path)] == [0, 0, 0, 0]
    assert _counts(ledger) == before


def test_a_row_that_is_there_already_stays_as_it_is(folder, load, ledger):
    load(folder({"customers": CUSTOMERS}))
    load(folder({"customers": CUSTOMERS.assign(plan="plus")}))
    query = sa.select(tables.customers.c.attributes).where(tables.customers.c.customer_id == "c1")
    assert ledger.read(lambda connection: connection.execute(query).scalar()) == '{"plan": "basic"}'


def test_only_the_new_rows_of_a_longer_table_are_added(folder, load):
    load(folder({"events": EVENTS.head(1)}))
    [report] = load(folder({"events": EVENTS}))
    assert (report.rows, report.added) == (3, 2)


def test_each_table_may_be_missing(folder, load, ledger):
    [report] = load(folder({"decisions": DECISIONS}))
    assert (report.table, report.added) == ("decisions", 2)
    assert _counts(ledger) == {"decisions": 2}


def test_parquet_is_taken_before_csv(folder, load):
    folder({"customers": CUSTOMERS.head(1)}, "parquet")
    [report] = load(folder({"customers": CUSTOMERS}, "csv"))
    assert report.rows == 1


def test_a_table_with_a_bad_row_fails_and_names_the_first_offender(folder, load):
    bad = EVENTS.assign(channel=["app", "fax", "pigeon"])
    [report] = load(folder({"events": bad}))
    assert (report.passed, report.rows, report.good) == (False, 3, 1)
    assert report.first_offender.startswith("row 2: channel is 'fax'. Expected one of app, phone.")
    assert "pigeon" not in str(report)


@pytest.mark.parametrize("last", [False, True])
def test_nothing_is_written_if_one_table_fails(folder, load, ledger, last):
    bad = (
        {"outcomes": OUTCOMES.assign(outcome="loved")}
        if last
        else {"customers": CUSTOMERS.assign(plan="gold")}
    )
    reports = load(folder(ALL | bad))
    assert [report.passed for report in reports].count(False) == 1
    assert [report.added for report in reports] == [0, 0, 0, 0]
    assert _counts(ledger) == {}
    assert not is_loaded(ledger)


def test_a_dry_run_reports_and_writes_nothing(folder, load, ledger):
    reports = load(folder(ALL), dry_run=True)
    assert [(report.good, report.added) for report in reports] == [(3, 0), (3, 0), (2, 0), (1, 0)]
    assert _counts(ledger) == {}
    assert not is_loaded(ledger)


def test_a_folder_without_tables_is_named_with_those_it_could_hold(tmp_path, load):
    (tmp_path / "sales.csv").touch()
    with pytest.raises(InvalidData) as caught:
        load(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path} holds none of the contract tables.")
    assert "some of customers, events, decisions, outcomes as .csv or .parquet" in message


def test_a_table_with_a_header_only_passes_with_no_rows(folder, load):
    [report] = load(folder({"customers": CUSTOMERS.head(0)}))
    assert (report.passed, report.rows, report.added) == (True, 0, 0)


def test_a_ledger_is_loaded_once_a_folder_came_in_to_the_end(folder, load, ledger):
    assert not is_loaded(ledger)
    load(folder({"customers": CUSTOMERS}))
    assert is_loaded(ledger)


def test_the_shift_of_the_first_load_is_kept(folder, load, ledger):
    path = folder({"customers": CUSTOMERS})
    assert shift_of(ledger) == timedelta(0)
    for days in (364, 371):
        (path / "source.yaml").write_text(f"shift_days: {days}\n", encoding="utf-8")
        load(path)
    assert shift_of(ledger) == timedelta(days=364)


def test_a_folder_without_a_source_has_no_shift(folder, load, ledger):
    load(folder({"customers": CUSTOMERS}))
    assert shift_of(ledger) == timedelta(0)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_the_size_of_a_batch_changes_nothing(folder, load, ledger, monkeypatch, batch):
    monkeypatch.setattr(ingest, "BATCH", batch)
    reports = load(folder(ALL, "parquet"))
    assert [report.added for report in reports] == [3, 3, 2, 1]
    assert _counts(ledger)["identifiers"] == 3


def test_progress_ends_with_all_rows_checked_and_loaded(folder, load):
    told = []
    load(folder({"events": EVENTS}), progress=lambda *said: told.append(said))
    assert told[0] == ("check events", 3, 3)
    assert told[-1] == ("load events", 3, 3)


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (
            Report("events", 1234, 1234, None),
            "PASS  events         1,234 of 1,234 rows are good",
        ),
        (
            Report("customers", 3, 2, "row 2: plan is 'gold'."),
            "FAIL  customers          2 of 3 rows are good; first: row 2: plan is 'gold'.",
        ),
    ],
)
def test_a_report_reads_as_one_line(report, text):
    assert str(report) == text


def test_a_csv_in_another_encoding_is_a_sentence(tmp_path, ledger, toy_domain, toy_catalog):
    (tmp_path / "customers.csv").write_bytes("customer_id;Größe\n".encode("latin-1"))
    with pytest.raises(InvalidData, match="customers.csv cannot be read"):
        load_folder(tmp_path, ledger, toy_domain, toy_catalog)
