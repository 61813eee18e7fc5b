"""Five customers share a device, whose events come in any order: they stay five customers.

The holder of a device at a time is computed again here, in plain Python, from all events at once.
Then one customer or two are forgotten. `KIOSK_STORIES=5000 pytest ...` tries more stories.
"""

import asyncio
import os
from datetime import timedelta
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from features.customers.contacts import note_contacts
from features.customers.profiles import account_key
from features.identity.holders import base_keys, nodes_at
from features.identity.links import keys_of, resolve, resolve_each
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.states.checkpoints import from_bytes
from tests.features.erasing import make_erasure
from tests.features.live import (
    DAY,
    FOLD,
    MINUTE,
    NOW,
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

STORIES = os.environ.get("KIOSK_STORIES")
PEOPLE = ("c1", "c2", "c3", "c4", "c5")
COMPANIES = {"c1": "acme", "c2": "acme", "c3": "beta"}
COOKIES = ("cookie:kiosk", "cookie:phone")
SLOTS = 6  # few possible times, so that many events share an instant


def email_of(person_id):
    return f"email:{person_id}@x.it"


def at_slot(slot):
    return NOW - DAY + slot * 5 * MINUTE


class Login(NamedTuple):
    who: str
    by_email: bool  # the event does not name the customer id
    cookies: tuple[str, ...]
    slot: int


class Story(NamedTuple):
    logins: list[Login]
    anonymous: list[tuple[tuple[str, ...], int, str]]  # cookies, slot, kind
    decided: list[tuple[str, int]]  # cookie, slot
    with_email: frozenset[str]
    slots: list[int]  # of each customer's own event
    order: list[int]
    calls: list[int]  # number of events in each
    again: int  # number of events that are sent twice


cookies = st.sampled_from([*[COOKIES[:1]] * 4, COOKIES[1:], COOKIES, COOKIES[::-1]])
slots = st.integers(0, SLOTS - 1)


forgotten = st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=2, unique=True)


@st.composite
def stories(draw):
    people = st.sampled_from(PEOPLE)
    logins = draw(st.lists(st.builds(Login, people, st.booleans(), cookies, slots), max_size=9))
    kinds = st.sampled_from(["view", "order"])
    anonymous = draw(st.lists(st.tuples(cookies, slots, kinds), max_size=8))
    decided = draw(st.lists(st.tuples(st.sampled_from(COOKIES), slots), max_size=3))
    with_email = draw(st.frozensets(people))
    own = draw(st.lists(slots, min_size=5, max_size=5))
    number = len(logins) + len(anonymous) + len(decided) + len(PEOPLE) + len(with_email)
    order = draw(st.permutations(range(number)))
    calls = draw(st.lists(st.integers(1, 8), min_size=1, max_size=6))
    return Story(
        logins, anonymous, decided, with_email, own, list(order), calls, draw(st.integers(0, 9))
    )


def logs_in(login, story):
    """The named key of a login."""
    by_email = login.by_email and login.who in story.with_email
    return email_of(login.who) if by_email else login.who


def sent_of(story):
    """All events, and the rows of decisions, before they are put into the order of arrival."""
    sent = [
        # The ids are not in the order of the list: of two logins at one time, the id decides.
        event(f"{n * 7 % 10}l{n}", logs_in(one, story), *one.cookies, at=at_slot(one.slot))
        for n, one in enumerate(story.logins)
    ]
    for n, (keys, slot, kind) in enumerate(story.anonymous):
        amount = {"amount_eur": n + 1} if kind == "order" else {}
        sent.append(event(f"a{n}", *keys, at=at_slot(slot), kind=kind, **amount))
    for who, slot in zip(PEOPLE, story.slots, strict=True):
        sent.append(event(f"own-{who}", who, at=at_slot(slot), kind="order", amount_eur=9))
    for who in sorted(story.with_email):
        sent.append(event(f"mail-{who}", who, email_of(who), at=at_slot(0)))
    return [*sent, *((n, *one) for n, one in enumerate(story.decided))]


def login_list(story, cookie):
    """Time slot, id and customer of each login on a device, in order."""
    return sorted(
        (one.slot, f"e{n * 7 % 10}l{n}", one.who)
        for n, one in enumerate(story.logins)
        if cookie in one.cookies
    )


