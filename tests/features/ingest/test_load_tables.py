"""From a folder of tables to the ledger: checked as a whole, written once, gone on with."""

import json
import sqlite3
from datetime import timedelta

import pandas as pd
import pytest
import sqlalchemy as sa

from features.business.domain import Namespace
from features.customers.identity import unlink
from features.customers.tombstones import add_tombstones
from features.errors import InvalidData
from features.ingest import load_tables
from features.ingest.load_tables import (
    CHECKED,
    LOADED,
    LoadReport,
    is_loaded,
    load_folder,
    shift_of,
)
from features.ledger import tables

pytestmark = pytest.mark.databases("sqlite", "postgresql")

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
def load(ledger, toy_domain, toy_catalog, now):
    def loaded(path, domain=toy_domain, at=now, **more):
        return load_folder(path, ledger, domain, toy_catalog, at, **more)

    return loaded


@pytest.fixture
def rows(ledger):
    """Rows of a table of the ledger, some columns of each, in order."""

    def read(table, *names):
        query = sa.select(*(table.c[name] for name in names)).order_by(*table.primary_key.columns)
        return [tuple(row) for row in ledger.read(lambda c: c.execute(query).all())]

    return read


def _everything(ledger):
    """All rows of all tables, but for what a load notes of itself."""
    found = {}
    for table in tables.metadata.sorted_tables:
        query = sa.select(table).order_by(*table.primary_key.columns)
        found[table.name] = ledger.read(lambda c, query=query: [*map(tuple, c.execute(query))])
    found["meta"] = [row for row in found["meta"] if not row[0].startswith((CHECKED, LOADED))]
    return found


def _counts(ledger):
    """Rows in the ledger, where there are any."""
    names = [*ALL, "identities", "links"]
    everything = _everything(ledger)
    return {name: len(everything[name]) for name in names if everything[name]}


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
        "identities": 5,  # two customers and their three identifiers
        "links": 3,
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


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("marked", [True, False])
def test_loading_twice_changes_nothing_even_where_no_mark_says_it_was_loaded(
    folder, load, ledger, ending, marked
):
    path = folder(ALL, ending)
    load(path)
    before = _everything(ledger)
    if not marked:
        mark = tables.meta.c.key
        forget = sa.delete(tables.meta).where(mark.startswith(CHECKED) | mark.startswith(LOADED))
        assert ledger.write_now(lambda c: c.execute(forget).rowcount) == 1 + len(ALL)
    reports = load(path)
    assert [(report.added, report.refused) for report in reports] == [(0, 0)] * 4
    assert _everything(ledger) == before


def test_csv_and_parquet_make_the_same_ledger(folder, load, ledger):
    load(folder(ALL, "csv"))
    before = _everything(ledger)
    load(folder(ALL, "parquet"))
    assert _everything(ledger) == before


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
    monkeypatch.setattr(load_tables, "BATCH", batch)
    reports = load(folder(ALL, "parquet"))
    assert [report.added for report in reports] == [3, 3, 2, 1]
    assert _counts(ledger)["links"] == 3


def test_progress_ends_with_all_rows_checked_and_loaded(folder, load):
    told = []
    load(folder({"events": EVENTS}), progress=lambda *said: told.append(said))
    assert told[0] == ("check events", 3, 3)
    assert told[-1] == ("load events", 3, 3)


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (
            LoadReport("events", 1234, 1234, None),
            "PASS  events         1,234 of 1,234 rows are good",
        ),
        (
            LoadReport("events", 1234, 1234, None, 1200),
            "PASS  events         1,234 of 1,234 rows are good; 1,200 new",
        ),
        (
            LoadReport("events", 9, 9, "why", 7, 2, 3),
            "PASS  events             9 of 9 rows are good; 7 new; 2 left out: why; began at row 4",
        ),
        (
            LoadReport("events", 9, 9, None, 0, 0, 9),
            "PASS  events             9 of 9 rows are good",
        ),
        (
            LoadReport("customers", 3, 2, "row 2: plan is 'gold'."),
            "FAIL  customers          2 of 3 rows are good; first: row 2: plan is 'gold'.",
        ),
    ],
)
def test_a_report_reads_as_one_line(report, text):
    assert str(report) == text


def test_a_csv_in_another_encoding_is_a_sentence(raw, load):
    with pytest.raises(InvalidData, match="customers.csv cannot be read"):
        load(raw("customers.csv", "customer_id;Größe\n".encode("latin-1")))


