"""The answer to a link names the customers behind its keys, each once."""

from __future__ import annotations

import asyncio

import pytest

from features.errors import CustomerForgotten, IdentityUnknown, InvalidData
from features.identity.keys import KeyNormalizer
from features.identity.tombstones import add_tombstones
from serving.contract.customers import LinkRequest
from serving.server.links import change_link
from tests.features.live import NOW, SHOP, InMemoryOnlineStore, event, live

NORMALIZER = KeyNormalizer(SHOP)


def changed(ledger, *keys, undo=False):
    """Link two keys, or undo it: whether customers changed, and those behind the keys."""
    request = LinkRequest(keys=keys, cause="told an agent")
    ingest = live(ledger, InMemoryOnlineStore())
    done = asyncio.run(change_link(request, undo, ingest, ledger, NORMALIZER, NOW))
    return done.changed, done.customers


def test_one_customer_is_named_after_a_link_and_two_after_its_undoing(ledger):
    keys = "c1", "email:Ann@B.it"
    assert changed(ledger, *keys) == (True, ["c1"])
    assert changed(ledger, *keys) == (False, ["c1"])
    assert changed(ledger, *reversed(keys), undo=True) == (True, ["email:ann@b.it", "c1"])


def test_behind_a_device_is_its_present_holder(ledger):
    worker = live(ledger, InMemoryOnlineStore())
    asyncio.run(worker.ingest([event(1, "c1", "cookie:x")], NOW))
    assert changed(ledger, "cookie:x", "c2") == (True, ["c2"])
    assert changed(ledger, "cookie:x", "c2", undo=True)[1] == ["c1", "c2"]


def test_what_cannot_be_linked_or_undone_is_refused(ledger):
    ledger.write_now(lambda c: add_tombstones(c, ["c3"], NOW))
    for keys, undo, error in (
        (("cookie:x", "cookie:y"), False, InvalidData),
        (("c1", "c 2"), True, InvalidData),
        (("c1", "c2"), True, IdentityUnknown),
        (("c1", "c3"), False, CustomerForgotten),
    ):
        with pytest.raises(error):
            changed(ledger, *keys, undo=undo)
