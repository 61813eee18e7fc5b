"""Measures a decision for a member of a large account, with a rule that counts per account."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

import numpy as np

from tests.bench.guarantees_home import serving_shop
from tests.bench.guarantees_identifiers import decide
from tests.bench.guarantees_load import ask
from tests.bench.guarantees_report import Figure, at_most, told
from tests.server import Server

ALONE = [f"alone-{number}" for number in range(300)]
MEDIAN_MS = 5.0
LONGEST_S = 20.0  # after so long no further decisions are asked for


class AccountSize(NamedTuple):
    """The members of the account, and the decisions for them."""

    members: int
    decisions: int


FULL, SMALL = AccountSize(5000, 1000), AccountSize(300, 40)


def people(size: AccountSize) -> dict[str, str | None]:
    """Customers of one large account, and customers without one."""
    members = [f"colleague-{number}" for number in range(size.members)]
    return {**dict.fromkeys(members, "large-account"), **dict.fromkeys(ALONE)}


def run(size: AccountSize = FULL) -> list[Figure]:
    """Measure one worker in a new home."""
    with serving_shop(people(size), per_account=True, NBA_NOOP="true") as (server, _):
        return measure(server, size)


def measure(server: Server, size: AccountSize) -> list[Figure]:
    """Ask for decisions for members and for customers without an account, and for the no-op."""
    members = [name for name, account in people(size).items() if account]
    asked = {"member": ("/v1/decide", members), "alone": ("/v1/decide", ALONE)}
    asked["no-op"] = "/v1/noop", ALONE
    times = _in_turns(server, asked, size.decisions)
    member, alone, noop = (float(np.median(took)) for took in times.values())
    name = f"account of {size.members:,} members"
    return [
        told("no-op: median", noop, "ms"),
        told("customer without an account: median decision", alone, "ms"),
        at_most(f"{name}: median decision", member, MEDIAN_MS, "ms", len(times["member"])),
        told(f"{name}: longest decision", max(times["member"]), "ms"),
        # Both medians come from one run, so that other load slows both.
        at_most(f"{name}: times that of a customer without", member / alone, 2, "")._replace(
            speed=False
        ),
    ]


def _in_turns(
    server: Server, asked: dict[str, tuple[str, Sequence[str]]], rounds: int
) -> dict[str, list[float]]:
    """Send requests of each kind in turns; milliseconds by kind."""
    connection, end = server.connect(), perf_counter() + LONGEST_S
    times: dict[str, list[float]] = {name: [] for name in asked}
    for number in range(rounds):
        if perf_counter() > end:
            break
        for name, (path, customers) in asked.items():
            _, body = decide(customers[number % len(customers)])
            began = perf_counter()
            assert ask(connection, (path, body))[0] == 200
            times[name].append((perf_counter() - began) * 1000)
    return times
