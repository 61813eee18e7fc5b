"""Plays a world on a started server, and holds the lift that it reports against the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import InvalidSetting
from features.progress import Progress, quiet
from serving.cli.simulation.client import ServerClient, ServerConnections
from serving.cli.simulation.days import ServerDays, decision_id
from serving.cli.simulation.server_clock import ServerClock
from serving.simulation.played import NOBODY_OF, SERVED, Game
from training.arrays import Bools, Floats
from training.simulation.baselines import RandomPolicy
from training.simulation.business import SimulatedBusiness, SimulatedWorld
from training.simulation.contact_caps import cap_violations

PAIRS = (("policy", "nobody"), ("policy", "random"), ("random", "nobody"))
CONNECTIONS = 4


@dataclass(frozen=True)
class PairResult:
    """The lift of one arm against another: as the server reports it, and as it is.

    Attributes
    ----------
    reported : mapping or None
        `lift` of the pair in the answer of /v1/lift; None: not enough customers.
    true : float
        Mean value of the arm's customers less the mean of the same customers in the same world in
        which everybody is in the arm ``against``.
    """

    arm: str
    against: str
    reported: Mapping[str, Any] | None
    true: float

    @property
    def holds(self) -> bool | None:
        """Say if the interval of all looks holds the truth; None: there is none."""
        if self.reported is None or self.reported["low"] is None:
            return None
        return bool(self.reported["low"] <= self.true <= self.reported["high"])


@dataclass(frozen=True)
class ServerResult:
    """The result of a world that was played on a server.

    Attributes
    ----------
    arm : shape (n_customers,)
        Arm of each customer; empty: the server met them on no day.
    value_of_customer : shape (n_customers,)
        Value since they were met, by the world.
    left : shape (n_customers,)
    decisions, refused, caps_broken : int
        Decisions; those whose action the world does not allow; windows with too many showings.
    lift : mapping
        The answer of /v1/lift on the last day.
    """

    arm: NDArray[np.str_]
    value_of_customer: Floats
    left: Bools
    decisions: int
    refused: int
    caps_broken: int
    lift: Mapping[str, Any]
    pairs: list[PairResult]


def play_on_server(
    business: SimulatedBusiness,
    url: str,
    customers: int,
    days: int,
    seed: int,
    progress: Progress = quiet,
    key: str = "",
    connections: int = CONNECTIONS,
) -> ServerResult:
    """Let the customers of a world use a server for some days.

    Raises
    ------
    InvalidSetting
        If the server does not answer, has no simulated clock, serves another business, or has met
        customers of another simulation.
    """
    world = business.make_world(customers, seed, days)
    pool = ServerConnections(url, key, connections)
    try:
        clock, name = ServerClock(pool.first), f"{business.name}-{customers}-{seed}"
        begin = _begun(pool.first, business.make_world(customers, seed, days), name)
        if begin is None:
            _check_unused(pool.first)
            begin = clock.next_midnight()
        played = ServerDays(business, world, pool, clock, begin, name)
        for day in range(days):
            played.play_day()
            progress("days on the server", day + 1, days)
        lift = pool.first.post("/v1/lift", {})
    finally:
        pool.close()
    game = partial(Game, business.name, customers=customers, days=days, seed=seed)
    alone = {
        "random": game(policy="random", baseline=RandomPolicy()).played(progress).run,
        "nobody": game(policy=NOBODY_OF[SERVED]).played(progress).run,
    }
    return ServerResult(
        played.arm,
        played.value.sum(axis=1),
        world.gone & (played.arm != ""),
        played.decisions,
        played.refused,
        cap_violations(
            world.shown, world.shown_on, business.caps, business.names, business.channels
        ),
        lift,
        [
            _pair(arm, against, played, alone[against].value_of_customer_eur, lift)
            for arm, against in PAIRS
        ],
    )


def _begun(client: ServerClient, world: SimulatedWorld, name: str) -> datetime | None:
    """The midnight at which this simulation was begun on the server before; None: it was not."""
    first = world.begin_day().customer[:1].tolist()
    if not first:
        return None
    body = {"decision_id": decision_id(name, 0, first[0])}
    status, answer = client.ask("/v1/explain", body)
    if status != HTTPStatus.OK:
        return None
    decided_at = datetime.fromisoformat(answer["decision"]["decided_at"])
    return decided_at.replace(hour=0, minute=0, second=0, microsecond=0)


def _check_unused(client: ServerClient) -> None:
    met = sum(arm["customers"] for arm in client.post("/v1/lift", {})["arms"])
    if met:
        raise InvalidSetting(
            f"{client.url} has met {met:,} customers who are not of this simulation.",
            expected="a server that has decided for nobody: what it reports is held against the "
            "truth of one world",
            remedy="Start it with a home of its own, or give the customers, days and world of the "
            "simulation that it has begun.",
        )


def _pair(
    arm: str, against: str, played: ServerDays, alone: Floats, lift: Mapping[str, Any]
) -> PairResult:
    """Compare the reported lift of a pair with the true one.

    Parameters
    ----------
    alone : shape (n_customers,)
        Value in the world in which everybody is in the arm ``against``. Until a customer is met,
        all worlds of a seed are alike, and have no value: that begins with a visit.
    """
    members = played.arm == arm
    difference = (played.value.sum(axis=1) - alone)[members]
    found = [one for one in lift["pairs"] if (one["arm"], one["against"]) == (arm, against)]
    reported = found[0]["lift"] if found else None
    return PairResult(arm, against, reported, float(difference.mean()) if members.any() else nan)
