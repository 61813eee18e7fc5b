"""Tests keys: made, found by their token, revoked; the ledger holds hashes only."""

from __future__ import annotations

import hashlib
import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.errors import InvalidSetting
from features.ledger import tables
from serving.access.keys import Key, KeyRing, add_key, digest_of, read_keys, revoke_key
from serving.access.scopes import KeyScope

pytestmark = pytest.mark.databases("sqlite", "postgresql")
BOTH = (KeyScope.DECIDE, KeyScope.WRITE)


def test_a_key_is_found_by_its_token_until_it_is_revoked(ledger, now):
    token, other = add_key(ledger, "shop", BOTH, now), add_key(ledger, "app", BOTH[:1], now)
    ring = KeyRing(ledger.read(read_keys))
    found = ring.find(token)
    assert found is not None and (found.name, found.scopes) == ("shop", frozenset(BOTH))
    assert ring.find(other).scopes == {KeyScope.DECIDE}
    assert ring.find(token[:-1]) is None and ring.find("") is None and ring.find("é\udce9") is None
    revoked = revoke_key(ledger, "shop", now + timedelta(hours=1))
    assert revoked.name == "shop"
    ring = KeyRing(ledger.read(read_keys))
    assert ring.find(token) is None and ring.find(other) is not None and len(ring) == 1


def test_the_ledger_holds_the_hash_and_not_the_token(ledger, now):
    token = add_key(ledger, "shop", BOTH, now)
    assert token.startswith("nba_") and len(token) == 47
    [row] = ledger.read(lambda c: c.execute(sa.select(tables.api_keys)).all())
    assert row.digest == hashlib.sha256(token.encode()).hexdigest() == digest_of(token)
    assert token[4:] not in repr(row)
    assert add_key(ledger, "app", BOTH, now) != token


def test_a_key_among_ten_thousand_is_found_as_fast_as_one(now):
    def key(number: int) -> Key:
        return Key(digest_of(str(number)), f"k{number}", frozenset(BOTH), now, None)

    ring = KeyRing([key(number) for number in range(10_000)])
    began = time.process_time()
    assert all(ring.find(str(number)).name == f"k{number}" for number in range(0, 10_000, 10))
    assert ring.find("10000") is None
    assert time.process_time() - began < 0.2  # 1 s, if each was compared with each


def test_a_server_stays_closed_when_its_last_key_is_revoked(ledger, now):
    assert not KeyRing(ledger.read(read_keys))
    add_key(ledger, "shop", BOTH, now)
    revoke_key(ledger, "shop", now)
    ring = KeyRing(ledger.read(read_keys))
    assert bool(ring) and len(ring) == 0


def test_a_name_is_of_one_key_in_use_and_free_again_after_it_was_revoked(ledger, now):
    first = add_key(ledger, "shop", BOTH, now)
    with pytest.raises(InvalidSetting, match="a key of that name is in use.*nba keys revoke shop"):
        add_key(ledger, "shop", BOTH, now)
    revoke_key(ledger, "shop", now)
    second = add_key(ledger, "shop", BOTH, now + timedelta(minutes=1))
    ring = KeyRing(ledger.read(read_keys))
    assert ring.find(first) is None and ring.find(second) is not None


@pytest.mark.parametrize("name", ["", "a b", "-x", "x" * 65, "müller", "a\nb"])
def test_a_name_that_cannot_be_used_is_refused(ledger, now, name):
    with pytest.raises(InvalidSetting, match="1 to 64 letters"):
        add_key(ledger, name, BOTH, now)


def test_a_key_that_is_not_there_cannot_be_revoked(ledger, now):
    with pytest.raises(InvalidSetting, match="NAME is 'shop'. Expected the name of a key in use"):
        revoke_key(ledger, "shop", now)
