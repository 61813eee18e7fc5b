"""Reports read as one line."""

import pytest

from features.ingest.load_report import LeftOut, LeftOutRows, LoadReport


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
            "PASS  events             9 of 9 rows are good; 7 new; 2 left out; began at row 4",
        ),
        (
            LoadReport("customers", 9, 9, None, 7, changed=1200),
            "PASS  customers          9 of 9 rows are good; 7 new; 1,200 changed",
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


def test_what_there_is_to_know_stands_below_in_lines_of_its_own():
    notes = ("column 'Age' is not read; did you mean 'age'?", "2 left out without a decision.")
    assert str(LoadReport("outcomes", 9, 9, None, 7, 2, notes=notes)) == (
        "PASS  outcomes           9 of 9 rows are good; 7 new; 2 left out\n"
        "      outcomes: column 'Age' is not read; did you mean 'age'?\n"
        "      outcomes: 2 left out without a decision."
    )


def test_rows_that_were_left_out_are_counted_by_reason_with_the_first_of_each():
    found = LeftOutRows()
    found.add([LeftOut("without a decision", "d9 is not there"), LeftOut("twice", "d1 is there.")])
    found.add([LeftOut("without a decision", "d8 is not there")])
    assert found.lines() == [
        "2 left out (without a decision); first: d9 is not there.",
        "1 left out (twice); first: d1 is there.",
    ]
    assert found.counts.total() == 3
