"""Checks the rows of a folder against the time and each other, and names retired actions."""

from __future__ import annotations

import pytest

from features.business.catalog import NO_ACTION
from features.ingest.checks import all_rows
from features.ingest.checks.all_rows import check_tables
from features.ingest.contract_tables import Business
from features.ingest.table_reader import find_tables
from features.progress import quiet

AT = "2026-11-22T10:00:00Z"


@pytest.fixture
def check(tmp_path, ledger, toy_domain, toy_catalog, now):
    def found(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
        listed = find_tables(tmp_path, Business(toy_domain, toy_catalog))
        return check_tables(listed, ledger, now, quiet)

    return found


def _decisions(*actions):
    rows = (f"d{n},c1,{AT},app,{action}\n" for n, action in enumerate(actions))
    return "decision_id,customer_id,decided_at,channel,action_id\n" + "".join(rows)


@pytest.mark.parametrize("rows", [1, 2_000])
def test_each_bad_row_counts_and_the_first_is_named(check, monkeypatch, rows):
    monkeypatch.setattr(all_rows, "PART_ROWS", rows)
    events = "".join(f"e{n},c1,visit,{n}-01-01T00:00:00Z,app\n" for n in (2025, 2096, 2097))
    [report] = check(events=f"event_id,customer_id,type,occurred_at,channel\n{events}")
    assert (report.rows, report.good) == (3, 1)
    assert report.first_offender.startswith("row 2: occurred_at is '2096-01-01T00:00:00+00:00'. ")


def test_an_outcome_before_its_decision_in_the_same_folder_is_named_by_row(check):
    outcomes = (
        f"decision_id,outcome,occurred_at\nd0,clicked,{AT}\nd0,accepted,2026-11-21T10:00:00Z\n"
    )
    _, report = check(decisions=_decisions("discount"), outcomes=outcomes)
    assert report.good == 1
    assert report.first_offender.startswith("row 2: occurred_at is '2026-11-21T10:00:00+00:00'.")


def test_retired_actions_are_named_with_their_rows_and_the_nearest_one(check):
    [report] = check(decisions=_decisions("discuont", "discount", "summer", "summer", NO_ACTION))
    assert report.passed
    assert report.notes == (
        "action 'discuont' is not in the catalogue; its 1 rows are those of a retired action; did "
        "you mean 'discount'?",
        "action 'summer' is not in the catalogue; its 2 rows are those of a retired action",
    )


def test_of_many_retired_actions_the_first_are_named_and_the_others_counted(check):
    [report] = check(decisions=_decisions(*(f"x{n}" for n in range(9))))
    assert len(report.notes) == 6
    assert report.notes[-1] == "4 more actions are not in the catalogue"


def test_rows_without_a_cell_are_passed_and_counted(check):
    [report] = check(customers="customer_id,plan\nc1,plus\n,\n,\n,plus\n")
    assert (report.rows, report.good) == (4, 3)
    assert report.first_offender.startswith("row 4: customer_id is None. ")
    assert report.notes == ("2 rows have no cell and are not read",)


def test_a_row_that_holds_another_row_is_refused(check):
    text = f'event_id,customer_id,type,occurred_at,channel\ne1,c1,visit,{AT},"app\n'
    [report] = check(events=f'{text}e2,c1,visit,{AT},app"\n')
    assert (report.rows, report.good) == (1, 0)
    assert "row 1: channel holds a line that looks like a row of the table" in report.first_offender
