"""Checks that a link that is undone leaves no trace, for random events in between.

Links are of all kinds of keys, by events and by people, who also decide about candidates.
Random stories are played in a real ledger and, without the links that were undone in the end, to
another one; who is who, what is shown of everybody and what counts against their contacts must
be the same. `MERGE_STORIES=5000 pytest tests/features/test_merge_property.py` tells more of them.
"""

import asyncio
import os
from collections import Counter
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from features.customers.contacts import note_contacts
from features.customers.merge_decisions import decide_candidate
from features.customers.profiles import account_key
from features.errors import NotVisible
from features.identity import links, relocation
from features.identity.holders import base_key
from features.identity.keys import KeyNormalizer
from features.identity.links import resolve
from features.identity.tombstones import find_customer
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.states.checkpoints import from_bytes
from features.states.journey_states import JourneyStates
from tests.features.live import (
    FOLD,
    MINUTE,
    NOW,
    SHOP,
    InMemoryOnlineStore,
    add,
    decision,
    event,
    folded,
    kept,
    live,
    person,
    rows,
    same_states,
)

pytestmark = pytest.mark.slow

STORIES = os.environ.get("MERGE_STORIES")
# All kinds of keys: customer ids, strong, personal and anonymous identifiers. Some are sorted
# before the devices, some after.
KEYS = ("c1", "c2", "u3", "card:7", "email:a@b.it", "cookie:1", "cookie:2")
COMPANIES = {"c1": "acme", "c2": "acme", "u3": "beta", "card:7": "gamma"}
NORMALIZER = KeyNormalizer(SHOP)
LATER = (NOW + timedelta(days=3)).timestamp()


class Step(NamedTuple):
    """One step of a story; ``what`` says which of its fields are used."""

    what: str
    keys: tuple[str, ...] = ()
    events: tuple[dict, ...] = ()
    number: int = 0
    down: bool = False


@st.composite
def sent_events(draw):
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True))
    # There is one customer id at most.
    named = [key for key in keys if ":" not in key]
    keys = [key for key in keys if ":" in key or key == named[0]]
    # Few possible times, so that many events share an instant and many come late.
    at = NOW - draw(st.integers(0, 12)) * 2500 * MINUTE
    kind = draw(st.sampled_from(["view", "order", "complaint"]))
    more = {"channel": draw(st.sampled_from(SHOP.channels))}
    if kind == "order":
        size = draw(st.sampled_from(["small", "big"]))
        more |= {"amount_eur": draw(st.integers(0, 90)), "size": size}
    if kind == "complaint":
        more |= {"score": draw(st.integers(0, 10))}
    # Of few ids some come twice, alike (a duplicate) or not (refused).
    return event(draw(st.integers(0, 60)), *keys, at=at, kind=kind, **more)


two_keys = (
    st.lists(st.sampled_from(KEYS), min_size=2, max_size=2, unique=True)
    .filter(lambda keys: not all(map(NORMALIZER.is_anonymous, keys)))
    .map(tuple)
)


HAPPENINGS = [*["events"] * 5, "link", "unlink", "confirm", "refuse", "decide", "build"]


@st.composite
def happenings(draw):
    what = draw(st.sampled_from(HAPPENINGS))
    if what == "events":
        events = draw(st.lists(sent_events(), min_size=1, max_size=4))
        return Step(what, events=tuple(events), down=draw(st.integers(0, 9)) == 0)
    if what == "link":
        return Step(what, draw(two_keys))
    if what in ("unlink", "confirm", "refuse"):
        return Step(what, number=draw(st.integers(0, 20)))
    return Step(what, (draw(st.sampled_from(KEYS)),) if what == "decide" else ())


stories = st.lists(happenings(), min_size=5, max_size=14)


