"""No cap is exceeded: with 64 callers at once, on two workers, while identities merge.

One round for each database here; `python -m tests.bench.caps --rounds 20` does many.
"""

from __future__ import annotations

import asyncio
import shutil
import threading

import pytest

from features.business.catalog import Catalog
from features.business.domain import load_domain
from features.identity import links
from features.identity.keys import KeyNormalizer
from features.identity.links import link
from features.ledger.ledger import Ledger
from serving.contract.decisions import DecideRequest
from serving.decide import limit_inputs
from serving.decide.limit_inputs import contacts_of
from tests.bench.caps import CAPS, CATALOG, PAIRS, RANDOM, SMALL, VOLUME, rounds
from tests.conftest import SHOP, Built
from tests.journal import counts, keep_journal, read_journal
from tests.serving.fakes import FakeModels, decide, engine_of


@pytest.mark.server
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_no_cap_is_exceeded_by_64_callers_while_200_customers_merge(
    database, shop: Built, tmp_path, request
):
    home = tmp_path / "home"
    shutil.copytree(shop.home, home)
    url = f"sqlite:///{tmp_path / 'caps.db'}"
    if database == "postgresql":
        url = request.getfixturevalue("postgres_url")
    [done] = rounds(shop, home, url, 1, SMALL, seed=20261122)
    assert done.breaches == []
    assert (done.database, done.merges) == (database, 3 * PAIRS)
    # Filled to the last place, so more would have gone in if the caps had let them.
    assert done.reached == {"all": 9, "action": 2, "group": 4, "channel": 6, "account": 5}
    # The day's volume: the arm random uses up its part, the policy saves some for later.
    assert done.scarce["random"] == RANDOM * VOLUME
    assert done.scarce["policy"] <= (1 - RANDOM) * VOLUME
    assert done.beyond > 10, "merges that make more of two sides than a cap allows"


@pytest.fixture
def engine(ledger):
    """The shop in process: many may ask at once, and share a transaction."""
    keep_journal(ledger)
    catalog = Catalog.model_validate(CATALOG)
    eager = FakeModels(dict.fromkeys(catalog.actions, 0.9), gamma=1e6)  # never does nothing
    return engine_of(catalog, load_domain(SHOP / "domain.yaml"), ledger, {}, eager)


def breaches(ledger: Ledger) -> list[str]:
    found = read_journal(ledger).values()
    each = (one for contacts in found for one in counts(contacts, CAPS, lambda one: one.owners))
    return [one.breach for one in each if one.breach]


def ask_64_at_once(engine, now):
    asked = DecideRequest(customer_id="one-left", channel="app")
    begun, gate = threading.Event(), threading.Event()

    def hold(_):
        begun.set()
        gate.wait()

    async def all_of_them():
        engine.ledger.submit(hold)  # until all wait for the next transaction
        assert begun.wait(10)  # from here on, nobody comes into the same transaction any more
        asking = [asyncio.create_task(engine.decide(asked, now)) for _ in range(64)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*asking)

    asyncio.run(all_of_them())


def read_before_the_transaction(monkeypatch, ledger):
    """Contacts as they were when the transaction began, not as it finds them."""

    def stale(_, *asked):
        return ledger.read(lambda apart: contacts_of(apart, *asked))

    monkeypatch.setattr(limit_inputs, "contacts_of", stale)


def test_many_at_once_in_one_transaction_exceed_no_cap(engine, ledger, now):
    ask_64_at_once(engine, now)
    [shown] = read_journal(ledger).values()
    assert len(shown) == 6  # on one channel
    assert breaches(ledger) == []


def test_contacts_read_before_the_transaction_would_be_noticed(engine, ledger, now, monkeypatch):
    read_before_the_transaction(monkeypatch, ledger)
    ask_64_at_once(engine, now)
    assert len(breaches(ledger)) > 64


def merge_after_five_each(engine, ledger, now):
    for who in ("one-left", "one-right"):
        for channel in ("app", "web", "app", "web", "app"):
            decide(engine, now, customer_id=who, channel=channel)
    pair, normalizer = ("one-left", "one-right"), KeyNormalizer(engine.domain)
    ledger.write_now(lambda connection: link(connection, normalizer, pair, "told", now))
    for who in ("one-left", "one-right"):
        decide(engine, now, customer_id=who, channel="web")


def test_who_was_merged_gets_nothing_beyond_what_both_sides_had(engine, ledger, now):
    merge_after_five_each(engine, ledger, now)
    [shown] = read_journal(ledger).values()
    assert len(shown) == 10  # of at most 9
    assert breaches(ledger) == []


def test_a_merge_that_leaves_contacts_behind_would_be_noticed(engine, ledger, now, monkeypatch):
    monkeypatch.setattr(links, "place", lambda *about: 0)
    merge_after_five_each(engine, ledger, now)
    assert any(one.startswith("cap 0") for one in breaches(ledger))
