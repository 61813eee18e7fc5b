"""Reads features as of any moment through a real Feast, after a build and after later events."""

import asyncio
import json
import random
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
import yaml

from features.customers.profiles import account_key
from features.datasets.dataset import training_frame
from features.datasets.point_in_time import PointInTimeFeatures
from features.ingest.erasure import Erasure
from features.journeys.fold import Fold
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.settings import load_settings
from features.store import build, fold_parts
from features.store.build import build_features
from features.store.feast_store import FeatureStore
from tests.conftest import TOY
from tests.features.live import (
    DAY,
    FOLD,
    NOW,
    SHOP,
    FeastOnlineStore,
    add,
    customer,
    event,
    folded,
    kept,
    kept_state,
    live,
    person,
    rows,
    same_states,
)

pytestmark = pytest.mark.slow

SEED = 7
PEOPLE = [f"c{number}" for number in range(9)] + ["card:1", "cookie:1"]
TICK = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Make sizes so small that a few events give several parts, batches and kept states."""
    monkeypatch.setattr(fold_parts, "KEEP_EVERY", 4)
    monkeypatch.setattr(fold_parts, "PART_EVENTS", 60)
    monkeypatch.setattr(fold_parts, "ROWS_AT_ONCE", 5)
    monkeypatch.setattr(build, "ONLINE_AT_ONCE", 3)
    monkeypatch.setattr("features.datasets.point_in_time.CUSTOMERS_AT_ONCE", 4)


def opened(monkeypatch, home, domain):
    """A store for a domain of our own; Feast's definitions read it when they are applied."""
    file = home / "domain.yaml"
    file.write_text(yaml.safe_dump(json.loads(domain.model_dump_json()), sort_keys=False))
    monkeypatch.setenv("NBA_HOME", str(home))
    monkeypatch.setenv("NBA_DOMAIN", str(file))
    monkeypatch.setenv("NBA_ACTIONS", str(TOY / "actions.yaml"))
    return FeatureStore(load_settings(), domain)


@pytest.fixture
def store(monkeypatch, tmp_path):
    store = opened(monkeypatch, tmp_path, SHOP)
    store.apply()
    return store


@pytest.fixture
def worker(ledger, store):
    return live(ledger, FeastOnlineStore(store))


def take(worker, *sent, now=NOW):
    taken = asyncio.run(worker.ingest(sent, now))
    assert taken.rejected == []


def received(ledger, chance, *event_ids):
    """Spread the times at which events came: most when they occurred, some days later."""

    def spread(connection):
        for row in connection.execute(sa.select(tables.events)).all():
            if event_ids and row.event_id not in event_ids:
                continue
            late = chance.choice([None, 0 * DAY, 0 * DAY, 0 * DAY, DAY / 4, 2 * DAY, 20 * DAY])
            at = None if late is None else row.occurred_at + late
            mine = tables.events.c.event_id == row.event_id
            connection.execute(sa.update(tables.events).where(mine).values(received_at=at))

    ledger.write_now(spread)


def some_events(chance, count, first, days):
    """Seeded events, many of them at one instant."""
    for number in range(first, first + count):
        at = NOW - chance.randrange(1, days * 4) * DAY / 4
        kind = chance.choice(["view", "view", "order", "complaint"])
        told = {"amount_eur": chance.randrange(90)} if kind == "order" else {}
        if kind == "complaint":
            told = {"ticket": "abc"[number % 3], "score": float(number % 11)}
        channel = chance.choice(SHOP.channels)
        yield event(number, chance.choice(PEOPLE), at=at, kind=kind, channel=channel, **told)


@pytest.fixture
def chance():
    return random.Random(SEED)


@pytest.fixture
def lived(ledger, store, worker, chance):
    """A ledger with a past, built."""
    companies = [person(f"c{n}", ["acme", "beta"][n % 2]) for n in range(5)]
    add(ledger, tables.customers, *companies, person("none", "acme"))
    take(worker, *some_events(chance, 300, 0, 40))
    received(ledger, chance)
    rebuild(ledger, store)
    return ledger


def rebuild(ledger, store, now=NOW, **more):
    return build_features(ledger, store, SHOP, now, **more)


