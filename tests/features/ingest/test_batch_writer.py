"""Writes batches: customers are resolved, forgotten ones left out, built features marked."""

import json
from datetime import timedelta

import pandas as pd
import pytest
import sqlalchemy as sa

from features.business.domain import Namespace
from features.identity.holders import FORGOTTEN
from features.identity.links import unlink
from features.identity.tombstones import add_tombstones
from features.ingest import table_reader
from features.ingest.batch_writer import write_batch
from features.ingest.contract_tables import Business, ParsedRows
from features.ledger import tables
from features.states.checkpoints import Checkpoint, keep_checkpoints
from features.states.stored_events import Position
from tests.decided import decided
from tests.features.ingest.toy_tables import (
    ALL,
    AT,
    CUSTOMERS,
    DECISIONS,
    EVENTS,
    OUTCOMES,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


MORE_KEYS = pd.DataFrame(
    {
        "event_id": ["e1", "e2", "e3"],
        "customer_id": ["c1", None, None],
        "identifiers": ["card:1", "card:1", "cookie:x card:7"],
        "type": "visit",
        "occurred_at": AT,
        "channel": "app",
    }
)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_events_name_their_customer_by_id_by_identifiers_or_by_both(folder, load, rows, ending):
    load(folder({"events": MORE_KEYS}, ending))
    assert sorted(rows(tables.events, "event_id", "subject", "customer_id")) == [
        ("e1", "c1", "c1"),
        ("e2", "card:1", "c1"),
        ("e3", "cookie:x", "cookie:x"),
    ]
    assert sorted(rows(tables.links, "left", "right", "cause")) == [
        ("c1", "card:1", "event e1"),
        ("card:7", "cookie:x", "event e3"),
    ]


def test_an_event_is_kept_with_the_customer_of_the_table_of_customers(folder, load, rows):
    load(folder({"customers": CUSTOMERS, "events": MORE_KEYS.drop(columns="customer_id")}))
    kept = rows(tables.events, "customer_id", "event_id", "subject")
    assert ("c1", "e1", "card:1") in kept and ("c1", "e2", "card:1") in kept


@pytest.mark.parametrize("batch", [1, 2, 20_000])
def test_two_customers_who_share_an_identifier_are_one(folder, load, rows, monkeypatch, batch):
    monkeypatch.setattr(table_reader, "BATCH_ROWS", batch)
    shared = CUSTOMERS.assign(identifiers=["card:1", "card:1", "card:3"])
    load(folder(ALL | {"customers": shared}))
    keys = sorted(rows(tables.identities, "key", "customer_id"))
    assert keys == [("c1", "c1"), ("c2", "c1"), ("c3", "c3"), ("card:1", "c1"), ("card:3", "c3")]
    assert {customer for customer, _ in rows(tables.events, "customer_id", "subject")} == {"c1"}
    assert rows(tables.decisions, "customer_id", "subject") == [("c1", "c1"), ("c1", "c2")]
    causes = {cause for (cause,) in rows(tables.links, "cause")}
    assert causes == {"the table of customers"}


def test_a_merge_of_the_table_of_customers_can_be_undone(folder, load, ledger, rows, now):
    shared = CUSTOMERS.assign(identifiers=["card:1", "card:1", None])
    load(folder(ALL | {"customers": shared}))
    ledger.write_now(lambda c: unlink(c, ("c2", "card:1"), "a mistake", now))
    assert rows(tables.decisions, "customer_id") == [("c1",), ("c2",)]
    assert sorted(rows(tables.events, "event_id", "customer_id")) == [
        *(("e1", "c1"), ("e2", "c1"), ("e3", "c2")),
    ]


def test_a_customers_account_comes_in(folder, load, rows, toy_domain):
    domain = toy_domain.model_copy(update={"account": "company"})
    people = CUSTOMERS.assign(company=["Acme & Sons", "7", None])
    load(folder({"customers": people}), domain)
    assert rows(tables.customers, "account") == [("Acme & Sons",), ("7",), (None,)]


def test_customers_and_their_contacts_get_the_account_of_the_merged_customer(
    folder, load, rows, toy_domain
):
    domain = toy_domain.model_copy(update={"account": "company"})
    people = CUSTOMERS.assign(company=[None, "Acme", "Beta"])
    load(folder(ALL | {"customers": people}), domain)
    assert sorted(rows(tables.account_members, "customer_id", "account")) == [
        ("c2", "Acme"),
        ("c3", "Beta"),
    ]
    shown = sorted(rows(tables.contacts, "subject", "customer_id", "account"))
    assert shown == [("c1", "c1", None)]
    more = MORE_KEYS.iloc[:2].assign(
        event_id=["n1", "n2"], customer_id=["c1", "c2"], identifiers="card:9"
    )
    load(folder({"events": more}), domain)
    assert sorted(rows(tables.account_members, "customer_id", "account")) == [
        ("c1", "Acme"),
        ("c3", "Beta"),
    ]
    shown = sorted(rows(tables.contacts, "subject", "customer_id", "account"))
    assert shown == [("c1", "c1", "Acme")]


def test_identifiers_are_spelled_alike_in_all_tables(folder, load, rows, toy_domain):
    emails = {"email": Namespace(normalize="lower")}
    domain = toy_domain.model_copy(update={"identifiers": emails})
    people = CUSTOMERS.assign(identifiers=["email:A@b.it", None, None])
    visits = MORE_KEYS.assign(customer_id=None, identifiers="email:a@B.IT")
    load(folder({"customers": people, "events": visits}), domain)
    assert set(rows(tables.events, "customer_id", "subject")) == {("c1", "email:a@b.it")}


def test_an_event_id_with_another_content_is_left_out_and_reported(folder, load, rows):
    load(folder({"events": EVENTS}))
    [report] = load(folder({"events": EVENTS.assign(amount_eur=[None, 99.0, 3.0])}))
    assert (report.passed, report.added, report.refused) == (True, 0, 1)
    assert report.first_offender.startswith(
        "event_id is 'e2', which is there with another content."
    )
    assert "1 left out (id is there with another content); first: event_id is 'e2'" in (str(report))
    contents = dict(rows(tables.events, "event_id", "properties"))
    assert json.loads(contents["e2"])["amount_eur"] == 12.5


def test_an_event_that_is_twice_in_a_file_comes_in_once(folder, load):
    [report] = load(folder({"events": pd.concat([EVENTS, EVENTS])}))
    assert (report.rows, report.added, report.refused) == (6, 3, 0)


def test_times_finer_than_ours_are_the_same_at_the_second_load(folder, load, rows, now):
    fine = EVENTS.assign(occurred_at="2026-11-22T10:00:00.000000789Z")
    load(folder({"events": fine}, "parquet"))
    longer = pd.concat([fine, fine.tail(1).assign(event_id="e4")])
    [report] = load(folder({"events": longer}, "parquet"))
    assert (report.added, report.refused) == (1, 0)
    assert set(rows(tables.events, "occurred_at")) == {(now,)}


def _said(rows):
    said = rows(tables.contacts, "decision_id", "outcomes_at")
    return {decision_id: json.loads(text or "{}") for decision_id, text in said}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_imported_decisions_are_contacts_with_what_was_said_to_them(
    folder, load, rows, now, ending
):
    load(folder(ALL, ending))
    names = ("decision_id", "action_id", "subject", "customer_id", "channel", "action_group")
    assert rows(tables.contacts, *names, "shown_at") == [
        ("d1", "discount", "c1", "c1", "app", "promotion", now)
    ]
    assert _said(rows) == {"d1": {"accepted": tables.micros(now)}}
    assert rows(tables.decisions, "arm", "served", "activated_at") == [
        (None, False, now),
        (None, False, now),
    ]
    assert rows(tables.outcomes, "action_id") == [("discount",)]


def test_outcomes_that_are_loaded_later_reach_the_contacts_of_then(folder, load, rows, now):
    load(folder({name: ALL[name] for name in ("customers", "decisions")}))
    assert _said(rows) == {"d1": {}}
    load(folder({"outcomes": OUTCOMES}))
    assert _said(rows) == {"d1": {"accepted": tables.micros(now)}}


def test_a_contact_follows_its_decision_when_customers_are_merged(folder, load, rows):
    shared = CUSTOMERS.assign(identifiers=["card:1", None, "card:1"])
    decided = DECISIONS.assign(customer_id=["c3", "c2"])
    load(folder(ALL | {"customers": shared, "decisions": decided}))
    assert rows(tables.contacts, "customer_id", "subject") == [("c1", "c3")]


def test_outcomes_may_name_what_happened(folder, load, rows):
    load(folder(ALL | {"outcomes": OUTCOMES.assign(shared_id=["order-7"])}))
    assert rows(tables.outcomes, "shared_id") == [("order-7",)]


def test_outcomes_of_our_own_decisions_and_shared_ones_mark_their_rewards(
    folder, load, rows, ledger, now
):
    decided(ledger, "ours", now, {"discount": 14.0})
    load(folder({"decisions": DECISIONS}))
    load(folder({"outcomes": pd.concat([OUTCOMES, OUTCOMES.assign(decision_id="ours")])}))
    assert rows(tables.reward_marks, "kind", "key") == [("decision", "ours")]
    load(folder({"outcomes": OUTCOMES.assign(shared_id=["order-7"], outcome="rejected")}))
    assert rows(tables.reward_marks, "key") == [("d1",), ("ours",)]


def test_an_outcome_without_its_decision_is_left_out_and_reported(folder, load, rows):
    strange = pd.concat([OUTCOMES, OUTCOMES.assign(decision_id="d9")])
    *_, report = load(folder(ALL | {"outcomes": strange}))
    assert (report.passed, report.added, report.refused) == (True, 1, 1)
    assert report.first_offender == "decision_id 'd9' is not in the ledger"
    assert rows(tables.outcomes, "decision_id") == [("d1",)]


def test_an_outcome_that_a_slow_clock_stamped_counts_as_of_its_decision(folder, load, rows, now):
    early = OUTCOMES.assign(occurred_at=(now - timedelta(minutes=5)).isoformat())
    *_, report = load(folder(ALL | {"outcomes": early}))
    assert (report.added, report.refused) == (1, 0)
    assert rows(tables.outcomes, "occurred_at", "received_at") == [(now, now)]
    *_, again = load(folder({"outcomes": early}))
    assert (again.added, again.refused) == (0, 0)


@pytest.mark.databases("sqlite")
def test_an_outcome_that_does_not_fit_its_decision_is_left_out_with_the_reason(
    ledger, toy_domain, toy_catalog, folder, load, rows, now
):
    load(folder({"decisions": DECISIONS}))
    outcome = {
        "outcome_id": "o1",
        "decision_id": "d1",
        "action_id": "",
        "outcome": "accepted",
        "value": None,
        "occurred_at": now,
        "received_at": now,
        "shared_id": None,
        "learned": True,
    }
    early = outcome | {"occurred_at": now - timedelta(minutes=6)}
    other = outcome | {"outcome_id": "o2", "action_id": "call_back"}
    parsed = ParsedRows(rows={tables.outcomes: [early, other]})
    business = Business(toy_domain, toy_catalog)
    done = ledger.write_now(lambda c: write_batch(c, parsed, business, now))
    assert (done.new, [one.reason for one in done.left_out]) == (
        0,
        ["before its decision", "another action than its decision"],
    )
    assert rows(tables.outcomes, "outcome_id") == []


@pytest.fixture
def forgotten(ledger, now):
    """Makes the ledger forget keys, before anything comes in."""
    return lambda *keys: ledger.write_now(lambda c: add_tombstones(c, keys, now))


def test_rows_about_a_forgotten_customer_are_left_out_and_reported(folder, load, rows, forgotten):
    forgotten("c1", "card:1", "email:a@b.it")
    reports = load(folder(ALL))
    assert [(report.added, report.refused) for report in reports] == [
        (2, 1),
        (1, 2),
        (1, 1),
        (0, 1),
    ]
    assert [report.first_offender for report in reports] == [
        "a row of customers is about a forgotten customer",
        "'c1' belongs to a customer who was forgotten. Expected somebody else. "
        'If they are back and agree, send "readmit": true to /v1/forget.',
        "a row of decisions is about a forgotten customer",
        "decision_id 'd1' is not in the ledger",
    ]
    assert rows(tables.customers, "customer_id") == [("c2",), ("c3",)]
    assert rows(tables.events, "customer_id") == rows(tables.decisions, "customer_id") == [("c2",)]
    keys = {key for (key,) in rows(tables.identities, "key")}
    assert keys == {"c2", "card:2"}


def test_an_identifier_of_a_forgotten_customer_links_nobody_and_is_reported(
    folder, load, rows, forgotten
):
    forgotten("card:1")
    [report] = load(folder({"customers": CUSTOMERS}))
    assert (report.added, report.refused) == (3, 1)
    assert report.first_offender == "an identifier of 'c1' is of a forgotten customer"
    assert rows(tables.links, "left", "right") == [("c1", "email:a@b.it"), ("c2", "card:2")]


def test_an_event_with_a_forgotten_identifier_is_left_out(folder, load, rows, forgotten):
    forgotten("cookie:x")
    [report] = load(folder({"events": MORE_KEYS}))
    assert (report.added, report.refused) == (2, 1)
    assert sorted(rows(tables.events, "event_id")) == [("e1",), ("e2",)]


@pytest.fixture
def built(ledger, now):
    """Notes that features were built."""
    ledger.write_now(lambda c: tables.set_meta(c, tables.FEATURES_BUILT, now.isoformat()))


def _to_refold(rows):
    names = ("customer_id", "state", "online", "profile_online")
    found = rows(tables.journey_states, *names)
    assert all(row[1:] == (None, False, False) for row in found)
    return {row[0] for row in found}


def test_before_the_first_build_nobody_has_to_be_refolded(folder, load, rows):
    load(folder(ALL))
    assert _to_refold(rows) == set()


def test_before_the_first_build_a_state_that_a_server_computed_is_refolded(
    folder, load, rows, ledger
):
    kept = {"customer_id": "c2", "state": b"", "online": True, "profile_online": True}
    ledger.write_now(lambda c: tables.insert_new(c, tables.journey_states, [kept]))
    load(folder({"events": EVENTS}))
    assert _to_refold(rows) == {"c2"}


def test_who_gained_a_past_after_the_build_is_refolded(folder, load, rows, built, now):
    load(folder({"events": EVENTS}))
    assert _to_refold(rows) == {"c1", "c2"}
    assert set(rows(tables.journey_states, "restated_at")) == {(now,)}


def test_who_gained_facts_after_the_build_is_shown_anew(folder, load, rows, built):
    load(folder({"customers": CUSTOMERS}))
    assert _to_refold(rows) == {"c1", "c2", "c3"}


def test_facts_of_a_merged_key_are_shown_with_the_customer_behind_it(
    folder, load, rows, ledger, now
):
    load(folder({"customers": CUSTOMERS}))
    ledger.write_now(lambda c: tables.set_meta(c, tables.FEATURES_BUILT, now.isoformat()))
    load(folder({"customers": CUSTOMERS.head(1).assign(customer_id="card:1", identifiers=None)}))
    assert _to_refold(rows) == {"c1"}


def test_what_was_there_already_makes_nobody_be_refolded(folder, load, rows, ledger, now):
    load(folder(ALL))
    ledger.write_now(lambda c: tables.set_meta(c, tables.FEATURES_BUILT, now.isoformat()))
    load(folder({"customers": pd.concat([CUSTOMERS, CUSTOMERS.tail(1).assign(customer_id="c4")])}))
    assert _to_refold(rows) == {"c4"}


def test_a_merge_after_the_build_refolds_who_stays_and_drops_who_goes(
    folder, load, rows, ledger, now
):
    load(folder(ALL))
    kept = {"customer_id": "c2", "state": b"", "online": True, "profile_online": True}
    ledger.write_now(lambda c: tables.set_meta(c, tables.FEATURES_BUILT, now.isoformat()))
    ledger.write_now(lambda c: tables.insert_new(c, tables.journey_states, [kept]))
    link = {"event_id": "e9", "customer_id": "c1", "identifiers": "card:2", "type": "visit"}
    load(folder({"events": pd.DataFrame([link | {"occurred_at": AT, "channel": "app"}])}))
    assert _to_refold(rows) == {"c1"}


def test_who_survives_one_merge_and_not_the_next_is_not_refolded(folder, load, rows, ledger, now):
    load(folder({"customers": CUSTOMERS.head(1)}))
    ledger.write_now(lambda c: tables.set_meta(c, tables.FEATURES_BUILT, now.isoformat()))
    chain = {"customer_id": ["c2", "c3"], "identifiers": ["card:2", "card:2 card:1"]}
    load(folder({"customers": pd.DataFrame(chain)}))
    assert {customer for (customer,) in rows(tables.identities, "customer_id")} == {"c1"}
    assert _to_refold(rows) == {"c1"}


def test_the_account_of_who_gained_a_past_is_refolded_too(folder, load, rows, built, toy_domain):
    domain = toy_domain.model_copy(update={"account": "company"})
    people = CUSTOMERS.assign(company=["Acme", "Acme", None])
    load(folder({"customers": people, "events": EVENTS}), domain)
    assert _to_refold(rows) == {"c1", "c2", "c3", "account Acme"}


def test_a_changed_account_moves_the_customer_and_folds_both_accounts_again(
    folder, load, ledger, rows, toy_domain, now
):
    domain = toy_domain.model_copy(update={"account": "company"})
    people = CUSTOMERS.assign(company=["acme", "beta", None])
    load(folder(ALL | {"customers": people}), domain)
    ledger.write_now(lambda c: tables.set_meta(c, tables.FEATURES_BUILT, now.isoformat()))
    [report, *_] = load(
        folder({"customers": people.assign(company=["beta", "beta", None])}), domain
    )
    assert report.changed == 1
    assert rows(tables.customers, "account") == [("beta",), ("beta",), (None,)]
    assert rows(tables.account_members, "customer_id", "account") == [
        ("c1", "beta"),
        ("c2", "beta"),
    ]
    assert rows(tables.contacts, "subject", "account") == [("c1", "beta")]
    waiting = [key for key, state in rows(tables.journey_states, "customer_id", "state")]
    assert waiting == ["account acme", "account beta", "c1"]
    assert rows(tables.attribute_changes, "name") == []


def test_changed_attributes_are_published_and_read_anew_but_the_checkpoints_stay(
    folder, load, ledger, rows, now
):
    load(folder(ALL))
    ledger.write_now(lambda c: tables.set_meta(c, tables.FEATURES_BUILT, now.isoformat()))
    ready = {"customer_id": "c1", "state": b"", "online": True, "profile_online": True}
    ledger.write_now(lambda c: tables.upsert(c, tables.journey_states, [ready]))
    new = [Checkpoint(Position(5, "e"), 32, b"state")]
    for name in ("c1", "c3"):
        ledger.write_now(lambda c, name=name: keep_checkpoints(c, name, new, 32))
    load(folder({"customers": CUSTOMERS.assign(plan="plus")}))
    names = "customer_id", "state", "online", "profile_online", "restated_at"
    assert rows(tables.journey_states, *names) == [
        ("c1", b"", True, False, now),  # the state holds
        ("c3", None, False, False, now),  # nothing was stored: it is folded from the checkpoint
    ]
    assert rows(tables.journey_checkpoints, "customer_id") == [("c1",), ("c3",)]


@pytest.mark.parametrize(("gone", "stored"), [(False, [("c2",)]), (True, [])])
def test_attributes_of_a_device_are_those_of_its_present_holder(
    folder, load, ledger, rows, toy_domain, gone, stored
):
    kinds = {"card": Namespace(kind="strong"), "cookie": Namespace(kind="anonymous")}
    domain = toy_domain.model_copy(update={"identifiers": kinds})
    logins = MORE_KEYS.head(2).assign(identifiers="cookie:x", customer_id=["c1", "c2"])
    load(folder({"events": logins}), domain)
    if gone:  # as an erasure leaves the logins of a device that others hold, too
        his = sa.update(tables.logins).where(tables.logins.c.holder == "c2")
        ledger.write_now(lambda c: c.execute(his.values(holder=FORGOTTEN, node=FORGOTTEN)))
    device = CUSTOMERS.head(1).assign(customer_id="cookie:x", identifiers=None)
    [report, _] = load(folder({"customers": device}), domain)
    assert rows(tables.customers, "customer_id") == stored
    assert report.refused == gone


def test_a_login_of_a_table_moves_contacts_and_folds_both_holders_with_their_accounts(
    folder, load, ledger, rows, built, toy_domain
):
    kinds = {"card": Namespace(kind="strong"), "cookie": Namespace(kind="anonymous")}
    domain = toy_domain.model_copy(update={"account": "company", "identifiers": kinds})
    people = CUSTOMERS.assign(company=["Acme", "Beta", None], identifiers=None)
    visits = MORE_KEYS.assign(identifiers="cookie:x", customer_id=["c1", None, "c2"])
    visits["occurred_at"] = [f"2026-11-22T{hour}:00:00Z" for hour in ("07", "09", "08")]
    made = DECISIONS.head(1).assign(customer_id="cookie:x")
    load(folder({"customers": people, "events": visits.head(2), "decisions": made}), domain)
    assert rows(tables.contacts, "customer_id", "account") == [("c1", "Acme")]
    ledger.write_now(lambda c: c.execute(sa.delete(tables.journey_states)))
    load(folder({"customers": people, "events": visits.tail(1), "decisions": made}), domain)
    assert rows(tables.contacts, "customer_id", "account") == [("c2", "Beta")]
    assert _to_refold(rows) == {"c1", "c2", "account Acme", "account Beta"}


def test_a_decision_for_a_device_while_a_forgotten_customer_held_it_is_left_out(
    folder, load, ledger, rows, toy_domain, now
):
    kinds = {"cookie": Namespace(kind="anonymous")}
    domain = toy_domain.model_copy(update={"identifiers": kinds})
    login = {"key": "cookie:x", "at": now, "event_id": " hash", "void": False}
    login |= {"holder": FORGOTTEN, "node": FORGOTTEN}
    ledger.write_now(lambda c: tables.insert_new(c, tables.logins, [login]))
    [report] = load(folder({"decisions": DECISIONS.head(1).assign(customer_id="cookie:x")}), domain)
    assert (report.added, report.refused) == (0, 1)
    assert rows(tables.decisions, "subject") == rows(tables.contacts, "subject") == []
