"""Forgetting over HTTP: nothing of the customer stays anywhere, nothing comes back unasked, and
nobody else is touched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from features.business.domain import load_domain
from features.identity.tombstones import hash_keys
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import GROCERY, load_settings
from features.store.feast_store import FeatureStore
from tests.commands import environment, nba_in_process
from tests.conftest import Built, copied
from tests.parity import frame_at
from tests.server import Server, running
from tests.serving.server.test_events import event, kept, send
from tests.serving.test_service import decide, rows
from training.pipeline.registry import TRAINED_ON, Registry

pytestmark = pytest.mark.server
SECRET = "the-words-of-somebody-who-will-be-forgotten"
OTHERS = 60


@dataclass(frozen=True)
class Somebody:
    """A real household, and all that could give it away."""

    customer_id: str
    keys: list[str]
    decision_ids: list[str]
    event_ids: list[str]
    erased: dict[str, Any]  # what /v1/forget answered

    @property
    def traces(self) -> list[str]:
        digits = [re.sub("[^0-9]", "", key) for key in self.keys if key.startswith("phone:")]
        return [*self.keys, *digits, *self.decision_ids, *self.event_ids, SECRET]


@dataclass(frozen=True)
class Place:
    """A running server, its home, and a folder of tables with rows of the household."""

    server: Server
    home: Path
    env: dict[str, str]
    tables: Path
    household: str
    others: list[str]

    def ledger(self) -> Ledger:
        return Ledger(f"sqlite:///{self.home / 'ledger.db'}")

    def known_of_others(self) -> tuple[pd.DataFrame, list[Any]]:
        """The features that training and serving read of other customers."""
        at = pd.DatetimeIndex([datetime(2026, 1, 15, tzinfo=UTC), datetime.now(UTC)]).as_unit("us")
        moments = pd.MultiIndex.from_product([self.others, at[:1]]).to_frame(index=False)
        moments.columns = ["customer_id", "event_timestamp"]
        with environment(self.env):
            store = FeatureStore(load_settings(), load_domain(GROCERY))
            online = [store.online(one) for one in self.others]
        return frame_at(self.env, moments), online


@pytest.fixture(scope="module")
def place(grocer: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("forget")
    home, env = copied(grocer, folder)
    source = grocer.home / "sources" / "completejourney"
    household = _with_a_long_story(source)
    customers = pd.read_parquet(source / "customers.parquet")["customer_id"]
    others = customers[customers != household].sample(OTHERS, random_state=20261122).tolist()
    again = folder / "again"
    _some_of(source, again, [household, *others[:20]])
    with environment(env):  # a copied registry still names the files that it was copied from
        FeatureStore(load_settings(), load_domain(GROCERY)).apply()
    with running(home, env) as server:
        yield Place(server, home, env, again, household, others)


def _with_a_long_story(source: Path) -> str:
    """A household with campaigns, redemptions and a four-digit number, which is no beginning of
    another one's: of 2,469 households none has five digits."""
    events = pd.read_parquet(source / "events.parquet", columns=["customer_id", "type"])
    redeemed = events[events["type"] == "redemption"]["customer_id"].value_counts()
    return str(next(one for one in redeemed.index if len(one) == len("h1234")))


def _some_of(source: Path, to: Path, households: list[str]) -> None:
    """The rows of some households, of all four tables."""
    to.mkdir()
    sent = pd.read_parquet(source / "decisions.parquet")
    sent = sent[sent["customer_id"].isin(households)]
    for name in ("customers", "events"):
        table = pd.read_parquet(source / f"{name}.parquet")
        table[table["customer_id"].isin(households)].to_csv(to / f"{name}.csv", index=False)
    sent.to_csv(to / "decisions.csv", index=False)
    outcomes = pd.read_parquet(source / "outcomes.parquet")
    mine = outcomes["decision_id"].isin(sent["decision_id"])
    outcomes[mine].to_csv(to / "outcomes.csv", index=False)


@pytest.fixture(scope="module")
def before(place: Place) -> tuple[pd.DataFrame, list[Any]]:
    """The features of the other customers before anybody was forgotten."""
    return place.known_of_others()


