"""Contacts of customers, for the tests of several modules."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.customers.contacts import history, note_contacts


@pytest.fixture
def show(ledger, now):
    def shown(decision_id, customer="c1", days_ago=1, action="discount"):
        row = {
            "decision_id": decision_id,
            "action_id": action,
            "subject": customer,
            "customer_id": customer,
            "shown_at": now - timedelta(days=days_ago),
            "channel": "app",
            "action_group": "promotion",
        }
        return ledger.write_now(lambda c: note_contacts(c, [row]))

    return shown


@pytest.fixture
def told(ledger, now):
    def read(*customers, days=30):
        return ledger.read(lambda c: history(c, customers, now - timedelta(days=days)))

    return read