# --- a load that is cut off ---


@pytest.fixture
def cut_off(monkeypatch, ledger):
    """Batches of one row; the disk fails once, at a given batch."""
    monkeypatch.setattr(load_tables, "BATCH", 1)
    brought_in, seen = load_tables._bring_in, []

    def at(batch):
        def fails_once(*arguments):
            seen.append(arguments)
            if len(seen) == batch:
                brought_in(*arguments)  # written, but never committed
                raise OSError("the disk is gone")
            return brought_in(*arguments)

        monkeypatch.setattr(load_tables, "_bring_in", fails_once)
        return seen

    return at


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("batch", "resumed_at", "added"),
    [
        (1, [0, 0, 0, 0], [3, 3, 2, 1]),
        (2, [1, 0, 0, 0], [2, 3, 2, 1]),
        (5, [3, 1, 0, 0], [0, 2, 2, 1]),
        (9, [3, 3, 2, 0], [0, 0, 0, 1]),
    ],
)
def test_a_load_that_was_cut_off_goes_on_there(
    folder, load, ledger, cut_off, ending, batch, resumed_at, added
):
    path = folder(ALL, ending)
    batches = cut_off(batch)
    with pytest.raises(OSError, match="the disk is gone"):
        load(path)
    assert not is_loaded(ledger)
    reports = load(path)
    assert [report.resumed_at for report in reports] == resumed_at
    assert [report.added for report in reports] == added
    assert len(batches) == batch + sum(added)  # no row was read twice, but for those that failed
    assert is_loaded(ledger)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_load_goes_on_in_the_middle_of_what_is_now_one_batch(
    folder, load, cut_off, monkeypatch, ending
):
    path, batches = folder(ALL, ending), cut_off(5)
    with pytest.raises(OSError, match="the disk is gone"):
        load(path)
    monkeypatch.setattr(load_tables, "BATCH", 20_000)
    load(path)
    events = [[event.event_id for event in parsed.events] for _, parsed, *_ in batches[5:]]
    assert events == [["e2", "e3"], [], []]


def test_a_load_in_two_goes_makes_the_ledger_of_one(
    folder, load, ledger, cut_off, tmp_path, toy_domain, toy_catalog, now
):
    path = folder(ALL)
    whole = load_tables.Ledger(f"sqlite:///{tmp_path / 'whole.db'}")
    load_folder(path, whole, toy_domain, toy_catalog, now)
    cut_off(5)
    with pytest.raises(OSError, match="the disk is gone"):
        load(path)
    load(path)
    one, two = _everything(whole), _everything(ledger)
    whole.close()
    salts = [dict(found.pop("meta")).pop("salt") for found in (one, two)]
    assert one == two
    assert salts[0] != salts[1]  # two ledgers


def test_what_was_checked_is_not_checked_again_when_a_load_goes_on(folder, load, cut_off):
    path, told = folder(ALL), []
    cut_off(5)
    with pytest.raises(OSError, match="the disk is gone"):
        load(path)
    load(path, progress=lambda *said: told.append(said))
    assert [said[0] for said in told if said[0].startswith("check")] == []
    assert ("load events", 1, 3) in told


def test_a_file_that_changed_meanwhile_is_checked_and_read_again(folder, load, cut_off):
    cut_off(5)
    with pytest.raises(OSError, match="the disk is gone"):
        load(folder(ALL))
    longer = pd.concat([EVENTS, EVENTS.tail(1).assign(event_id="e4")])
    reports = load(folder({"events": longer}))
    assert [report.resumed_at for report in reports] == [3, 0, 0, 0]
    assert [report.added for report in reports] == [0, 3, 2, 1]


def test_another_domain_checks_the_same_files_again(folder, load, toy_domain):
    path = folder({"events": EVENTS})
    load(path)
    [report] = load(path, toy_domain.model_copy(update={"channels": ("app",)}))
    assert not report.passed
    assert report.first_offender.startswith("row 3: channel is 'phone'.")


