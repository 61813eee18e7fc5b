"""A logged probability is the one that the action was drawn with: with caps, a control group and
several slots in play, another policy can be evaluated by dividing by it.

The decisions are real ones on a real ledger, seeded by their ids; what each could draw from, and
with which chances, is computed a second time here, from the rules of the catalogue alone.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import sqlalchemy as sa

from features.business.catalog import NO_ACTION, Catalog
from features.business.decided_actions import logged_chances
from features.customers.contacts import note_contacts
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.store.feast_store import CustomerFeatures
from serving.contract.decisions import DecideRequest
from serving.decide import choice, inputs
from tests.serving.fakes import FakeModels, engine_of
from training.bandit.stacking import Prediction

pytestmark = pytest.mark.slow

GREED, VALUE, COST, DAYS = 2.0, 10.0, 1.0, 7
PER_ACTION, PER_OFFERS, SHARE = 2, 3, 0.3
SURE = 4.0  # standard errors; no more than 1 in 16,000 sums of chance leads that far
# By action: its group, its acceptance at 45 years, and what 25 years more add to that.
ACTIONS = {
    "voucher": ("offers", 0.35, 0.2),
    "bundle": ("offers", 0.25, -0.15),
    "upgrade": ("offers", 0.2, 0.0),
    "magazine": ("news", 0.15, 0.1),
    "podcast": ("news", 0.2, -0.1),
    "call_back": ("service", 0.3, 0.05),
}


def expected(age: float) -> list[float]:
    """The acceptance that the models believe in, of each action."""
    return [base + slope * (age - 45) / 25 for _, base, slope in ACTIONS.values()]


class ByAge(FakeModels):
    """Expects of each customer something else."""

    def predict(self, row: np.ndarray, channel: str) -> Prediction:
        found = np.array(expected(row[-1]))
        return Prediction(found, np.zeros(len(found)), found[None, :])


class Draw(NamedTuple):
    """One slot of one decision: what was drawn, and from what, by our own arithmetic.

    Attributes
    ----------
    worth : what each action promises, of those that may be drawn
    logged : None where the list ended: nothing was worth a further slot, and nothing is logged
    kept : what the record says, which speaks of the first slot only
    """

    arm: str
    slot: int
    drawn: str
    logged: float | None
    kept: float | None
    worth: dict[str, float]
    truth: dict[str, float]

    @property
    def chances(self) -> dict[str, float]:
        return uniform_probabilities(self.worth) if self.arm == "random" else by_gap(self.worth)


def uniform_probabilities(worth: dict[str, float]) -> dict[str, float]:
    return dict.fromkeys(worth, 1 / len(worth))


def by_gap(worth: dict[str, float]) -> dict[str, float]:
    """Inverse gap weighting, as its paper has it."""
    best = max(worth, key=worth.__getitem__)
    trailing = {
        name: 1 / (len(worth) + GREED * (worth[best] - money))
        for name, money in worth.items()
        if name != best
    }
    return trailing | {best: 1 - sum(trailing.values())}


def catalog() -> Catalog:
    return Catalog.model_validate(
        {
            "outcomes": {"accepted": {"acceptance": 1}},
            "arms": {"random": SHARE, "nobody": 0},
            "contact_policy": {
                "caps": [
                    {"at_most": PER_ACTION, "days": DAYS, "each": ["action"]},
                    {"at_most": PER_OFFERS, "days": DAYS, "groups": ["offers"]},
                ]
            },
            "actions": {
                name: {
                    "issue": "grow",
                    "group": group,
                    "value": VALUE,
                    "cost": COST,
                    "prior": {"acceptance": base},
                    "attribution_days": 1,
                    "treatments": {"app": {"title": name}},
                }
                for name, (group, base, _) in ACTIONS.items()
            },
        }
    )


def age_of(name: str) -> int:
    return 20 + int(name[1:]) % 50


def log_of(
    folder: Path, domain, now: datetime, customers: int, rounds: int, seen_before: int = 0
) -> list[Draw]:
    """Decisions for each customer in each round, 20 hours apart, and what they drew.

    Parameters
    ----------
    seen_before
        How many actions, chosen by chance, each customer saw the day before.
    """
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    names = [f"p{number}" for number in range(customers)]
    known = {name: CustomerFeatures({"age_years": str(age_of(name))}, None) for name in names}
    engine = engine_of(
        catalog(), domain, ledger, known, ByAge(dict.fromkeys(ACTIONS, 0.0), gamma=GREED)
    )
    before = _shown_before(known, now - timedelta(days=1), seen_before)
    ledger.write_now(lambda connection: note_contacts(connection, before))

    async def one_round(number: int) -> None:
        at = now + timedelta(hours=20 * number)
        inputs = (
            DecideRequest(
                customer_id=name,
                channel="app",
                decision_id=f"{name}-{number}",
                slots=1 + at.day % 3,
            )
            for name in known
        )
        await asyncio.gather(*(engine.decide(one, at) for one in inputs))

    for number in range(rounds):
        asyncio.run(one_round(number))
    columns = tables.decisions.c
    query = sa.select(tables.decisions).order_by(columns.decided_at, columns.decision_id)
    rows = ledger.read(lambda connection: connection.execute(query).all())
    ledger.close()
    assert len(rows) == customers * rounds
    return list(_draws(rows, before))


def _shown_before(known, at: datetime, count: int) -> list[dict[str, object]]:
    rng = np.random.default_rng(11)
    return [
        {
            "decision_id": f"before-{name}-{number}",
            "action_id": action,
            "subject": name,
            "customer_id": name,
            "shown_at": at,
            "channel": "app",
            "action_group": ACTIONS[action][0],
        }
        for name in known
        for number, action in enumerate(rng.choice(list(ACTIONS), count).tolist())
    ]


def _draws(rows: Sequence[sa.Row], before: Sequence[dict]) -> Iterator[Draw]:
    """Yield the draws of all decisions in the order of time."""
    shown = defaultdict(list)
    for contact in before:
        shown[contact["customer_id"]].append((contact["shown_at"], contact["action_id"]))
    for row in rows:
        answer, record = json.loads(row.answer), json.loads(row.record)
        actions, history = answer["actions"], shown[row.customer_id]
        recent = [name for at, name in history if at > row.decided_at - timedelta(days=DAYS)]
        accepted = dict(zip(ACTIONS, expected(age_of(row.customer_id)), strict=True))
        promised = {name: chance * VALUE - COST for name, chance in accepted.items()}
        for slot in range(record["request"].get("slots", 1)):
            taken = [one["action_id"] for one in actions[:slot]]
            worth = _allowed(promised, recent, taken)
            if slot and len(worth) == 1:
                break  # nothing is left but to stop
            ended = slot >= len(actions)
            drawn = NO_ACTION if ended else actions[slot]["action_id"]
            logged = None if ended else actions[slot]["probability"]
            kept = logged_chances(row, record, [*ACTIONS])
            draw = Draw(
                answer["arm"],
                slot,
                drawn,
                logged,
                logged if slot else kept[drawn],
                worth,
                {**accepted, NO_ACTION: 0.0},
            )
            if slot == 0:
                assert kept == pytest.approx(draw.chances, rel=1e-9)
                assert row.probability == logged
            yield draw
            if drawn == NO_ACTION:
                break
        history += [(row.decided_at, one["action_id"]) for one in actions]


def _allowed(promised: dict[str, float], recent: list[str], taken: list[str]) -> dict[str, float]:
    """The probabilities of the actions that the caps of the catalogue leave for a slot."""
    seen = Counter([*recent, *taken])
    offers = sum(seen[name] for name, (group, *_) in ACTIONS.items() if group == "offers")
    free = {
        name: money
        for name, money in promised.items()
        if name not in taken
        and seen[name] < PER_ACTION
        and not (ACTIONS[name][0] == "offers" and offers >= PER_OFFERS)
    }
    return free | {NO_ACTION: 0.0}


@pytest.fixture(scope="module")
def log(tmp_path_factory, toy_domain) -> list[Draw]:
    """Many decisions for each customer, who runs into caps all the time."""
    start = datetime.fromisoformat("2026-11-22T10:00:00+00:00")
    return log_of(tmp_path_factory.mktemp("log"), toy_domain, start, customers=300, rounds=20)


@pytest.fixture(scope="module")
def firsts(tmp_path_factory, toy_domain) -> list[Draw]:
    """The first slot of one decision for each of many customers: both arms meet the same."""
    start = datetime.fromisoformat("2026-11-22T10:00:00+00:00")
    folder = tmp_path_factory.mktemp("firsts")
    draws = log_of(folder, toy_domain, start, customers=4000, rounds=1, seen_before=4)
    return [draw for draw in draws if draw.slot == 0]


def rewards(draws: Sequence[Draw], seed: int = 3) -> np.ndarray:
    """Draw the reward of each draw, in currency; shape (n_draws,)."""
    uniform = np.random.default_rng(seed).random(len(draws))
    accepted = uniform < [one.truth[one.drawn] for one in draws]
    cost = [0 if one.drawn == NO_ACTION else COST for one in draws]
    return accepted * VALUE - cost


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def standardised_sums(draws: Sequence[Draw]) -> dict[tuple[str, int, str], float]:
    """By arm, slot and action: sum of (drawn - chance), in its standard deviations."""
    excess: dict[tuple[str, int, str], float] = defaultdict(float)
    variance: dict[tuple[str, int, str], float] = defaultdict(float)
    for one in draws:
        for name, chance in one.chances.items():
            key = one.arm, one.slot, name
            excess[key] += (one.drawn == name) - chance
            variance[key] += chance * (1 - chance)
    return {key: excess[key] / np.sqrt(variance[key]) for key in excess if variance[key] > 5}


def wrongly_logged(draws: Sequence[Draw]) -> int:
    """Count the logged probabilities that differ from those of the rules."""
    shown = [one for one in draws if one.logged is not None]
    return sum(
        one.logged != one.kept or one.logged != pytest.approx(one.chances[one.drawn], rel=1e-9)
        for one in shown
    )


def test_every_logged_probability_is_above_0_and_the_one_of_the_rules(log, firsts):
    for draws in (log, firsts):
        assert wrongly_logged(draws) == 0
        assert min(one.logged for one in draws if one.logged is not None) > 0


def test_caps_control_group_and_slots_are_in_play(log):
    assert {one.slot for one in log} == {0, 1, 2}
    control = np.mean([one.arm == "random" for one in log if one.slot == 0])
    assert control == pytest.approx(SHARE, abs=0.1)
    allowed = Counter(len(one.worth) for one in log if one.slot == 0)
    assert len(allowed) >= 5, "the caps leave now more, now fewer actions"
    assert sum(one.logged is None for one in log) > 50, "lists end before all slots are full"


def test_each_action_is_drawn_as_often_as_its_probability_says_at_every_slot(log):
    sums = standardised_sums(log)
    assert len(sums) > 35  # 2 arms x 3 slots x 7 actions, less those that were hardly allowed
    assert max(map(abs, sums.values())) < SURE, sums


@pytest.mark.parametrize("slot", [0, 1, 2])
def test_weighting_the_policy_by_itself_gives_the_observed_mean_reward(log, slot):
    draws = [one for one in log if one.slot == slot and one.logged is not None]
    reward = rewards(draws)
    weight = np.array([one.chances[one.drawn] / (one.logged or 0) for one in draws])
    observed, error = mean_and_error(reward)
    assert (weight * reward).mean() == pytest.approx(observed, abs=error)
    assert error < 0.25


@pytest.mark.parametrize("slot", [0, 1, 2])
def test_the_mean_reward_is_what_the_probabilities_promise(log, slot):
    """The sum of probability x truth over all that could have been drawn, against what was."""
    draws = [one for one in log if one.slot == slot]
    promised = [
        sum(
            chance * (one.truth[name] * VALUE - COST)
            for name, chance in one.chances.items()
            if name != NO_ACTION
        )
        for one in draws
    ]
    off, error = mean_and_error(rewards(draws) - np.array(promised))
    assert abs(off) < 3 * error < 0.6


def test_each_arm_tells_what_the_other_earns(firsts):
    """The policy's log weighted by evenly / logged, the control group's by policy / logged."""
    arms = {
        arm: [one for one in firsts if one.arm == arm and one.logged]
        for arm in ("policy", "random")
    }
    earned = {arm: mean_and_error(rewards(draws)) for arm, draws in arms.items()}
    (policy, e_policy), (control, e_control) = earned["policy"], earned["random"]
    assert policy - control > 4 * np.hypot(e_policy, e_control), "else weights need not matter"
    for arm, other, chances in (
        ("policy", "random", uniform_probabilities),
        ("random", "policy", by_gap),
    ):
        weight = np.array([chances(one.worth)[one.drawn] / one.logged for one in arms[arm]])
        told, error = mean_and_error(weight * rewards(arms[arm]))
        mean, mean_error = earned[other]
        assert abs(told - mean) < 3 * np.hypot(error, mean_error) < policy - control


def best_is_logged(monkeypatch):
    """Whatever is drawn, the chance of the likeliest is logged."""
    draw, seen = choice.draw, []

    def remember(chances: np.ndarray, seed: str) -> int:
        seen.append(chances.max())
        return draw(chances, seed)

    pick = choice.SlotDraw
    monkeypatch.setattr(choice, "draw", remember)
    monkeypatch.setattr(
        choice, "SlotDraw", lambda index, _, *more: pick(index, float(seen[-1]), *more)
    )


def drawn_by_the_customer(monkeypatch):
    """The same number for each decision of a customer."""
    of_decision = inputs.draw_seed
    monkeypatch.setattr(
        inputs, "draw_seed", lambda secret, name: of_decision(secret, name.split("-")[0])
    )


def slots_share_a_number(monkeypatch):
    """All slots of a decision are drawn by one number."""
    draw = choice.draw
    monkeypatch.setattr(choice, "draw", lambda chances, seed: draw(chances, seed.split("#")[0]))


@pytest.mark.parametrize("bug", [best_is_logged, drawn_by_the_customer, slots_share_a_number])
def test_a_planted_bug_is_noticed(bug, tmp_path, toy_domain, now, monkeypatch):
    bug(monkeypatch)
    draws = log_of(tmp_path, toy_domain, now, customers=100, rounds=8)
    if bug is best_is_logged:
        assert wrongly_logged(draws) > len(draws) / 4
    else:
        assert wrongly_logged(draws) == 0
        assert max(map(abs, standardised_sums(draws).values())) > SURE
