"""Loads small tables as people have them, with `nba load` and the domain of the grocery.

The cases come from what users of comparable software reported: separators, encodings, gaps in
columns of ids, files with another ending, clocks that are wrong.
"""

from __future__ import annotations

import gzip
import random
import shutil
from datetime import datetime

import pandas as pd
import pytest
import sqlalchemy as sa

from features.clock import utc_now
from features.ledger import tables
from features.ledger.ledger import Ledger
from tests.commands import nba_in_process

EVENT = "event_id,customer_id,type,occurred_at,channel"
AT = "2024-01-01T00:00:00Z"


class Folder:
    """A folder with tables, and a home of its own for what is loaded."""

    def __init__(self, path, empty_home):
        self.path, self.home, self.empty_home = path / "tables", path / "home", empty_home
        self.path.mkdir()

    def put(self, name, content, encoding="utf-8"):
        text = content.encode(encoding) if isinstance(content, str) else content
        (self.path / name).write_bytes(text)

    def load(self, *options):
        if not self.home.exists():
            shutil.copytree(self.empty_home, self.home)
        return nba_in_process(["load", str(self.path), *options], {"NBA_HOME": str(self.home)})

    def check(self, *options):
        """Check the tables only; nothing is written, so the empty home is that of all tests."""
        home = self.home if self.home.exists() else self.empty_home
        return nba_in_process(
            ["load", str(self.path), "--dry-run", *options], {"NBA_HOME": str(home)}
        )

    def rows(self, table, *names):
        ledger = Ledger(f"sqlite:///{self.home / 'ledger.db'}")
        query = sa.select(*(table.c[name] for name in names)).order_by(*table.primary_key.columns)
        found = ledger.read(lambda connection: [tuple(row) for row in connection.execute(query)])
        ledger.close()
        return found


@pytest.fixture(scope="module")
def empty_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("empty")
    Ledger(f"sqlite:///{home / 'ledger.db'}").close()
    return home


@pytest.fixture
def folder(tmp_path, empty_home):
    return Folder(tmp_path, empty_home)


def _first_line(done):
    return done.stdout.splitlines()[0]


def test_an_event_of_the_year_2096_is_refused_by_row(folder):
    year = utc_now().year + 70
    folder.put("events.csv", f"{EVENT}\ne1,1,visit,{year}-01-01T00:00:00Z,web\n")
    done = folder.check()
    assert done.returncode == 2
    said = (
        f"FAIL  events             0 of 1 rows are good; first: row 1: occurred_at is '{year}-01-01"
    )
    assert _first_line(done).startswith(said)
    assert "Expected a time that has passed." in done.stdout


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_an_export_that_is_not_utf_8_is_named_with_the_remedy_and_read_if_told(folder, encoding):
    folder.put("customers.csv", "customer_id,identifiers\nmüller,email:a@b.de\n", encoding)
    done = folder.check()
    assert done.returncode == 2
    assert f"Save it as 'CSV UTF-8', or pass its encoding, such as --encoding {encoding}." in (
        " ".join(done.stderr.split())
    )
    assert folder.load("--encoding", encoding).returncode == 0
    assert folder.rows(tables.customers, "customer_id") == [("müller",)]


def test_an_encoding_that_nobody_knows_is_named(folder):
    folder.put("customers.csv", "customer_id\n1\n")
    done = folder.check("--encoding", "excel")
    assert (done.returncode, "encoding is 'excel'. Expected an encoding" in done.stderr) == (
        2,
        True,
    )


@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_semicolons_and_tabs_separate_as_commas_do(folder, separator):
    rows = ("customer_id|age|identifiers", '1|25-34|"email:a@b.de email:c@d.de"', '2|65+|""')
    folder.put("customers.csv", "\n".join(rows).replace("|", separator))
    assert folder.load().returncode == 0
    assert folder.rows(tables.customers, "customer_id", "attributes") == [
        ("1", '{"age": "25-34"}'),
        ("2", '{"age": "65+"}'),
    ]


@pytest.mark.parametrize(
    ("amounts", "good", "said"),
    [
        (["12.50", '"12,50"', '"1,234.56"', "$3"], 1, "row 2: amount_usd is '12,50'."),
        (["1_250"], 0, "row 1: amount_usd is '1_250'."),
        (["\uff11\uff12"], 0, "row 1: amount_usd is '\uff11\uff12'."),
        (["\u0661\u0662"], 0, "row 1: amount_usd is '\u0661\u0662'."),
        (["nan", "inf"], 0, "row 1: amount_usd is 'nan'."),
    ],
)
def test_an_amount_that_is_no_number_is_refused_by_row_and_column(folder, amounts, good, said):
    rows = "".join(f"e{n},1,basket,{AT},shop,fresh,{one}\n" for n, one in enumerate(amounts))
    folder.put("events.csv", f"{EVENT},mission,amount_usd\n{rows}")
    done = folder.check()
    assert done.returncode == 2
    assert f"{good} of {len(amounts)} rows are good; first: {said} Expected a finite" in done.stdout