def test_a_dry_run_checks_what_was_checked_before(folder, load):
    path, told = folder({"events": EVENTS}), []
    load(path)
    load(path, dry_run=True, progress=lambda *said: told.append(said))
    assert told == [("check events", 3, 3)]


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
    monkeypatch.setattr(load_tables, "KEYS", 30)
    sa.event.listen(
        ledger.engine,
        "checkout",
        lambda connection, *_: connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 50),
    )
    cards = [f"card:{number} email:{number}" for number in range(60)]
    people = pd.DataFrame({"customer_id": [f"c{n}" for n in range(60)], "identifiers": cards})
    visits = {"event_id": people.customer_id, "type": "visit", "occurred_at": AT, "channel": "app"}
    reports = load(folder({"customers": people, "events": people.assign(**visits)}))
    assert [report.added for report in reports] == [60, 60]


# --- who the rows are about ---

MORE_KEYS = pd.DataFrame(
    {
        "event_id": ["e1", "e2", "e3"],
        "customer_id": ["c1", None, None],
        "identifiers": ["card:1", "card:1", "cookie:x card:7"],
        "type": "visit",
        "occurred_at": AT,
        "channel": "app",
    }
)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_events_name_their_customer_by_id_by_identifiers_or_by_both(folder, load, rows, ending):
    load(folder({"events": MORE_KEYS}, ending))
    assert sorted(rows(tables.events, "event_id", "subject", "customer_id")) == [
        ("e1", "c1", "c1"),
        ("e2", "card:1", "c1"),
        ("e3", "cookie:x", "cookie:x"),
    ]
    assert sorted(rows(tables.links, "left", "right", "cause")) == [
        ("c1", "card:1", "event e1"),
        ("card:7", "cookie:x", "event e3"),
    ]


def test_an_event_is_kept_with_the_customer_of_the_table_of_customers(folder, load, rows):
    load(folder({"customers": CUSTOMERS, "events": MORE_KEYS.drop(columns="customer_id")}))
    kept = rows(tables.events, "customer_id", "event_id", "subject")
    assert ("c1", "e1", "card:1") in kept and ("c1", "e2", "card:1") in kept


@pytest.mark.parametrize("batch", [1, 2, 20_000])
def test_two_customers_who_share_an_identifier_are_one(folder, load, rows, monkeypatch, batch):
    monkeypatch.setattr(load_tables, "BATCH", batch)
    shared = CUSTOMERS.assign(identifiers=["card:1", "card:1", "card:3"])
    load(folder(ALL | {"customers": shared}))
    keys = sorted(rows(tables.identities, "key", "customer_id"))
    assert keys == [("c1", "c1"), ("c2", "c1"), ("c3", "c3"), ("card:1", "c1"), ("card:3", "c3")]
    assert {customer for customer, _ in rows(tables.events, "customer_id", "subject")} == {"c1"}
    assert rows(tables.decisions, "customer_id", "subject") == [("c1", "c1"), ("c1", "c2")]
    causes = {cause for (cause,) in rows(tables.links, "cause")}
    assert causes == {"the table of customers"}


def test_a_merge_of_the_table_of_customers_can_be_undone(folder, load, ledger, rows, now):
    shared = CUSTOMERS.assign(identifiers=["card:1", "card:1", None])
    load(folder(ALL | {"customers": shared}))
    ledger.write_now(lambda c: unlink(c, ("c2", "card:1"), "a mistake", now))
    assert rows(tables.decisions, "customer_id") == [("c1",), ("c2",)]
    assert sorted(rows(tables.events, "event_id", "customer_id")) == [
        *(("e1", "c1"), ("e2", "c1"), ("e3", "c2")),
    ]


def test_a_customers_account_comes_in(folder, load, rows, toy_domain):
    domain = toy_domain.model_copy(update={"account": "company"})
    people = CUSTOMERS.assign(company=["Acme & Sons", "7", None])
    load(folder({"customers": people}), domain)
    assert rows(tables.customers, "account") == [("Acme & Sons",), ("7",), (None,)]


def test_identifiers_are_spelled_alike_in_all_tables(folder, load, rows, toy_domain):
    emails = {"email": Namespace(normalize="lower")}
    domain = toy_domain.model_copy(update={"identifiers": emails})
    people = CUSTOMERS.assign(identifiers=["email:A@b.it", None, None])
    visits = MORE_KEYS.assign(customer_id=None, identifiers="email:a@B.IT")
    load(folder({"customers": people, "events": visits}), domain)
    assert set(rows(tables.events, "customer_id", "subject")) == {("c1", "email:a@b.it")}


# --- what is left out ---


