"""Decisions whose customers are looked at again."""

from __future__ import annotations

from datetime import datetime

import pytest

from features.business.domain import Domain
from features.ledger.ledger import Ledger
from tests.serving.effects.watched import Watched


@pytest.fixture
def watched(ledger: Ledger, toy_domain: Domain, now: datetime) -> Watched:
    return Watched(ledger, toy_domain, now)
