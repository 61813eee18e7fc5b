"""Slow facts of a customer who has several keys, and the company behind them."""

import pytest
import sqlalchemy as sa

from features.customers.contacts import note_contacts
from features.customers.profiles import (
    account_key,
    account_of,
    accounts_of,
    all_accounts_of,
    attributes_of,
    attributes_of_each,
    members_of,
    update_account_members,
)
from features.identity.keys import KeyNormalizer
from features.identity.links import link, unlink
from features.ledger import tables
from tests.features.live import NOW, SHOP, add, person, rows

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def join(ledger, *pair):
    """Link two keys, as ingestion does."""

    def change(connection):
        merged = link(connection, KeyNormalizer(SHOP), pair, "the table", NOW)
        update_account_members(connection, [merged.survivor, merged.loser])

    ledger.write_now(change)


def part(ledger, *pair):
    """Undo a link, as ingestion does."""
    ledger.write_now(lambda c: update_account_members(c, unlink(c, pair, "a mistake", NOW)))


def show(ledger, *keys):
    """Show a customer an action, under each of some keys."""

    def write(connection):
        for key in keys:
            row = {"decision_id": f"d-{key}", "action_id": "call", "subject": key}
            row |= {"customer_id": key, "shown_at": NOW, "channel": "web", "action_group": "calls"}
            note_contacts(connection, [row])

    ledger.write_now(write)


def accounts_of_contacts(ledger):
    """By the key of each contact: the customer and the account of the customer."""
    return {row.subject: (row.customer_id, row.account) for row in rows(ledger, tables.contacts)}


@pytest.fixture
def people(ledger):
    """c1 and an address are one customer, with different facts; the others are alone."""
    add(
        ledger,
        tables.customers,
        person("email:a@b.it", "beta", plan="basic", age_years="41.0"),
        person("c1", plan="plus"),
        person("c2", "beta"),
        person("c3", "acme"),
    )
    join(ledger, "email:a@b.it", "c1")
    return lambda ask, *about: ledger.read(lambda connection: ask(connection, *about))


def test_the_facts_of_all_keys_are_known_and_those_of_the_name_win(people):
    assert people(attributes_of, "c1") == {
        "plan": "plus",
        "age_years": "41.0",
        "company": "beta",
    }


def test_the_facts_of_some_at_once_are_those_of_each(people):
    names = ["c1", "c2", "nobody"]
    found = people(attributes_of_each, names)
    assert found == {one: people(attributes_of, one) for one in names}


def test_of_somebody_never_heard_of_nothing_is_known(people):
    assert people(attributes_of, "nobody") == {}
    assert people(account_of, "nobody") is None


def test_the_account_is_the_first_that_a_key_names(people):
    assert [people(account_of, key) for key in ("c1", "c2", "c3")] == ["beta", "beta", "acme"]
    assert people(accounts_of, ["c3", "nobody"]) == {"c3": account_key("acme")}


def test_members_are_customers_each_once(people):
    assert sorted(people(members_of, account_key("beta"))) == ["c1", "c2"]
    assert people(members_of, account_key("none")) == []


def test_a_customer_of_two_companies_belongs_to_one_and_touches_both(people, ledger):
    join(ledger, "c3", "c1")
    assert people(account_of, "c1") == "acme"  # c3 is a better name than the address
    assert people(members_of, account_key("beta")) == ["c2"]
    assert people(all_accounts_of, ["c1"]) == {account_key("acme"), account_key("beta")}


def test_the_key_of_an_account_is_no_id_of_a_customer(people):
    with pytest.raises(Exception, match="without spaces"):
        KeyNormalizer(SHOP).customer(account_key("acme"))


def test_a_contact_has_the_account_of_its_customer_of_now(people, ledger):
    show(ledger, "c1", "c2", "c3", "cookie:1")
    assert accounts_of_contacts(ledger) == {
        "c1": ("c1", "beta"),
        "c2": ("c2", "beta"),
        "c3": ("c3", "acme"),
        "cookie:1": ("cookie:1", None),
    }


def test_contacts_follow_merges_and_splits_into_another_account(people, ledger):
    show(ledger, "c1", "c2", "c3", "cookie:1")
    before = accounts_of_contacts(ledger)
    join(ledger, "c3", "cookie:1")  # a cookie without events brings its contacts along
    join(ledger, "c1", "c3")
    merged = accounts_of_contacts(ledger)
    assert merged["c1"] == merged["c3"] == merged["cookie:1"] == ("c1", "acme")
    assert merged["c2"] == ("c2", "beta")
    part(ledger, "c1", "c3")
    part(ledger, "c3", "cookie:1")
    assert accounts_of_contacts(ledger) == before


def test_a_key_that_was_merged_away_is_no_member(people, ledger):
    assert {row.customer_id: row.account for row in rows(ledger, tables.account_members)} == {
        "c1": "beta",
        "c2": "beta",
        "c3": "acme",
    }


def test_whoever_loses_the_only_key_with_an_account_belongs_to_none(people, ledger):
    show(ledger, "c1")
    part(ledger, "email:a@b.it", "c1")
    assert people(account_of, "c1") is None
    assert people(account_of, "email:a@b.it") == "beta"
    assert accounts_of_contacts(ledger) == {"c1": ("c1", None)}


def test_a_company_of_any_size_is_updated_with_the_same_number_of_queries(people, ledger):
    def statements_of(connection, keys):
        texts = []
        note = sa.event.listens_for(connection, "before_cursor_execute")
        heard = note(lambda *about: texts.append(about[2]))
        update_account_members(connection, keys)
        sa.event.remove(connection, "before_cursor_execute", heard)
        return len(texts)

    few = ledger.write_now(lambda c: statements_of(c, ["c1", "c2"]))
    many = ledger.write_now(lambda c: statements_of(c, [f"n{one}" for one in range(500)]))
    assert many <= few
