"""Keys of the API: made and shown once, kept as hashes in the ledger, revoked.

A token is 32 random bytes, so a plain SHA-256 of it cannot be searched for, and needs no salt.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.errors import InvalidSetting, quoted
from features.ledger import tables
from features.ledger.ledger import Ledger
from serving.access.scopes import KeyScope

PREFIX = "nba_"  # lets programs that look for leaked secrets recognise a key
RANDOM_BYTES = 32
ID_LENGTH = 8  # hexadecimal digits of the digest that name a key
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Key(NamedTuple):
    """A key of the API, without its token."""

    digest: str
    name: str
    scopes: frozenset[KeyScope]
    created_at: datetime
    revoked_at: datetime | None

    @property
    def key_id(self) -> str:
        """The first digits of the digest."""
        return self.digest[:ID_LENGTH]


class KeyRing:
    """The keys, in the memory of a server process.

    It is true once there was a key, even if all are revoked by now: revoking the last key must not
    open the server.

    Parameters
    ----------
    keys
        As `read_keys` returns them.
    """

    def __init__(self, keys: Sequence[Key] = ()) -> None:
        self._ever = bool(keys)
        self._keys = {key.digest: key for key in keys if key.revoked_at is None}

    def __bool__(self) -> bool:
        return self._ever

    def __len__(self) -> int:
        """Count the keys in use."""
        return len(self._keys)

    def find(self, token: str) -> Key | None:
        """Find the key of a token, in a time that does not depend on the number of keys.

        The time tells nothing of a token: digests are looked up, and nobody can choose a token by
        the first digits of its digest beyond trying many.
        """
        digest = digest_of(token)
        found = self._keys.get(digest)
        return found if found and hmac.compare_digest(digest, found.digest) else None


def digest_of(token: str) -> str:
    """Hash a token as the ledger keeps it: SHA-256 in hexadecimal digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def read_keys(connection: sa.Connection) -> list[Key]:
    """Read all keys, revoked ones too, the oldest first."""
    query = sa.select(tables.api_keys).order_by(tables.api_keys.c.created_at)
    return [_key(row._mapping) for row in connection.execute(query)]


def add_key(ledger: Ledger, name: str, scopes: Sequence[KeyScope], now: datetime) -> str:
    """Make a key; returns its token, which is not kept.

    Raises
    ------
    InvalidSetting
        If the name cannot be used, or a key of that name is in use.
    """
    if not _NAME.fullmatch(name):
        raise InvalidSetting(
            f"NAME is {quoted(name)}.",
            expected="1 to 64 letters, digits, dots, dashes and underscores",
            remedy="Choose a name of that kind, such as 'web-shop'.",
        )
    token = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    row = {
        "digest": digest_of(token),
        "name": name,
        "scopes": ",".join(scopes),
        "created_at": now,
    }

    def insert(connection: sa.Connection) -> None:
        if _in_use(connection, name):
            raise InvalidSetting(
                f"NAME is {quoted(name)}, and a key of that name is in use.",
                expected="a name of its own for each key",
                remedy=f"Choose another name, or run 'nba keys revoke {name}' first.",
            )
        connection.execute(sa.insert(tables.api_keys).values(row))

    ledger.write_now(insert)
    return token


def revoke_key(ledger: Ledger, name: str, now: datetime) -> Key:
    """Revoke the key of a name; running servers refuse it within seconds.

    Raises
    ------
    InvalidSetting
        If no key of that name is in use.
    """

    def update(connection: sa.Connection) -> Key:
        found = _in_use(connection, name)
        if found is None:
            raise InvalidSetting(
                f"NAME is {quoted(name)}.",
                expected="the name of a key in use",
                remedy="'nba keys list' names them.",
            )
        revoked = sa.update(tables.api_keys).where(tables.api_keys.c.digest == found.digest)
        connection.execute(revoked.values(revoked_at=now))
        return found

    return ledger.write_now(update)


def _in_use(connection: sa.Connection, name: str) -> Key | None:
    named = (key for key in read_keys(connection) if key.name == name and key.revoked_at is None)
    return next(named, None)


def _key(row: Any) -> Key:
    known = {scope.value for scope in KeyScope}
    scopes = frozenset(KeyScope(name) for name in row["scopes"].split(",") if name in known)
    return Key(row["digest"], row["name"], scopes, row["created_at"], row["revoked_at"])
