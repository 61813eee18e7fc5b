"""Four small contract tables, and the content of the ledger after a load."""

import pandas as pd
import sqlalchemy as sa

from features.ingest.load_tables import CHECKED, LOADED
from features.ledger import tables

AT = "2026-11-22T10:00:00Z"
CUSTOMERS = pd.DataFrame(
    {
        "customer_id": ["c1", "c2", "c3"],
        "plan": ["basic", "plus", None],
        "identifiers": ["card:1 email:a@b.it", "card:2", None],
    }
)
EVENTS = pd.DataFrame(
    {
        "event_id": ["e1", "e2", "e3"],
        "customer_id": ["c1", "c1", "c2"],
        "type": ["visit", "order", "order"],
        "occurred_at": [AT, AT, AT],
        "channel": ["app", "app", "phone"],
        "amount_eur": [None, 12.5, 3.0],
        "kind": [None, "small", None],
    }
)
DECISIONS = pd.DataFrame(
    {
        "decision_id": ["d1", "d2"],
        "customer_id": ["c1", "c2"],
        "decided_at": [AT, AT],
        "channel": ["app", "phone"],
        "action_id": ["discount", "no_action"],
        "probability": [0.5, None],
    }
)
OUTCOMES = pd.DataFrame(
    {"decision_id": ["d1"], "outcome": ["accepted"], "value": [None], "occurred_at": [AT]}
)
ALL = {"customers": CUSTOMERS, "events": EVENTS, "decisions": DECISIONS, "outcomes": OUTCOMES}


def everything(ledger):
    """All rows of all tables, but for what a load notes of itself, and numbers drawn by chance.

    These are the salt of each ledger, and the numbers of the marks of customers.
    """
    found = {}
    for table in tables.metadata.sorted_tables:
        query = sa.select(table).order_by(*table.primary_key.columns)
        found[table.name] = ledger.read(lambda c, query=query: [*map(tuple, c.execute(query))])
    found["meta"] = [
        row for row in found["meta"] if not row[0].startswith((CHECKED, LOADED, "salt"))
    ]
    found["journey_marks"] = [customer_id for customer_id, *_ in found["journey_marks"]]
    return found


def counts(ledger):
    """Rows in the ledger, where there are any."""
    names = [*ALL, "identities", "links"]
    found = everything(ledger)
    return {name: len(found[name]) for name in names if found[name]}