class World:
    """A ledger, its online store, and the ingestion between the two."""

    def __init__(self, ledger, decided=None):
        self.ledger, self.shown = ledger, InMemoryOnlineStore()
        self.decided = {} if decided is None else decided  # by minute, candidates
        self.live = live(ledger, self.shown)
        ledger.write_now(_wipe)
        add(ledger, tables.customers, *(person(key, name) for key, name in COMPANIES.items()))

    async def tell(self, story, without=None):
        """Play all steps; or leave out some links from the start, and undo nothing."""
        for minute, step in enumerate(story):
            await self._happens(step, minute, NOW + minute * MINUTE, without)
        await self.live.publisher.show_backlog(NOW)

    async def _happens(self, step, minute, now, without):
        if step.what == "events":
            self.shown.broken = step.down
            with suppress(NotVisible):
                await self.live.ingest(
                    [_without_keys(one, without or ()) for one in step.events], now
                )
            self.shown.broken = False
        elif step.what == "link" and frozenset(step.keys) not in (without or ()):
            await self.live.link(step.keys, "they said so", now)
        elif step.what == "unlink" and without is None:
            if pairs := sorted(map(sorted, _pairs(self.ledger, undone=False))):
                left, right = pairs[step.number % len(pairs)]
                await self.live.unlink((left, right), "a mistake", now)
        elif step.what in ("confirm", "refuse"):
            await self._decide_candidate(step, minute, now, without)
        elif step.what == "decide":
            [key] = step.keys
            found = self.ledger.read(lambda c: find_customer(c, [key]))
            row = decision(minute, found.subject, found.customer_id, decided_at=now)
            add(self.ledger, tables.decisions, row | {"channel": SHOP.channels[minute % 2]})
            shown = {name: row[name] for name in ("decision_id", "subject", "customer_id")}
            shown |= {"action_id": "call", "shown_at": now, "channel": "web", "action_group": "g"}
            self.ledger.write_now(lambda c: note_contacts(c, [shown]))
        elif step.what == "build":  # all are shown, so the ledger need not keep their states
            await self.live.publisher.show_backlog(now)
            self.ledger.write_now(lambda c: c.execute(sa.delete(tables.journey_states)))

    async def _decide_candidate(self, step, minute, now, without):
        """Confirm or refuse an open candidate; the second world follows the first."""
        if without is None:
            pairs = self.ledger.read(_open_candidates)
            self.decided |= {minute: pairs[step.number % len(pairs)]} if pairs else {}
        pair = self.decided.get(minute)
        if pair is None or frozenset(pair) in (without or ()):
            return
        if step.what == "confirm":
            await self.live.link(pair, "they said so", now)
        elif without is None:
            self.ledger.write_now(
                lambda c: decide_candidate(c, NORMALIZER, pair, "refused", "they are two", now)
            )


def _open_candidates(connection):
    """The pairs of keys, of two customers each, that people could decide about."""
    query = sa.select(tables.merge_candidates).where(tables.merge_candidates.c.status == "open")
    pairs = sorted((row.left, row.right) for row in connection.execute(query))
    return [one for one in pairs if resolve(connection, [one[0]]) != resolve(connection, [one[1]])]


def _wipe(connection):
    for table in tables.metadata.sorted_tables:
        if table is not tables.meta:
            connection.execute(sa.delete(table))


def _without_keys(sent, without):
    """The event without the keys that it must not be linked with."""
    keys = NORMALIZER.keys(sent.get("customer_id"), sent["identifiers"])
    others = [one for one in sent["identifiers"] if frozenset({keys[0], one}) not in without]
    return {**sent, "identifiers": others}


def _pairs(ledger, undone):
    """The pairs of keys that are linked in the end, or those whose link is undone then."""
    found = sorted(rows(ledger, tables.links), key=lambda row: row.linked_at)
    holds = {frozenset(map(base_key, (row.left, row.right))): not row.undone_at for row in found}
    return {pair for pair, linked in holds.items() if linked != undone}


def _customers_by_key(world):
    """The customer id of each key, and all keys of that customer."""
    who = world.ledger.read(lambda c: {key: resolve(c, [key]) for key in KEYS})
    return {key: (name, {one for one in KEYS if who[one] == name}) for key, name in who.items()}


def _contacts(world):
    """Count the contacts of each customer, by channel and action."""
    met = {}
    for row in rows(world.ledger, tables.decisions):
        met.setdefault(row.customer_id, Counter()).update([(row.channel, row.action_id)])
    return met


def _features(world, who):
    return FOLD.read(world.shown.states.get(who, FOLD.empty()), LATER)


def differences(one, other):
    """List the differences between two worlds that a caller could see."""
    found = []
    here, there = _customers_by_key(one), _customers_by_key(other)
    met_here, met_there = _contacts(one), _contacts(other)
    for key in KEYS:
        (name_here, keys_here), (name_there, keys_there) = here[key], there[key]
        if keys_here != keys_there:
            found.append(f"{key}: is one with {keys_here}, not {keys_there}")
        if met_here.get(name_here) != met_there.get(name_there):
            found.append(f"{key}: contacts")
        numbers = _features(one, name_here), _features(other, name_there)
        if not np.allclose(*numbers, rtol=1e-9, atol=0, equal_nan=True):
            found.append(f"{key}: features")
    return found


def unlike_its_events(world):
    """List customers and accounts whose kept or online state is not the fold of their events."""
    known = {row.customer_id for row in rows(world.ledger, tables.events)}
    known |= {account_key(company) for company in COMPANIES.values()}
    states = kept(world.ledger)
    found = []
    for key in sorted(known | {*states}):
        if NORMALIZER.is_anonymous(key) and base_key(key) != key:
            found.append(f"{key}: a node is no customer")
        truth = folded(world.ledger, key)
        if key in states and not _same(from_bytes(FOLD, states[key].state), truth):
            found.append(f"{key}: kept")
        if not _same(world.shown.states.get(key, FOLD.empty()), truth):
            found.append(f"{key}: shown")
    return found