def moments(chance, ledger, count=150):
    """Seeded moments, half of them at, or just before, an event."""
    times = [row.occurred_at for row in rows(ledger, tables.events)]
    who = [*PEOPLE, "nobody"]
    asked = [
        (
            chance.choice(who),
            chance.choice([chance.choice(times), NOW - chance.random() * 45 * DAY])
            - chance.choice([0, 0, 1]) * TICK,
        )
        for _ in range(count)
    ]
    frame = pd.DataFrame(asked, columns=["customer_id", "event_timestamp"])
    frame["event_timestamp"] = frame["event_timestamp"].astype("datetime64[us, UTC]")
    return frame


def is_exact(ledger, store, asked):
    """Assert that the state as of each moment is the fold of all events known at it."""
    known = PointInTimeFeatures(ledger, store, SHOP).as_of(asked, "churn_v1")
    pd.testing.assert_frame_equal(known[list(asked)], asked)
    for row in known.itertuples():
        is_the_fold(row.state, ledger, row.customer_id, row.event_timestamp)
        if isinstance(row.company, str):
            company = account_key(row.company)
            is_the_fold(row.account_state, ledger, company, row.event_timestamp)
        else:
            assert row.account_state is None
    return True


def is_the_fold(state, ledger, key, until):
    truth = folded(ledger, key, until)
    if FOLD.events_n(truth) == 0:
        assert state is None
    else:
        assert same_states(state, truth)


def is_shown(ledger, store):
    """Assert that the online state of each customer and account is the fold of all their events."""
    who = {row.customer_id for row in rows(ledger, tables.events)}
    for key in [*who, account_key("acme"), account_key("beta")]:
        assert same_states(store.online(key).state, folded(ledger, key)), key
    return True


def kept_rows(store):
    frame = pq.read_table(store.journey_folder).to_pandas()
    return frame.sort_values(["customer_id", "event_timestamp"], ignore_index=True)


def test_the_past_is_exact_at_any_moment(lived, store, chance):
    assert len(list(store.journey_folder.iterdir())) > 4
    assert len(kept_rows(store)) < len(rows(lived, tables.events)) / 2
    assert is_exact(lived, store, moments(chance, lived, 300))
    assert is_shown(lived, store)


def test_a_history_that_keeps_one_state_each_or_every_one_tells_the_same(
    lived, store, chance, monkeypatch
):
    for every in (1, 1000):
        monkeypatch.setattr(fold_parts, "KEEP_EVERY", every)
        rebuild(lived, store)
        assert is_exact(lived, store, moments(chance, lived))


@pytest.mark.databases("sqlite", "postgresql")
def test_two_processes_fold_what_one_does(lived, store):
    before = kept_rows(store)
    # The children take EVERY as it comes; every state they keep is among ours, and the last is.
    rebuild(lived, store, processes=2)
    after = kept_rows(store)
    newest = [one.groupby("customer_id").tail(1).reset_index(drop=True) for one in (before, after)]
    pd.testing.assert_frame_equal(*newest)
    assert is_shown(lived, store)


def test_events_since_the_build_are_known_without_another_one(lived, store, worker, chance):
    take(worker, *(event(900 + n, who, at=NOW - n * DAY / 9) for n, who in enumerate(PEOPLE)))
    assert is_exact(lived, store, moments(chance, lived))
    assert is_shown(lived, store)


def test_late_events_since_the_build_are_in_the_past_too(lived, store, worker, chance):
    sent = list(some_events(chance, 60, 1000, 50))
    take(worker, *sent)
    assert is_exact(lived, store, moments(chance, lived))
    received(lived, chance, *(one["event_id"] for one in sent))
    assert is_exact(lived, store, moments(chance, lived))
    assert is_shown(lived, store)


@pytest.mark.parametrize("heard", [True, False], ids=["heard of", "unheard of since the build"])
def test_an_event_at_the_very_instant_of_the_last_one_is_in_the_past_too(
    ledger, store, worker, chance, heard
):
    take(worker, event(1, "c1", kind="order", amount_eur=3))
    rebuild(ledger, store)
    if not heard:
        ledger.write_now(lambda c: c.execute(sa.delete(tables.journey_states)))
    take(worker, event(2, "c1", kind="order", amount_eur=8))
    received(ledger, chance)
    asked = pd.DataFrame(
        {"customer_id": ["c1"] * 3, "event_timestamp": [NOW - DAY, NOW, NOW + DAY]}
    )
    assert is_exact(ledger, store, asked)


