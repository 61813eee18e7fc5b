"""Tests that customers who were stored in a former spelling are found by the spelling of today."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa

from features.business.domain import Namespace
from features.customers.profiles import account_key
from features.identity.keys import KeyNormalizer
from features.identity.links import link, unlink
from features.identity.tombstones import add_tombstones, forgotten, readmit
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.migrations import migrate
from features.states.former_spellings import CAUSE, RULES, link_former_spellings
from tests.features.ledger.test_migrations import GO_BACK_TO_8
from tests.features.live import (
    DAY,
    MINUTE,
    NOW,
    SHOP,
    InMemoryOnlineStore,
    add,
    customer,
    decision,
    event,
    folded,
    kept,
    live,
    person,
    rows,
    stored,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")
FORMER, TODAY = "Jose\u0301", "José"  # decomposed and composed
EMAIL = "email:ju\u0308rgen@b.it", "email:jürgen@b.it"
COOKIE = "cookie:ju\u0308", "cookie:jü"
NORMALIZER = KeyNormalizer(SHOP)


def refolded(ledger, *keys):
    """Show what waits, as the background does; the states that are shown then."""
    shown = InMemoryOnlineStore()
    worker = live(ledger, shown)
    asyncio.run(worker.publisher.show_backlog(NOW))
    return [shown.states.get(key) for key in keys]


def test_a_customer_of_schema_8_is_found_by_the_spelling_of_today(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = Ledger(url)
    add(ledger, tables.events, stored("e1", FORMER, NOW - DAY), stored("e2", EMAIL[0], NOW - DAY))
    add(ledger, tables.customers, person("\u200bzoe", "Acme"))
    ledger.close()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        for change in GO_BACK_TO_8:
            connection.execute(change)
        connection.execute("UPDATE meta SET value = '8' WHERE key = 'schema'")
        connection.commit()
    assert [step.schema for step in migrate(url).pending] == [*range(9, int(tables.SCHEMA) + 1)]
    ledger = Ledger(url)
    assert customer(ledger, TODAY) == TODAY  # not found
    assert link_former_spellings(ledger, SHOP, NOW) == 3
    assert [customer(ledger, key) for key in (TODAY, EMAIL[1], "zoe")] == [
        *(FORMER, EMAIL[0], "\u200bzoe")
    ]
    worker = live(ledger, InMemoryOnlineStore())
    asyncio.run(worker.ingest([event(3, TODAY), event(4, "email:JÜRGEN@b.it")], NOW))
    owners = {row.event_id: row.customer_id for row in rows(ledger, tables.events)}
    assert owners == {"e1": FORMER, "e3": FORMER, "e2": EMAIL[0], "e4": EMAIL[0]}
    ledger.close()


def test_two_spellings_with_events_become_one_customer_who_is_folded_again(ledger):
    worker = live(ledger, InMemoryOnlineStore())
    asyncio.run(worker.ingest([event(1, TODAY), event(2, "c2")], NOW))
    add(ledger, tables.customers, person(TODAY, "Acme"), person(FORMER, "Other"))
    add(ledger, tables.events, stored("e3", FORMER, NOW - 2 * DAY))
    assert link_former_spellings(ledger, SHOP, NOW) == 1
    [name] = {customer(ledger, FORMER), customer(ledger, TODAY)}
    assert {row.customer_id for row in rows(ledger, tables.events)} == {name, "c2"}
    assert kept(ledger).keys() & {FORMER, TODAY} == {name}
    [made] = rows(ledger, tables.links)
    assert (made.cause, made.linked_at) == (CAUSE, NOW)
    assert kept(ledger)[name].state is None and kept(ledger)["c2"].state is not None
    [member] = rows(ledger, tables.account_members)
    account = account_key(member.account)
    assert refolded(ledger, name, account) == [folded(ledger, name), folded(ledger, account)]


def test_it_is_done_once_and_again_when_identifiers_are_normalized_otherwise(ledger):
    add(ledger, tables.events, stored("e1", "card:Ab", NOW))
    assert link_former_spellings(ledger, SHOP, NOW) == 0
    done = ledger.read(lambda connection: tables.get_meta(connection, RULES))
    add(ledger, tables.events, stored("e2", FORMER, NOW))
    assert link_former_spellings(ledger, SHOP, NOW) == 0  # not looked for again
    namespaces = SHOP.identifiers | {"card": Namespace(normalize="lower")}
    lower = SHOP.model_copy(update={"identifiers": namespaces})
    assert link_former_spellings(ledger, lower, NOW) == 2
    assert customer(ledger, "card:ab") == "card:Ab" and customer(ledger, TODAY) == FORMER
    assert ledger.read(lambda connection: tables.get_meta(connection, RULES)) != done


def test_nothing_is_linked_twice_nor_again_after_people_have_undone_it(ledger):
    def apart(connection):
        link(connection, NORMALIZER, (FORMER, TODAY), "event e1", NOW - DAY)
        unlink(connection, (FORMER, TODAY), "two people", NOW - MINUTE)

    ledger.write_now(apart)
    link_former_spellings(ledger, SHOP, NOW)
    assert customer(ledger, TODAY) == TODAY and len(rows(ledger, tables.links)) == 1


def test_a_key_that_nobody_can_send_is_left(ledger):
    add(ledger, tables.events, stored("e1", "fax 1", NOW), stored("e2", "email:\u200b", NOW))
    assert link_former_spellings(ledger, SHOP, NOW) == 0


def test_the_key_of_a_forgotten_customer_is_not_stored_again(ledger):
    ledger.write_now(lambda connection: add_tombstones(connection, [TODAY], NOW))
    add(ledger, tables.events, stored("e1", FORMER, NOW))
    link_former_spellings(ledger, SHOP, NOW)
    assert rows(ledger, tables.identities) == rows(ledger, tables.links) == []


def test_a_device_keeps_its_holders_in_the_new_spelling(ledger):
    held = {"key": COOKIE[0], "at": NOW - DAY, "event_id": "e1", "holder": "c1"}
    add(ledger, tables.logins, held | {"node": COOKIE[0], "void": False})
    ledger.write_now(lambda c: link(c, NORMALIZER, ("c1", COOKIE[0]), "event e1", NOW))
    assert link_former_spellings(ledger, SHOP, NOW) == 1
    query = sa.select(tables.logins.c.holder, tables.logins.c.node)
    query = query.where(tables.logins.c.key == COOKIE[1])
    [login] = ledger.read(lambda connection: connection.execute(query).all())
    assert tuple(login) == ("c1", COOKIE[0])


def test_two_spellings_of_a_device_that_both_have_holders_are_left(ledger):
    for number, key in enumerate(COOKIE, start=1):
        held = {"key": key, "at": NOW - DAY, "event_id": f"e{number}", "holder": f"c{number}"}
        add(ledger, tables.logins, held | {"node": key, "void": False})
        add(ledger, tables.events, stored(f"e{number}", key, NOW - DAY))
    assert link_former_spellings(ledger, SHOP, NOW) == 1
    assert sorted(row.holder for row in rows(ledger, tables.logins)) == ["c1", "c2"]
    assert rows(ledger, tables.links) == []


def test_a_customer_who_was_only_decided_for_is_found(ledger):
    add(ledger, tables.decisions, decision(1, FORMER, FORMER))
    assert link_former_spellings(ledger, SHOP, NOW) == 1
    assert customer(ledger, TODAY) == FORMER


def test_a_node_of_a_device_is_no_key_in_a_former_spelling(ledger):
    digits = {"tablet": Namespace(kind="anonymous", normalize="digits")}
    tablets = SHOP.model_copy(update={"identifiers": SHOP.identifiers | digits})
    worker = live(ledger, InMemoryOnlineStore(), tablets)
    seen = [event(n, f"c{n}", "tablet:12", at=NOW - (9 - n) * MINUTE) for n in (1, 2)]
    asyncio.run(worker.ingest([*seen, event(3, "tablet:122")], NOW))
    assert link_former_spellings(ledger, tablets, NOW) == 0
    assert customer(ledger, "tablet:12") == "c2" and customer(ledger, "tablet:122") == "tablet:122"


def test_a_device_that_nobody_held_is_linked(ledger):
    add(ledger, tables.events, stored("e1", COOKIE[0], NOW))
    link_former_spellings(ledger, SHOP, NOW)
    assert customer(ledger, COOKIE[1]) == COOKIE[0]


def test_a_customer_forgotten_in_decomposed_letters_stays_forgotten(ledger):
    ledger.write_now(lambda connection: add_tombstones(connection, [EMAIL[0], "c1"], NOW))
    asked = ["c1", "c2", EMAIL[1], TODAY]
    assert ledger.read(lambda connection: forgotten(connection, asked)) == {"c1", EMAIL[1]}
    assert ledger.write_now(lambda connection: readmit(connection, [EMAIL[1]])) == 1
    assert not ledger.read(lambda connection: forgotten(connection, [EMAIL[1]]))
