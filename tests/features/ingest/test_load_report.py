"""Reports read as one line."""

import pytest

from features.ingest.load_report import LoadReport


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