@pytest.mark.databases("sqlite", "postgresql")
def test_the_past_of_the_merged_and_of_the_parted_is_exact(lived, store, worker, chance):
    pairs = [("c1", "c2"), ("c3", "card:1"), ("cookie:1", "c8")]
    for pair in pairs:
        asyncio.run(worker.link(pair, "they said so", NOW))
    assert is_exact(lived, store, moments(chance, lived))
    assert is_shown(lived, store)
    rebuild(lived, store, NOW + DAY)
    assert {row.restated_at for row in kept(lived).values()} == {None}
    assert is_exact(lived, store, moments(chance, lived))
    for pair in pairs:
        asyncio.run(worker.unlink(pair, "a mistake", NOW + 2 * DAY))
    assert is_exact(lived, store, moments(chance, lived))
    assert is_shown(lived, store)


@pytest.mark.databases("sqlite", "postgresql")
def test_a_kept_state_with_an_event_of_somebody_else_is_not_used(ledger, store, worker):
    """As many events as before, up to the same one: only the mark of the split tells."""
    bought = {"kind": "order", "amount_eur": 50.0}
    take(worker, *(event(days, "c1", at=NOW - days * DAY) for days in (9, 7, 5)))
    take(worker, event("theirs", "card:1", at=NOW - 8 * DAY, **bought))
    asyncio.run(worker.link(("c1", "card:1"), "told an agent", NOW))
    rebuild(ledger, store)
    asyncio.run(worker.unlink(("c1", "card:1"), "a mistake", NOW))
    take(worker, event("late", "c1", at=NOW - 6 * DAY))
    ledger.write_now(lambda c: c.execute(sa.update(tables.events).values(received_at=None)))
    asked = pd.DataFrame({"customer_id": ["c1"], "event_timestamp": [NOW - 4 * DAY]})
    asked = asked.astype({"event_timestamp": "datetime64[us, UTC]"})
    [state] = PointInTimeFeatures(ledger, store, SHOP).as_of(asked, "churn_v1")["state"]
    is_the_fold(state, ledger, "c1", NOW - 4 * DAY)


def test_what_is_taken_while_a_part_is_shown_is_not_overwritten(
    ledger, lived, store, worker, chance, monkeypatch
):
    ledger.write_now(lambda c: c.execute(sa.delete(tables.journey_states)))
    show, numbers = build._write_online, iter(range(2000, 3000))

    def meanwhile(ledger, store, folded):
        late = {"now": NOW + timedelta(hours=1)}
        take(worker, *(event(next(numbers), who, at=NOW) for who in PEOPLE[:3]), **late)
        take(worker, event(next(numbers), PEOPLE[4], at=NOW - 20 * DAY), **late)
        show(ledger, store, folded)

    monkeypatch.setattr(build, "_write_online", meanwhile)
    rebuild(ledger, store)
    assert is_shown(ledger, store)
    assert is_exact(ledger, store, moments(chance, ledger))


def test_who_is_forgotten_while_a_part_is_shown_stays_forgotten(
    ledger, lived, store, monkeypatch, tmp_path
):
    show = build._write_online

    def meanwhile(ledger, store, folded):
        if "c1" in folded.customer_ids:
            erasure = Erasure(ledger, store, tmp_path)
            erasure.forget(["c1"], NOW)
            assert erasure.finish()
        show(ledger, store, folded)

    monkeypatch.setattr(build, "_write_online", meanwhile)
    rebuild(ledger, store)
    assert store.online("c1") is None
    assert "c1" not in {*kept_rows(store)["customer_id"]}
    assert is_shown(ledger, store)


def test_what_is_taken_between_two_parts_is_not_lost(ledger, lived, store, worker, chance):
    numbers = iter(range(2000, 3000))

    def progress(what, done, total):
        sent = [event(next(numbers), who, at=NOW - 3 * DAY) for who in PEOPLE]
        take(worker, *sent, now=NOW + timedelta(hours=1))

    rebuild(ledger, store, progress=progress)
    assert is_shown(ledger, store)
    assert is_exact(ledger, store, moments(chance, ledger))


