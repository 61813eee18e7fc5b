"""Joins the keys that events and tables name together: links of named keys, logins on devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from features.identity.bulk_links import link_all
from features.identity.candidates import note_candidates
from features.identity.keys import KeyNormalizer
from features.identity.links import Merge
from features.identity.logins import LINK, Login, NewLogins
from features.identity.reassignment import Reassignment
from features.ledger import tables


class Joined(NamedTuple):
    """The changes of joining keys."""

    merges: list[Merge]  # in their order
    reassigned: list[Reassignment]


def join_keys(
    connection: sa.Connection,
    normalizer: KeyNormalizer,
    causes: Mapping[tuple[str, str], str],
    logins: Iterable[Login],
    at: datetime,
) -> Joined:
    """Merge the customers of named keys, and give devices to those who logged in on them.

    Parameters
    ----------
    causes
        By pair of named keys, the evidence; the order of the pairs is the age of new keys.
    """
    new = NewLogins(connection, normalizer, logins)
    merges = link_all(connection, normalizer, {**causes, **new.links}, at)
    reassigned, candidates = new.store(connection)
    note_candidates(connection, candidates, at)
    return Joined(merges, reassigned)


def join_loaded(
    connection: sa.Connection,
    normalizer: KeyNormalizer,
    pairs: Iterable[tuple[str, str]],
    cause: str,
    at: datetime,
) -> Joined:
    """Join pairs of keys of a table, which says since when they belong together for none of them.

    Whoever has a device by a table holds it from ever, until the first login of somebody else.
    Two devices say of nobody that they are one, so such a pair joins nothing.
    """
    causes: dict[tuple[str, str], str] = {}
    logins: list[Login] = []
    for pair in pairs:
        holder, key = sorted(pair, key=normalizer.is_anonymous)
        if not normalizer.is_anonymous(key):
            causes[pair] = cause
        elif not normalizer.is_anonymous(holder):
            at_us = tables.micros(tables.EPOCH)
            logins.append(Login(key, at_us, f"{LINK} {holder}", holder, cause))
    return join_keys(connection, normalizer, causes, logins, at)
