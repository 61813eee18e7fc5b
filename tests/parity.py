"""Compares the features that serving reads with those that training reads, on real events.

    python -m tests.parity               # both businesses, and a table of what was compared
    python -m tests.parity --mutations   # each seeded bug of the list has to be noticed

The live path is a server: events arrive in calls of 1 to 100, customers interleaved at random,
some late, some twice; then `/v1/decide` for each customer, whose log holds the features as serving
read them and the instant. The batch path is `nba load`, `nba build` and the training frame at those
instants.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import sqlalchemy as sa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from features.business.domain import Domain, load_domain
from features.datasets.dataset import training_frame
from features.datasets.point_in_time import PointInTimeFeatures
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import GROCERY, actions_beside, load_settings
from features.store.feast_store import FeatureStore
from tests.commands import environment, nba_in_process
from tests.server import ROOT, Server, running

SEED = 20261122
LATE = TWICE = 0.05  # of all events
AT_ONCE = 0.2  # of those sent twice: right behind the first time
LARGEST_CALL = 100
TOLERANCE = 1e-6  # relative
CARD, COOKIE = 0.2, 0.3  # of events named by card alone; of households also met as a cookie
DESK = Path(__file__).parent / "desk" / "domain.yaml"
DESK_DATA = ROOT.parent / "shared" / "data" / "helpdesk.csv.gz"
OURS = ("event_id", "type", "occurred_at", "channel", "customer_id", "identifiers")
FLOORS = ("features", "training", "serving")

Sent = dict[str, Any]


class PathBroken(Exception):
    """One of the two paths failed."""


@dataclass(frozen=True)
class Business:
    """A domain, its customers, and for each of them the events as sent, in their order."""

    name: str
    domain: Path
    customers: pd.DataFrame
    events: dict[str, list[Sent]]

    @property
    def total(self) -> int:
        return sum(map(len, self.events.values()))

    @property
    def env(self) -> dict[str, str]:
        return {
            "NBA_DOMAIN": str(self.domain),
            "NBA_ACTIONS": str(actions_beside(self.domain)),
            "NBA_LEARNER": "false",
        }

    def part(self, customers: int) -> Business:
        """The same with its first customers only."""
        names = list(self.events)[:customers]
        some = self.customers[self.customers["customer_id"].isin(names)]
        return replace(self, customers=some, events={name: self.events[name] for name in names})

    def halves(self, customers: int) -> tuple[Business, Business]:
        """Every other event of the first customers, and the others.

        Who was met as a cookie is left out: such a customer was somebody else before.
        """
        part = self.part(customers)
        events = {
            name: own
            for name, own in part.events.items()
            if not any("cookie:" in key for one in own for key in one.get("identifiers", ()))
        }
        some = part.customers[part.customers["customer_id"].isin(events)]
        left, right = (
            replace(part, customers=some, events={name: own[n::2] for name, own in events.items()})
            for n in range(2)
        )
        return left, right


def grocery(source: Path, at_least: int, now: datetime) -> Business:
    """Whole households of the imported grocer; some also come as a cookie, until that is linked."""
    rng = np.random.default_rng(SEED)
    table = pd.read_parquet(source / "events.parquet")
    table = table[table["occurred_at"] < now].sort_values(["occurred_at", "event_id"])
    by_household = dict(list(table.groupby("customer_id")))
    events: dict[str, list[Sent]] = {}
    total = 0
    for name in rng.permutation(sorted(by_household)):
        if total >= at_least:
            break
        events[name] = [_named(row, name, rng) for row in by_household[name].to_dict("records")]
        if rng.random() < COOKIE and len(events[name]) >= 3:
            _met_as_a_cookie(events[name], name, rng)
        total += len(events[name])
    customers = pd.read_parquet(source / "customers.parquet")
    customers = customers[customers["customer_id"].isin(events)]
    return Business("grocery", GROCERY, customers, events)


def helpdesk(at_least: int, now: datetime) -> Business:
    """Whole cases of the support desk; all times are moved so that the last is just past."""
    with gzip.open(DESK_DATA, "rt", encoding="utf-8") as file:
        table = pd.read_csv(file)
    by_case = dict(list(table.groupby("case_id")))
    rng = np.random.default_rng(SEED)
    chosen, total = [], 0
    for name in rng.permutation(sorted(by_case)):
        if total >= at_least:
            break
        chosen.append(by_case[name].sort_values("pos"))
        total += len(chosen[-1])
    table = pd.concat(chosen)
    at = pd.to_datetime(table["timestamp"], utc=True)
    # Of events in the same second, the position says which was first.
    table["at"] = at + (now - timedelta(minutes=1) - at.max()) + table["pos"] * pd.Timedelta("1us")
    table["case"] = table["case_id"].str.replace(" ", "-")
    events = {name: [_activity(row) for row in rows] for name, rows in _records(table, "case")}
    firsts = table.drop_duplicates("case")
    customers = pd.DataFrame(
        {
            "customer_id": firsts["case"],
            "service_level": firsts["service_level"],
            "company": firsts["customer"],
        }
    )
    return Business("helpdesk", DESK, customers, events)


def _records(table: pd.DataFrame, by: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for name, rows in table.groupby(by, sort=False):
        yield str(name), rows.to_dict("records")


def _named(row: dict[str, Any], household: str, rng: np.random.Generator) -> Sent:
    who: Sent = {"customer_id": household}
    if rng.random() < CARD:
        who = {"identifiers": [f"card:{household.removeprefix('h')}"]}
    names = [name for name in row if name not in OURS and row[name] == row[name]]
    return {
        "event_id": row["event_id"],
        "type": row["type"],
        "occurred_at": row["occurred_at"].isoformat(),
        "channel": row["channel"],
        "properties": {name: row[name] for name in names if row[name] is not None},
        **who,
    }


def _met_as_a_cookie(events: list[Sent], household: str, rng: np.random.Generator) -> None:
    """Send every other event under a cookie, until one event links cookie and household."""
    cookie = f"cookie:of-{household}"
    until = int(rng.integers(len(events) // 3, len(events)))
    for event in events[:until:2]:
        event.pop("customer_id", None)
        event["identifiers"] = [cookie]
    events[until] |= {"customer_id": household, "identifiers": [cookie]}


def _activity(row: dict[str, Any]) -> Sent:
    return {
        "event_id": f"{row['case']}-{row['pos']:03}",
        "type": "activity",
        "occurred_at": row["at"].isoformat(),
        "channel": "desk",
        "customer_id": row["case"],
        "properties": {"name": row["activity"], "resource": row["resource"]},
    }


@dataclass(frozen=True)
class Traffic:
    """The calls to send, and how many events in them are late or repeated."""

    calls: list[list[Sent]]
    late: int  # events that come after a later one of their customer
    twice: int


def interleaved(business: Business, seed: int = SEED) -> Traffic:
    """Interleave customers at random, each in order but for late and repeated events."""
    rng = np.random.default_rng(seed)
    names = [name for name, own in business.events.items() for _ in own]
    left = {name: iter(range(len(own))) for name, own in business.events.items()}
    order = [(name, next(left[name])) for name in rng.permutation(names)]
    at = {one: float(place) for place, one in enumerate(order)}
    end = len(order)
    some = [one for one in order if one[1] + 1 < len(business.events[one[0]])]
    # A few more than asked for: two late ones in a row may come to lie in order again.
    behind = {some[i] for i in rng.permutation(len(some))[: round(1.1 * LATE * end)]}
    for name, number in behind:
        on_time = next(
            at[name, after]
            for after in range(number + 1, len(business.events[name]))
            if (name, after) not in behind
        )
        at[name, number] = rng.uniform(on_time, end)
    again = [order[i] for i in rng.permutation(end)[: round(LATE * end)]]
    repeats = [
        (at[one] + 1e-9 if rng.random() < AT_ONCE else rng.uniform(at[one], end), one)
        for one in again
    ]
    sequence = sorted([*((place, one) for one, place in at.items()), *repeats])
    sent = [business.events[name][number] for _, (name, number) in sequence]
    calls = []
    while sent:
        size = int(rng.integers(1, LARGEST_CALL + 1))
        calls.append(sent[:size])
        sent = sent[size:]
    return Traffic(calls, _out_of_order(sequence), len(again))


def _out_of_order(sequence: Iterable[tuple[float, tuple[str, int]]]) -> int:
    seen: set[tuple[str, int]] = set()
    newest: dict[str, int] = {}
    late = 0
    for _, (name, number) in sequence:
        late += (name, number) not in seen and number < newest.get(name, -1)
        newest[name] = max(newest.get(name, -1), number)
        seen.add((name, number))
    return late


def home_of(folder: Path, business: Business) -> dict[str, str]:
    """The environment variables of a path of this business, with its home in a folder."""
    return {
        **business.env,
        "NBA_HOME": str(folder),
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'no-models.db'}",
    }


def prepared(folder: Path, business: Business) -> Path:
    """Make a home with the customers, built before any event."""
    from serving.cli import steps_data

    tables_of = folder / "tables"
    tables_of.mkdir(parents=True)
    business.customers.to_parquet(tables_of / "customers.parquet", index=False)
    env = home_of(folder / "home", business)
    with environment(env):
        reports = steps_data.load_tables(tables_of, False, _quiet)
        assert all(report.passed for report in reports), reports
    build(env)
    return folder / "home"


def live(home: Path, business: Business, traffic: Traffic, tree: Path = ROOT) -> pd.DataFrame:
    """Send all calls, decide for each customer; the features that serving read, and `decided_at`.

    Halfway, `nba build` runs beside the server, as it would every night.
    """
    env = home_of(home, business) | {"PYTHONPATH": str(tree)}
    half = len(traffic.calls) // 2
    with running(home, env, cwd=tree) as server:
        counts = _send(server, traffic.calls[:half])
        build(env)
        counts += _send(server, traffic.calls[half:])
        if tree == ROOT:  # a seeded bug may count otherwise; we are after what it does to features
            assert [*counts] == [business.total, traffic.twice]
        for name in business.events:
            body = {"customer_id": name, "decision_id": f"parity-{name}"}
            status, answer = server.post("/v1/decide", {**body, "channel": _channel(business)})
            if status != 200:
                raise PathBroken(f"/v1/decide answered {status}: {answer}")
    return logged(home, load_domain(business.domain))


def build(env: Mapping[str, str]) -> None:
    """Do the same as `nba build`, without a new process that imports everything again."""
    from serving.cli import steps_data

    with environment(env):
        steps_data.build(_quiet)


def _send(server: Server, calls: list[list[Sent]]) -> Any:
    """Send calls; the number of accepted events and of duplicates."""
    counts = np.zeros(2, dtype=int)
    for call in calls:
        status, answer = server.post("/v1/events", {"events": call})
        if status != 200 or answer["rejected"]:
            raise PathBroken(f"/v1/events answered {status}: {answer}")
        counts += answer["accepted"], answer["duplicates"]
    return counts


def _channel(business: Business) -> str:
    return load_domain(business.domain).channels[0]


def logged(home: Path, domain: Domain) -> pd.DataFrame:
    """Read the features in the log of decisions, by customer."""
    columns = tables.decisions.c
    query = sa.select(columns.subject, columns.decided_at, columns.features)
    query = query.where(columns.decision_id.startswith("parity-"))
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    rows = ledger.read(lambda connection: connection.execute(query).all())
    ledger.close()
    names = ModelInput(domain).names
    read = [np.frombuffer(row.features) for row in rows]
    frame = pd.DataFrame(read, columns=list(names), index=[row.subject for row in rows])
    return frame.astype(np.float64).assign(decided_at=[row.decided_at for row in rows]).sort_index()


def batch(folder: Path, business: Business) -> dict[str, str]:
    """Load the same customers and events as tables, and build; the environment variables."""
    write_tables(folder, business)
    env = home_of(folder / "home", business)
    for arguments in (["load", str(folder)], ["build"]):
        done = nba_in_process(arguments, env)
        assert done.returncode == 0, done.stdout + done.stderr
    return env


def write_tables(folder: Path, business: Business) -> None:
    """Write contract tables of the customers and events, each event once, in any order."""
    folder.mkdir(parents=True)
    business.customers.to_parquet(folder / "customers.parquet", index=False)
    rows = [
        {**event, "identifiers": " ".join(event.get("identifiers", ())), **event["properties"]}
        for own in business.events.values()
        for event in own
    ]
    table = pd.DataFrame(rows).drop(columns="properties").sample(frac=1, random_state=SEED)
    table.to_csv(folder / "events.csv", index=False)


def batch_in(tree: Path, folder: Path, business: Business, served: pd.DataFrame) -> pd.DataFrame:
    """Run the batch path from tables to the frame with the code of another tree, in one process."""
    write_tables(folder, business)
    asked, found = folder / "moments.parquet", folder / "frame.parquet"
    moments_of(served).to_parquet(asked)
    path = os.pathsep.join([str(tree), str(ROOT)])
    env = os.environ | home_of(folder / "home", business) | {"PYTHONPATH": path}
    command = [sys.executable, "-m", "tests.parity", "--frame", str(folder), str(asked), str(found)]
    done = subprocess.run(command, env=env, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PathBroken(done.stderr.strip().splitlines()[-1])
    return pd.read_parquet(found)


def _frame_of(folder: Path, asked: Path, found: Path) -> None:
    """Run the batch path in this process; `batch_in` calls it in another."""
    from serving.cli import steps_data

    steps_data.load_tables(folder, False, _quiet)
    steps_data.build(_quiet)
    frame_at(os.environ, pd.read_parquet(asked)).to_parquet(found)


def frame_at(env: Mapping[str, str], moments: pd.DataFrame) -> pd.DataFrame:
    """Read the training frame of some moments, by customer."""
    with environment(env):
        settings = load_settings()
        domain = load_domain(settings.domain)
        ledger = Ledger(settings.ledger_url)
        history = PointInTimeFeatures(ledger, FeatureStore(settings, domain), domain)
        frame = training_frame(history, moments, "churn_v1", domain)
        ledger.close()
    return frame.set_axis(moments["customer_id"], axis=0)


def moments_of(served: pd.DataFrame) -> pd.DataFrame:
    """The customers and times at which serving read features."""
    at = pd.DatetimeIndex(served["decided_at"]).as_unit("us")
    return pd.DataFrame({"customer_id": served.index, "event_timestamp": at})


def differences(served: pd.DataFrame, known: pd.DataFrame) -> list[str]:
    """List each feature of each customer in which serving and training differ."""
    assert len(served) and [*served.index] == [*known.index]
    names = [*known.columns]
    left, right = served[names].to_numpy(), known.to_numpy()
    wrong = np.argwhere(~np.isclose(left, right, rtol=TOLERANCE, atol=0, equal_nan=True))
    return [
        f"{served.index[i]}: {names[j]} is {left[i, j]!r} live, {right[i, j]!r} in batch"
        for i, j in wrong
    ]


# --- seeded bugs -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutation:
    """A planted bug of one line in one of the two paths."""

    path: Literal["live", "batch"]
    file: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.path}: {self.file}: {self.new}"

    def tree(self, folder: Path) -> Path:
        """Copy the three floors and plant the bug."""
        folder.mkdir(parents=True)
        for floor in FLOORS:
            shutil.copytree(ROOT / floor, folder / floor, ignore=_no_bytecode)
        file = folder / self.file
        text = file.read_text()
        assert text.count(self.old) == 1, f"{self.file} has not exactly one line {self.old!r}"
        file.write_text(text.replace(self.old, self.new))
        return folder


_no_bytecode = shutil.ignore_patterns("__pycache__")
_IN_EITHER = (  # the arithmetic that both share
    ("features/journeys/recency_frequency.py", "MEMORY = 0.7 ", "MEMORY = 0.71 "),
    (
        "features/journeys/recency_frequency.py",
        "exp2(-elapsed_s / half_life_s)",
        "exp2(-elapsed_s / half_life_s / 2)",
    ),
    ("features/journeys/recency_frequency.py", "new_week = 1.0 if first or", "new_week = 1.0 if"),
    (
        "features/journeys/recency_frequency.py",
        "start + GAP] = gap_days",
        "start + GAP] = gap_days + 1e-4",
    ),
    ("features/journeys/aggregates.py", "state[start + 1] += amount", "state[start + 1] = amount"),
    ("features/journeys/aggregates.py", "sessions_n + 1.0", "sessions_n + 2.0"),
)
MUTATIONS = (
    Mutation("live", "features/states/journey_states.py", "sorted(events, key=_order)", "events"),
    Mutation(
        "live",
        "features/states/journey_states.py",
        "> events[0].order",
        "!= (row.last_at, row.last_event_id)",
    ),
    Mutation(
        "live",
        "features/states/journey_states.py",
        "for event in events:",
        "for event in events[:1]:",
    ),
    Mutation(
        "live",
        "features/states/refolding.py",
        "channel, at_us / MICROS, from_json(properties))",
        "channel, at_us / MICROS, {})",
    ),
    Mutation(
        "live",
        "features/ingest/append_events.py",
        "earlier[event.event_id] = (event.subject, _content(event))",
        "pass",
    ),
    Mutation(
        "live",
        "features/ingest/append_events.py",
        "customer_of.get(subject, subject)",
        "subject",
    ),
    Mutation(
        "live",
        "features/ingest/append_events.py",
        "for key in event.keys[1:]:",
        "for key in ():",
    ),
    Mutation(
        "live",
        "features/identity/relocation.py",
        "for table in (tables.events, tables.decisions):",
        "for table in (tables.decisions,):",
    ),
    Mutation(
        "live",
        "features/states/restating.py",
        "restated = restated_by(merges) | moved",
        "restated = set[str]()",
    ),
    Mutation(
        "live",
        "serving/decide/customer_inputs.py",
        "now.timestamp(), acc",
        "now.timestamp() + 60, acc",
    ),
    *(Mutation("live", *one) for one in _IN_EITHER),
    Mutation(
        "batch",
        "features/store/fold_parts.py",
        "channel, at_us / MICROS, from_json(properties))",
        "channel, at_us / MICROS, {})",
    ),
    Mutation(
        "batch",
        "features/store/fold_parts.py",
        "advance(state, kind, channel, at_us / MICROS",
        "advance(state, kind, channel, at_us / MICROS + 60",
    ),
    Mutation(
        "batch",
        "features/datasets/known_states.py",
        "events[folded:complete]",
        "events[max(folded - 1, 0) : complete]",
    ),
    Mutation(
        "batch",
        "features/datasets/known_states.py",
        "state, folded = known, count",
        "state = known",
    ),
    Mutation(
        "batch",
        "features/states/stored_events.py",
        "order_by(_COLUMNS.customer_id, _COLUMNS.occurred_at, _COLUMNS.event_id)",
        "order_by(_COLUMNS.customer_id, _COLUMNS.occurred_at.desc())",
    ),
    Mutation("batch", "features/datasets/dataset.py", "at_us / 1e6, of", "at_us / 1e6 + 60, of"),
    Mutation(
        "batch",
        "features/ingest/batch_writer.py",
        "business.normalizer, kept.events, now",
        "business.normalizer, kept.events[1:], now",
    ),
    Mutation(
        "batch",
        "features/ingest/contract_tables.py",
        "normalize_properties(properties, event_type)",
        "{}",
    ),
    *(Mutation("batch", *one) for one in _IN_EITHER),
)


@dataclass
class Compared:
    """One business, replayed both ways."""

    business: Business
    traffic: Traffic
    folder: Path
    served: pd.DataFrame
    known: pd.DataFrame
    differences: list[str]

    def noticed(self, mutation: Mutation, folder: Path, customers: int) -> list[str]:
        """Run one path with a bug, for some customers; the differences from the other path."""
        tree = mutation.tree(folder / "tree")
        part = self.business.part(customers)
        try:
            if mutation.path == "live":
                served = live(prepared(folder / "live", part), part, interleaved(part), tree)
                return differences(served, frame_at(self._env("batch"), moments_of(served)))
            served = self.served.loc[sorted(part.events)]
            return differences(served, batch_in(tree, folder / "batch", part, served))
        except PathBroken as broken:  # that, too, nobody could overlook
            return [str(broken)]

    def in_its_own_history(self) -> list[str]:
        """Compare serving with training in the home that was served from, where some states are
        kept, some events came since, and some were late."""
        return differences(self.served, frame_at(self._env("live"), moments_of(self.served)))

    def _env(self, path: str) -> dict[str, str]:
        return home_of(self.folder / path / "home", self.business)


def compare(business: Business, folder: Path) -> Compared:
    """Replay a business both ways and compare every feature of every customer."""
    traffic = interleaved(business)
    served = live(prepared(folder / "live", business), business, traffic)
    known = frame_at(batch(folder / "batch", business), moments_of(served))
    return Compared(business, traffic, folder, served, known, differences(served, known))


def _quiet(step: str, done: int, total: int) -> None:
    """Ignore progress."""


# --- the command -----------------------------------------------------------------------------

out = Console(width=140)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--source", type=Path, help="imported grocer; imported anew if not given")
    parser.add_argument("--events", type=int, default=8000, help="grocery events, at least")
    parser.add_argument("--cases", type=int, default=2500, help="helpdesk events, at least")
    parser.add_argument("--mutations", action="store_true", help="try every seeded bug")
    parser.add_argument("--customers", type=int, default=40, help="of each trial with a bug")
    parser.add_argument("--frame", nargs=3, type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.frame:
        _frame_of(*asked.frame)
        return 0
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = asked.source
        if source is None:
            from features.ingest.sources.completejourney import write_tables

            source = folder / "source"
            write_tables(source, now)
        compared = [compare(grocery(source, asked.events, now), folder / "grocery")]
        if DESK_DATA.exists():
            compared.append(compare(helpdesk(asked.cases, now), folder / "helpdesk"))
        fine = _show(compared)
        if asked.mutations:
            fine &= _try_all(compared[0], folder, asked.customers)
    return 0 if fine else 1


def _show(compared: list[Compared]) -> bool:
    table = Table("business", "events", "late", "twice", "calls", "customers", "features", "differ")
    for one in compared:
        figures = (one.business.total, one.traffic.late, one.traffic.twice, len(one.traffic.calls))
        sizes = (len(one.served), one.known.shape[1], len(one.differences))
        table.add_row(one.business.name, *(f"{number:,}" for number in (*figures, *sizes)))
    out.print(table)
    for one in compared:
        for line in one.differences[:5]:
            out.print(line)
    return not any(one.differences for one in compared)


def _try_all(grocer: Compared, folder: Path, customers: int) -> bool:
    table = Table("path", "file", "the line becomes", "differences", "noticed")
    missed = 0
    for number, one in enumerate((*CONTROLS, *MUTATIONS)):
        found = grocer.noticed(one, folder / f"bug-{number}", customers)
        expected = one not in CONTROLS
        missed += bool(found) != expected
        verdict = "yes" if found else ("NO" if expected else "nothing to notice")
        table.add_row(one.path, one.file, escape(one.new), f"{len(found):,}", verdict)
        out.print(f"{one}: {len(found):,} differences, such as {found[:1]}"[:400], markup=False)
        shutil.rmtree(folder / f"bug-{number}")
    out.print(table)
    out.print(f"{missed} of {len(MUTATIONS) + len(CONTROLS)} went unnoticed, or cried wolf.")
    return not missed


# No bug: the copied tree itself must not make a difference.
CONTROLS = (
    Mutation("live", "features/states/stored_events.py", "MICROS = 1e6", "MICROS = 1e6"),
    Mutation("batch", "features/states/stored_events.py", "MICROS = 1e6", "MICROS = 1e6"),
)

if __name__ == "__main__":
    sys.exit(main())
