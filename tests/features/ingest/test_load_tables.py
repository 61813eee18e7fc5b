"""Loads a folder of tables: checked as a whole, written once, continued after an interruption."""

import json
from datetime import timedelta

import pandas as pd
import pytest
import sqlalchemy as sa

from features.customers.attribute_history import attribute_history
from features.identity.tombstones import add_tombstones
from features.ingest import load_tables, table_reader
from features.ingest.load_tables import (
    CHECKED,
    LOADED,
    is_loaded,
    load_folder,
    shift_of,
)
from features.ledger import tables
from features.ledger.ledger import Ledger
from tests.features.ingest.toy_tables import (
    ALL,
    CUSTOMERS,
    EVENTS,
    OUTCOMES,
    counts,
    everything,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


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
    assert counts(ledger) == {
        "customers": 3,
        "events": 3,
        "decisions": 2,
        "outcomes": 1,
        "identities": 5,  # two customers and their three identifiers
        "links": 3,
    }


def test_a_table_adds_to_a_customer_who_is_stored_in_a_former_spelling(folder, load, ledger):
    former = {"customer_id": "Jose\u0301", "attributes": "{}"}
    ledger.write_now(lambda c: tables.insert_new(c, tables.customers, [former]))
    load(folder({"events": EVENTS.assign(customer_id="José")}))
    query = sa.select(tables.events.c.customer_id).distinct()
    assert ledger.read(lambda c: c.execute(query).scalars().all()) == ["Jose\u0301"]


def test_loading_twice_adds_nothing(folder, load, ledger):
    path = folder(ALL)
    load(path)
    before = counts(ledger)
    assert [report.added for report in load(path)] == [0, 0, 0, 0]
    assert counts(ledger) == before


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("marked", [True, False])
def test_loading_twice_changes_nothing_even_where_no_mark_says_it_was_loaded(
    folder, load, ledger, ending, marked
):
    path = folder(ALL, ending)
    load(path)
    before = everything(ledger)
    if not marked:
        mark = tables.meta.c.key
        forget = sa.delete(tables.meta).where(mark.startswith(CHECKED) | mark.startswith(LOADED))
        assert ledger.write_now(lambda c: c.execute(forget).rowcount) == 1 + len(ALL)
    reports = load(path)
    assert [(report.added, report.refused) for report in reports] == [(0, 0)] * 4
    assert everything(ledger) == before


def test_csv_and_parquet_make_the_same_ledger(folder, load, ledger):
    load(folder(ALL, "csv"))
    before = everything(ledger)
    for name in ALL:
        (folder({}) / f"{name}.csv").unlink()
    load(folder(ALL, "parquet"))
    assert everything(ledger) == before


def plans(ledger):
    """The present plan of each customer, as the table of customers holds it."""
    found = ledger.read(lambda c: c.execute(sa.select(tables.customers)).all())
    return {row.customer_id: json.loads(row.attributes).get("plan") for row in found}


def history(ledger, key):
    return [tuple(one) for one in ledger.read(lambda c: attribute_history(c, key))]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("batch", [1, 20_000])
def test_loading_again_brings_attributes_up_to_date_and_counts_them(
    folder, load, ledger, now, monkeypatch, ending, batch
):
    monkeypatch.setattr(table_reader, "BATCH_ROWS", batch)
    [report] = load(folder({"customers": CUSTOMERS}, ending))
    assert (report.added, report.changed) == (3, 0)
    later = now + timedelta(days=3)
    [report] = load(folder({"customers": CUSTOMERS.assign(plan="plus")}, ending), at=later)
    assert (report.added, report.changed, report.refused) == (0, 2, 0)  # c2 had it already
    assert plans(ledger) == {"c1": "plus", "c2": "plus", "c3": "plus"}
    assert history(ledger, "c1") == [("plan", "plus", later), ("plan", "basic", None)]
    assert history(ledger, "c2") == [("plan", "plus", None)]
    assert history(ledger, "c3") == [("plan", "plus", later)]
    [again] = load(folder({"customers": CUSTOMERS.assign(plan="plus")}, ending), at=later)
    assert (again.added, again.changed) == (0, 0)


def test_an_empty_cell_says_nothing_of_an_attribute(folder, load, ledger):
    load(folder({"customers": CUSTOMERS}))
    [report] = load(folder({"customers": CUSTOMERS.assign(plan=None)}))
    assert report.changed == 0 and plans(ledger) == {"c1": "basic", "c2": "plus", "c3": None}


def test_a_column_as_of_gives_the_time_from_which_the_attributes_hold(folder, load, ledger, now):
    load(folder({"customers": CUSTOMERS}))
    spring = now - timedelta(days=200)
    told = CUSTOMERS.head(1).assign(plan="plus", as_of=spring.isoformat())
    [report] = load(folder({"customers": told}))
    assert report.changed == 1
    assert history(ledger, "c1") == [("plan", "plus", spring), ("plan", "basic", None)]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_one_table_with_two_values_for_a_customer_is_refused_by_name(folder, load, ledger, ending):
    twice = pd.concat([CUSTOMERS, CUSTOMERS.head(1).assign(plan="plus")])
    [report] = load(folder({"customers": twice}, ending))
    assert (report.passed, report.good) == (False, 3)
    assert report.first_offender == (
        "row 4: plan is 'plus'. Expected 'basic' as in row 1, which is about the same customer_id "
        "'c1', or another as_of. Correct the table and load it again."
    )
    assert counts(ledger) == {}


def test_each_row_about_a_customer_is_compared_with_all_before(folder, load):
    c1 = CUSTOMERS.head(1)
    told = [c1.assign(plan=None, age_years=41), c1, c1.assign(plan="plus")]
    [report] = load(folder({"customers": pd.concat(told)}))
    assert report.good == 2 and "row 3: plan is 'plus'" in report.first_offender
    assert "'basic' as in row 2" in report.first_offender


def test_a_table_that_tells_a_history_may_be_loaded_again(folder, load, ledger, now):
    spring = now - timedelta(days=200)
    later = CUSTOMERS.head(1).assign(plan="plus", as_of=spring.isoformat())
    load(folder({"customers": pd.concat([CUSTOMERS, later])}))
    before = history(ledger, "c1")
    more = CUSTOMERS.tail(1).assign(customer_id="c4")
    [report] = load(folder({"customers": pd.concat([CUSTOMERS, later, more])}))
    assert (report.added, report.changed) == (1, 0)
    assert history(ledger, "c1") == before == [("plan", "plus", spring), ("plan", "basic", None)]


def test_one_table_may_name_a_customer_twice_if_it_says_the_same_or_names_the_times(
    folder, load, ledger, now
):
    same = CUSTOMERS.head(1).assign(plan=None)
    spring = now - timedelta(days=200)
    later = CUSTOMERS.head(1).assign(plan="plus", as_of=spring.isoformat())
    [report] = load(folder({"customers": pd.concat([CUSTOMERS, same, later])}))
    assert report.passed and report.added == 3
    assert history(ledger, "c1") == [("plan", "plus", spring), ("plan", "basic", None)]


def test_a_time_that_has_not_come_is_refused(folder, load, now):
    tomorrow = (now + timedelta(days=1)).isoformat()
    [report] = load(folder({"customers": CUSTOMERS.assign(as_of=tomorrow)}))
    assert report.first_offender == (
        f"row 1: as_of is '{tomorrow}'. Expected a time that has passed. "
        "Correct the table and load it again."
    )


def test_an_attribute_of_a_forgotten_customer_stays_out(folder, load, ledger, now):
    load(folder({"customers": CUSTOMERS}))
    ledger.write_now(lambda c: add_tombstones(c, ["c1"], now))
    [report] = load(folder({"customers": CUSTOMERS.assign(plan="plus")}))
    assert (report.changed, report.refused) == (1, 1)
    assert plans(ledger)["c1"] == "basic"


def test_only_the_new_rows_of_a_longer_table_are_added(folder, load):
    load(folder({"events": EVENTS.head(1)}))
    [report] = load(folder({"events": EVENTS}))
    assert (report.rows, report.added) == (3, 2)


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
    assert counts(ledger) == {}
    assert not is_loaded(ledger)


def test_a_dry_run_reports_and_writes_nothing(folder, load, ledger):
    reports = load(folder(ALL), dry_run=True)
    assert [(report.good, report.added) for report in reports] == [(3, 0), (3, 0), (2, 0), (1, 0)]
    assert counts(ledger) == {}
    assert not is_loaded(ledger)


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


def test_progress_ends_with_all_rows_checked_and_loaded(folder, load):
    told = []
    load(folder({"events": EVENTS}), progress=lambda *said: told.append(said))
    assert told[0] == ("check events", 3, 3)
    assert told[-1] == ("load events", 3, 3)


@pytest.fixture
def cut_off(monkeypatch, ledger):
    """Batches of one row; the disk fails once, at a given batch."""
    monkeypatch.setattr(table_reader, "BATCH_ROWS", 1)
    write, seen = load_tables.write_batch, []

    def at(batch):
        def fails_once(*arguments):
            seen.append(arguments)
            if len(seen) == batch:
                write(*arguments)  # written, but never committed
                raise OSError("the disk is gone")
            return write(*arguments)

        monkeypatch.setattr(load_tables, "write_batch", fails_once)
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
    monkeypatch.setattr(table_reader, "BATCH_ROWS", 20_000)
    load(path)
    events = [[event.event_id for event in parsed.events] for _, parsed, *_ in batches[5:]]
    assert events == [["e2", "e3"], [], []]


def test_a_load_in_two_goes_makes_the_ledger_of_one(
    folder, load, ledger, cut_off, tmp_path, toy_domain, toy_catalog, now
):
    path = folder(ALL)
    whole = Ledger(f"sqlite:///{tmp_path / 'whole.db'}")
    load_folder(path, whole, toy_domain, toy_catalog, now)
    cut_off(5)
    with pytest.raises(OSError, match="the disk is gone"):
        load(path)
    load(path)
    one, two = everything(whole), everything(ledger)
    whole.close()
    assert one == two


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


def test_a_dry_run_counts_outcomes_of_no_decision_as_the_load_does(folder, load):
    lost = OUTCOMES.assign(decision_id="d9")
    path = folder(ALL | {"outcomes": pd.concat([OUTCOMES, lost])})
    for dry_run in (True, False):
        report = load(path, dry_run=dry_run)[-1]
        assert (report.rows, report.good, report.refused) == (2, 2, 1)
        assert report.left_out == (
            "1 left out (of no decision in the ledger); first: decision_id 'd9' is not in the "
            "ledger.",
        )
