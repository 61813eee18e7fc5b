"""Decisions of a batch are, to the byte, those of the engine for one customer after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from features.business.catalog import NO_ACTION
from features.ledger import tables
from serving.contract.decisions import DecideRequest, Decision
from serving.contract.events import OutcomeRequest
from serving.decide.engine import Engine
from serving.decide.outcomes import record_outcome
from serving.simulation.batch import Asked, decide_batch
from tests.bench.forty_days import BEGIN, FortyDays
from training.arrays import Floats
from training.effects.effect_prediction import EffectPrediction

DECIDERS = Callable[[Engine, list[Asked]], list[Decision]]
KEPT = (tables.decisions, tables.contacts, tables.credits, tables.paces)
CUSTOMERS = 40


def _one_by_one(engine: Engine, asked: list[Asked]) -> list[Decision]:
    return [asyncio.run(engine.decide(request, now)) for request, now in asked]


def _asked(rng: np.random.Generator, lived: FortyDays, day: int) -> list[Asked]:
    """Requests of a day in the order of time; some customers come twice."""
    channels, found = lived.domain.channels, list[Asked]()
    for number, minute in enumerate(np.sort(rng.integers(0, 1440, 40)).tolist()):
        now = BEGIN + timedelta(days=day, minutes=minute)
        sent: dict[str, Any] = {
            "customer_id": f"c{rng.integers(CUSTOMERS)}",
            "channel": channels[int(rng.integers(len(channels)))],
            "slots": int(rng.integers(1, 4)),
            "explain": number % 10 == 0,
            "activate": number % 7 > 0,
            "decision_id": f"d{day}-{number:03d}",
        }
        found.append(Asked(DecideRequest.model_validate(sent), now))
    return found


class EveryFeature:
    """An effect model: each action adds by the number of events, and by its place."""

    features = ("events_n",)
    distrusted = ()
    counted = 100.0

    def __init__(self, actions: tuple[str, ...]) -> None:
        self.actions = actions

    def predict_each(self, rows: Floats, channels: Sequence[str]) -> list[EffectPrediction]:
        places = np.arange(len(self.actions)) / len(self.actions)
        each = [places * row[0] / 100 for row in rows]
        return [EffectPrediction(one, one / 2, -one / 100, one / 200) for one in each]


def _played(folder: Path, domain: str, decide: DECIDERS, days: int) -> tuple[list[Any], ...]:
    """Answers, and the rows of all tables, after some days with learning in between."""
    folder.mkdir()
    lived = FortyDays.opened(folder, domain, 12, seed=3)
    rng, answers = np.random.default_rng(5), list[str]()
    for day in range(days):
        for customer in range(CUSTOMERS):
            lived.customers.happen(f"c{customer}", BEGIN + timedelta(days=day), 8)
        decisions = decide(lived.engine, _asked(rng, lived, day))
        answers += [one.as_json for one in decisions]
        evening = BEGIN + timedelta(days=day, hours=24)
        _tell(lived, decisions, rng, evening)
        lived.learner.step(evening)
        if day == 1:
            lived.learner.adopt_trees(lived.learner.fit_trees(), evening)
        lived.watcher.refresh_snapshot()
        models, names = lived.watcher.current, lived.engine.model_input.names
        if domain == "grocery":  # the other one has nothing that could be added
            model = EveryFeature(tuple(lived.engine.setup.compiled.actions))
            models = models.with_effects(model, "1", names)
        lived.engine.setup = lived.engine.setup.with_models(models)
    written = [_rows(lived, table) for table in KEPT]
    lived.engine.ledger.close()
    return answers, *written


def _tell(
    lived: FortyDays, decisions: list[Decision], rng: np.random.Generator, at: datetime
) -> None:
    catalog = lived.engine.setup.compiled.catalog
    for decision in decisions:
        action_id = decision.actions[0].action_id
        if decision.activated and action_id != NO_ACTION and rng.random() < 0.4:
            about = {"decision_id": decision.decision_id, "action_id": action_id}
            said = OutcomeRequest(**about, outcome="accepted")
            asyncio.run(record_outcome(said, lived.engine.ledger, catalog, at))


def _rows(lived: FortyDays, table: sa.Table) -> list[Any]:
    """All columns as the database holds them, without a conversion."""
    names = ", ".join(column.name for column in table.columns)
    query = sa.text(f"SELECT {names} FROM {table.name} ORDER BY {names}")
    return lived.engine.ledger.read(lambda c: [tuple(row) for row in c.execute(query)])


@pytest.mark.parametrize("domain", ["grocery", "helpdesk"])  # the latter counts per account
def test_answers_and_rows_are_those_of_the_engine(tmp_path, domain):
    one_by_one = _played(tmp_path / "one", domain, _one_by_one, days=3)
    batch = _played(tmp_path / "batch", domain, decide_batch, days=3)
    assert any("Tried to learn" in answer for answer in batch[0])
    assert any("makes leaving less" in answer for answer in batch[0]) == (domain == "grocery")
    for name, mine, theirs in zip(("answers", *KEPT), batch, one_by_one, strict=True):
        assert len(mine) > 0 or (name is tables.paces and domain == "helpdesk")
        assert mine == theirs