@pytest.fixture(scope="module")
def somebody(place: Place, before: Any) -> Somebody:
    """The household, given more identifiers, decisions and outcomes; then forgotten."""
    server, household = place.server, place.household
    done = nba_in_process(["load", str(place.tables)], place.env)
    assert done.returncode == 0 and "left out" not in done.stdout, done.stdout + done.stderr
    email, cookie, phone = "email:forget.me@example.org", "cookie:forget-me-17", "+39 555 010 0999"
    complaint = {"type": "complaint_opened", "properties": {"text": SECRET}}
    send(
        server,
        event("forget-me-event-1", identifiers=[cookie]),
        event("forget-me-event-2", household, identifiers=[cookie, email], **complaint),
    )
    keys = [household, f"phone:{phone}"]
    status, answer = server.post("/v1/link", {"keys": keys, "cause": f"{SECRET}, by phone"})
    assert (status, answer["customers"]) == (200, [household])
    decision_ids = []
    for number, who in enumerate((household, cookie, email, f"phone:{phone}")):
        about = {"customer_id": who} if who == household else {"identifiers": [who]}
        name = f"forget-me-decision-{number}"
        answer = decide(server, **about, decision_id=name, context={"note": SECRET})
        assert answer["customer_id"] == household
        body = {"decision_id": name, "outcome": "accepted", "outcome_id": f"forget-me-out-{number}"}
        if answer["actions"][0]["action_id"] != "no_action":
            assert server.post("/v1/outcomes", body)[0] == 200
        decision_ids.append(name)
    ledger = place.ledger()
    server.wait_for(lambda: not rows(ledger, sa.select(1).where(~tables.outcomes.c.learned)))
    counted = _counted(ledger, household)
    assert counted["events"] > 30 and counted["decisions"] > 4 and counted["outcomes"] > 0
    event_ids = kept_of(ledger, household)
    ledger.close()

    status, erased = server.post("/v1/forget", {"identifiers": [email]})
    assert (status, erased["status"]) == (200, "forgotten"), erased
    assert {name: erased["erased"][name] for name in counted} == counted
    asked = {"erasure_id": erased["erasure_id"]}
    assert erased["files"] == "pending" and erased["erasure_id"]
    done = server.wait_for(lambda: _finished(server.post("/v1/forget", asked)))
    assert done["finished_at"] and not done["waits_for"], done
    if "nba compact" in erased["remark"]:  # a file that is large for a rewrite beside requests
        assert nba_in_process(["compact"], place.env).returncode == 0
    keys = [household, f"card:{household[1:]}", cookie, email, "phone:395550100999"]
    assert erased["erased"]["keys"] == len(keys)
    return Somebody(household, keys, decision_ids, event_ids, erased)


def _finished(answered: tuple[int, Any]) -> Any:
    status, answer = answered
    assert status == 200, answer
    return answer if answer["files"] == "done" else None


def _counted(ledger: Ledger, customer_id: str) -> dict[str, int]:
    decided = tables.decisions.c
    mine = sa.select(decided.decision_id).where(decided.customer_id == customer_id)
    about = {
        "events": tables.events.c.customer_id == customer_id,
        "decisions": decided.customer_id == customer_id,
        "outcomes": tables.outcomes.c.decision_id.in_(mine),
    }
    found = {}
    for name, where in about.items():
        query = sa.select(sa.func.count()).select_from(tables.metadata.tables[name]).where(where)
        found[name] = rows(ledger, query)[0][0]
    return found


def kept_of(ledger: Ledger, customer_id: str) -> list[str]:
    columns = tables.events.c
    query = sa.select(columns.event_id).where(columns.customer_id == customer_id)
    return [row[0] for row in rows(ledger, query)]


