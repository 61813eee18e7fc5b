"""The shop of the tests of the upkeep."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.ledger.ledger import Ledger
from tests.features.analytics.upkeep.shop import Shop, begun


@pytest.fixture
def shop(ledger: Ledger, tmp_path: Path) -> Shop:
    """Three customers, whose journeys were built."""
    return begun(Shop(ledger, tmp_path / "journeys"))
