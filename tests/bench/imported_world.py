"""A seeded business whose customers accept by a product of two columns, and the log it brings.

Ten actions are shown at random, each with probability 0.1, in three waves. Their acceptance rates
lie between 0.05 and 0.7. Customers have attributes (numbers, some skewed, some missing, and
categories); a third of them have events before a wave. The truth is known, so the log can be
compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy.optimize import brentq
from scipy.special import expit

from training.arrays import Floats, Indices

N_ACTIONS, WAVES = 10, 3
RATES = np.geomspace(0.05, 0.7, N_ACTIONS)
WINDOW_DAYS, WAVE_DAYS = 14, 30
FIRST_WAVE = datetime(2026, 1, 10, tzinfo=UTC)
CHANNELS = ("app", "email", "web")
PLANS, REGIONS = ("free", "basic", "plus", "pro"), ("north", "east", "south", "west", "abroad")
NUMBERS = ("age_years", "income_eur", "tenure_months", "orders_before", "distance_km", "rating")
NOISE = tuple(f"survey_{number}" for number in range(6))
WITH_EVENTS = 1 / 3  # of the customers
STRENGTH = 1.7  # of the product, in log-odds; so strong is what a customer's columns tell in all
MISSING = 0.1  # of the values of each number that the product does not read


@dataclass(frozen=True)
class ImportedWorld:
    """The customers, the log, and the truth.

    Attributes
    ----------
    customers : DataFrame
        Column customer_id, and the attributes.
    events : DataFrame
        The contract table of events.
    customer, wave, action, channel, accepted : shape (n_decisions,)
        The log, in order of time: indexes of customer, wave, action and channel; 0 or 1.
    chance : shape (n_decisions, N_ACTIONS)
        True probability that each action is accepted.
    product_share : float
        Share of the product alone in the variance of ``chance`` within actions.
    """

    customers: pd.DataFrame
    events: pd.DataFrame
    customer: Indices
    wave: Indices
    action: Indices
    channel: Indices
    accepted: Floats
    chance: Floats
    product_share: float

    @property
    def at(self) -> list[datetime]:
        """Time of each decision: a wave takes a day."""
        n = len(self.customer) // WAVES
        second = timedelta(days=1) / max(n, 1)
        return [
            FIRST_WAVE + timedelta(days=WAVE_DAYS) * int(wave) + second * (number % n)
            for number, wave in enumerate(self.wave)
        ]


def action_name(number: int) -> str:
    """Name an action."""
    return f"offer_{number}"


def make_world(seed: int, n_decisions: int) -> ImportedWorld:
    """Draw customers, their events, and a log of random actions."""
    rng = np.random.default_rng(seed)
    n_customers = max(n_decisions // WAVES, 2)
    n = n_customers * WAVES
    numbers, categories = _attributes(rng, n_customers)
    has_events = rng.random(n_customers) < WITH_EVENTS
    activity = np.where(has_events, rng.poisson(6, n_customers) + 1, 0)
    customer = np.concatenate([rng.permutation(n_customers) for _ in range(WAVES)])
    channel = rng.integers(len(CHANNELS), size=n)
    first, second = rng.choice(len(NUMBERS), size=2, replace=False)
    z = _standard_scores(numbers)
    product = (z[:, first] * z[:, second])[customer]
    others = _other_effects(rng, z, categories, activity)[customer]
    others = others + rng.normal(0, 0.15, (len(CHANNELS), N_ACTIONS))[channel]
    slope = rng.choice([-1.0, 1.0], N_ACTIONS) * rng.uniform(0.85, 1.15, N_ACTIONS) * STRENGTH
    logits = slope * product[:, None] + others
    level = [_level(logits[:, number], rate) for number, rate in enumerate(RATES)]
    chance = expit(logits + np.array(level))
    action = rng.integers(N_ACTIONS, size=n)
    accepted = (rng.random(n) < chance[np.arange(n), action]).astype(np.float64)
    table = _customer_table(rng, numbers, categories, {int(first), int(second)})
    return ImportedWorld(
        table,
        _events(rng, activity),
        customer,
        np.repeat(np.arange(WAVES), n_customers),
        action,
        channel,
        accepted,
        chance,
        _share_of(product, chance),
    )


def _attributes(rng: np.random.Generator, n: int) -> tuple[Floats, Indices]:
    """Numbers, shape (n, len(NUMBERS)), and codes of plan and region, shape (n, 2)."""
    numbers = np.column_stack(
        [
            np.round(np.clip(rng.normal(45, 15, n), 18, 95)),
            np.round(rng.lognormal(10, 0.6, n), -2),
            np.round(rng.gamma(2, 20, n)),
            rng.poisson(rng.gamma(2, 2, n)),
            np.round(rng.exponential(12, n), 1),
            rng.integers(1, 11, n),
        ]
    ).astype(np.float64)
    codes = rng.integers(len(PLANS), size=n), rng.integers(len(REGIONS), size=n)
    return numbers, np.column_stack(codes)


def _standard_scores(numbers: Floats) -> Floats:
    """Standardise the numbers, cut at 2 standard deviations: a truth has no extreme customers."""
    scores: Floats = np.clip((numbers - numbers.mean(0)) / numbers.std(0), -2, 2)
    return scores


def _other_effects(
    rng: np.random.Generator, z: Floats, categories: Indices, activity: Indices
) -> Floats:
    """Additive log-odds of each customer and action, shape (n_customers, N_ACTIONS)."""
    effects = z @ rng.normal(0, 0.2, (z.shape[1], N_ACTIONS))
    for column, n_values in enumerate((len(PLANS), len(REGIONS))):
        effects += rng.normal(0, 0.35, (n_values, N_ACTIONS))[categories[:, column]]
    effects += np.log1p(activity)[:, None] * rng.normal(0, 0.2, N_ACTIONS)
    found: Floats = effects
    return found


def _level(logits: Floats, rate: float) -> float:
    """The constant with which the mean chance is the rate."""
    return float(brentq(lambda level: expit(logits + level).mean() - rate, -30, 30))


def _share_of(product: Floats, chance: Floats) -> float:
    """Share of the variance of chances within actions that a function of the product explains."""
    bins = np.searchsorted(np.quantile(product, np.linspace(0, 1, 101)[1:-1]), product)
    count = np.bincount(bins, minlength=100)
    explained = total = 0.0
    for number in range(N_ACTIONS):
        mine = chance[:, number]
        means = np.bincount(bins, mine, 100) / np.maximum(count, 1)
        explained += float(np.var(means[bins]))
        total += float(np.var(mine))
    return explained / total


def _customer_table(
    rng: np.random.Generator, numbers: Floats, categories: Indices, whole: set[int]
) -> pd.DataFrame:
    """The contract table of customers; some values are unknown, but for the ``whole`` columns."""
    n = len(numbers)
    table: dict[str, object] = {"customer_id": [f"c{number}" for number in range(n)]}
    for column, name in enumerate(NUMBERS):
        unknown = rng.random(n) < (0 if column in whole else MISSING)
        table[name] = np.where(unknown, np.nan, numbers[:, column])
    table["plan"] = np.array(PLANS)[categories[:, 0]]
    table["region"] = np.array(REGIONS)[categories[:, 1]]
    for name in NOISE:
        table[name] = rng.normal(size=n).round(3)
    return pd.DataFrame(table)


def _events(rng: np.random.Generator, activity: Indices) -> pd.DataFrame:
    """Events of some customers, from 60 days before the first wave until the last one."""
    customer = np.repeat(np.arange(len(activity)), activity)
    n = len(customer)
    day = rng.uniform(-60, WAVE_DAYS * (WAVES - 1), n)
    ordered = rng.random(n) < 0.4
    return pd.DataFrame(
        {
            "event_id": [f"e{number}" for number in range(n)],
            "customer_id": [f"c{number}" for number in customer],
            "type": np.where(ordered, "order", "visit"),
            "occurred_at": [(FIRST_WAVE + timedelta(days=float(one))).isoformat() for one in day],
            "channel": np.array(CHANNELS)[rng.integers(len(CHANNELS), size=n)],
            "amount_eur": np.where(ordered, rng.lognormal(3, 0.7, n).round(2), np.nan),
        }
    )


def write_tables(world: ImportedWorld, folder: Path, *names: str) -> None:
    """Write contract tables: those of ``names``, or all four."""
    folder.mkdir(parents=True)
    n, at = len(world.customer), world.at
    ids = [f"d{number}" for number in range(n)]
    decisions = pd.DataFrame(
        {
            "decision_id": ids,
            "customer_id": [f"c{number}" for number in world.customer],
            "decided_at": [moment.isoformat() for moment in at],
            "channel": np.array(CHANNELS)[world.channel],
            "action_id": [action_name(number) for number in world.action],
            "probability": 1 / N_ACTIONS,
        }
    )
    yes = np.flatnonzero(world.accepted)
    outcomes = pd.DataFrame(
        {
            "decision_id": [ids[number] for number in yes],
            "action_id": decisions["action_id"].iloc[yes],
            "outcome": "accepted",
            "occurred_at": [(at[number] + timedelta(days=1)).isoformat() for number in yes],
        }
    )
    tables = {
        "customers": world.customers,
        "events": world.events,
        "decisions": decisions,
        "outcomes": outcomes,
    }
    for name in names or tables:
        tables[name].to_csv(folder / f"{name}.csv", index=False)


def write_business(folder: Path) -> tuple[Path, Path]:
    """Write domain file and catalogue; their paths."""
    attributes: dict[str, object] = {name: {"type": "number"} for name in (*NUMBERS, *NOISE)}
    attributes |= {
        "plan": {"type": "category", "values": [*PLANS]},
        "region": {"type": "category", "values": [*REGIONS]},
    }
    event = {"stage": "use", "touchpoint": "internal", "signal": "passive", "journey": "use"}
    amount = {"amount_eur": {"type": "number", "min": 0, "required": True}}
    domain = {
        "name": "imported",
        "currency": "eur",
        "channels": [*CHANNELS],
        "attributes": attributes,
        "events": {
            "visit": {**event, "description": "Opened the app."},
            "order": {
                **event,
                "description": "Bought something.",
                "journey": "purchase",
                "stage": "action",
                "properties": amount,
            },
        },
        "half_lives_days": [7, 28],
    }
    offer = {
        "issue": "grow",
        "group": "promotion",
        "value": 1.0,
        "cost": 0.0,
        "prior": {"acceptance": 0.2, "weight": 10},
        "attribution_days": WINDOW_DAYS,
        "treatments": {channel: {"title": "An offer"} for channel in CHANNELS},
    }
    catalog = {
        "outcomes": {"accepted": {"acceptance": 1}, "rejected": {"acceptance": 0}},
        "actions": {action_name(number): offer for number in range(N_ACTIONS)},
    }
    files = folder / "domain.yaml", folder / "actions.yaml"
    for file, content in zip(files, (domain, catalog), strict=True):
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return files
