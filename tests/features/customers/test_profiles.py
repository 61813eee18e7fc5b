"""Slow facts of a customer who has several keys, and the company behind them."""

import pytest

from features.customers.identity import link
from features.customers.keys import KeyNormalizer
from features.customers.profiles import (
    account_key,
    account_of,
    accounts_of,
    all_accounts_of,
    all_attributes,
    attributes_of,
    members_of,
)
from features.ledger import tables
from tests.features.live import NOW, SHOP, add, person

pytestmark = pytest.mark.databases("sqlite", "postgresql")


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
    pair = "email:a@b.it", "c1"
    ledger.write_now(lambda c: link(c, KeyNormalizer(SHOP), pair, "the table", NOW))
    return lambda ask, *about: ledger.read(lambda connection: ask(connection, *about))


def test_the_facts_of_all_keys_are_known_and_those_of_the_name_win(people):
    assert people(attributes_of, "c1") == {
        "plan": "plus",
        "age_years": "41.0",
        "company": "beta",
    }


def test_the_facts_of_everybody_at_once_are_those_of_each(people):
    everybody = people(all_attributes)
    assert sorted(everybody) == ["c1", "c2", "c3"]
    assert everybody == {one: people(attributes_of, one) for one in everybody}


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
    ledger.write_now(lambda c: link(c, KeyNormalizer(SHOP), ("c3", "c1"), "they said so", NOW))
    assert people(account_of, "c1") == "acme"  # c3 is a better name than the address
    assert people(members_of, account_key("beta")) == ["c2"]
    assert people(all_accounts_of, ["c1"]) == {account_key("acme"), account_key("beta")}


def test_the_key_of_an_account_is_no_id_of_a_customer(people):
    with pytest.raises(Exception, match="without spaces"):
        KeyNormalizer(SHOP).customer(account_key("acme"))