def traces_in(home: Path, texts: list[str]) -> list[str]:
    """Files of the home, the ledger's and the store's logs beside them, that hold a text."""
    found = []
    needles = re.compile(b"|".join(re.escape(text.encode()) for text in sorted(texts)))
    read: set[Path] = set()
    # The server goes on meanwhile: what came in the place of a file that went is looked at too.
    while files := {file for file in home.rglob("*") if file.is_file()} - read:
        read |= files
        for file in sorted(files):
            with suppress(FileNotFoundError):
                found += traces_of_file(file, needles, texts)
    assert {"ledger.db", "online.db"} <= {file.name for file in read}
    assert any(file.suffix == ".log" for file in read)
    return found


def traces_of_file(file: Path, needles: re.Pattern[bytes], texts: list[str]) -> list[str]:
    hits = {hit.group().decode() for hit in needles.finditer(file.read_bytes())}
    found = [f"{file.name}: {hit}" for hit in sorted(hits)]
    if file.suffix == ".parquet":  # packed, so its bytes prove nothing: look at the cells
        stat = file.stat()
        for words in words_of(file, stat.st_size, stat.st_mtime_ns, stat.st_ino):
            found += [f"{file.name}: {one}" for one in words & set(texts)]
    return found


@cache
def words_of(file: Path, size: int, changed_ns: int, inode: int) -> list[set[str]]:
    """Of each column of a table, its cells and their words; read again when the file changes."""
    table = pq.read_table(file)
    found = []
    for name in table.column_names:
        if "list" not in str(table[name].type):
            cells = {str(cell) for cell in table[name].unique().to_pylist()}
            found += [cells, {word for cell in cells for word in cell.split()}]
    return found


def test_the_search_for_traces_finds_those_of_somebody_who_was_not_forgotten(place, somebody):
    """Of the search itself: in the ledger, the online store, the history and the sources."""
    found = traces_in(place.home, [next(one for one in place.others if len(one) == 5)])
    files = {line.split(":")[0] for line in found}
    assert {"ledger.db", "online.db", "customers.parquet", "events.parquet"} <= files
    assert "customer_profile.parquet" in files and files & {"00000.parquet", "00001.parquet"}


def test_no_byte_of_a_forgotten_customer_stays_in_any_file(place, somebody):
    assert len(somebody.event_ids) > 30
    assert traces_in(place.home, somebody.traces) == []


def test_the_answer_says_what_cannot_be_unlearned(somebody):
    assert "retrain and promote" in somebody.erased["remark"]
    assert "The bandit counted their outcomes" in somebody.erased["remark"]


def _learned_from(env: dict[str, str]) -> dict[str, set[str]]:
    """Of each model version, the keyed hashes of whom it learned from."""
    import mlflow

    with environment(env):
        registry = Registry(load_settings())
        files = {
            f"{one.name} {one.version}": registry.folder(one) / TRAINED_ON
            for one in registry.versions()
        }
        mlflow.set_tracking_uri(None)  # it keeps the address for all who come after
        mlflow.set_registry_uri(None)
    return {name: {*file.read_text().split()} for name, file in files.items() if file.exists()}


def test_the_answer_names_the_versions_that_learned_from_them(place, somebody):
    told = _learned_from(place.env)
    if not any(told.values()):
        pytest.skip("the pipeline does not tell the registry whom it trained on yet")
    ledger = place.ledger()
    mine = {*ledger.read(lambda connection: hash_keys(connection, somebody.keys))}
    ledger.close()
    expected = sorted(name for name, customers in told.items() if customers & mine)
    assert expected and sorted(somebody.erased["trained_on"]) == expected


def test_every_key_of_theirs_is_refused_everywhere_with_the_remedy(place, somebody):
    server = place.server
    for key in somebody.keys:
        about = {"customer_id": key} if key == somebody.customer_id else {"identifiers": [key]}
        for path, body in (
            ("/v1/decide", {**about, "channel": "app"}),
            ("/v1/customer", about),
            ("/v1/link", {"keys": ["h1", key], "cause": "a try"}),
            ("/v1/forget", about),
        ):
            status, answer = server.post(path, body)
            assert (status, list(answer)) == (410, ["error"]), (path, answer)
            assert "was forgotten" in answer["error"] and '"readmit": true' in answer["error"]
            told = f"erasure {somebody.erased['erasure_id']} finished at 20" in answer["error"]
            assert told == (path == "/v1/forget")
        status, answer = server.post("/v1/events", {"events": [event("back", **about)]})
        assert status == 400 and '"readmit": true' in answer["error"]
        assert answer["rejected"][0]["field"] == "identifiers"
    ledger = place.ledger()
    assert kept(ledger, "back") == []
    ledger.close()
    assert traces_in(place.home, somebody.traces) == [], "the refusals left traces"