def test_a_build_shows_what_waited(lived, store, worker):
    online = FeastOnlineStore(store)
    online.write_packed = None
    broken = live(lived, online)
    with pytest.raises(Exception, match="The events are kept"):
        take(broken, event(4000, "c1", at=NOW))
    rebuild(lived, store)
    assert is_shown(lived, store)
    assert all(row.online for row in kept(lived).values())


def test_a_build_for_another_layout_begins_anew(lived, store, monkeypatch, tmp_path):
    other = SHOP.model_copy(update={"half_lives_days": (7.0, 90.0)})
    assert Fold(other).empty() == pytest.approx(FOLD.empty(), nan_ok=True)  # as wide as before
    again = opened(monkeypatch, tmp_path, other)
    assert "another domain file" in again.why_unusable()
    build_features(lived, again, other, NOW)
    assert again.why_unusable() is None
    assert kept(lived) == {}
    truth = folded(lived, "c1", fold=Fold(other))
    assert same_states(again.online("c1").state, truth)
    take(live(lived, FeastOnlineStore(again), other), event(5000, "c1", at=NOW))
    assert same_states(kept_state(lived, "c1"), folded(lived, "c1", fold=Fold(other)))


def test_customers_without_events_are_shown_with_their_facts_only(ledger, store):
    add(ledger, tables.customers, person("c1", plan="plus"))
    assert rebuild(ledger, store) == 0
    known = store.online("c1")
    assert ({**known.attributes}, known.state) == ({"plan": "plus"}, None)
    assert store.why_unusable() is None


def test_the_merged_have_the_facts_of_all_their_keys_in_a_build(ledger, store, worker):
    add(ledger, tables.customers, person("c1", plan="plus"))
    add(ledger, tables.customers, person("c2", plan="basic", age_years="41.0"))
    rebuild(ledger, store)
    asyncio.run(worker.link(("c1", "c2"), "they said so", NOW))
    merged = {"plan": "plus", "age_years": "41.0"}
    assert {**store.online("c1").attributes} == merged
    rebuild(ledger, store)
    assert {**store.online("c1").attributes} == merged
    asked = pd.DataFrame({"customer_id": ["c1"], "event_timestamp": [NOW]})
    [row] = store.as_of(asked, "churn_v1").to_dict("records")
    assert {name: row[name] for name in merged} == merged


@pytest.mark.databases("sqlite", "postgresql")
def test_accounts_are_shown_and_kept_like_customers(lived, store, worker):
    acme = account_key("acme")
    newest = kept_rows(store).groupby("customer_id").tail(1).set_index("customer_id")
    state = FOLD.unpack(newest.loc[acme, "state"].tolist())
    assert same_states(state, folded(lived, acme))
    take(worker, event(6000, "c2", at=NOW))
    assert same_states(store.online(acme).state, folded(lived, acme))


def test_a_past_without_a_single_account_is_exact_too(ledger, store, worker):
    take(worker, event(1, "c1"))
    rebuild(ledger, store)
    assert is_exact(ledger, store, pd.DataFrame({"customer_id": ["c1"], "event_timestamp": [NOW]}))


@pytest.fixture
def served(ledger, store, worker, chance):
    """Events of a month come one by one, some of them days late; what serving read after each."""
    model_input, found, asked = ModelInput(SHOP), [], []
    add(ledger, tables.customers, person("c1", "acme", plan="plus"), person("c2", "acme"))
    rebuild(ledger, store)
    sent = [
        (datetime.fromisoformat(one["occurred_at"]), one) for one in some_events(chance, 60, 0, 30)
    ]
    late = [chance.choice([0, 0, 1, 9]) * DAY for _ in sent]
    came = sorted(zip(sent, late, strict=True), key=lambda one: one[0][0] + one[1])
    for number, ((at, one), behind) in enumerate(came):
        now = at + behind + number * TICK  # no two at one instant
        told = {**one, "occurred_at": (now - behind).isoformat()}
        take(worker, told, now=now)
        who = (*told["identifiers"], told.get("customer_id"))[0]
        known = store.online(who)
        row = known.attributes, known.state, now.timestamp(), known.account_state
        found.append(model_input.read(*row))
        asked.append((who, now))
    frame = pd.DataFrame(asked, columns=["customer_id", "event_timestamp"])
    return frame.astype({"event_timestamp": "datetime64[us, UTC]"}), np.array(found)