def test_a_score_of_0_counts_and_one_between_the_boxes_is_refused(folder):
    folder.put("events.csv", f"{EVENT},score\ne1,1,nps,{AT},web,0\ne2,2,nps,{AT},web,10\n")
    assert folder.load().returncode == 0
    done = nba_in_process(["feedback"], {"NBA_HOME": str(folder.home)})
    assert "0.00" in done.stdout and " 2 " in done.stdout
    scores = "".join(f"f{n},{n},nps,{AT},web,{score}\n" for n, score in enumerate((0, 6.5, 8.5), 1))
    folder.put("events.csv", f"{EVENT},score\n{scores}")
    done = folder.check()
    assert done.returncode == 2
    said = "row 2: properties.score is 6.5. Expected a whole number from 0 to 10."
    assert f"1 of 3 rows are good; first: {said}" in done.stdout


def test_a_large_file_with_line_breaks_within_quotes_is_read(folder):
    draw = random.Random(1)
    texts = ("\n".join(["so, good; " * 7] * draw.randint(1, 8)) for _ in range(12_000))
    rows = "".join(f'e{n},1,review,{AT},web,5,"{text}"\n' for n, text in enumerate(texts))
    folder.put("events.csv", f"{EVENT},stars,text\n{rows}")
    assert (folder.path / "events.csv").stat().st_size > 3_900_000
    done = folder.check()
    assert _first_line(done) == "PASS  events        12,000 of 12,000 rows are good"


@pytest.mark.parametrize(
    ("header", "note"),
    [
        ("customer_id, age", "column ' age' is read as 'age'"),
        ("customer_id,Age", "column 'Age' is not read; did you mean 'age'?"),
        ("customer_id,incom", "column 'incom' is not read; did you mean 'income'?"),
        ("customer_id,", "column 2 has no name and is not read"),
    ],
)
def test_a_column_that_nobody_reads_is_named(folder, header, note):
    folder.put("customers.csv", f"{header}\n1,25-34\n")
    done = folder.check()
    assert done.stdout.splitlines() == [
        "PASS  customers          1 of 1 rows are good",
        f"      customers: {note}",
    ]
    assert folder.load().stdout.splitlines()[1:] == [f"      customers: {note}"]


def test_a_column_that_stands_twice_is_refused(folder):
    folder.put("customers.csv", "customer_id,age,age\n1,25-34,65+\n")
    done = folder.check()
    assert done.returncode == 2
    assert "has the column 'age' 2 times, as columns 2, 3." in done.stderr


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_id_with_a_fraction_of_zero_is_the_whole_number(folder, ending):
    folder.put("customers.csv", "customer_id,age\n123,25-34\n")
    ids = {"event_id": ["e1", "e2"], "customer_id": [123.0, 7.0]}
    rest = {"type": "visit", "occurred_at": AT, "channel": "web"}
    frame = pd.DataFrame({**ids, **rest})
    if ending == "csv":
        frame.to_csv(folder.path / "events.csv", index=False)
        assert "e1,123.0,visit" in (folder.path / "events.csv").read_text(encoding="utf-8")
    else:
        frame.to_parquet(folder.path / "events.parquet")
    assert folder.load().returncode == 0
    assert folder.rows(tables.events, "customer_id") == [("123",), ("7",)]


@pytest.mark.parametrize("name", ["events.csv.gz", "Events.CSV", "EVENTS.CSV.GZ", "Events.PARQUET"])
def test_a_compressed_file_and_one_in_capitals_are_read(folder, name):
    content = f"{EVENT}\ne1,1,visit,{AT},web\n".encode()
    folder.put("customers.csv", "customer_id,age\n1,25-34\n")
    if name.endswith("PARQUET"):
        row = dict(zip(EVENT.split(","), ("e1", "1", "visit", AT, "web"), strict=True))
        pd.DataFrame([row]).to_parquet(folder.path / name)
    else:
        folder.put(name, gzip.compress(content) if name.lower().endswith("gz") else content)
    assert folder.load().returncode == 0
    assert folder.rows(tables.events, "event_id") == [("e1",)]


def test_a_file_that_nobody_reads_is_named_also_by_a_dry_run(folder):
    folder.put("customers.csv", "customer_id,age\n1,25-34\n")
    folder.put("event.csv", "")
    folder.put("orders.xlsx", "")
    for done in (folder.check(), folder.load()):
        assert done.stdout.splitlines()[1:] == [
            "      event.csv is not read; did you mean 'events'?",
            "      orders.xlsx is not read",
        ]