def test_an_event_of_theirs_keeps_none_of_its_neighbours_out(place, somebody):
    key = somebody.keys[3]
    answer = send(place.server, event("beside-1", "h1"), event("beside-2", identifiers=[key]))
    assert (answer["accepted"], [one["index"] for one in answer["rejected"]]) == (1, [1])


def test_nothing_of_them_is_known_offline_at_any_time(place, somebody):
    at = pd.DatetimeIndex([datetime(2026, 1, 15, tzinfo=UTC), datetime.now(UTC)]).as_unit("us")
    for key in (somebody.customer_id, somebody.keys[1]):
        moments = pd.DataFrame({"customer_id": key, "event_timestamp": at})
        known = frame_at(place.env, moments)
        assert (known["events_n"] == 0).all() and known["basket_silence_days"].isna().all()
        assert known[["age", "income", "household_size"]].isna().all(axis=None)


def test_nobody_else_is_touched(place, somebody, before):
    history, online = place.known_of_others()
    pd.testing.assert_frame_equal(history, before[0])
    assert (history["events_n"] > 0).mean() > 0.5
    for now, then in zip(online, before[1], strict=True):
        assert (now.attributes, now.account_state) == (then.attributes, then.account_state)
        if now.state is not None:
            pd.testing.assert_series_equal(pd.Series(now.state), pd.Series(then.state))


def test_loading_the_same_tables_again_leaves_their_rows_out_and_says_so(place, somebody):
    done = nba_in_process(["load", str(place.tables)], place.env)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line.split()[1]: line for line in done.stdout.splitlines() if line.startswith("PASS")}
    for name in ("customers", "events", "decisions", "outcomes"):
        assert re.search(r"[1-9][0-9,]* left out$", lines[name]), lines[name]
        assert "new;" not in lines[name]
    for name in ("customers", "events", "decisions"):
        assert re.search(rf"{name}: .* left out \(about forgotten customers\); first", done.stdout)
    assert re.search(r"outcomes: .* left out \(of no decision in the ledger\); first", done.stdout)
    assert "another content" not in done.stdout
    ledger = place.ledger()
    assert _counted(ledger, somebody.customer_id) == {"events": 0, "decisions": 0, "outcomes": 0}
    ledger.close()
    assert traces_in(place.home, somebody.traces) == []


def test_who_comes_back_and_agrees_begins_anew(place, somebody):
    server, household = place.server, somebody.customer_id
    asked = {"customer_id": household, "identifiers": somebody.keys[1:]}
    status, answer = server.post("/v1/forget", asked | {"lift": True})  # the name of before
    assert status == 400 and "lift is not a field" in answer["error"], answer
    assert 'send "readmit"' in answer["error"]
    asked["readmit"] = True
    status, answer = server.post("/v1/forget", asked)
    assert (status, answer["status"], answer["erased"]) == (200, "readmitted", {"keys": 5})
    assert decide(server, customer_id=household)["known"] is False
    send(server, event("back-again", household))
    assert decide(server, customer_id=household)["known"] is True
    answer = server.post("/v1/customer", {"customer_id": household})[1]
    assert [one["id"] for one in answer["timeline"] if one["kind"] == "event"] == ["back-again"]
    done = nba_in_process(["load", str(place.tables)], place.env)
    assert done.returncode == 0 and "left out" not in done.stdout, done.stdout + done.stderr
    ledger = place.ledger()
    assert len(kept_of(ledger, household)) > 30
    ledger.close()


