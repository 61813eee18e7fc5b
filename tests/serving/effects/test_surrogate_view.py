"""The audit of the newest effect model is read from the ledger, and told in words."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np

from serving.effects.surrogate_view import distrust_sentence, read_surrogate_view, verdict
from tests.serving.effects.made import audited_note, made_model, published
from training.effects.surrogate_audit import AuditRow

WRONG = AuditRow("offers", 90, 30, 0.0, 0.03, 0.01, 0.05)
RIGHT = AuditRow("calls", 80, 25, 0.01, 0.011, -0.01, 0.012)
FEW = AuditRow("mails", 8, 2, 0.01, 0.02, -np.inf, np.inf)


def test_the_audit_of_the_newest_model_is_read(ledger, now):
    assert ledger.read(read_surrogate_view) is None
    first = published(ledger, made_model(discount=0.25), now)
    assert ledger.read(read_surrogate_view) is None  # a business that does not tell who leaves
    model = replace(made_model(discount=0.5), note=audited_note(WRONG, RIGHT, FEW))
    number = published(ledger, model, now + timedelta(days=1), after=first)
    found = ledger.read(read_surrogate_view)
    assert found[:5] == (number, now + timedelta(days=1), 1200, 40.0, 45.0)
    assert found.rows == [WRONG, RIGHT, FEW]
    told = json.loads(json.dumps(found.to_json()))
    assert told["rows"][0]["disagrees"] is True and told["rows"][2]["low"] is None
    assert told["fitted_at"] == "2026-11-23T10:00:00+00:00"


def test_verdicts_and_sentences_name_what_was_found():
    said = [verdict(row) for row in (WRONG, RIGHT, FEW)]
    assert said == ["disagrees: not trusted", "agrees so far", "too few have left"]
    assert distrust_sentence("offers").startswith("effects: ")
    assert "actions of offers" in distrust_sentence("offers")
