"""The commands that decide who is one person, and that erase a customer after asking."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator

import pytest

from features.clock import utc_now
from features.customers.merge_candidates import find_candidate
from features.identity import links
from features.identity.candidates import MergeCandidate, note_candidates
from features.identity.keys import KeyNormalizer
from features.identity.tombstones import forgotten
from features.ledger import tables
from features.ledger.ledger import Ledger
from tests.commands import nba_in_process
from tests.conftest import NOW
from tests.features.erasing import known
from tests.features.live import SHOP, rows

PAIR = ("ann", "bob")


@pytest.fixture
def env(shop, tmp_path):
    shutil.copytree(shop.home, tmp_path / "home")
    return {**shop.env, "NBA_HOME": str(tmp_path / "home")}


@pytest.fixture
def ledger(env) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{env['NBA_HOME']}/ledger.db")
    yield opened
    opened.close()


def noted(ledger, *pair):
    found = [MergeCandidate.of(*pair, "cookie:kiosk", "device")]
    ledger.write_now(lambda c: note_candidates(c, found, NOW))


def status_of(ledger, pair=PAIR):
    return ledger.read(lambda c: find_candidate(c, pair)).status


def test_candidates_are_listed_as_a_table_and_as_json(ledger, env):
    assert nba_in_process(["merge-candidates"], env).stdout == "No candidate is open.\n"
    noted(ledger, *PAIR)
    listed = nba_in_process(["merge-candidates"], env)
    assert listed.returncode == 0, listed.stderr
    row = listed.stdout.splitlines()[3]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == [*PAIR, "cookie:kiosk", "device", "open", "2026-11-22T10:00:00Z", ""]
    found = json.loads(nba_in_process(["merge-candidates", "--json"], env).stdout)
    assert [one["customers"] for one in found["candidates"]] == [[*PAIR]]
    noted(ledger, "ann", "cid")
    first = nba_in_process(["merge-candidates", "--limit", "1"], env).stdout.splitlines()[-1]
    said, after = shlex.split(first)[:-1], shlex.split(first)[-1]
    assert said == ["There", "are", "more:", "--after"]
    rest = nba_in_process(["merge-candidates", "--after", after], env).stdout
    assert "cid" in rest and "bob" not in rest and "more" not in rest


def test_a_candidate_is_confirmed_or_refused_with_a_cause(ledger, env):
    for pair, option in ((PAIR, "--confirm"), (("cid", "dan"), "--refuse")):
        noted(ledger, *pair)
        done = nba_in_process(["merge-candidates", option, *pair, "--cause", "a call"], env)
        assert done.returncode == 0, done.stdout + done.stderr
    assert status_of(ledger) == "confirmed" and status_of(ledger, ("cid", "dan")) == "refused"
    behind = ledger.read(lambda c: links.resolve_each(c, [*PAIR, "cid", "dan"]))
    assert behind == {"ann": "ann", "bob": "ann", "cid": "cid", "dan": "dan"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--confirm", "ann", "bob"], "either --confirm or --refuse, with two keys, and --cause"),
        (["--cause", "a call"], "either --confirm or --refuse"),
        (["--confirm", *PAIR, "--refuse", *PAIR, "--cause", "x"], "either --confirm or --refuse"),
        (["--status", "all"], "status is 'all'."),
        (["--refuse", "ann", "zoe", "--cause", "a call"], "are no merge candidate"),
    ],
)
def test_half_a_decision_is_refused_with_a_sentence(ledger, env, words, said):
    noted(ledger, *PAIR)
    done = nba_in_process(["merge-candidates", *words], env)
    assert done.returncode == 2 and said in done.stderr.replace("\n", " "), done.stderr
    assert status_of(ledger) == "open"


def test_one_customer_is_erased_at_once(ledger, env):
    known(ledger, "ann")
    done = nba_in_process(["forget", "ann"], env)
    assert done.returncode == 0 and done.stdout.startswith("Erased: 1 keys, "), done.stderr
    assert ledger.read(lambda c: forgotten(c, ["ann"])) == {"ann"}
    [erasure] = rows(ledger, tables.erasures)
    assert erasure.finished_at is not None  # the files are clean, too
    again = nba_in_process(["forget", "ann"], env)
    assert again.returncode == 2 and "was forgotten" in again.stderr


def test_merged_customers_are_erased_when_all_are_confirmed(ledger, env):
    known(ledger, *PAIR)
    normalizer = KeyNormalizer(SHOP)
    ledger.write_now(lambda c: links.link(c, normalizer, PAIR, "a call", utc_now()))
    for words in (["ann"], ["ann", "--confirm", "ann"]):
        asked = nba_in_process(["forget", *words], env)
        assert asked.returncode == 2 and "'ann', 'bob'" in asked.stderr.replace("\n", " ")
    assert ledger.read(lambda c: forgotten(c, PAIR)) == set()
    done = nba_in_process(["forget", "ann", "--confirm", "bob", "--confirm", "ann"], env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ledger.read(lambda c: forgotten(c, PAIR)) == {"ann", "bob"}


@pytest.mark.parametrize(("answer", "gone"), [(True, {"ann", "bob"}), (False, set())])
def test_a_person_is_asked_before_merged_customers_are_erased(
    ledger, env, monkeypatch, answer, gone
):
    known(ledger, *PAIR)
    ledger.write_now(lambda c: links.link(c, KeyNormalizer(SHOP), PAIR, "a call", utc_now()))
    monkeypatch.setattr("serving.cli.identity.typer.confirm", lambda text, err: answer)
    done = nba_in_process(["forget", "bob"], env)
    assert done.returncode == (0 if answer else 2), done.stderr
    shown = done.stderr.splitlines()
    assert shown[:3] == ["It is 2 customers who were merged into one:", "    ann", "    bob"]
    assert ledger.read(lambda c: forgotten(c, PAIR)) == gone


def test_nobody_is_asked_who_has_confirmed_another_list(ledger, env, monkeypatch):
    known(ledger, *PAIR)
    ledger.write_now(lambda c: links.link(c, KeyNormalizer(SHOP), PAIR, "a call", utc_now()))
    monkeypatch.setattr("serving.cli.identity.typer.confirm", lambda text, err: True)
    assert nba_in_process(["forget", "bob", "--confirm", "bob"], env).returncode == 2
    assert ledger.read(lambda c: forgotten(c, PAIR)) == set()


def test_a_customer_of_a_placeholder_is_erased_if_something_is_stored(ledger, env):
    refused = nba_in_process(["forget", "undefined"], env)
    assert refused.returncode == 2 and "a placeholder that names nobody" in refused.stderr
    known(ledger, "undefined")
    assert nba_in_process(["forget", "undefined"], env).returncode == 0
    assert ledger.read(lambda c: forgotten(c, ["undefined"])) == {"undefined"}


@pytest.mark.parametrize(
    ("words", "said"),
    [(["c 1"], "KEY has 'c 1'."), (["ann", "--confirm", ""], "confirm is ''. Expected String")],
)
def test_a_key_that_cannot_be_used_is_refused_with_a_sentence(env, words, said):
    done = nba_in_process(["forget", *words], env)
    assert done.returncode == 2 and said in done.stderr.replace("\n", " "), done.stderr


def test_nobody_is_erased_under_an_unknown_key(ledger, env):
    done = nba_in_process(["forget", "never"], env)
    assert done.returncode == 2 and "Nothing is stored under 'never'" in done.stderr
    assert ledger.read(lambda c: forgotten(c, ["never"])) == set()