def holder(story, cookie, slot):
    """Whoever held a device: the oracle, from all events at once."""
    logins = login_list(story, cookie)
    before = [who for at, _, who in logins if at <= slot]
    after = [who for _, _, who in logins]
    return before[-1] if before else after[0] if after else cookie


def truth_of(story):
    """The customer of each event and decision."""
    truth = {f"e{n * 7 % 10}l{n}": one.who for n, one in enumerate(story.logins)}
    truth |= {
        f"ea{n}": holder(story, keys[0], slot) for n, (keys, slot, _) in enumerate(story.anonymous)
    }
    truth |= {f"eown-{who}": who for who in PEOPLE}
    truth |= {f"email-{who}": who for who in story.with_email}
    return truth | {f"d{n}": holder(story, *one) for n, one in enumerate(story.decided)}


class Shown(InMemoryOnlineStore):
    """An online store in memory that customers can be erased from."""

    def erase(self, customer_ids, at_most=None):
        for one in customer_ids:
            self.states.pop(one, None)
        return True


class World:
    """A ledger in which a story was played."""

    def __init__(self, ledger):
        self.ledger, self.shown = ledger, Shown()
        self.live = live(ledger, self.shown)
        ledger.write_now(_wipe)
        add(ledger, tables.customers, *(person(key, name) for key, name in COMPANIES.items()))

    def play(self, story, order):
        asyncio.run(self._play(story, order))
        return self

    async def _play(self, story, order):
        sent = sent_of(story)
        arriving = [sent[n] for n in order] + [sent[n] for n in order[: story.again]]
        sizes = iter(story.calls * len(arriving))
        while arriving:
            size = next(sizes)
            call, arriving = arriving[:size], arriving[size:]
            result = await self.live.ingest([one for one in call if isinstance(one, dict)], NOW)
            assert result.rejected == []
            for one in call:
                if isinstance(one, tuple):
                    self._decide(*one)
        await self.live.publisher.show_backlog(NOW)

    def _decide(self, number, cookie, slot):
        """Add a decision and its contact for a device, as whoever held it then is known now."""
        at = at_slot(slot)

        def write(connection):
            [node] = nodes_at(connection, [(cookie, at)]).values()
            who = resolve_each(connection, [node]).get(node, node)
            row = decision(number, node, who, decided_at=at)
            tables.insert_new(connection, tables.decisions, [row])
            shown = {name: row[name] for name in ("decision_id", "subject", "customer_id")}
            shown |= {"action_id": "call", "channel": "web", "action_group": "g"}
            # It may have been shown when another holds the device already.
            note_contacts(connection, [shown | {"shown_at": NOW}])

        self.ledger.write_now(write)

    def send(self, *events):
        """Send events in a call; how many were accepted, and the places of the refused ones."""
        result = asyncio.run(self.live.ingest(events, NOW))
        return result.accepted, [one.index for one in result.rejected]

    def owners(self):
        """The customer of each event and decision; a contact belongs to that of its decision."""
        found = {row.event_id: row.customer_id for row in rows(self.ledger, tables.events)}
        made = {row.decision_id: row.customer_id for row in rows(self.ledger, tables.decisions)}
        met = {row.decision_id: row.customer_id for row in rows(self.ledger, tables.contacts)}
        assert met == made
        return found | made

    def people(self):
        """The keys of each customer, as callers know them, by the name of the customer."""
        names = {row.customer_id for row in rows(self.ledger, tables.identities)}
        found = {name: self.ledger.read(lambda c, name=name: keys_of(c, name)) for name in names}
        return {name: sorted(base_keys(keys)) for name, keys in found.items()}

    def unlike_its_events(self):
        """List customers and accounts whose kept or shown state is not the fold of their events."""
        names = {row.customer_id for row in rows(self.ledger, tables.events)}
        names |= {account_key(one) for one in COMPANIES.values()}
        states, found = kept(self.ledger), []
        for name in sorted(names | {*states}):
            truth = folded(self.ledger, name)
            state = states[name].state if name in states else None
            if state is not None and not _same(from_bytes(FOLD, state), truth):
                found.append(f"{name}: kept")
            if not _same(self.shown.states.get(name, FOLD.empty()), truth):
                found.append(f"{name}: shown")
        return found


def _same(state, truth):
    return same_states(state, truth)


