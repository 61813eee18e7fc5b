"""A small shop whose journeys are kept, for the tests of the upkeep."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

from features.ledger.ledger import Ledger
from tests.features.live import DAY, NOW, SHOP, InMemoryOnlineStore, event, live
from tests.kept_journeys import Content, Kept

SOON = timedelta(seconds=15)


class Shop(Kept):
    """The shop at a moment."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        super().__init__(ledger, SHOP, folder)
        self.ingest = live(ledger, InMemoryOnlineStore())
        self.now = NOW

    def happen(self, *events: dict[str, Any]) -> None:
        done = asyncio.run(self.ingest.ingest(events, self.now))
        assert not done.rejected

    def is_right(self) -> Content:
        """Refresh, and compare with a rebuild."""
        self.now += SOON
        self.refresh(self.now)
        kept, rebuilt = self.content(), self.rebuilt()
        assert kept == rebuilt
        assert self.marks() == []
        return kept


def begun(shop: Shop) -> Shop:
    """Give the shop three customers, and build their journeys."""
    for number, who in enumerate(("c1", "c2", "u3")):
        shop.happen(
            event(f"{who}a", who, at=NOW - (9 + number) * DAY),
            event(f"{who}b", who, at=NOW - (7 + number) * DAY, kind="complaint", channel="till"),
            event(f"{who}c", who, at=NOW - 5 * DAY, kind="order", amount_eur=3.0),
            event(f"{who}d", who, at=NOW - 4 * DAY),
        )
    shop.refresh(shop.now)
    return shop
