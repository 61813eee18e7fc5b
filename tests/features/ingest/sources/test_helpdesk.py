"""The importer of the help desk: a case is a customer, a step is an event, in the file's order."""

from __future__ import annotations

import pandas as pd
import pytest

from features.business.domain import load_domain
from features.errors import InvalidData
from features.ingest.load_tables import load_folder
from features.ingest.sources.helpdesk import PROPERTIES, write_tables
from features.settings import PACKAGE, actions_beside
from serving.catalog.compiled_catalog import load_catalog
from tests.conftest import NOW

DOMAIN = PACKAGE / "domains" / "helpdesk.yaml"
HEAD = ["case_id", "pos", "activity", "timestamp", "split"]
HEAD += [name for name in PROPERTIES if name not in HEAD]
AT = "2012-10-09T14:50:17+00:00"


def a_step(case="Case 1", pos="0", activity="Wait", timestamp=AT, split="train") -> str:
    rest = ["Value 1"] * (len(HEAD) - 5)
    return ",".join([case, pos, activity, timestamp, split, *rest])


@pytest.fixture
def write(tmp_path):
    """Writes a published file of these steps."""

    def put(*steps, head=HEAD):
        file = tmp_path / "helpdesk.csv"
        file.write_text("\n".join([",".join(head), *steps]))
        return file

    return put


@pytest.fixture
def imported(write, tmp_path):
    """Writes steps, imports them, and reads customers and events back."""

    def put(*steps):
        write_tables(write(*steps), tmp_path / "tables")
        read = (pd.read_parquet(tmp_path / "tables" / f"{name}.parquet") for name in TABLES)
        return tuple(table.to_dict("records") for table in read)

    return put


TABLES = ("customers", "events")


def test_a_case_is_one_customer_and_knows_its_part_of_the_protocol(imported):
    customers, _ = imported(a_step(), a_step(pos="1"), a_step(case="Case 2", split="test"))
    assert customers == [
        {"customer_id": "case-1", "split": "train"},
        {"customer_id": "case-2", "split": "test"},
    ]


def test_a_step_is_an_event_with_all_that_its_row_tells(imported):
    _, [event] = imported(a_step())
    assert event == {
        "event_id": "case-1-000",
        "customer_id": "case-1",
        "type": "activity",
        "occurred_at": pd.Timestamp(AT),
        "channel": "desk",
        "name": "Wait",
        **{name: "Value 1" for name in PROPERTIES.values() if name != "name"},
    }


def test_steps_of_one_second_keep_the_order_of_the_file(imported):
    positions = [*range(9, -1, -1), 10, 11]  # as numbers: 10 comes after 9
    _, events = imported(*(a_step(pos=str(pos), activity=f"step {pos}") for pos in positions))
    in_time = sorted(events, key=lambda event: event["occurred_at"])
    by_id = sorted(events, key=lambda event: event["event_id"])
    assert [event["name"] for event in in_time] == [f"step {pos}" for pos in range(12)]
    assert in_time == by_id
    moved = in_time[-1]["occurred_at"] - pd.Timestamp(AT)
    assert moved == pd.Timedelta(microseconds=11)


def test_the_tables_keep_the_rules_of_the_domain_file(write, tmp_path, ledger):
    domain = load_domain(DOMAIN)
    write_tables(write(a_step(), a_step(pos="1")), tmp_path / "tables")
    catalog = load_catalog(actions_beside(DOMAIN), domain)
    reports = load_folder(tmp_path / "tables", ledger, domain, catalog, NOW)
    assert [(one.table, one.good, one.added) for one in reports] == [
        ("customers", 1, 1),
        ("events", 2, 2),
    ]


def test_no_model_reads_which_part_of_the_protocol_a_case_belongs_to():
    assert not load_domain(DOMAIN).attributes["split"].read


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ([a_step(pos="first")], r"has a 'pos' that is no number or a 'timestamp' that is no time"),
        (
            [a_step(timestamp="yesterday")],
            r"has a 'pos' that is no number or a 'timestamp' that is no time",
        ),
        (
            [a_step(), a_step(pos="1", timestamp="2012-10-09T14:50:16+00:00")],
            r"has a case whose 'pos' goes back in time",
        ),
        ([], r"has no rows"),
    ],
)
def test_another_table_is_refused_in_a_sentence(write, tmp_path, steps, sentence):
    with pytest.raises(InvalidData, match=sentence):
        write_tables(write(*steps), tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def test_a_column_that_is_missing_is_named(write, tmp_path):
    with pytest.raises(InvalidData, match=r"has no column 'split'.*nba import helpdesk --file"):
        write_tables(write("1", head=[name for name in HEAD if name != "split"]), tmp_path)
