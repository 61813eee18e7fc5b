"""A ledger of toy events, the feature store that was built from it, and its past."""

import pytest

from features.datasets.point_in_time import PointInTimeFeatures
from features.journeys.fold import Fold
from features.ledger.ledger import Ledger
from features.store.build import build_features
from tests.features.store.toy_events import EVENTS, NOW, fill, open_store


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    ledger = Ledger(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.db'}")
    fill(ledger)
    yield ledger
    ledger.close()


@pytest.fixture(scope="module")
def store(filled, toy_domain, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        opened = open_store(patch, tmp_path_factory.mktemp("built"), toy_domain)
        assert build_features(filled, opened, toy_domain, NOW) == len(EVENTS)
    return opened


@pytest.fixture(scope="module")
def past(filled, store, toy_domain):
    return PointInTimeFeatures(filled, store, toy_domain)


@pytest.fixture(scope="module")
def fold(toy_domain):
    return Fold(toy_domain)