def _wipe(connection):
    for table in tables.metadata.sorted_tables:
        if table is not tables.meta:
            connection.execute(sa.delete(table))


def _are_five_customers(world, story):
    truth = truth_of(story)
    assert world.owners() == truth
    assert {*truth.values()} - {*COOKIES} == {*PEOPLE}
    assert world.unlike_its_events() == []
    devices = {who: set() for who in PEOPLE}
    for cookie in COOKIES:
        for *_, who in login_list(story, cookie):
            devices[who].add(cookie)
    people = world.people()
    for who in PEOPLE:
        mail = {email_of(who)} if who in story.with_email else set()
        linked = sorted({who} | mail | devices[who])
        assert people.pop(who, [who]) == linked
    assert people == {}  # nobody else
    for cookie in COOKIES:
        present = world.ledger.read(lambda c, cookie=cookie: resolve(c, [cookie]))
        assert present == holder(story, cookie, SLOTS)


def _some_are_forgotten(world, story, gone, home):
    """Forget customers: the others keep all, and the device works for them."""
    truth = truth_of(story)
    for one in gone:
        make_erasure(world.ledger, home, world.shown).forget([one], NOW)
    left = {name: who for name, who in truth.items() if who not in gone}
    assert world.owners() == left
    asyncio.run(world.live.publisher.show_backlog(NOW))
    for table in (tables.identities, tables.journey_states, tables.contacts):
        assert not {*gone} & {row.customer_id for row in rows(world.ledger, table)}
    named = {*gone, *map(email_of, gone)}
    assert not any(
        named & {row.holder, *row.node.split()} for row in rows(world.ledger, tables.logins)
    )
    for cookie in COOKIES:
        left |= _works_for_others(world, story, gone, cookie)
    assert world.owners() == left
    asyncio.run(world.live.publisher.show_backlog(NOW))
    assert world.unlike_its_events() == []


def _works_for_others(world, story, gone, cookie):
    """Send an event of a device at each time, and a login of another; the accepted events."""
    spans = range(-1, SLOTS)
    holders = {f"{cookie}{slot}": holder(story, cookie, slot) for slot in spans}
    sent = [
        event(name, cookie, at=at_slot(slot)) for name, slot in zip(holders, spans, strict=True)
    ]
    refused = [place for place, who in enumerate(holders.values()) if who in gone]
    assert world.send(*sent) == (len(sent) - len(refused), refused)
    added = {f"e{name}": who for name, who in holders.items() if who not in gone}
    other = next(one for one in PEOPLE if one not in gone)
    at, later = at_slot(SLOTS), at_slot(SLOTS) + timedelta(seconds=1)
    login, after = f"{cookie}login", f"{cookie}after"
    assert world.send(event(login, other, cookie, at=at), event(after, cookie, at=later)) == (2, [])
    added |= {f"e{login}": other, f"e{after}": other}
    if not login_list(story, cookie):  # nobody's until now
        return dict.fromkeys(added, other) | _of_nobody(story, cookie, other)
    return added


def _of_nobody(story, cookie, other):
    return {name: other for name, who in truth_of(story).items() if who == cookie}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("kiosk")


@pytest.fixture(scope="module")
def on_sqlite(home):
    opened = Ledger(f"sqlite:///{home / 'ledger.db'}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def on_postgresql(postgres):
    opened = Ledger(postgres.database())
    yield opened
    opened.close()


def _tells(ledger, story, gone, home):
    world = World(ledger).play(story, story.order)
    _are_five_customers(world, story)
    _some_are_forgotten(world, story, gone, home)
    _are_five_customers(World(ledger).play(story, story.order[::-1]), story)


@settings(
    max_examples=int(STORIES or 40), derandomize=STORIES is None, deadline=None, database=None
)
@given(story=stories(), gone=forgotten)
def test_who_shares_a_device_stays_a_customer_of_their_own(on_sqlite, home, story, gone):
    _tells(on_sqlite, story, gone, home)


@settings(max_examples=int(STORIES or 8), derandomize=STORIES is None, deadline=None, database=None)
@given(story=stories(), gone=forgotten)
def test_who_shares_a_device_stays_a_customer_of_their_own_on_postgresql(
    on_postgresql, home, story, gone
):
    _tells(on_postgresql, story, gone, home)