def test_two_files_for_one_table_are_refused_by_name(folder):
    folder.put("customers.csv", "customer_id\n1\n")
    pd.DataFrame({"customer_id": ["1"]}).to_parquet(folder.path / "customers.parquet")
    done = folder.check()
    assert done.returncode == 2
    assert "customers.csv, customers.parquet. Expected one file for each" in done.stderr


def test_loading_again_brings_an_attribute_up_to_date(folder):
    for age in ("25-34", "35-44"):
        folder.put("customers.csv", f"customer_id,age\n1,{age}\n")
        done = folder.load()
    assert _first_line(done) == "PASS  customers          1 of 1 rows are good; 1 changed"
    assert folder.rows(tables.customers, "attributes") == [('{"age": "35-44"}',)]
    folder.put("customers.csv", "customer_id,age\n1,25-34\n1,65+\n")
    done = folder.load()
    assert (
        done.returncode,
        "row 2: age is '65+'. Expected '25-34' as in row 1" in done.stdout,
    ) == (
        2,
        True,
    )


DECISION = "decision_id,customer_id,decided_at,channel,action_id,probability\n"
OUTCOME = "decision_id,outcome,value,occurred_at"


def test_two_purchases_after_one_offer_are_kept_with_ids_and_named_without(folder):
    folder.put("decisions.csv", f"{DECISION}d1,1,{AT},app,fuel_points,0.5\n")
    days = ("2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z")
    folder.put("outcomes.csv", f"{OUTCOME}\nd1,converted,10,{days[0]}\nd1,converted,25,{days[1]}\n")
    done = folder.load()
    assert done.stdout.splitlines()[1:] == [
        "PASS  outcomes           2 of 2 rows are good; 1 new; 1 left out",
        "      outcomes: 1 left out (id is there with another content); first: outcome_id "
        "'d1:converted' is there with value 10.0, not 25.0. Tell outcomes of one kind apart by a "
        "column outcome_id.",
    ]
    rows = (f"d1,converted,10,{days[0]},o1", f"d1,converted,25,{days[1]},o2")
    folder.put("outcomes.csv", "\n".join([f"{OUTCOME},outcome_id", *rows]))
    assert "2 new" in folder.load().stdout
    assert sorted(folder.rows(tables.outcomes, "value")) == [(10.0,), (10.0,), (25.0,)]


def test_a_decision_with_one_id_and_two_actions_is_named(folder):
    rows = (f"d1,1,{AT},app,{action},0.5\n" for action in ("fuel_points", "coupons_personal"))
    folder.put("decisions.csv", DECISION + "".join(rows))
    done = folder.load()
    assert "1 new; 1 left out" in _first_line(done)
    said = "'d1' is there with action_id 'fuel_points', not 'coupons_personal'."
    assert said in done.stdout
    assert folder.rows(tables.decisions, "action_id") == [("fuel_points",)]


def test_an_outcome_may_be_stamped_5_minutes_before_its_decision_and_counts_as_of_it(folder):
    folder.put("decisions.csv", f"{DECISION}d1,1,2024-01-01T12:00:00.5Z,app,fuel_points,\n")
    told = ("clicked,,2024-01-01T12:00:00Z", "converted,,2024-01-01T11:55:01Z")
    folder.put("outcomes.csv", "\n".join([OUTCOME, *(f"d1,{one}" for one in told)]))
    assert folder.load().returncode == 0
    shown_at = datetime.fromisoformat("2024-01-01T12:00:00.5Z")
    assert folder.rows(tables.outcomes, "occurred_at") == [(shown_at,)] * 2
    folder.put("outcomes.csv", f"{OUTCOME}\nd1,clicked,,2023-12-31T12:00:00Z\n")
    done = folder.check()
    assert done.returncode == 2
    assert (
        "row 1: occurred_at is '2023-12-31T12:00:00+00:00'. Expected at most 5 min" in done.stdout
    )


def test_an_action_that_the_catalogue_no_longer_has_is_loaded_and_named(folder):
    folder.put("decisions.csv", f"{DECISION}d1,1,{AT},app,summer_deal,0.5\n")
    done = folder.load()
    assert done.stdout.splitlines() == [
        "PASS  decisions          1 of 1 rows are good; 1 new",
        "      decisions: action 'summer_deal' is not in the catalogue; its 1 rows are those of a "
        "retired action",
    ]
    assert folder.rows(tables.contacts, "action_id", "action_group") == [("summer_deal", "")]


def test_events_of_customers_whom_no_table_has_are_no_error(folder):
    folder.put("customers.csv", "customer_id,age\n1,25-34\n")
    folder.put("events.csv", f"{EVENT}\ne1,2,visit,{AT},web\n")
    assert folder.load().returncode == 0
