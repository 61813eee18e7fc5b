"""Fixtures of the tests of journey states: an online store, and writing states to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from features.ledger.ledger import Ledger
from features.states.publishing import Unpublished, publish_states
from tests.features.live import NOW, InMemoryOnlineStore


@pytest.fixture
def online() -> InMemoryOnlineStore:
    return InMemoryOnlineStore()


@pytest.fixture
def publish(ledger: Ledger, online: InMemoryOnlineStore) -> Callable[..., Unpublished]:
    """Writes the waiting states of some keys to the online store."""
    return lambda *keys: ledger.write_now(lambda c: publish_states(c, online, keys, NOW))
