"""The lift of a ledger: who is counted, what is counted, and what is said of it."""

from __future__ import annotations

import json

from features.errors import LedgerDown
from serving.audit.lift.view import view_lift
from serving.contract.lift import LiftRequest
from tests.commands import nba_in_process
from tests.conftest import NOW
from tests.decided import decided
from tests.serving.fakes import changed


def test_a_lift_sums_what_is_new_and_says_what_it_could_not_sum(
    ledger, toy_catalog, toy_domain, monkeypatch
):
    def credited(**changes):
        catalog = changed(toy_catalog, **changes)
        return view_lift(LiftRequest(), ledger, catalog, toy_domain, NOW).credited

    for number in range(5):
        about = {"customer_id": f"c{number}", "arm": "policy" if number < 3 else "random"}
        decided(ledger, f"d{number}", NOW, {"discount": 14}, **about)
    found = credited()
    assert (found.policy.decisions, found.random.decisions) == (3, 2)

    def down(*asked: object) -> None:
        raise LedgerDown("The disk is full.", expected="room", remedy="Make room.")

    monkeypatch.setattr(ledger, "write_now", down)
    assert "5 decisions still count by the earlier ones" in credited(attribution="even").remarks[-1]


def test_the_command_tells_the_lift_to_people_and_to_programs(tmp_path):
    env = {"NBA_HOME": str(tmp_path)}
    done = nba_in_process(["lift"], env)
    assert done.returncode == 0, done.stderr
    assert "Not enough yet" in done.stdout
    done = nba_in_process(["lift", "--since", "2026-01-01", "--json"], env)
    assert json.loads(done.stdout)["pairs"] == []
    done = nba_in_process(["lift", "--since", "2026-02-01", "--until", "2026-01-01"], env)
    assert done.returncode == 2 and "Correct --until" in done.stderr
