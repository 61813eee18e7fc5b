"""Tests the opening of a server's parts: what may be missing, and what is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from features.clock import utc_now
from features.errors import InvalidDomain, NotVisible
from features.identity.links import resolve
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import Settings, load_settings
from serving.decide.decision_setup import DecisionSetup
from serving.server.components import Components
from tests.conftest import SHOP


def no_store(*_: object) -> None:
    raise OSError("no feature store in this test")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of the shop in a new home, without a feature store."""
    monkeypatch.setattr("serving.server.components.FeatureStore", no_store)
    (tmp_path / "actions.yaml").write_text((SHOP / "actions.yaml").read_text())
    return load_settings(
        {
            "NBA_HOME": str(tmp_path / "home"),
            "NBA_DOMAIN": str(SHOP / "domain.yaml"),
            "NBA_ACTIONS": str(tmp_path / "actions.yaml"),
            "NBA_MLFLOW_URI": f"sqlite:///{tmp_path / 'none.db'}",
        }
    )


def test_a_broken_feature_store_is_named_and_does_not_stop_the_server(settings):
    components = Components(settings)
    [problem] = components.features.degraded
    assert "the store could not be opened (OSError)" in problem
    components.close()


def test_the_start_says_which_purposes_are_opt_out(settings, caplog):
    settings.actions.write_text(f"{settings.actions.read_text()}\npurposes: {{marketing: {{}}}}\n")
    Components(settings).close()
    assert "Opt-out: customers count as consenting to marketing until" in caplog.text


def test_the_catalogue_of_the_start_is_kept_in_the_ledger(settings):
    components = Components(settings)
    found = components.ledger.read(
        lambda c: list(c.execute(sa.select(tables.catalogs.c.fingerprint)).scalars())
    )
    assert found == [components.engine.setup.compiled.catalog.fingerprint]
    components.close()


def test_a_customer_in_a_former_spelling_is_linked_at_the_start(settings):
    row = {"customer_id": "Jose\u0301", "attributes": "{}"}
    ledger = Ledger(settings.ledger_url)
    ledger.write_now(lambda c: tables.insert_new(c, tables.customers, [row]))
    ledger.close()
    components = Components(settings)
    assert components.ledger.read(lambda c: resolve(c, ["José"])) == "Jose\u0301"
    components.close()


def test_a_broken_catalogue_stops_the_server_before_the_ledger_is_made(settings):
    settings.actions.write_text("actions: 7")
    with pytest.raises(InvalidDomain, match="actions"):
        Components(settings)
    assert not (settings.home / "ledger.db").exists()


def test_a_consent_is_checked_against_the_catalogue_that_decides_now(settings):
    components = Components(settings)
    sent = {
        "event_id": "e1",
        "customer_id": "c1",
        "type": "consent_withdrawn",
        "occurred_at": "2026-11-22T10:00:00Z",
        "channel": "app",
        "properties": {"purpose": "Research"},
    }

    [rejected] = asyncio.run(components.ingest.ingest([sent], utc_now())).rejected
    assert rejected.field == "properties.purpose"
    text = settings.actions.read_text()
    settings.actions.write_text(f"{text}\npurposes: {{research: {{}}}}\n")
    compiled = components.catalog_file.changed()
    assert compiled is not None
    setup = components.engine.setup
    components.engine.setup = DecisionSetup(compiled, setup.models, components.engine.model_input)
    with pytest.raises(NotVisible):  # it is in the ledger; there is no feature store here
        asyncio.run(components.ingest.ingest([sent], utc_now()))
    components.close()
