"""Days pass over HTTP by the simulated clock, and all that goes by time follows it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
import yaml

from features.ledger import tables
from features.ledger.ledger import Ledger
from tests.commands import nba_in_process
from tests.conftest import Built
from tests.postgres import find_binaries
from tests.server import Server, running

pytestmark = pytest.mark.server

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def action(name: str, channel: str = "app", **more: Any) -> dict[str, Any]:
    """An action that is worth so much that hardly anything but a rule keeps it from being shown."""
    return {
        "issue": "grow",
        "group": "offers",
        "value": 100,
        "cost": 0,
        "prior": {"acceptance": 0.9},
        "attribution_days": 3,
        "treatments": {channel: {"title": name}},
        **more,
    }


CATALOG = {
    "outcomes": {"accepted": {"acceptance": 1}},
    "arms": {"random": 0, "nobody": 0},
    "contact_policy": {
        "outbound": ["email"],
        "caps": [{"at_most": 1, "days": 7, "each": ["action"]}],
        "quiet_hours": [{"from": "21:00", "until": "08:00", "channels": ["email"]}],
    },
    "actions": {
        "weekly": action("weekly"),
        "letter": action("letter", "email"),
        "scarce": action("scarce", volume={"at_most": 1}),
        "visitor": action("visitor", "web", eligibility=["visit_silence_days < 2"]),
    },
}


class Story:
    """A server with a simulated clock, asked by one customer after the other."""

    def __init__(self, server: Server, env: dict[str, str], ledger: Ledger) -> None:
        self.server, self.env, self.ledger = server, env, ledger
        self.asked = 0

    def settle(self, now: datetime) -> dict[str, Any]:
        """Set the clock and wait until all is done; what `/readyz` says then."""
        status, answer = self.server.post("/v1/clock", {"now": now.isoformat(), "settle": True})
        assert (status, answer["settling"]) == (200, True), answer
        return self.settled(now)

    def settled(self, now: datetime) -> dict[str, Any]:
        def holds() -> Any:
            said = self.server.get("/readyz")[1]
            until = said["settled_until"]
            return said if until and datetime.fromisoformat(until) >= now else None

        said: dict[str, Any] = self.server.wait_for(holds, within_s=60)
        assert datetime.fromisoformat(said["now"]) == now and said["settling"] == []
        return said

    def decide(
        self, name: str, customer: str, channel: str = "app", server: Server | None = None
    ) -> tuple[str | None, set[str]]:
        """The decision that showed this action to a customer, if any, or the rules against it."""
        self.asked += 1
        request = {
            "customer_id": customer,
            "channel": channel,
            "actions": [name],
            "explain": True,
            "decision_id": f"d{self.asked}",
        }
        status, answer = (server or self.server).post("/v1/decide", request)
        assert status == 200, answer
        removed = {one["rule"] for one in answer["removed"] if one["action_id"] == name}
        shown = answer["actions"][0]["action_id"] == name
        return (answer["decision_id"] if shown else None), removed

    def shown(self, name: str, customer: str, channel: str = "app") -> str:
        """Decide until the action is drawn: no action is drawn now and then."""
        for _ in range(50):
            decision, removed = self.decide(name, customer, channel)
            assert not removed
            if decision:
                return decision
        raise AssertionError(f"{name} was never drawn")

    def rules(self, name: str, customer: str, channel: str = "app") -> set[str]:
        """The rules that keep an action from a customer now."""
        return self.decide(name, customer, channel)[1]

    def visit(self, customer: str, at: datetime) -> tuple[int, str]:
        """Tell that a customer visits; how many events were accepted, and the refusal."""
        told = {"event_id": f"{customer}-{at:%d-%H}", "customer_id": customer, "type": "visit"}
        told |= {"occurred_at": at.isoformat(), "channel": "web"}
        _, answer = self.server.post("/v1/events", {"events": [told]})
        return answer["accepted"], "".join(one["field"] for one in answer["rejected"])

    def buy(self, customer: str, count: int, at: datetime) -> int:
        """Tell that some customers bought something; how many events were accepted."""
        told: dict[str, Any] = {"type": "purchase", "occurred_at": at.isoformat(), "channel": "web"}
        told["properties"] = {"amount_eur": 10.0}
        names = [f"{customer}{number}" for number in range(count)]
        events = [told | {"event_id": f"bought-{name}", "customer_id": name} for name in names]
        accepted: int = self.server.post("/v1/events", {"events": events})[1]["accepted"]
        return accepted

    def credit(self, decision_id: str) -> float | None:
        """The count of the silence of a decision; None if the learner has not counted it yet."""
        columns = tables.credits.c
        query = sa.select(columns.count).where(columns.decision_id == decision_id)
        return self.ledger.read(lambda c: c.execute(query).scalar())

    def records(self) -> int:
        """Decisions of which retention has not removed what they had read."""
        query = sa.select(sa.func.count()).where(tables.decisions.c.answer.is_not(None))
        return self.ledger.read(lambda c: int(c.execute(query).scalar_one()))

    def copy(self, decision_id: str, count: int) -> None:
        """Make the same decision about others, too; every second one drew `no_action`."""
        columns = [column for column in tables.decisions.c if column.name != "serial"]
        query = sa.select(*columns).where(tables.decisions.c.decision_id == decision_id)

        def write(connection: sa.Connection) -> None:
            row = dict(connection.execute(query).one()._mapping)
            for number in range(count):
                about = {"decision_id": f"copy{number}", "customer_id": f"copy{number}"}
                shown = {"action_id": "no_action"} if number % 2 else {}
                connection.execute(tables.decisions.insert(), row | about | shown)

        self.ledger.write_now(write)

    def learner(self) -> psutil.Process:
        family = psutil.Process(self.server.process.pid).children(recursive=True)
        [found] = [one for one in family if "serving.learn.process" in one.cmdline()]
        return found


@contextmanager
def story(shop: Built, folder: Path, **more: str) -> Iterator[Story]:
    home, actions = folder / "home", folder / "actions.yaml"
    shutil.copytree(shop.home, home)
    actions.write_text(yaml.safe_dump(CATALOG, sort_keys=False), encoding="utf-8")
    own = {"NBA_HOME": str(home), "NBA_ACTIONS": str(actions), "NBA_RETENTION_RECORDS_DAYS": "30"}
    env = {**shop.env, **own, "NBA_LEARNER": "true", "NBA_CLOCK": "simulated", **more}
    url = more.get("NBA_LEDGER_URL", f"sqlite:///{home / 'ledger.db'}")
    with running(home, env) as server, closing(Ledger(url)) as ledger:
        yield Story(server, env, ledger)


def test_all_that_goes_by_time_follows_the_simulated_clock(shop: Built, tmp_path: Path):
    with story(shop, tmp_path) as day:
        assert day.settle(MONDAY)["clock"] == "simulated"
        first = day.shown("weekly", "ann")

        # What a customer has done, as long as it is new; it cannot be told before it happens.
        assert "eligibility" in day.rules("visitor", "emma", "web")
        assert day.visit("emma", MONDAY + HOUR) == (0, "occurred_at")
        assert day.visit("emma", MONDAY) == (1, "")
        assert "eligibility" not in day.rules("visitor", "emma", "web")

        # Quiet hours, and the volume of a day.
        day.shown("letter", "bob", "email")
        day.shown("scarce", "carl")
        assert day.rules("scarce", "dora") == {"actions.scarce.volume"}
        day.settle(MONDAY + 13 * HOUR)
        assert day.rules("letter", "carl", "email") == {"contact_policy.quiet_hours.0"}
        day.settle(MONDAY + DAY)
        assert day.rules("letter", "carl", "email") == set()
        assert "eligibility" not in day.rules("visitor", "emma", "web")
        day.settle(MONDAY + DAY + 9 * HOUR)  # the price of the volume falls in the course of a day
        day.shown("scarce", "dora")

        # A silence counts more with its age, and whole once its window of 3 days is over.
        early = day.credit(first)
        day.settle(MONDAY + 2 * DAY)
        later = day.credit(first)
        assert "eligibility" in day.rules("visitor", "emma", "web")
        served = day.settle(MONDAY + 3 * DAY)["models"]["bandit"]
        assert early is not None and later is not None and early < later < 1.0
        assert day.credit(first) == 1.0
        assert served.startswith("prior.")

        # The window of a cap: 7 days.
        day.settle(MONDAY + 7 * DAY - HOUR)
        assert day.rules("weekly", "ann") == {"contact_policy.caps.0"}
        day.settle(MONDAY + 7 * DAY)
        assert day.rules("weekly", "ann") == set()

        # Effects are fitted when the customers of enough decisions were looked at 3 days later.
        day.copy(day.shown("weekly", "fay"), 500)
        assert day.settle(MONDAY + 10 * DAY - HOUR)["models"]["effects"] is None
        assert day.buy("copy", 12, MONDAY + 8 * DAY) == 12
        assert day.settle(MONDAY + 10 * DAY)["models"]["effects"] == "1"

        # Retention, of which a command says the same. By the real clock all records are old.
        kept = day.records()
        said = nba_in_process(["prune", "--dry-run"], day.env)
        assert "0 records older than 30 days would be" in said.stdout, said
        day.settle(MONDAY + 36 * DAY)
        assert kept > 0 and day.records() < kept
        alone = {name: value for name, value in day.env.items() if name != "NBA_CLOCK"}
        again = nba_in_process(["prune", "--dry-run"], alone)  # it goes by the ledger
        assert "0 records older than 30 days would be" in again.stdout, again

        status, refused = day.server.post("/v1/clock", {"now": MONDAY.isoformat()})
        assert status == 400 and "forward only" in refused["error"]


def on_postgres(request: pytest.FixtureRequest) -> dict[str, str]:
    """A new database of PostgreSQL; nothing where it is not installed."""
    if find_binaries() is None:
        return {}
    return {"NBA_LEDGER_URL": request.getfixturevalue("postgres_url")}


def test_two_workers_agree_though_the_learner_is_killed_while_it_settles(
    shop: Built, tmp_path: Path, request: pytest.FixtureRequest
):
    """On PostgreSQL where there is one."""
    with story(shop, tmp_path, NBA_WORKERS="2", **on_postgres(request)) as day:
        workers = day.server.of_each_worker(2)
        day.settle(MONDAY)
        shown = [day.shown("weekly", f"c{number}") for number in range(20)]
        day.server.post("/v1/outcomes", {"decision_id": shown[0], "outcome": "accepted"})
        day.server.post("/v1/clock", {"now": (MONDAY + DAY).isoformat(), "settle": True})
        day.learner().kill()
        day.settled(MONDAY + DAY)
        assert all(day.credit(one) is not None for one in shown)

        before = {str(one.get("/readyz")[1]["models"]["bandit"]) for one in workers}
        day.settle(MONDAY + 3 * DAY)
        after = {str(one.get("/readyz")[1]["models"]["bandit"]) for one in workers}
        assert len(before) == len(after) == 1 and before != after
        assert {day.credit(one) for one in shown} == {1.0}
        for one in workers:
            assert day.decide("weekly", "c1", server=one)[1] == {"contact_policy.caps.0"}
        day.server.post("/v1/clock", {"now": (MONDAY + 8 * DAY).isoformat()})
        for one in workers:
            assert one.get("/readyz")[1]["now"] == (MONDAY + 8 * DAY).isoformat()
        assert day.decide("weekly", "c1", server=workers[1])[1] == set()
