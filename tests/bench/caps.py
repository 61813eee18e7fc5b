"""Tests contact caps and a daily volume under concurrency: 64 callers, two workers, merges.

    python -m tests.bench.caps --rounds 20

Each contact, in the order of commits (see `tests.journal`), is compared with all earlier contacts
of the same person. The person is determined twice: as the ledger had it at that moment, and as the
callers knew it when they asked, which is what the answer to a merge promises. The contacts under
each customer id are also counted from the answers alone. Of an action with a daily volume, the
contacts of a day are counted in all arms together, and in the arm random.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
import yaml
from rich.console import Console

from features.customers.profiles import update_account_members
from features.ledger import tables
from features.ledger.ledger import Ledger
from tests.conftest import Built, opened_shop
from tests.journal import Contact, counts, family, keep_journal, read_journal
from tests.postgres import find_binaries, postgresql
from tests.server import Server, running

CALLERS = 64
STRANGERS = 3  # whom each caller names for the action with a volume
PAIRS = 100  # of customers who turn out to be one, each with a cookie
out = Console(width=120)

GROUPS = {"offer": "offers", "news": "news", "invite": "invitations"}
ACTIONS = {f"{name}_{number}": GROUPS[name] for name in GROUPS for number in range(1, 5)}
SCARCE, VOLUME, RANDOM = "scarce", 40, 0.2  # an action, its daily volume, the share of the arm
CAPS: list[dict[str, Any]] = [
    {"at_most": 9, "days": 7},
    {"at_most": 2, "days": 7, "each": ["action"]},
    {"at_most": 4, "days": 7, "groups": ["offers"]},
    {"at_most": 6, "days": 7, "each": ["channel"]},
    {"at_most": 5, "days": 7, "groups": ["invitations"], "per": "account"},
]
CATALOG: dict[str, Any] = {
    "outcomes": {"accepted": {"acceptance": 1}},
    "arms": {"random": RANDOM, "nobody": 0},
    "contact_policy": {"caps": CAPS},
    "actions": {
        name: {
            # Worth so much that hardly anything but a cap keeps it from being shown.
            "issue": "grow",
            "group": group,
            "value": 100,
            "cost": 0,
            "prior": {"acceptance": 0.9},
            "attribution_days": 1,
            "treatments": {"app": {"title": name}, "web": {"title": name}},
        }
        for name, group in ACTIONS.items()
    },
}
CATALOG["actions"][SCARCE] = {
    **CATALOG["actions"]["news_1"],
    "group": "scarce",
    "volume": {"at_most": VOLUME},
    "treatments": {"email": {"title": SCARCE}},  # on a channel that nothing else is shown on
}


class Scene(NamedTuple):
    """The requests that all callers send at once, and the customers they name."""

    people: Sequence[str]
    actions: Sequence[str] | None
    channels: Sequence[str]
    cap: int  # which of the caps this runs into


SCENES = {
    "all": Scene(["one"], None, ["app", "web"], 0),
    "action": Scene(["one"], ["offer_1"], ["app", "web"], 1),
    "group": Scene(["one"], [f"offer_{i}" for i in range(1, 5)], ["app", "web"], 2),
    "channel": Scene(["one"], None, ["app"], 3),
    "account": Scene(["ann", "bob"], [f"invite_{i}" for i in range(1, 5)], ["app", "web"], 4),
}


@dataclass
class CallerLog:
    """The answers that the callers got, and the times of their requests, by one clock.

    Attributes
    ----------
    begun : by decision, when the request that may have shown it was
    shown : by decision, the customer id of the answer, the channel, and what may be shown
    merged : by family, when a merge was answered, and of which two keys
    """

    begun: dict[str, float] = field(default_factory=dict)
    shown: dict[str, tuple[str, str, list[str]]] = field(default_factory=dict)
    merged: dict[str, list[tuple[float, str, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def owners(self, contact: Contact) -> dict[str, str]:
        """The owner of each key, by the merges answered before the contact was asked for."""
        name: dict[str, str] = {}
        for answered, left, right in self.merged.get(family(contact.key), ()):
            if answered < self.begun[contact.decision_id]:
                one, other = name.setdefault(left, left), name.setdefault(right, right)
                name = {key: one if who == other else who for key, who in name.items()}
        return name


@dataclass
class Round:
    """The result of one round of callers.

    Attributes
    ----------
    reached : by scene, how many contacts the cap it runs into came to
    scarce : by arm, the contacts with the action that has a daily volume, of the fullest day
    beyond : families whose sides had more than a cap allows when they became one
    """

    database: str
    number: int
    decisions: int = 0
    merges: int = 0
    contacts: int = 0
    beyond: int = 0
    seconds: float = 0.0
    reached: dict[str, int] = field(default_factory=dict)
    scarce: Mapping[str, int] = field(default_factory=dict)
    breaches: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        text = (
            f"{self.database:<10} round {self.number:>2}: {self.decisions:,} decisions and "
            f"{self.merges} merges in {self.seconds:.1f} s, {self.contacts:,} contacts; "
            f"{len(self.breaches)} breaches"
        )
        return text + "".join(f"\n    {one}" for one in self.breaches[:5])


@dataclass
class Caller:
    """One of the concurrent callers, with a connection of its own."""

    server: Server
    caller_log: CallerLog
    rng: np.random.Generator

    def decide(
        self, who: Mapping[str, Any], name: str, channels: Sequence[str], actions: Any = None
    ) -> None:
        """Ask for 1 or 3 slots; every third decision is activated by a second call."""
        later, channel = self.rng.random() < 1 / 3, str(self.rng.choice(channels))
        begun = time.monotonic()
        body = {**who, "channel": channel, "decision_id": name, "actions": actions}
        body |= {"slots": int(self.rng.choice([1, 3])), "activate": not later}
        answer = self._post("/v1/decide", body)
        shown = [one["action_id"] for one in answer["actions"] if one["action_id"] != "no_action"]
        if later:
            begun = time.monotonic()
            shown = self._post("/v1/activate", {"decision_id": name})["activated"]
        self.caller_log.begun[name] = begun
        self.caller_log.shown[name] = answer["customer_id"], channel, shown

    def merge(self, left: str, right: str) -> None:
        """Merge two customers: a cookie by an event, another customer by a link."""
        if right.startswith("cookie:"):
            event = {
                "event_id": f"both-{left}",
                "type": "visit",
                "channel": "web",
                "occurred_at": datetime.now(UTC).isoformat(),
                "customer_id": left,
                "identifiers": [right],
            }
            assert self._post("/v1/events", {"events": [event]})["accepted"] == 1
        else:
            body = {"keys": [left, right], "cause": "told an agent"}
            assert self._post("/v1/link", body)["changed"]
        self.caller_log.merged[family(left)].append((time.monotonic(), left, right))

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        status, answer = self.server.post(path, body)
        while status == 503:  # nothing was done: one of the two workers may have most callers
            time.sleep(0.1)
            status, answer = self.server.post(path, body)
        assert status == 200, (path, body, status, answer)
        return answer


class RoundSize(NamedTuple):
    """The number of requests in a round: by each caller about one customer, and during merges."""

    each: int
    meanwhile: int


FULL, SMALL = RoundSize(3, 1600), RoundSize(2, 640)


def rounds(
    built: Built, home: Path, url: str, count: int, load: RoundSize, seed: int
) -> Iterator[Round]:
    """Run rounds on one server of two workers; the ledger grows, customers are new in each round.

    Parameters
    ----------
    built, home
        The shop, and a copy of its home for this server alone.
    url
        Of an empty ledger.
    """
    catalog = home / "actions.yaml"
    catalog.write_text(yaml.safe_dump(CATALOG))
    env = {**built.env, "NBA_HOME": str(home), "NBA_ACTIONS": str(catalog), "NBA_LEDGER_URL": url}
    ledger = Ledger(url)
    keep_journal(ledger)
    _found_accounts(ledger, count)
    with running(home, {**env, "NBA_WORKERS": "2"}) as server:
        connections = _of_both_workers(server)
        for number in range(1, count + 1):
            caller_log = CallerLog()
            callers = [
                Caller(connection, caller_log, np.random.default_rng([seed, number, place]))
                for place, connection in enumerate(connections)
            ]
            began = time.monotonic()
            for name, scene in SCENES.items():
                _all_at_once(
                    [_asking(one, scene, f"{number}-{name}", load.each) for one in callers]
                )
            _all_at_once([_asking_scarce(one, number) for one in callers])
            rng = np.random.default_rng([seed, number])
            _all_at_once(_merging(callers, number, load.meanwhile, rng))
            found = Round(ledger.engine.dialect.name, number, len(caller_log.begun))
            found.seconds = time.monotonic() - began
            evaluate(found, caller_log, read_journal(ledger))
            found.scarce, beyond = _scarce_contacts(ledger)
            found.breaches += beyond
            yield found
    ledger.close()


def _found_accounts(ledger: Ledger, count: int) -> None:
    rows = [
        {"customer_id": f"{kin}-{name}", "attributes": "{}", "account": kin}
        for kin in (f"{number}-account" for number in range(1, count + 1))
        for name in SCENES["account"].people
    ]

    def write(connection: sa.Connection) -> None:
        tables.insert_new(connection, tables.customers, rows)
        update_account_members(connection, [row["customer_id"] for row in rows])

    ledger.write_now(write)


def _of_both_workers(server: Server) -> list[Server]:
    """Open a connection for each caller; neither worker has all of them."""
    found = server.of_each_worker(2)
    found += [server.again() for _ in range(CALLERS - 2)]
    _all_at_once([partial(one.get, "/livez") for one in found])
    return found


def _all_at_once(work: Sequence[Callable[[], Any]]) -> None:
    with ThreadPoolExecutor(CALLERS) as pool:
        for done in [pool.submit(one) for one in work]:
            done.result()


def _asking(caller: Caller, scene: Scene, name: str, times: int) -> Callable[[], None]:
    place = caller.rng.integers(2**62)

    def ask() -> None:
        for number in range(times):
            who = {"customer_id": f"{name}-{caller.rng.choice(scene.people)}"}
            caller.decide(who, f"{name}-{place}-{number}", scene.channels, scene.actions)

    return ask


def _asking_scarce(caller: Caller, number: int) -> Callable[[], None]:
    """Make the task of a caller: some strangers ask for the action with a volume, at once."""
    place = caller.rng.integers(2**62)

    def ask() -> None:
        for turn in range(STRANGERS):
            name = f"{number}-scarce{place}x{turn}-one"
            caller.decide({"customer_id": name}, name, ["email"], [SCARCE])

    return ask


def _scarce_contacts(ledger: Ledger) -> tuple[Mapping[str, int], list[str]]:
    """The contacts of the fullest day with the action that has a volume, by arm; and breaches."""
    contacts, decided = tables.contacts.c, tables.decisions.c
    query = (
        sa.select(contacts.shown_at, decided.arm)
        .join_from(tables.contacts, tables.decisions, contacts.decision_id == decided.decision_id)
        .where(contacts.action_id == SCARCE)
    )
    days: dict[str, Counter[str]] = defaultdict(Counter)
    for shown_at, arm in ledger.read(lambda connection: list(connection.execute(query))):
        days[shown_at.date().isoformat()][arm] += 1
    most = {"all": VOLUME, "random": RANDOM * VOLUME, "policy": (1 - RANDOM) * VOLUME}
    breaches = [
        f"{count} contacts of {arm} arms with {SCARCE} on {day}, of at most {most[arm]:g}"
        for day, counted in days.items()
        for arm, count in {**counted, "all": counted.total()}.items()
        if count > most[arm]
    ]
    return max(days.values(), key=Counter.total, default=Counter()), breaches


def _merging(
    callers: Sequence[Caller], number: int, times: int, rng: np.random.Generator
) -> list[Callable[[], None]]:
    """Make the tasks of each caller: decisions about random customers, and some merges."""
    todo: list[list[Callable[[], None]]] = [[] for _ in callers]
    for ask in range(times):
        kin = f"{number}-{rng.integers(PAIRS)}"
        keys = [f"{kin}-left", f"cookie:{kin}-left", f"{kin}-right", f"cookie:{kin}-right"]
        one = keys[rng.integers(4)]
        who = {"identifiers": [one]} if one.startswith("cookie:") else {"customer_id": one}
        mine = ask % CALLERS
        decide = partial(callers[mine].decide, who, f"{kin}-{ask}", ["app", "web"])
        todo[mine].append(decide)
    for pair in range(PAIRS):
        left, right = f"{number}-{pair}-left", f"{number}-{pair}-right"
        for two in ((left, f"cookie:{left}"), (right, f"cookie:{right}"), (left, right)):
            mine = int(rng.integers(CALLERS))
            todo[mine].insert(
                int(rng.integers(len(todo[mine]) + 1)), partial(callers[mine].merge, *two)
            )

    def follow(steps: Sequence[Callable[[], None]]) -> None:
        for step in steps:
            step()

    return [partial(follow, steps) for steps in todo]


def evaluate(found: Round, caller_log: CallerLog, journal: Mapping[str, Sequence[Contact]]) -> None:
    """Compare the contacts of a round with the caps."""
    found.merges = sum(map(len, caller_log.merged.values()))
    for kin, contacts in journal.items():
        number, _, name = kin.partition("-")
        if number != str(found.number):
            continue
        found.contacts += len(contacts)
        account = name == "account"
        by_ledger = list(counts(contacts, CAPS, lambda one: one.owners, account))
        by_callers = counts(contacts, CAPS, caller_log.owners, account)
        found.breaches += [one.breach for one in (*by_ledger, *by_callers) if one.breach]
        found.breaches += _misplaced(contacts)
        if name in SCENES:
            found.reached[name] = max(
                (one.count for one in by_ledger if one.cap == SCENES[name].cap), default=0
            )
        else:
            found.beyond += len(contacts) > CAPS[0]["at_most"]
    kept = {
        (one.decision_id, one.action_id)
        for kin, contacts in journal.items()
        for one in contacts
        if kin.startswith(f"{found.number}-")
    }
    answered = {(name, one) for name, (_, _, shown) in caller_log.shown.items() for one in shown}
    found.breaches += [f"answered or kept, not both: {one}" for one in sorted(kept ^ answered)]
    found.breaches += _by_answers(caller_log)


def _misplaced(contacts: Sequence[Contact]) -> Iterator[str]:
    for one in contacts:
        owner = one.owners.get(one.key, one.key)
        if one.customer_id != owner:
            yield f"{one.decision_id} was kept for {one.customer_id}, but {one.key} is {owner}"


def _by_answers(caller_log: CallerLog) -> Iterator[str]:
    """Check the caps of one customer against the answers under each customer id."""
    tallies: Counter[tuple[Any, ...]] = Counter()
    for customer_id, channel, shown in caller_log.shown.values():
        for action in ACTIONS.keys() & shown:
            for number, cap in enumerate(CAPS):
                each = cap.get("each", ())
                if ACTIONS[action] in cap.get("groups", [ACTIONS[action]]):
                    alike = action if "action" in each else channel if "channel" in each else ""
                    tallies[customer_id, number, alike] += 1
    for (customer_id, number, alike), count in tallies.items():
        if count > CAPS[number]["at_most"]:
            yield f"{count} answers to {customer_id}: cap {number} {alike}"


@contextmanager
def ledgers(folder: Path) -> Iterator[dict[str, str]]:
    """Yield URLs of empty ledgers: on SQLite and, if it is installed, on PostgreSQL."""
    urls = {"sqlite": f"sqlite:///{folder / 'caps.db'}"}
    binaries = find_binaries()
    if binaries is None:
        out.print("PostgreSQL is not installed; SQLite alone is looked at.")
        yield urls
        return
    with postgresql(binaries) as server:
        yield {**urls, "postgresql": server.database()}


def main() -> int:
    parser = argparse.ArgumentParser(description="Caps under concurrent callers and merges.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    asked = parser.parse_args()
    out.print(f"seed {asked.seed}")
    done: list[Round] = []
    with tempfile.TemporaryDirectory() as scratch, ledgers(Path(scratch)) as urls:
        shop = opened_shop(Path(scratch))
        for database, url in urls.items():
            home = Path(scratch) / database
            shutil.copytree(shop.home, home)
            for one in rounds(shop, home, url, asked.rounds, FULL, asked.seed):
                out.print(str(one))
                done.append(one)
    failed = [one for one in done if one.breaches]
    out.print(
        f"{'FAIL' if failed else 'PASS'}: {len(done) - len(failed)} of {len(done)} rounds; "
        f"{sum(one.decisions for one in done):,} decisions, "
        f"{sum(one.merges for one in done):,} merges, "
        f"{sum(len(one.breaches) for one in done)} breaches."
    )
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
