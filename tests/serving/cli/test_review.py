"""Tests `nba feedback`; replay, lift and evaluate are tested beside what they print."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.tables import insert_new
from features.settings import GROCERY
from tests.commands import nba_in_process


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """The home of a business that asks its customers; three have answered."""
    home = tmp_path_factory.mktemp("asked")
    lines = ("name: asked", "currency: eur", "channels: [app]", "vocabulary: [nps, ces, refund]")
    (home / "domain.yaml").write_text("\n".join(lines), encoding="utf-8")
    answers = [("c1", 1, 10, "refund"), ("c1", 2, 0, "refund"), ("[red]", 2, 9, None)]
    rows = [
        {
            "event_id": f"e{month}-{who}",
            "customer_id": who,
            "subject": who,
            "type": "nps",
            "occurred_at": datetime(2026, month, 1, tzinfo=UTC),
            "channel": "app",
            "properties": json.dumps({"score": score, "about": about}),
        }
        for who, month, score, about in answers
    ]
    effort = {**rows[0], "event_id": "e9", "type": "ces", "properties": json.dumps({"score": 6})}
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    ledger.write_now(lambda connection: insert_new(connection, tables.events, [*rows, effort]))
    ledger.close()
    return {"NBA_HOME": str(home)}


def _cells(printed: str) -> list[list[str]]:
    """The rows of a table as it was printed, without its frame."""
    lines = [line for line in printed.splitlines() if line[:1] in "│┃"]
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines]


def test_feedback_shows_each_measure_of_each_group(asked):
    done = nba_in_process(["feedback", "--by", "journey", "--by", "month"], asked)
    assert done.returncode == 0, done.stderr
    assert "Days, weeks and months are of the clock of UTC." in done.stdout
    assert _cells(done.stdout) == [
        ["measure", "journey", "month", "answers", "value", "95 % interval"],
        ["nps", "refund", "2026-01", "1", "100.00", "-48.50 to 100.00"],
        ["nps", "refund", "2026-02", "1", "-100.00", "-100.00 to 48.50"],
        ["nps", "voice", "2026-02", "1", "100.00", "-48.50 to 100.00"],
        ["ces", "voice", "2026-01", "1", "6.00", ""],
    ]


@pytest.mark.parametrize(
    ("more", "groups"),
    [
        (["--since", "2026-02-01"], ["[red]", "c1"]),
        (["--since", "2026-02-01T00:00:01Z"], []),
        (["--until", "2026-02-01"], ["c1", "c1"]),
        (["--since", "2026-02-01T03:00+03:00", "--customer", "[red]"], ["[red]"]),
        (["--customer", "nobody"], []),
    ],
)
def test_feedback_of_a_time_or_of_a_customer(asked, more, groups):
    done = nba_in_process(["feedback", "--by", "customer", *more], asked)
    assert done.returncode == 0, done.stderr
    assert [cells[1] for cells in _cells(done.stdout)[1:]] == groups
    assert ("Nobody answered" in done.stdout) == (not groups)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--by", "colour"], "by is 'colour'. Expected some of customer, journey, stage"),
        (["--since", "yesterday"], "since is 'yesterday'. Expected a day or a time after 1970"),
        (["--until", "2026-02-30"], "until is '2026-02-30'."),
        (["--since", "1969-01-01"], "since is '1969-01-01'."),
        (["--since", "0001-01-01T00:00+14:00"], "Correct --since."),
        (["--since", "2026-02-01", "--until", "2026-01-01"], "until is 2026-01-01T00:00:00+00:00."),
    ],
)
def test_feedback_that_cannot_be_shown_ends_with_code_2_and_a_sentence(asked, arguments, sentence):
    done = nba_in_process(["feedback", *arguments], asked)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_the_catalogue_is_checked_and_its_names_are_listed(shop):
    done = nba_in_process(["catalog"], shop.env)
    assert done.returncode == 0, done.stderr
    assert "1 actions, 0 conditions, 0 caps, 0 cool-downs: good." in done.stdout
    done = nba_in_process(["catalog", "--names"], shop.env)
    assert "text    zone" in done.stdout


def test_a_persona_that_is_wrong_is_told_with_its_line(tmp_path):
    text = GROCERY.read_text(encoding="utf-8").replace("basket_per_week_56d >= 1", "basket >= 1")
    (tmp_path / "domain.yaml").write_text(text, encoding="utf-8")
    env = {"NBA_HOME": str(tmp_path), "NBA_DOMAIN": str(tmp_path / "domain.yaml")}
    done = nba_in_process(["catalog"], env)
    line = 1 + text.splitlines().index('  weekly: {when: "basket >= 1", words: "Shops every week"}')
    assert done.returncode == 2
    assert f"line {line}: personas.weekly.when is 'basket >= 1'" in " ".join(done.stderr.split())


def test_the_check_of_a_catalogue_says_which_purposes_are_opt_out(tmp_path):
    done = nba_in_process(["catalog"], {"NBA_HOME": str(tmp_path)})  # of the grocer
    assert done.returncode == 0, done.stderr
    assert "Opt-out: customers count as consenting to marketing until they withdraw" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["evaluate"], "Neither --policy nor --catalog is given. Expected a policy or a catalogue"),
        (["replay", "--catalog", "tomorrow"], "catalog is 'tomorrow'. Expected now or then."),
    ],
)
def test_an_option_that_is_wrong_or_missing_is_named(shop, arguments, sentence):
    done = nba_in_process(arguments, shop.env)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_without_decisions_all_of_none_are_identical(shop):
    done = nba_in_process(["replay"], shop.env)
    assert done.returncode == 0, done.stderr
    assert "0 decisions replayed, 0 identical." in done.stdout


def test_an_evening_answer_stands_under_the_day_of_the_business(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "events.csv").write_text(
        "event_id,customer_id,type,occurred_at,channel,score\ne1,1,nps,2026-03-01T02:30:00Z,web,9\n"
    )
    home = {"NBA_HOME": str(tmp_path / "home")}  # of the grocer, who is in New York
    done = nba_in_process(["load", str(tmp_path / "tables")], home)
    assert done.returncode == 0, done.stderr
    for period, group in (("day", "2026-02-28"), ("month", "2026-02")):
        done = nba_in_process(["feedback", "--by", period, "--since", "2026-02-28"], home)
        assert [row[1] for row in _cells(done.stdout)] == [period, group]
        assert "of the clock of America/New_York" in done.stdout
    done = nba_in_process(["feedback", "--since", "2026-03-01"], home)
    assert "Nobody answered" in done.stdout
