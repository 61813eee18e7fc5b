"""`nba audit-surrogate` shows what the features told of leaving against who really left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from features.ledger.ledger import Ledger
from tests.commands import nba_in_process
from tests.conftest import NOW, TOY
from tests.serving.effects.made import audited_note, made_model, published
from tests.serving.effects.test_surrogate_view import FEW, RIGHT, WRONG


@pytest.fixture
def env(tmp_path):
    return {"NBA_HOME": str(tmp_path), "NBA_DOMAIN": str(TOY / "domain.yaml")}


@pytest.fixture
def ledger(env) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{env['NBA_HOME']}/ledger.db")
    yield opened
    opened.close()


def told(env, *words):
    done = nba_in_process(["audit-surrogate", *words], env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_an_effect_model_a_sentence_says_why(env, ledger):
    assert told(env).startswith("There is no audit yet: ")
    assert json.loads(told(env, "--json")) is None


def test_each_family_is_told_with_its_interval_and_its_verdict(env, ledger):
    model = made_model(discount=0.5)
    published(ledger, replace(model, note=audited_note(WRONG, RIGHT, FEW)), NOW)
    said = told(env)
    for cells in (
        ("offers", "90", "30", "+0.00", "+3.00", "[+1.00, +5.00]", "disagrees: not trusted"),
        ("calls", "80", "25", "+1.00", "+1.10", "[-1.00, +1.20]", "agrees so far"),
        ("mails", "8", "2", "+1.00", "+2.00", "-", "too few have left"),
    ):
        [line] = [line for line in said.splitlines() if f" {cells[0]} " in line and "│" in line]
        assert [cell.strip() for cell in line.split("│")[1:-1]] == list(cells)
    assert "effects: the features some days later do not tell how actions of offers" in said
    assert "lasts 40 days, as learned from 1,200 matured decisions (45 days before)." in said
    assert "Effect model 1, fitted on 2026-11-22 10:00:00 UTC." in said
    assert [row["family"] for row in json.loads(told(env, "--json"))["rows"]] == [
        "offers",
        "calls",
        "mails",
    ]


def test_without_draws_by_chance_nothing_can_be_compared(env, ledger):
    published(ledger, replace(made_model(discount=0.5), note=audited_note()), NOW)
    assert "nothing can be compared" in told(env)