def trained_on(ledger, store, asked):
    history = PointInTimeFeatures(ledger, store, SHOP)
    return training_frame(history, asked, "churn_v1", SHOP).to_numpy()


@pytest.mark.databases("sqlite", "postgresql")
def test_training_reads_what_serving_read_then_though_late_events_came_since(ledger, store, served):
    asked, read = served
    promised = [n for n, name in enumerate(ModelInput(SHOP).names) if name.startswith("promise_")]
    assert (np.nanmax(read[:, promised], axis=0) > 0).all()
    np.testing.assert_array_equal(trained_on(ledger, store, asked), read)
    rebuild(ledger, store)
    np.testing.assert_array_equal(trained_on(ledger, store, asked), read)


def test_a_frame_that_ignores_when_events_were_received_is_another(
    ledger, store, served, monkeypatch
):
    """The planted leak: each event counts from the time at which it occurred."""
    asked, read = served
    occurred = sa.type_coerce(tables.events.c.occurred_at, sa.BigInteger)
    monkeypatch.setattr("features.datasets.point_in_time.KNOWN_AT", occurred)
    leaky = ~np.isclose(trained_on(ledger, store, asked), read, equal_nan=True).all(axis=1)
    assert 0.3 < leaky.mean() < 1


def test_a_late_event_is_in_the_frame_of_customer_and_account_once_it_was_received(
    ledger, store, worker
):
    add(ledger, tables.customers, person("c1", "acme"), person("c2", "acme"))
    take(worker, event(1, "c1", at=NOW - 9 * DAY), now=NOW - 9 * DAY)
    rebuild(ledger, store)
    late = event(2, "c1", at=NOW - 5 * DAY)
    for now in (NOW - 2 * DAY, NOW - DAY):  # the second time it is a duplicate
        take(worker, late, now=now)
    times = [NOW - days * DAY for days in (6, 5, 3, 2, 1)]
    asked = pd.DataFrame(
        [(who, at) for who in ("c1", "c2") for at in times],
        columns=["customer_id", "event_timestamp"],
    ).astype({"event_timestamp": "datetime64[us, UTC]"})
    for _ in range(2):
        known = PointInTimeFeatures(ledger, store, SHOP).as_of(asked, "churn_v1")
        own = [state and FOLD.events_n(state) for state in known["state"]]
        assert own == [1, 1, 1, 2, 2] + 5 * [None]
        assert [FOLD.events_n(state) for state in known["account_state"]] == [1, 1, 1, 2, 2] * 2
        rebuild(ledger, store)


def bytes_on_disk(store):
    files = store.journey_folder.parent.glob("online.db*")
    return b"".join(file.read_bytes() for file in files)


def test_who_is_erased_leaves_no_byte_in_the_online_store(ledger, store, worker):
    names = [f"person-{n:04}" for n in range(300)]
    add(ledger, tables.customers, *(person(one, plan=one) for one in names[:2]))
    rebuild(ledger, store)
    for number in range(3):  # rows that grow and move
        take(worker, *(event(f"{one}-{number}", one, at=NOW) for one in names))
    store.write_profiles({one: {"plan": f"plan of {one}"} for one in names}, NOW)
    assert b"person-0007" in bytes_on_disk(store)
    store.erase(["person-0007", "person-0299", "nobody"])
    assert store.online("person-0007") is None
    assert b"person-0007" not in bytes_on_disk(store)
    assert b"person-0299" not in bytes_on_disk(store)
    assert store.online("person-0008") is not None


def test_the_erased_can_come_back(ledger, store, worker):
    rebuild(ledger, store)
    take(worker, event(1, "c1"))
    store.erase(["c1"])
    take(worker, event(2, "c1", at=NOW))
    assert same_states(store.online("c1").state, folded(ledger, customer(ledger, "c1")))