def test_an_event_id_with_another_content_is_left_out_and_reported(folder, load, rows):
    load(folder({"events": EVENTS}))
    [report] = load(folder({"events": EVENTS.assign(amount_eur=[None, 99.0, 3.0])}))
    assert (report.passed, report.added, report.refused) == (True, 0, 1)
    assert report.first_offender.startswith(
        "event_id is 'e2', which is there with another content."
    )
    assert "1 left out: event_id is 'e2'" in str(report)
    contents = dict(rows(tables.events, "event_id", "properties"))
    assert json.loads(contents["e2"])["amount_eur"] == 12.5


def test_an_event_that_is_twice_in_a_file_comes_in_once(folder, load):
    [report] = load(folder({"events": pd.concat([EVENTS, EVENTS])}))
    assert (report.rows, report.added, report.refused) == (6, 3, 0)


def test_times_finer_than_ours_are_the_same_at_the_second_load(folder, load, rows, now):
    fine = EVENTS.assign(occurred_at="2026-11-22T10:00:00.000000789Z")
    load(folder({"events": fine}, "parquet"))
    longer = pd.concat([fine, fine.tail(1).assign(event_id="e4")])
    [report] = load(folder({"events": longer}, "parquet"))
    assert (report.added, report.refused) == (1, 0)
    assert set(rows(tables.events, "occurred_at")) == {(now,)}


def _said(rows):
    said = rows(tables.contacts, "decision_id", "outcomes_at")
    return {decision_id: json.loads(text or "{}") for decision_id, text in said}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_imported_decisions_are_contacts_with_what_was_said_to_them(
    folder, load, rows, now, ending
):
    load(folder(ALL, ending))
    names = ("decision_id", "action_id", "subject", "customer_id", "channel", "action_group")
    assert rows(tables.contacts, *names, "shown_at") == [
        ("d1", "discount", "c1", "c1", "app", "promotion", now)
    ]
    assert _said(rows) == {"d1": {"accepted": tables.micros(now)}}
    assert rows(tables.decisions, "arm", "served", "activated_at") == [
        (None, False, now),
        (None, False, now),
    ]
    assert rows(tables.outcomes, "action_id") == [("discount",)]


def test_outcomes_that_are_loaded_later_reach_the_contacts_of_then(folder, load, rows, now):
    load(folder({name: ALL[name] for name in ("customers", "decisions")}))
    assert _said(rows) == {"d1": {}}
    load(folder({"outcomes": OUTCOMES}))
    assert _said(rows) == {"d1": {"accepted": tables.micros(now)}}


def test_a_contact_follows_its_decision_when_customers_are_merged(folder, load, rows):
    shared = CUSTOMERS.assign(identifiers=["card:1", None, "card:1"])
    decided = DECISIONS.assign(customer_id=["c3", "c2"])
    load(folder(ALL | {"customers": shared, "decisions": decided}))
    assert rows(tables.contacts, "customer_id", "subject") == [("c1", "c3")]


def test_outcomes_may_name_what_happened(folder, load, rows):
    load(folder(ALL | {"outcomes": OUTCOMES.assign(shared_id=["order-7"])}))
    assert rows(tables.outcomes, "shared_id") == [("order-7",)]


def test_an_outcome_without_its_decision_is_left_out_and_reported(folder, load, rows):
    strange = pd.concat([OUTCOMES, OUTCOMES.assign(decision_id="d9")])
    *_, report = load(folder(ALL | {"outcomes": strange}))
    assert (report.passed, report.added, report.refused) == (True, 1, 1)
    assert report.first_offender == "decision_id 'd9' is not in the ledger"
    assert rows(tables.outcomes, "decision_id") == [("d1",)]


@pytest.fixture
def forgotten(ledger, now):
    """Makes the ledger forget keys, before anything comes in."""
    return lambda *keys: ledger.write_now(lambda c: add_tombstones(c, keys, now))


def test_rows_about_a_forgotten_customer_are_left_out_and_reported(folder, load, rows, forgotten):
    forgotten("c1", "card:1", "email:a@b.it")
    reports = load(folder(ALL))
    assert [(report.added, report.refused) for report in reports] == [
        (2, 1),
        (1, 2),
        (1, 1),
        (0, 1),
    ]
    assert [report.first_offender for report in reports] == [
        "a row of customers is about a forgotten customer",
        "'c1' belongs to a customer who was forgotten. Expected somebody else. "
        'If they are back and agree, send "readmit": true to /v1/forget.',
        "a row of decisions is about a forgotten customer",
        "decision_id 'd1' is not in the ledger",
    ]
    assert rows(tables.customers, "customer_id") == [("c2",), ("c3",)]
    assert rows(tables.events, "customer_id") == rows(tables.decisions, "customer_id") == [("c2",)]
    keys = {key for (key,) in rows(tables.identities, "key")}
    assert keys == {"c2", "card:2"}


