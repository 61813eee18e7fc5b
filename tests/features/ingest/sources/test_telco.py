"""The importer of the telephone company: one row a customer, one event for each that left."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest

from features.business.domain import load_domain
from features.errors import InvalidData
from features.ingest.load_tables import load_folder
from features.ingest.sources.telco import ATTRIBUTES, LEFT_AT, write_tables
from features.settings import PACKAGE, actions_beside
from serving.catalog.compiled_catalog import load_catalog
from tests.conftest import NOW

HEAD = ",".join(["customerID", *ATTRIBUTES, "Churn"])
STAYS = (
    "7590-VHVEG,Female,0,Yes,No,0,No,No phone service,DSL,No,Yes,No,No,No,No,"
    "Month-to-month,Yes,Electronic check,29.85, ,No"
)
LEAVES = (
    "3668-QPYBK,Male,1,No,No,2,Yes,No,Fiber optic,Yes,Yes,No,No,No,No,"
    "Two year,Yes,Mailed check,53.85,108.15,Yes"
)


@pytest.fixture
def write(tmp_path):
    """Writes a published file of these lines."""

    def put(*lines, name="telco.csv.gz"):
        file = tmp_path / name
        file.write_bytes(gzip.compress("\n".join(lines).encode()))
        return file

    return put


@pytest.fixture
def tables(write, tmp_path):
    write_tables(write(HEAD, STAYS, LEAVES), tmp_path / "new" / "tables")
    return tmp_path / "new" / "tables"


def test_each_row_is_a_customer_in_our_words(tables):
    stays, leaves = pd.read_parquet(tables / "customers.parquet").to_dict("records")
    assert (stays["customer_id"], stays["senior"], leaves["senior"]) == ("7590-VHVEG", "No", "Yes")
    assert (leaves["tenure_months"], leaves["total_charges_usd"]) == ("2", "108.15")
    assert set(stays) == {"customer_id", *ATTRIBUTES.values()}


def test_only_who_left_has_an_event(tables):
    [event] = pd.read_parquet(tables / "events.parquet").to_dict("records")
    assert event == {
        "event_id": "cancelled-3668-QPYBK",
        "customer_id": "3668-QPYBK",
        "type": "cancelled",
        "occurred_at": LEFT_AT,
        "channel": "unknown",
    }


def test_the_label_is_no_attribute():
    assert "Churn" not in ATTRIBUTES
    assert set(load_domain(PACKAGE / "domains" / "telco.yaml").attributes) == set(
        ATTRIBUTES.values()
    )


def test_the_tables_keep_the_rules_of_the_domain_file(tables, ledger):
    domain = load_domain(PACKAGE / "domains" / "telco.yaml")
    catalog = load_catalog(actions_beside(PACKAGE / "domains" / "telco.yaml"), domain)
    reports = load_folder(tables, ledger, domain, catalog, NOW)
    assert [(one.table, one.good, one.rows, one.added) for one in reports] == [
        ("customers", 2, 2, 2),
        ("events", 1, 1, 1),
    ]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["a,b", "1,2"], r"has no column 'customerID'.*Expected the published table of telco"),
        ([HEAD.removesuffix(",Churn"), "x"], r"has no column 'Churn'"),
        ([HEAD], r"has no rows"),
        ([HEAD, STAYS.removesuffix("No") + "Maybe"], r"has another 'Churn' than Yes and No"),
        ([""], r"cannot be read"),
    ],
)
def test_another_table_is_refused_in_a_sentence(write, tmp_path, lines, sentence):
    with pytest.raises(InvalidData, match=sentence):
        write_tables(write(*lines), tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def test_a_file_that_is_not_there_or_not_packed_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(InvalidData, match=r"none.csv does not exist.*nba import telco --file PATH"):
        write_tables(tmp_path / "none.csv", tmp_path / "tables")
    plain = tmp_path / "plain.csv.gz"
    plain.write_text(f"{HEAD}\n{STAYS}\n")
    with pytest.raises(InvalidData, match=r"plain.csv.gz cannot be read"):
        write_tables(plain, tmp_path / "tables")
    with pytest.raises(InvalidData, match=r"cannot be read"):
        write_tables(tmp_path, tmp_path / "tables")
