"""Customers of the simulated world call, as in `nba simulate`, for some days."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from features.business.domain import Domain, load_domain
from features.journeys.model_input import ModelInput
from features.settings import PACKAGE, actions_beside
from serving.catalog.compiled_catalog import load_catalog
from serving.cli.simulation.tables import write_customers
from tests.behaviour.live import Live, save_bandit, save_classifier
from training.simulation.business import Arrivals
from training.simulation.businesses import TELEPHONE
from training.simulation.telephone.actions import CHANNELS, NAMES
from training.simulation.telephone.customer_state import PAGES
from training.simulation.telephone.world import TelephoneWorld

BEGIN = datetime(2026, 10, 12, 9, tzinfo=UTC)
WORLD = PACKAGE / "domains" / "world.yaml"
CUSTOMERS, DAYS = 14, 40  # of the kept world
DECISIONS = 18
WATCHED, WATCHED_DAYS = 250, 30  # of another world, that the models are fitted on


def live_through(folder: Path, seed: int) -> Live:
    """This lets the days pass; the folder then holds domain, ledger and models."""
    shutil.copy(WORLD, folder / "domain.yaml")
    domain = load_domain(folder / "domain.yaml")
    _models(folder / "models", domain, seed)
    live = Live(folder, domain, load_catalog(actions_beside(WORLD), domain), BEGIN)
    write_customers(TELEPHONE, folder / "tables", CUSTOMERS, seed)
    live.load(folder / "tables")
    world = TelephoneWorld(CUSTOMERS, seed, DAYS)
    told: list[tuple[int, str, str]] = []
    while len(live.decided) < DECISIONS:
        _day(live, world, told)
    return live


def _day(live: Live, world: TelephoneWorld, told: list[tuple[int, str, str]]) -> None:
    """One day passes: events in the morning, then calls, outcomes in the evening."""
    live.now = BEGIN + timedelta(days=world.day + 1)
    arrivals = world.begin_day()
    for customer, kind, channel, more in _events(world, arrivals):
        who = TELEPHONE.customer_id(customer)
        live.happens(f"{world.day}-{customer}-{kind}", who, kind, channel, **more)
    if world.day == 1:
        live.promote(churn="1")
    if world.day == 2:
        live.promote(bandit="1")
    actions, ids = np.zeros(len(arrivals.customer), dtype=np.int64), list[str]()
    for row, (customer, channel) in enumerate(
        zip(arrivals.customer, arrivals.channel, strict=True)
    ):
        if len(live.decided) == DECISIONS:
            break
        page = world.state.page[customer]
        more = {"context": {"page": PAGES[page]}} if page >= 0 else {}
        more |= {"explain": len(live.decided) % 3 == 0, "slots": 1 + (len(live.decided) % 5 == 4)}
        ids.append(f"world-{world.day}-{customer}")
        live.decide(ids[-1], TELEPHONE.customer_id(customer), CHANNELS[channel], **more)
        chosen = NAMES.index(live.decided[ids[-1]].actions[0].action_id)
        actions[row] = chosen if arrivals.allowed[row, chosen] else 0
    outcomes = world.act(actions)
    for row, name in enumerate(ids):
        if actions[row]:
            after = int(outcomes.accepted_after_days[row]) if outcomes.accepted[row] else 2
            outcome = "accepted" if outcomes.accepted[row] else "ignored"
            told.append((world.day + after, name, outcome))
    live.passes(hours=6)
    for one in [one for one in told if one[0] <= world.day]:
        told.remove(one)
        live.tell(one[1], one[2])
    live.learn(trees=world.day == 3)
    for customer in np.flatnonzero(world.end_day()).tolist():
        live.happens(f"{world.day}-{customer}-left", TELEPHONE.customer_id(customer), "left", "web")


def _events(
    world: TelephoneWorld, arrivals: Arrivals
) -> Iterator[tuple[int, str, str, dict[str, Any]]]:
    """This names those who looked at a page, or whose problem began or ended today."""
    before = getattr(world, "complained", np.zeros(len(world.traits.age), dtype=np.bool_))
    opened = world.state.problem_open
    for customer in np.flatnonzero((opened != before) & world.state.active).tolist():
        yield customer, "complaint_opened" if opened[customer] else "complaint_closed", "web", {}
    world.complained = opened.copy()  # type: ignore[attr-defined]
    for customer, channel in zip(
        arrivals.customer.tolist(), arrivals.channel.tolist(), strict=True
    ):
        if world.state.page[customer] >= 0:
            page = {"page": PAGES[world.state.page[customer]]}
            yield customer, "page_view", CHANNELS[channel], page


def _models(folder: Path, domain: Domain, seed: int) -> None:
    """This fits small models of another world, watched with actions drawn at random."""
    world = TelephoneWorld(WATCHED, seed + 1, WATCHED_DAYS)
    model_input, rng = ModelInput(domain), np.random.default_rng(seed)
    with write_customers(TELEPHONE, folder / "people", WATCHED, seed + 1).open(
        encoding="utf-8"
    ) as file:
        people = list(csv.DictReader(file))
    shutil.rmtree(folder / "people")
    fold = model_input.fold
    states = [fold.empty() for _ in people]
    rows, channels, names, accepted, who_of, day_of = [], [], [], [], [], []
    left_on = np.full(WATCHED, 10_000)
    for day in range(WATCHED_DAYS):
        at_s = (BEGIN - timedelta(days=WATCHED_DAYS - day)).timestamp()
        arrivals = world.begin_day()
        for customer, kind, channel, more in _events(world, arrivals):
            states[customer] = fold.advance(states[customer], kind, channel, at_s, more)
        free = arrivals.allowed
        actions = np.array([rng.choice(np.flatnonzero(one)) for one in free], dtype=np.int64)
        outcomes = world.act(actions)
        for row, customer in enumerate(arrivals.customer.tolist()):
            rows.append(model_input.read(people[customer], states[customer], at_s))
            channels.append(CHANNELS[arrivals.channel[row]])
            names.append(NAMES[actions[row]])
            accepted.append(bool(outcomes.accepted[row]))
            who_of.append(customer)
            day_of.append(day)
        left_on[world.end_day()] = day
    x, days = np.array(rows), np.array(day_of)
    leaves = (left_on[np.array(who_of)] - days <= 20).astype(np.int64)
    save_classifier(folder / "churn" / "1", domain, ("stay", "churn"), x, leaves, seed)
    some = [index for index, name in enumerate(names) if name != NAMES[0]]
    told = [channels[one] for one in some], [names[one] for one in some]
    save_bandit(folder / "bandit" / "1", domain, x[some], *told, np.array(accepted)[some])
