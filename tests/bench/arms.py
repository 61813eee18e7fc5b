"""Counts the arms of 1,000,000 customer ids of three kinds, in three processes, and merges some.

    python -m tests.bench.arms --customers 1000000

The share of each arm must be within three standard errors of the catalogue's, each id in exactly
one arm, and the arms the same in each process. Of merged customers the arm must be that of the
customer id that stayed; those whose keys were in several arms are counted.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from rich.console import Console

from features.business.catalog_rules import Arms
from features.business.domain import load_domain
from features.identity.keys import KeyNormalizer
from features.identity.links import link, resolve, resolve_each
from features.ledger.ledger import Ledger
from serving.policies.arms import arm_of

ARMS = Arms()  # 2 % each
NAMES = ("policy", "random", "nobody")
PROCESSES = 3
TOY = Path(__file__).parents[1] / "toy" / "domain.yaml"
out = Console(width=120)


def _uuid(number: int) -> str:
    return str(uuid.UUID(int=random.Random(number).getrandbits(128), version=4))


IDS: Mapping[str, Callable[[int], str]] = {
    "numbers": str,
    "random ids": _uuid,
    "addresses": "email:customer.{}@example.org".format,
}


class Counted(NamedTuple):
    """The arms of some customer ids: how many in each, and a hash of who is in which."""

    counts: Mapping[str, int]
    digest: str


class Merged(NamedTuple):
    """Merged pairs of customers: all, those across arms, and those not in the survivor's arm."""

    pairs: int
    across: int
    astray: int


def count_arms(kind: str, customers: int) -> Counted:
    """Count the arms of customer ids of a kind."""
    found = [arm_of(IDS[kind](number), ARMS) for number in range(customers)]
    return Counted(Counter(found), hashlib.sha256(" ".join(found).encode()).hexdigest())


def errors_off(counts: Mapping[str, int], customers: int) -> dict[str, float]:
    """By arm, how many standard errors its share is off that of the catalogue."""
    planned = (1 - ARMS.random - ARMS.nobody, ARMS.random, ARMS.nobody)
    return {
        name: (counts.get(name, 0) / customers - share) / (share * (1 - share) / customers) ** 0.5
        for name, share in zip(NAMES, planned, strict=True)
    }


def merge(ledger: Ledger, pairs: int, arms: Arms) -> Merged:
    """Link pairs of customers, and compare their arms before with those after."""
    normalizer, now = KeyNormalizer(load_domain(TOY)), datetime.now(UTC)
    asked = [(f"customer-{number}", f"x:visitor-{number}") for number in range(pairs)]

    def write(connection: sa.Connection) -> None:
        for pair in asked:
            link(connection, normalizer, pair, "bench", now)

    ledger.write_now(write)
    return ledger.read(partial(_compared, asked=asked, arms=arms))


def _compared(connection: sa.Connection, asked: Sequence[tuple[str, str]], arms: Arms) -> Merged:
    across = astray = 0
    for pair in asked:
        owners = {*resolve_each(connection, pair).values()}
        [survivor] = owners
        before = {arm_of(key, arms) for key in pair}
        after = {arm_of(resolve(connection, [key]), arms) for key in pair}
        across += len(before) > 1
        astray += after != {arm_of(survivor, arms)} or survivor not in pair
    return Merged(len(asked), across, astray)


def run(customers: int, pairs: int) -> list[str]:
    """Count and merge; what is wrong, in sentences."""
    wrong = []
    with get_context("spawn").Pool(PROCESSES) as pool:
        for kind in IDS:
            found = pool.starmap(count_arms, [(kind, customers)] * PROCESSES)
            counts = found[0].counts
            off = errors_off(counts, customers)
            shares = ", ".join(f"{name} {counts.get(name, 0) / customers:.3%}" for name in NAMES)
            largest = max(map(abs, off.values()))
            out.print(f"{customers:,} {kind}: {shares}; at most {largest:.2f} standard errors off")
            if largest > 3:
                wrong.append(f"The shares of {kind} are off: {off}.")
            if sum(counts.values()) != customers or not counts.keys() <= {*NAMES}:
                wrong.append(f"Not each of the {kind} is in exactly one arm: {counts}.")
            if len({one.digest for one in found}) != 1:
                wrong.append(f"The processes draw other arms for {kind}.")
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(f"sqlite:///{Path(folder) / 'arms.db'}")
        merged = merge(ledger, pairs, Arms(random=0.3, nobody=0.3))
        ledger.close()
    out.print(
        f"{merged.pairs:,} merged customers: {merged.across:,} had keys in several arms, "
        f"{merged.astray:,} are not in the arm of the id that stayed"
    )
    if merged.astray or not merged.across:
        wrong.append(f"Merged customers do not follow the id that stayed: {merged}.")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Are the arms as large as they shall be?")
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=2_000)
    asked = parser.parse_args()
    wrong = run(asked.customers, asked.pairs)
    for one in wrong:
        out.print(f"FAIL: {one}")
    if not wrong:
        out.print(f"PASS: each id is in one arm, the same in {PROCESSES} processes.")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
