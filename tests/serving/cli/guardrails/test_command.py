"""`nba guardrails` shows what was found and switched off, and offers an action again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.business.domain import load_domain
from features.ledger.ledger import Ledger
from serving.access.access_log import read_accesses
from serving.catalog.compiled_catalog import load_catalog
from serving.guardrails.guardrail_rules import GuardrailRules
from serving.guardrails.stops import read_stops, write_stops
from serving.guardrails.stored_tests import begin_tests
from serving.guardrails.views import harm_test_view
from tests.commands import nba_in_process
from tests.conftest import NOW, TOY
from tests.serving.guardrails.made import harmful_test, with_harm

LEAVING = "\nguardrails:\n  leavers: {counts: leaving, within_days: 3}\n"


@pytest.fixture
def env(tmp_path):
    actions = tmp_path / "actions.yaml"
    actions.write_text((TOY / "actions.yaml").read_text(encoding="utf-8") + LEAVING, "utf-8")
    home = {"NBA_HOME": str(tmp_path), "NBA_DOMAIN": str(TOY / "domain.yaml")}
    return {**home, "NBA_ACTIONS": str(actions)}


@pytest.fixture
def ledger(env) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{env['NBA_HOME']}/ledger.db")
    yield opened
    opened.close()


@pytest.fixture
def stopped(ledger, env):
    """A ledger in which a guardrail has switched off the discount."""
    domain = load_domain(TOY / "domain.yaml")
    rules = GuardrailRules.of(load_catalog(Path(env["NBA_ACTIONS"]), domain), domain)
    [rule] = rules.rules
    test = harmful_test()
    view = harm_test_view("discount", test, rule, rules)

    def write(connection):
        begin_tests(connection, rule, NOW)
        with_harm(connection, rule, {"discount": test})
        assert write_stops(connection, rule.name, [view], NOW) == [view]

    ledger.write_now(write)
    return ledger


def test_nothing_is_found_at_first(env, ledger):
    done = nba_in_process(["guardrails"], env)
    assert done.returncode == 0, done.stderr
    assert "leavers: No harm was counted yet." in done.stdout


def test_the_table_and_the_sentences_name_what_harms(env, stopped):
    shown = nba_in_process(["guardrails"], env).stdout
    assert "leavers: discount harms more than 1 times as often as the other actions" in shown
    said = "leavers has switched off discount on 2026-11-22 10:00:00 UTC: 30 of 30 harmed had it"
    assert said in shown
    assert "guardrails: leavers has switched off discount" in nba_in_process(["lift"], env).stdout
    as_json = json.loads(nba_in_process(["guardrails", "--json"], env).stdout)
    assert as_json["stops"][0]["action_id"] == "discount"
    assert as_json["guardrails"][0]["actions"][0]["exceeded"] is True


def test_an_action_is_offered_again_and_who_did_it_is_logged(env, stopped):
    words = ["guardrails", "--lift", "leavers", "--action", "discount", "--cause", "a better one"]
    done = nba_in_process(words, env)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "discount is offered again; its test by leavers begins anew.\n"
    assert stopped.read(read_stops) == {}
    [access] = stopped.read(lambda c: read_accesses(c, None, 9))
    assert access.request == "nba guardrails --lift"
    assert "switched off discount" not in nba_in_process(["guardrails"], env).stdout
    assert "(a better one)" in nba_in_process(["guardrails", "--stops", "all"], env).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lift", "leavers"], "action_id is None."),
        (["--action", "discount"], "guardrail is None."),
        (["--lift", "leavers", "--action", "call_back"], "leavers of discount"),
        (["--stops", "some"], "stops is 'some'."),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_sentence(env, stopped, words, said):
    done = nba_in_process(["guardrails", *words], env)
    assert done.returncode == 2 and said in done.stderr.replace("\n", " "), done.stderr
    assert set(stopped.read(read_stops)) == {"discount"}
