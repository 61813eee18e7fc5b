"""A company's account: all its members' events, folded as one by `nba build`."""

import asyncio

import pandas as pd
import yaml

from features.business.domain import load_domain
from features.datasets.point_in_time import PointInTimeFeatures
from features.identity.keys import KeyNormalizer
from features.ingest.append_events import append_events
from features.journeys.events import Event
from features.journeys.fold import Fold
from features.ledger.tables import customers
from features.settings import load_settings
from features.store.build import build_features
from features.store.feast_store import FeatureStore
from tests.conftest import NOW, TOY
from tests.features.live import (
    DAY,
    MINUTE,
    FeastOnlineStore,
    add,
    event,
    live,
    person,
    same_states,
)

DESK = TOY.parent / "desk" / "domain.yaml"
SHOP_FILE = {
    "name": "shop",
    "currency": "eur",
    "channels": ["web"],
    "account": "company",
    "half_lives_days": [7],
    "vocabulary": ["complaint_opened"],
    "events": {
        "left": {
            "description": "Left us.",
            "journey": "life",
            "stage": "use",
            "touchpoint": "internal",
            "signal": "direct",
        }
    },
    "churn": {"event": "left", "when": "happens"},
}
MEMBERS = {"ann": "acme", "bob": "acme", "eve": "other", "joe": None}


def test_an_account_is_built_from_the_events_of_its_members(ledger, tmp_path, monkeypatch):
    monkeypatch.setenv("NBA_HOME", str(tmp_path))
    monkeypatch.setenv("NBA_DOMAIN", str(DESK))
    domain = load_domain(DESK)
    store = FeatureStore(load_settings(), domain)
    people = [
        {
            "customer_id": name,
            "attributes": "{}" if account is None else f'{{"company": "{account}"}}',
            "account": account,
        }
        for name, account in MEMBERS.items()
    ]
    at = {name: NOW - pd.Timedelta(days=days) for days, name in enumerate(MEMBERS, start=1)}
    events = [
        Event(f"e-{name}", (name,), "activity", at[name], "desk", {"name": "Closed"})
        for name in MEMBERS
    ]
    add(ledger, customers, *people)
    ledger.write_now(lambda c: append_events(c, KeyNormalizer(domain), events, NOW, imported=True))
    build_features(ledger, store, domain, NOW)

    fold = Fold(domain)
    acme = fold.empty()
    for name in ("bob", "ann"):
        acme = fold.advance(acme, "activity", "desk", at[name].timestamp(), {"name": "Closed"})
    assert same_states(store.online("ann").account_state, acme)
    assert fold.events_n(store.online("eve").account_state) == 1
    assert store.online("joe").account_state is None
    moments = pd.DataFrame(
        {"customer_id": ["ann", "ann", "joe"], "event_timestamp": [NOW, at["bob"], NOW]}
    )
    moments["event_timestamp"] = pd.DatetimeIndex(moments["event_timestamp"]).as_unit("us")
    known = PointInTimeFeatures(ledger, store, domain).as_of(moments, "churn_v1")["account_state"]
    assert same_states(known[0], acme)
    assert fold.events_n(known[1]) == 1 and known[2] is None


def test_a_colleague_who_leaves_closes_no_journey_of_the_others(ledger, tmp_path, monkeypatch):
    (tmp_path / "domain.yaml").write_text(yaml.safe_dump(SHOP_FILE))
    monkeypatch.setenv("NBA_HOME", str(tmp_path))
    monkeypatch.setenv("NBA_DOMAIN", str(tmp_path / "domain.yaml"))
    domain = load_domain(tmp_path / "domain.yaml")
    store, fold = FeatureStore(load_settings(), domain), Fold(domain)
    add(ledger, customers, person("ann", "acme"), person("bob", "acme"))
    build_features(ledger, store, domain, NOW)
    worker, at = live(ledger, FeastOnlineStore(store), domain), NOW - DAY

    def problems(name):
        known = store.online(name)
        states = (known.state, known.account_state)
        return [len(fold.open_journeys(state, NOW.timestamp())) for state in states]

    def take(number, name, kind, at):
        sent = event(number, name, kind=kind, at=at)
        assert asyncio.run(worker.ingest([sent], NOW)).rejected == []

    take(1, "ann", "complaint_opened", at)
    take(2, "bob", "left", at + MINUTE)
    assert (problems("ann"), problems("bob")) == ([1, 2], [0, 2])  # bob's life is in the account
    take(3, "bob", "left", at - MINUTE)  # late, so that all is folded again
    assert (problems("ann"), problems("bob")) == ([1, 2], [0, 2])
    build_features(ledger, store, domain, NOW)
    assert (problems("ann"), problems("bob")) == ([1, 2], [0, 2])
    moments = pd.DataFrame({"customer_id": ["ann"], "event_timestamp": [NOW]})
    moments["event_timestamp"] = pd.DatetimeIndex(moments["event_timestamp"]).as_unit("us")
    known = PointInTimeFeatures(ledger, store, domain).as_of(moments, "churn_v1")
    assert same_states(known["account_state"][0], store.online("ann").account_state)
