"""A ledger with decisions about customers of the toy business, who are a little older today."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

import sqlalchemy as sa

from features.business.domain import Domain
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.store.feast_store import CustomerFeatures
from tests.decided import decided


class Watched:
    """Decisions about customers, and the age of each today; others cannot be read.

    ``before`` is called when customers are read.
    """

    def __init__(self, ledger: Ledger, domain: Domain, now: datetime) -> None:
        self.ledger, self.domain, self.now = ledger, domain, now
        self.input = ModelInput(domain)
        self.ages = {"ann": "40", "bob": "50"}
        self.asked = list[set[str]]()
        self.before: Callable[[], object] = lambda: None

    def decide(self, name: str, customer: str) -> None:
        """Decide about a customer, who is 40 years old."""
        row = self.input.read({"age_years": "40"}, None, self.now.timestamp())
        about = {"customer_id": customer, "row": row, "layout": self.input.fingerprint}
        decided(self.ledger, name, self.now, {"discount": 14.0}, **about)

    def read(self, _: sa.Connection, names: Collection[str]) -> dict[str, CustomerFeatures]:
        """Read customers as they are today."""
        self.before()
        self.asked.append({*names})
        known = {name: age for name, age in self.ages.items() if name in names}
        return {name: CustomerFeatures({"age_years": age}, None) for name, age in known.items()}

    def seen(self) -> list[bytes]:
        """Return what has changed of the customer of each decision."""
        columns = tables.later_features.c
        query = sa.select(columns.changes).order_by(columns.serial)
        return [*self.ledger.read(lambda c: c.execute(query).scalars().all())]