def in_wrong_hands(world):
    """List events and decisions on devices that are not stored under whoever held them then."""
    owner = {row.key: row.customer_id for row in rows(world.ledger, tables.identities)}
    logins = sorted(rows(world.ledger, tables.logins), key=lambda row: (row.at, row.event_id))
    found = []
    for table, at in ((tables.events, "occurred_at"), (tables.decisions, "decided_at")):
        for row in rows(world.ledger, table):
            key = base_key(row.subject)
            valid = [one for one in logins if one.key == key and not one.void]
            if NORMALIZER.is_anonymous(key):
                before = [one for one in valid if one.at <= getattr(row, at)]
                node = (before[-1:] or valid[:1] or [None])[0]
                node = key if node is None else node.node
            else:
                node = key
            if (row.subject, row.customer_id) != (node, owner.get(node, node)):
                found.append(f"{table.name}: {row.subject} of {row.customer_id}, not {node}")
    return found


def wrong_accounts(world):
    """List keys whose account, and contacts whose account, is not that of the customer's keys."""
    kept_members = {
        row.customer_id: row.account for row in rows(world.ledger, tables.account_members)
    }
    truth = {}
    for row in sorted(
        rows(world.ledger, tables.identities), key=lambda one: (one.rank, one.serial)
    ):
        if row.key in COMPANIES:
            truth.setdefault(row.customer_id, COMPANIES[row.key])
    linked = {row.key for row in rows(world.ledger, tables.identities)}
    truth |= {key: name for key, name in COMPANIES.items() if key not in linked}
    found = [
        f"{key}: account"
        for key in {*truth, *kept_members}
        if truth.get(key) != kept_members.get(key)
    ]
    return found + [
        f"{row.subject}: account of a contact"
        for row in rows(world.ledger, tables.contacts)
        if row.account != truth.get(row.customer_id)
    ]


def _same(state, truth):
    return same_states(state, truth)


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("merge")
    with _opened(f"sqlite:///{folder / name}.db" for name in ("lived", "reference")) as opened:
        yield opened


@pytest.fixture(scope="module")
def on_postgresql(postgres):
    with _opened(postgres.database() for _ in ("lived", "reference")) as opened:
        yield opened


@contextmanager
def _opened(urls):
    opened = [Ledger(url) for url in urls]
    yield opened
    for one in opened:
        one.close()


def lived_and_reference(ledgers, story):
    """Play a story in two worlds; the second never has the links that are undone at the end."""
    lived = World(ledgers[0])
    reference = World(ledgers[1], lived.decided)
    asyncio.run(lived.tell(story))
    undone = _pairs(lived.ledger, undone=True)
    asyncio.run(reference.tell(story, undone))
    return lived, reference


@settings(
    max_examples=int(STORIES or 150), derandomize=STORIES is None, deadline=None, database=None
)
@given(story=stories)
def test_a_link_that_is_undone_leaves_no_trace(ledgers, story):
    _leaves_no_trace(ledgers, story)


@settings(
    max_examples=int(STORIES or 25), derandomize=STORIES is None, deadline=None, database=None
)
@given(story=stories)
def test_a_link_that_is_undone_leaves_no_trace_on_postgresql(on_postgresql, story):
    _leaves_no_trace(on_postgresql, story)


@settings(
    max_examples=int(STORIES or 60), derandomize=STORIES is None, deadline=None, database=None
)
@given(story=stories)
def test_a_link_that_is_undone_leaves_no_trace_while_rows_wait_to_be_moved(ledgers, story):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(links, "place", _place_nothing)
        _leaves_no_trace(ledgers, story)
    assert not any(one.read(relocation.is_any_relocating) for one in ledgers)


def _place_nothing(connection, customer_id, keys, owner, at_most):
    return relocation.place(connection, customer_id, keys, owner, 0)


def _leaves_no_trace(ledgers, story):
    lived, reference = lived_and_reference(ledgers, story)
    assert differences(lived, reference) == []
    assert unlike_its_events(lived) == []
    assert unlike_its_events(reference) == []
    assert wrong_accounts(lived) == wrong_accounts(reference) == []
    assert in_wrong_hands(lived) == in_wrong_hands(reference) == []


def _decisions_stay_behind(monkeypatch):
    name = links._split_off

    def forgetful(connection, customer_id, part):
        name(connection, customer_id, part)
        stay = sa.update(tables.decisions).where(tables.decisions.c.subject.in_(part))
        connection.execute(stay.values(customer_id=customer_id))

    monkeypatch.setattr(links, "_split_off", forgetful)


def _nobody_is_folded_anew(monkeypatch):
    monkeypatch.setattr(JourneyStates, "restate", lambda self, connection, keys, now: None)


@pytest.mark.parametrize(
    ("break_it", "seen"),
    [
        (_decisions_stay_behind, "cookie:1: contacts"),
        (_nobody_is_folded_anew, "c1: features"),
        (lambda monkeypatch: None, None),
    ],
    ids=["decisions stay behind", "nobody is folded anew", "as it is"],
)
def test_a_trace_would_be_seen(ledgers, monkeypatch, break_it, seen):
    break_it(monkeypatch)
    story = [
        Step("events", events=(event(1, "c1"), event(2, "cookie:1"))),
        Step("link", ("c1", "cookie:1")),
        Step("events", events=(event(3, "cookie:1", at=NOW),)),
        Step("decide", ("cookie:1",)),
        Step("unlink"),
    ]
    found = differences(*lived_and_reference(ledgers, story))
    assert seen in found if seen else found == []