def test_an_identifier_of_a_forgotten_customer_links_nobody_and_is_reported(
    folder, load, rows, forgotten
):
    forgotten("card:1")
    [report] = load(folder({"customers": CUSTOMERS}))
    assert (report.added, report.refused) == (3, 1)
    assert report.first_offender == "an identifier of 'c1' is of a forgotten customer"
    assert rows(tables.links, "left", "right") == [("c1", "email:a@b.it"), ("c2", "card:2")]


def test_an_event_with_a_forgotten_identifier_is_left_out(folder, load, rows, forgotten):
    forgotten("cookie:x")
    [report] = load(folder({"events": MORE_KEYS}))
    assert (report.added, report.refused) == (2, 1)
    assert sorted(rows(tables.events, "event_id")) == [("e1",), ("e2",)]


# --- after a build ---


@pytest.fixture
def built(ledger, now):
    """Notes that features were built."""
    ledger.write_now(lambda c: tables.set_meta(c, tables.FEATURES_BUILT, now.isoformat()))


def _to_refold(rows):
    names = ("customer_id", "state", "online", "profile_online")
    found = rows(tables.journey_states, *names)
    assert all(row[1:] == (None, False, False) for row in found)
    return {row[0] for row in found}


def test_before_the_first_build_nobody_has_to_be_refolded(folder, load, rows):
    load(folder(ALL))
    assert _to_refold(rows) == set()


def test_who_gained_a_past_after_the_build_is_refolded(folder, load, rows, built, now):
    load(folder({"events": EVENTS}))
    assert _to_refold(rows) == {"c1", "c2"}
    assert set(rows(tables.journey_states, "restated_at")) == {(now,)}


def test_who_gained_facts_after_the_build_is_shown_anew(folder, load, rows, built):
    load(folder({"customers": CUSTOMERS}))
    assert _to_refold(rows) == {"c1", "c2", "c3"}


def test_what_was_there_already_makes_nobody_be_refolded(folder, load, rows, ledger, now):
    load(folder(ALL))
    ledger.write_now(lambda c: tables.set_meta(c, tables.FEATURES_BUILT, now.isoformat()))
    load(folder({"customers": pd.concat([CUSTOMERS, CUSTOMERS.tail(1).assign(customer_id="c4")])}))
    assert _to_refold(rows) == {"c4"}


def test_a_merge_after_the_build_refolds_who_stays_and_drops_who_goes(
    folder, load, rows, ledger, now
):
    load(folder(ALL))
    kept = {"customer_id": "c2", "state": b"", "online": True, "profile_online": True}
    ledger.write_now(lambda c: tables.set_meta(c, tables.FEATURES_BUILT, now.isoformat()))
    ledger.write_now(lambda c: tables.insert_new(c, tables.journey_states, [kept]))
    link = {"event_id": "e9", "customer_id": "c1", "identifiers": "card:2", "type": "visit"}
    load(folder({"events": pd.DataFrame([link | {"occurred_at": AT, "channel": "app"}])}))
    assert _to_refold(rows) == {"c1"}


def test_who_survives_one_merge_and_not_the_next_is_not_refolded(folder, load, rows, ledger, now):
    load(folder({"customers": CUSTOMERS.head(1)}))
    ledger.write_now(lambda c: tables.set_meta(c, tables.FEATURES_BUILT, now.isoformat()))
    chain = {"customer_id": ["c2", "c3"], "identifiers": ["card:2", "card:2 card:1"]}
    load(folder({"customers": pd.DataFrame(chain)}))
    assert {customer for (customer,) in rows(tables.identities, "customer_id")} == {"c1"}
    assert _to_refold(rows) == {"c1"}


def test_the_account_of_who_gained_a_past_is_refolded_too(folder, load, rows, built, toy_domain):
    domain = toy_domain.model_copy(update={"account": "company"})
    people = CUSTOMERS.assign(company=["Acme", "Acme", None])
    load(folder({"customers": people, "events": EVENTS}), domain)
    assert _to_refold(rows) == {"c1", "c2", "c3", "account Acme"}