def _all_about_erasures(place: Place) -> list[Any]:
    """Every row that an erasure writes, and the files of the home but for logs and databases."""
    ledger = place.ledger()
    of = (tables.tombstones, tables.erasures, tables.erasure_keys, tables.identities, tables.links)
    found = [rows(ledger, sa.select(one)) for one in of]
    ledger.close()
    changing = ("ledger.db", "online.db", ".log", ".lock")
    files = sorted(str(one) for one in place.home.rglob("*") if one.is_file())
    return [*found, [one for one in files if not any(part in one for part in changing)]]


@pytest.mark.parametrize(
    "about",
    [
        {"customer_id": "never-seen"},
        {"identifiers": ["email:never@seen.it", "cookie:never-seen"]},
        {"customer_id": "never-seen", "confirm": ["never-seen"]},
        {"erasure_id": "none"},
    ],
)
def test_nobody_of_that_name_is_not_found_and_leaves_nothing_behind(place, somebody, about):
    before = _all_about_erasures(place)
    status, answer = place.server.post("/v1/forget", about)
    assert (status, list(answer)) == (404, ["error"]), answer
    assert _all_about_erasures(place) == before


def _merged(server: Server, *customers: str) -> None:
    send(server, *(event(f"event-of-{one}", one) for one in customers))
    for one in customers[1:]:
        body = {"keys": [customers[0], one], "cause": "told an agent"}
        assert server.post("/v1/link", body)[0] == 200


def test_several_named_customers_are_erased_when_all_are_confirmed(place):
    server = place.server
    _merged(server, "merged-b", "merged-a", "email:merged@x.it")
    about = {"customer_id": "merged-b"}
    before = _all_about_erasures(place)
    status, answer = server.post("/v1/forget", about)
    assert (status, answer["would_erase"]) == (409, ["merged-a", "merged-b"]), answer
    assert "2 customers who were merged into one: 'merged-a', 'merged-b'" in answer["error"]
    assert server.post("/v1/forget", about | {"confirm": ["merged-b"]}) == (409, answer)
    assert _all_about_erasures(place) == before
    confirmed = about | {"confirm": ["merged-b", "merged-a"]}
    status, answer = server.post("/v1/forget", confirmed)
    assert (status, answer["erased"]["keys"], answer["erased"]["events"]) == (200, 3, 3), answer
    again = server.post("/v1/forget", confirmed)
    assert again[0] == 410 and answer["erasure_id"] in again[1]["error"]


def test_a_confirmation_of_a_customer_who_was_split_meanwhile_is_refused(place):
    server = place.server
    _merged(server, "split-a", "split-b")
    confirmed = {"customer_id": "split-a", "confirm": ["split-a", "split-b"]}
    body = {"keys": ["split-a", "split-b"], "cause": "two people"}
    assert server.post("/v1/unlink", body)[0] == 200
    status, answer = server.post("/v1/forget", confirmed)
    assert (status, answer["would_erase"]) == (409, ["split-a"]), answer
    assert server.post("/v1/forget", {"customer_id": "split-a"})[0] == 200
    assert decide(server, customer_id="split-b")["known"] is True


def test_a_file_that_is_not_utf_8_is_named_and_holds_up_nothing_else(place, somebody):
    server = place.server
    send(server, event("soon-forgotten-1", "soon-forgotten"))
    wrong = place.home / "sources" / "wrong" / "events.csv"
    wrong.parent.mkdir()
    wrong.write_bytes("customer_id,text\nsoon-forgotten,caff\xe8\n".encode("latin-1"))
    status, answer = server.post("/v1/forget", {"customer_id": "soon-forgotten"})
    assert (status, answer["status"]) == (200, "forgotten"), answer
    asked = {"erasure_id": answer["erasure_id"]}
    file = "sources/wrong/events.csv"
    told = server.wait_for(lambda: server.post("/v1/forget", asked)[1]["waits_for"])
    assert len(told) == 1 and told[0].startswith(f"{file} cannot be cleaned"), told
    missing = server.wait_for(
        lambda: [one for one in server.get("/readyz")[1]["degraded"] if file in one]
    )
    assert missing[0].startswith("erasure: ")
    ledger = place.ledger()
    assert kept_of(ledger, "soon-forgotten") == []
    ledger.close()
