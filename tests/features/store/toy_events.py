"""Six events of four toy customers, and a store to build from them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from features.ledger import tables
from features.ledger.tables import insert_new
from features.settings import load_settings
from features.store.feast_store import FeatureStore

TOY = Path(__file__).parents[2] / "toy"
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
CUSTOMERS = {
    "ann": '{"plan": "plus", "age_years": "41"}',
    "new": '{"plan": "basic"}',
    "tie": "{}",
}
# In the order in which they happened; of two at one instant the event_id decides.
EVENTS = [
    ("ann", "visit", NOW - 10 * DAY, {}),
    ("ann", "order", NOW - 5 * DAY, {"amount_eur": 12.5, "kind": "small"}),
    ("tie", "visit", NOW - 2 * DAY, {}),
    ("tie", "order", NOW - 2 * DAY, {"amount_eur": 1.0, "kind": "big"}),
    ("tie", "order", NOW - 2 * DAY, {"amount_eur": 2.0, "kind": "small"}),
    ("guest", "visit", NOW - 1 * DAY, {}),
]


def fill(ledger):
    rows = [
        {
            "event_id": f"e{number}",
            "customer_id": customer,
            "subject": customer,
            "type": event_type,
            "occurred_at": at,
            "channel": "app",
            "properties": json.dumps(properties),
        }
        for number, (customer, event_type, at, properties) in enumerate(EVENTS)
    ]
    people = [{"customer_id": name, "attributes": text} for name, text in CUSTOMERS.items()]
    # Backwards, because the ledger does not promise to keep the order of arrival.
    ledger.write_now(lambda connection: insert_new(connection, tables.events, rows[::-1]))
    ledger.write_now(lambda connection: insert_new(connection, tables.customers, people))


def open_store(patch, home, toy_domain):
    """A store in its own home; Feast's definitions read the environment when they are applied."""
    patch.setenv("NBA_HOME", str(home))
    patch.setenv("NBA_DOMAIN", str(TOY / "domain.yaml"))
    patch.setenv("NBA_ACTIONS", str(TOY / "actions.yaml"))
    return FeatureStore(load_settings(), toy_domain)


def state_of(fold, customer, until):
    """The state after all events of a customer up to a moment, folded without any store."""
    state = fold.empty()
    for who, event_type, at, properties in EVENTS:
        if who == customer and at <= until:
            state = fold.advance(state, event_type, "app", at.timestamp(), properties)
    return state


def moments(*rows):
    return pd.DataFrame(rows, columns=["customer_id", "event_timestamp"])
