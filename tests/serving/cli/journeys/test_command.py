"""Tests `nba journeys`: tables, JSON, filters, the recount, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.commands import nba_in_process
from tests.serving.journeys.test_answer import DOMAIN, LOG

ACTIONS = """
outcomes: {accepted: {acceptance: 1}}
actions:
  greet: {issue: i, group: g, value: 1, cost: 0, prior: {acceptance: 0.1}, attribution_days: 3,
          treatments: {app: {title: Hello}}}
"""
DAY = "2026-01-{:02}T10:00:00Z"


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The home of a business with the parcels of `test_answer`."""
    home = tmp_path_factory.mktemp("parcels")
    (home / "domain.yaml").write_text(DOMAIN, encoding="utf-8")
    (home / "actions.yaml").write_text(ACTIONS, encoding="utf-8")
    folder = home / "mine"
    folder.mkdir()
    _write(folder / "customers.csv", ["customer_id", "town"], [("c1", "far"), ("c2", "near")])
    rows = [
        (f"e{place}", who, kind, DAY.format(1 + day), channel)
        for place, (who, kind, day, channel) in enumerate(LOG)
    ]
    names = ["event_id", "customer_id", "type", "occurred_at", "channel"]
    _write(folder / "events.csv", names, rows)
    env = {"NBA_HOME": str(home), "NBA_DOMAIN": str(home / "domain.yaml")}
    done = nba_in_process(["load", str(folder)], env)
    assert done.returncode == 0, done.stderr
    return env


def _write(file: Path, names: list[str], rows: list[tuple[str, ...]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([names, *rows])


def test_the_page_is_printed_as_tables(env):
    done = nba_in_process(["journeys", "--map", "parcel"], env)
    assert done.returncode == 0, done.stderr
    assert "Journeys of the map parcel" in done.stdout
    for text in ("ordered", "delivered", "on_time", "33.3%"):
        assert text in done.stdout


def test_the_overview_counts_all_maps(env):
    done = nba_in_process(["journeys", "overview", "--json"], env)
    assert done.returncode == 0, done.stderr
    maps = {one["map"]: one for one in json.loads(done.stdout)["overview"]["maps"]}
    assert [maps[name]["journeys"]["n"] for name in ("parcel", "lifecycle")] == [3, 3]
    assert maps["parcel"]["how"]["ended"]["n"] == 2


def test_json_has_the_numbers_and_the_queries_of_their_lists(env):
    done = nba_in_process(["journeys", "map", "--map", "parcel", "--json"], env)
    found = json.loads(done.stdout)
    assert found["map"]["journeys"]["n"] == 3
    assert found["map"]["journeys"]["rows"]["relation"] == "journeys"


@pytest.mark.parametrize(
    ("options", "journeys"),
    [
        (["--where", "town=far"], 1),
        (["--where", "town="], 1),
        (["--where", "how=ended"], 2),
        (["--where", "channel=shop"], 1),
        (["--where", "through=asked"], 1),
        (["--since", "2026-01-05"], 1),
        (["--until", "2026-01-05"], 2),
    ],
)
def test_filters_select_journeys(options, journeys, env):
    done = nba_in_process(["journeys", "map", "--map", "parcel", "--json", *options], env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["map"]["journeys"]["n"] == journeys


def test_a_recount_finds_nothing_to_mend(env):
    done = nba_in_process(["journeys", "--recount"], env)
    assert done.returncode == 0, done.stderr
    assert "All numbers are those of the events." in done.stdout


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["posters"], "view is 'posters'."),
        (["--map", "parcels"], "map is 'parcels'."),
        (["--where", "town"], "where is 'town'."),
        (["--where", "city=far"], "city"),
        (["--since", "yesterday"], "since is 'yesterday'."),
        (["breakdown"], "by is missing"),
        (["compare", "--against", "2026-01-01"], "against is '2026-01-01'."),
        (["map", "--limit", "0"], "--limit"),
    ],
)
def test_a_wrong_option_is_named(options, sentence, env):
    done = nba_in_process(["journeys", *options], env)
    assert done.returncode == 2
    assert sentence in " ".join((done.stderr + done.stdout).split())
