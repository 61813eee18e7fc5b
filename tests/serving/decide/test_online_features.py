"""Online features: a store that fails is named, and decisions go on without features."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from features.errors import NotVisible
from serving.decide.online_features import OnlineFeatures

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)


class FailingStore:
    """A store that can be broken and mended."""

    def __init__(self):
        self.broken, self.reason, self.written = False, None, []

    def online(self, customer_id):
        if self.broken:
            raise ConnectionError("no route")
        return f"features of {customer_id}"

    def why_unusable(self):
        if self.broken:
            raise ConnectionError("no route")
        return self.reason

    def write_packed(self, customer_ids, packed, at):
        self.written += customer_ids


def test_features_come_from_the_store():
    features = OnlineFeatures(FailingStore())
    assert features.online("c1") == "features of c1"
    assert features.degraded == ()


def test_a_store_that_fails_is_named_and_not_asked_again_until_it_is_checked():
    store = FailingStore()
    features = OnlineFeatures(store)
    store.broken = True
    assert features.online("c1") is None
    [problem] = features.degraded
    assert problem.startswith("features: the online store failed (ConnectionError)")
    store.broken = False
    assert features.online("c1") is None
    features.refresh()
    assert features.online("c1") == "features of c1"
    assert features.degraded == ()


def test_a_store_that_breaks_while_it_is_checked_is_named():
    store = FailingStore()
    features = OnlineFeatures(store)
    store.broken = True
    features.refresh()
    assert "ConnectionError" in features.degraded[0]


def test_a_store_that_could_not_be_opened_leaves_its_reason():
    features = OnlineFeatures(None, "the store could not be opened (OSError)")
    features.refresh()
    assert features.online("c1") is None
    assert features.state("c1") is None
    assert features.degraded == ("features: the store could not be opened (OSError)",)


def test_writing_to_a_store_that_cannot_be_used_is_refused_with_the_reason():
    store = FailingStore()
    store.reason = "it was built for another domain file"
    with pytest.raises(NotVisible, match="it was built for another domain file"):
        OnlineFeatures(store).write_packed(["c1"], [[0.0]], [AT])
    assert store.written == []


def test_writing_goes_to_the_store():
    store = FailingStore()
    OnlineFeatures(store).write_packed(["c1"], [[0.0]], [AT])
    assert store.written == ["c1"]
