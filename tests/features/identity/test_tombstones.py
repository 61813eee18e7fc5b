"""Tombstones let a forgotten customer be refused, but not named."""

import pytest

from features.errors import CustomerForgotten
from features.identity.tombstones import (
    add_tombstones,
    forgotten,
    hash_key,
    readmit,
    refuse_forgotten,
)
from features.ledger import tables
from features.ledger.ledger import Ledger
from tests.features.live import NOW, rows

pytestmark = pytest.mark.databases("sqlite", "postgresql")

KEYS = ["c1", "email:a@b.it"]


@pytest.fixture
def forgetful(ledger):
    ledger.write_now(lambda connection: add_tombstones(connection, KEYS, NOW))
    return ledger


def asked(ledger, *keys):
    return ledger.read(lambda connection: forgotten(connection, keys))


def test_nobody_is_forgotten_at_first(ledger):
    assert asked(ledger, *KEYS) == asked(ledger) == set()


def test_every_key_of_the_forgotten_is_known_and_no_other(forgetful):
    assert asked(forgetful, "c1", "c2", "email:a@b.it", "EMAIL:a@b.it") == set(KEYS)
    assert asked(forgetful, "c2") == asked(forgetful) == set()


def test_a_refusal_says_what_to_do(forgetful):
    with pytest.raises(CustomerForgotten, match=r"'c1' belongs .* send \"readmit\": true to"):
        forgetful.read(lambda connection: refuse_forgotten(connection, ["c2", "c1"]))
    forgetful.read(lambda connection: refuse_forgotten(connection, ["c2"]))


def test_forgetting_twice_keeps_the_first_time(forgetful):
    later = NOW.replace(year=2027)
    forgetful.write_now(lambda connection: add_tombstones(connection, KEYS, later))
    assert [row.forgotten_at for row in rows(forgetful, tables.tombstones)] == [NOW, NOW]


def test_who_is_back_is_taken_in_again(forgetful):
    assert forgetful.write_now(lambda connection: readmit(connection, ["c1", "c2"])) == 1
    assert asked(forgetful, *KEYS) == {"email:a@b.it"}
    assert forgetful.write_now(lambda connection: readmit(connection, ["c1"])) == 0


@pytest.mark.databases("sqlite")
def test_a_tombstone_names_nobody_without_the_salt_of_its_ledger(forgetful, tmp_path):
    other = Ledger(f"sqlite:///{tmp_path / 'other.db'}")
    other.write_now(lambda connection: add_tombstones(connection, KEYS, NOW))
    hashes = [{row.key_hash for row in rows(one, tables.tombstones)} for one in (forgetful, other)]
    other.close()
    assert not hashes[0] & hashes[1]
    assert hash_key("salt", "c1") == hash_key("salt", "c1") != hash_key("salt", "c2")
    assert b"a@b.it" not in (tmp_path / "ledger.db").read_bytes()


def test_the_salt_stays_when_a_ledger_is_opened_again(forgetful):
    again = Ledger(forgetful.url)
    assert asked(again, *KEYS) == set(KEYS)
    again.close()
