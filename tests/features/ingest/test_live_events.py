"""Ingests live events: each once, in the order of time, visible before the answer."""

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.business.domain import Domain
from features.errors import CustomerForgotten, IdentityUnknown, InvalidKey, NotVisible
from features.identity.keys import KeyNormalizer
from features.identity.links import link as make_link
from features.identity.tombstones import add_tombstones
from features.ledger import tables
from features.ledger.ledger import Ledger
from tests.features.live import (
    DAY,
    FOLD,
    MINUTE,
    NOW,
    SHOP,
    InMemoryOnlineStore,
    add,
    customer,
    event,
    folded,
    kept,
    kept_state,
    live,
    person,
    rows,
    same_states,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

ORDER = {"kind": "order", "amount_eur": 5, "size": "small"}


@pytest.fixture
def shown():
    return InMemoryOnlineStore()


@pytest.fixture
def worker(ledger, shown):
    return live(ledger, shown)


def take(worker, *sent, now=NOW):
    return asyncio.run(worker.ingest(sent, now))


def link(worker, *keys, now=NOW):
    return asyncio.run(worker.link(keys, "they said so", now))


def unlink(worker, *keys, now=NOW):
    return asyncio.run(worker.unlink(keys, "a mistake", now))


def is_right(ledger, shown, *keys):
    """Assert that the states in the ledger and online are the fold of all events."""
    for key in keys:
        assert same_states(shown.states[key], folded(ledger, key))
        assert same_states(kept_state(ledger, key), folded(ledger, key))
        row = kept(ledger)[key]
        assert row.online
        assert row.last_at in (None, shown.at[key])
    return True


def forget_states(ledger):
    """Delete the states in the ledger, as a build does; they are online only."""
    ledger.write_now(lambda c: c.execute(sa.delete(tables.journey_states)))


def counts(taken):
    return taken.accepted, taken.duplicates, len(taken.rejected)


def test_what_was_taken_is_kept_folded_and_shown(ledger, worker, shown):
    assert counts(take(worker, event(1, "c1", **ORDER), event(2, "c1"))) == (2, 0, 0)
    assert {row.event_id for row in rows(ledger, tables.events)} == {"e1", "e2"}
    assert is_right(ledger, shown, "c1")
    assert shown.at["c1"] == NOW - DAY


def test_the_same_event_twice_in_one_call_counts_once(ledger, worker, shown):
    assert counts(take(worker, event(1, "c1"), event(1, "c1"))) == (1, 1, 0)
    assert is_right(ledger, shown, "c1")


def test_the_same_call_again_changes_nothing(ledger, worker, shown):
    sent = [event(1, "c1", **ORDER), event(2, "card:7")]
    assert counts(take(worker, *sent)) == (2, 0, 0)
    before = rows(ledger, tables.events), rows(ledger, tables.journey_states)
    assert counts(take(worker, *sent, now=NOW + DAY)) == (0, 2, 0)
    assert (rows(ledger, tables.events), rows(ledger, tables.journey_states)) == before


def test_two_workers_take_an_event_once(ledger, worker, shown):
    with_another = Ledger(ledger.url)
    other = live(with_another, shown)

    async def both():
        sent = [event(number, "c1") for number in range(20)]
        return await asyncio.gather(
            *(one.ingest(sent, NOW) for one in (worker, other)),
            *(one.ingest(sent[::-1], NOW) for one in (worker, other)),
        )

    taken = asyncio.run(both())
    with_another.close()
    assert sum(one.accepted for one in taken) == 20
    assert sum(one.duplicates for one in taken) == 60
    assert is_right(ledger, shown, "c1")


def test_two_workers_fold_each_other_s_events(ledger, worker, shown):
    with_another = Ledger(ledger.url)
    other = live(with_another, shown)
    for number in range(6):
        at = NOW - DAY + number * MINUTE
        take([worker, other][number % 2], event(number, "c1", at=at, **ORDER))
        assert is_right(ledger, shown, "c1")
    with_another.close()
    assert kept(ledger)["c1"].restated_at is None


@pytest.mark.parametrize(
    "changed",
    [
        {"customer_id": "c2"},
        {"type": "complaint"},
        {"channel": "till"},
        {"occurred_at": (NOW - 2 * DAY).isoformat()},
        {"type": "order", "properties": {"amount_eur": 1}},
    ],
    ids=["of another", "type", "channel", "time", "properties"],
)
@pytest.mark.parametrize("calls", [1, 2])
def test_an_id_with_another_content_is_rejected_by_place_and_field(ledger, worker, changed, calls):
    first, second = event(1, "c1"), {**event(1, "c1"), **changed}
    if calls == 2:
        take(worker, first)
    [rejected] = take(worker, first, event(9, "c9"), second).rejected
    assert (rejected.index, rejected.field) == (2, "event_id")
    assert "another content" in rejected.error
    assert len(rows(ledger, tables.events)) == 2


def test_5_and_5_0_are_one_content(worker):
    take(worker, event(1, "c1", kind="order", amount_eur=5))
    assert counts(take(worker, event(1, "c1", kind="order", amount_eur=5.0))) == (0, 1, 0)


def test_bad_events_are_rejected_by_themselves(ledger, worker, shown):
    sent = [{"no": "event"}, event(1, "c1"), event(2, "c1", kind="dance"), event(3, "c2")]
    taken = take(worker, *sent, event(4), event(5, "fax:1"))
    assert (taken.accepted, taken.duplicates) == (2, 0)
    places = [(one.index, one.field) for one in taken.rejected]
    assert places == [(0, "event_id"), (2, "type"), (4, "customer_id"), (5, "identifiers")]
    assert is_right(ledger, shown, "c1", "c2")


def test_an_event_with_a_placeholder_is_rejected_whole(ledger, worker):
    sent = [event(1, "c1", "cookie:undefined"), event(2, "undefined"), event(3, "email:null")]
    result = take(worker, *sent)
    assert [one.field for one in result.rejected] == ["identifiers", "customer_id", "identifiers"]
    assert rows(ledger, tables.events) == rows(ledger, tables.identities) == []


def test_a_link_of_a_placeholder_can_be_undone_but_not_made(ledger, worker):
    with pytest.raises(InvalidKey, match="^keys has 'email:null', a placeholder"):
        link(worker, "c1", "email:null")
    pair = ("c1", "email:null")  # as it was made before placeholders were refused
    ledger.write_now(lambda c: make_link(c, KeyNormalizer(SHOP), pair, "event e1", NOW))
    assert unlink(worker, *pair)


def test_a_call_without_a_single_good_event_keeps_nothing(ledger, worker):
    assert counts(take(worker, {})) == (0, 0, 1)
    assert counts(take(worker)) == (0, 0, 0)
    assert rows(ledger, tables.events) == rows(ledger, tables.journey_states) == []


def test_events_of_one_call_are_folded_in_the_order_in_which_they_happened(ledger, worker, shown):
    times = [3, 1, 2, 0, 2]
    take(worker, *(event(n, "c1", at=NOW - t * DAY, **ORDER) for n, t in enumerate(times)))
    assert is_right(ledger, shown, "c1")
    assert kept(ledger)["c1"].last_event_id == "e3"
    assert kept(ledger)["c1"].restated_at is None


def test_a_late_event_lands_in_its_place_and_the_history_is_known_to_be_wrong(
    ledger, worker, shown
):
    take(worker, event(1, "c1", at=NOW - 3 * DAY), event(2, "c1", **ORDER))
    assert kept(ledger)["c1"].restated_at is None
    take(worker, event(3, "c1", at=NOW - 2 * DAY, kind="complaint", score=3))
    assert is_right(ledger, shown, "c1")
    assert kept(ledger)["c1"].restated_at == NOW
    assert kept(ledger)["c1"].last_event_id == "e2"
    take(worker, event(4, "c1", at=NOW - MINUTE), now=NOW + DAY)
    assert kept(ledger)["c1"].restated_at == NOW  # nothing but another build makes that good


def test_a_late_and_a_new_event_of_one_call_are_both_folded(ledger, worker, shown):
    take(worker, event(2, "c1"))
    take(worker, event(3, "c1", at=NOW), event(1, "c1", at=NOW - 3 * DAY))
    assert is_right(ledger, shown, "c1")
    assert kept(ledger)["c1"].restated_at == NOW


@pytest.mark.parametrize("number", [0, 2])
def test_of_two_events_at_one_instant_the_id_decides_whichever_comes_first(
    ledger, worker, shown, number
):
    take(worker, event(1, "c1", **ORDER))
    take(worker, event(number, "c1", kind="order", amount_eur=9, size="big"))
    assert is_right(ledger, shown, "c1")


def test_a_crash_between_keeping_and_showing_is_made_good_in_the_background(
    ledger, worker, shown, monkeypatch
):
    class Crash(BaseException):
        """The process is gone."""

    async def gone(keys, now):
        raise Crash

    monkeypatch.setattr(worker.publisher, "show", gone)
    with pytest.raises(Crash):
        take(worker, event(1, "c1"))
    assert not kept(ledger)["c1"].online
    assert "c1" not in shown.states
    take(live(ledger, shown), event(2, "c2"))
    assert list(shown.states) == ["c2"]
    asyncio.run(live(ledger, shown).publisher.show_backlog(NOW))
    assert is_right(ledger, shown, "c1", "c2")


def test_events_are_kept_while_the_online_store_is_down_and_shown_when_it_is_back(
    ledger, worker, shown
):
    shown.broken = True
    with pytest.raises(NotVisible, match=r"OSError.*The events are kept"):
        take(worker, event(1, "c1"))
    with pytest.raises(NotVisible):
        take(worker, event(2, "c1", at=NOW, **ORDER))
    assert len(rows(ledger, tables.events)) == 2
    shown.broken = False
    assert counts(take(worker, event(1, "c1"))) == (0, 1, 0)
    assert is_right(ledger, shown, "c1")


def test_a_merge_that_could_not_be_shown_is_shown_later(ledger, worker, shown):
    take(worker, event(1, "c1"), event(2, "c2", **ORDER))
    shown.broken = True
    with pytest.raises(NotVisible):
        link(worker, "c1", "c2")
    shown.broken = False
    asyncio.run(worker.publisher.show_backlog(NOW))
    assert is_right(ledger, shown, "c1")
    assert set(kept(ledger)) == {"c1"}


def test_more_states_than_one_transaction_takes_are_all_shown(ledger, worker, shown, monkeypatch):
    monkeypatch.setattr("features.states.visibility.STATES_PER_WRITE", 3)
    take(worker, *(event(n, f"c{n}") for n in range(10)))
    assert is_right(ledger, shown, *(f"c{n}" for n in range(10)))


def test_500_events_in_a_call(ledger, worker, shown):
    sent = [
        event(n, f"c{n % 40}", f"card:{n % 60 + 1}", at=NOW - (n * 37 % 500) * MINUTE, **ORDER)
        for n in range(500)
    ]
    assert counts(take(worker, *sent)) == (500, 0, 0)
    assert is_right(ledger, shown, *{row.customer_id for row in rows(ledger, tables.events)})


def test_somebody_unheard_of_since_the_build_goes_on_from_what_is_shown(ledger, worker, shown):
    take(worker, event(1, "c1", at=NOW - 2 * DAY, **ORDER))
    forget_states(ledger)
    # Told apart from a fold of all events: one of the numbers shown is another.
    marked = FOLD.state_fields.index("order_amount_eur_7d")
    shown.states["c1"][marked] += 100.0
    take(worker, event(2, "c1"))
    assert kept_state(ledger, "c1")[marked] == folded(ledger, "c1")[marked] + 100.0
    assert kept(ledger)["c1"].restated_at is None


def test_what_is_shown_is_not_trusted_if_it_counts_other_events(ledger, worker, shown):
    take(worker, event(1, "c1", at=NOW - 2 * DAY, **ORDER), event(2, "c2", at=NOW - 2 * DAY))
    take(worker, event(3, "c1", at=NOW - DAY, **ORDER))
    forget_states(ledger)
    shown.states["c1"] = folded(ledger, "c1", NOW - 2 * DAY)
    take(worker, event(4, "c1", at=NOW))
    assert is_right(ledger, shown, "c1")


@pytest.mark.parametrize("at", [NOW - 3 * DAY, NOW - 2 * DAY], ids=["late", "at the same instant"])
def test_what_is_shown_is_not_trusted_if_the_event_is_not_after_it(ledger, worker, shown, at):
    take(worker, event(1, "c1", at=NOW - 2 * DAY, **ORDER))
    forget_states(ledger)
    take(worker, event(2, "c1", at=at))
    assert is_right(ledger, shown, "c1")


def test_what_is_shown_of_another_layout_is_not_trusted(ledger, shown):
    smaller = SHOP.model_copy(update={"half_lives_days": (7.0,)})
    take(live(ledger, shown, smaller), event(1, "c1", **ORDER))
    take(live(ledger, shown), event(2, "c1", at=NOW))
    assert is_right(ledger, shown, "c1")


def test_an_event_with_two_keys_makes_them_one_customer(ledger, worker, shown):
    take(worker, event(1, "cookie:x"), event(2, "c1", **ORDER))
    take(worker, event(3, "c1", "cookie:x", at=NOW))
    assert customer(ledger, "cookie:x") == "c1"
    assert is_right(ledger, shown, "c1")
    assert set(kept(ledger)) == {"c1"}
    assert len(rows(ledger, tables.events)) == 3


def test_customers_merged_by_a_later_event_of_the_same_call_have_all_events(ledger, worker, shown):
    sent = [event(1, "c1"), event(2, "card:1", **ORDER), event(3, "card:2")]
    take(worker, *sent, event(4, "c1", "card:1", "card:2", at=NOW))
    assert {row.customer_id for row in rows(ledger, tables.events)} == {"c1"}
    assert {row.subject for row in rows(ledger, tables.events)} == {"c1", "card:1", "card:2"}
    assert is_right(ledger, shown, "c1")


def test_a_chain_of_merges_in_one_call_leaves_one_state(ledger, worker, shown):
    take(worker, *(event(n, key) for n, key in enumerate(["c1", "card:1", "cookie:1"])))
    take(worker, event(7, "card:1", "cookie:1"), event(8, "c1", "card:1"))
    assert set(kept(ledger)) == {"c1"}
    assert is_right(ledger, shown, "c1")


def test_an_event_is_never_a_reason_to_believe_a_link_that_people_undid(ledger, worker, shown):
    take(worker, event(1, "c1", "cookie:x"))
    assert unlink(worker, "c1", "cookie:x")
    take(worker, event(2, "c1", "cookie:x", at=NOW))
    assert customer(ledger, "cookie:x") == "cookie:x"
    assert is_right(ledger, shown, "c1", "cookie:x")
    assert link(worker, "cookie:x", "c1")
    assert customer(ledger, "cookie:x") == "c1"
    assert is_right(ledger, shown, "c1")


def test_a_link_and_its_undoing_say_whether_anything_changed(ledger, worker):
    take(worker, event(1, "c1"), event(2, "c2"))
    assert link(worker, "c1", "c2")
    assert not link(worker, "c2", "c1")
    assert link(worker, "c2", "card:1")
    assert not link(worker, "c1", "card:1")
    assert not unlink(worker, "c1", "card:1")  # they hang together otherwise
    assert unlink(worker, "c1", "c2")
    with pytest.raises(IdentityUnknown, match="No link holds between 'c1' and 'c2'"):
        unlink(worker, "c2", "c1")


@pytest.mark.parametrize("named", [("c1",), ("card:1",), ("c1", "cookie:y")])
def test_a_device_that_was_linked_as_a_named_key_merges_nobody_from_now_on(
    ledger, worker, shown, named
):
    strong = {"identifiers": {**SHOP.model_dump()["identifiers"], "cookie": {"kind": "strong"}}}
    before = live(ledger, shown, Domain.model_validate(SHOP.model_dump() | strong))
    take(before, event(1, *named, "cookie:x", at=NOW - 4 * DAY))
    take(worker, event(2, "cookie:x", at=NOW - 3 * DAY))
    take(worker, event(3, "c2", "cookie:x", at=NOW - 2 * DAY))
    take(worker, event(4, "cookie:x"), event(5, "c3", "cookie:y"))
    assert len({customer(ledger, who) for who in (named[0], "c2", "c3")}) == 3
    assert customer(ledger, "cookie:x") == "c2" and customer(ledger, "cookie:y") == "c3"
    found = {row.event_id: row.customer_id for row in rows(ledger, tables.events)}
    assert found["e1"] == found["e2"] == customer(ledger, named[0])
    assert found["e3"] == found["e4"] == "c2"
    assert is_right(ledger, shown, "c2", customer(ledger, named[0]))


@pytest.mark.parametrize("first", ["ann", "zoe"])  # sorted before and after the device
def test_a_device_that_is_taken_from_its_first_holder_is_not_theirs_any_more(
    ledger, worker, shown, first
):
    at = NOW - DAY
    take(worker, event(1, "cookie:1", at=at), event(2, first, "cookie:1", at=at))
    take(worker, event(3, "bob", "cookie:1", at=at + MINUTE))
    assert unlink(worker, "cookie:1", first)
    assert unlink(worker, "cookie:1", "bob")
    assert customer(ledger, "cookie:1") == "cookie:1"
    owners = {row.event_id: row.customer_id for row in rows(ledger, tables.events)}
    assert owners == {"e1": "cookie:1", "e2": first, "e3": "bob"}
    assert {*kept(ledger)} == {first, "bob", "cookie:1"}  # no state of a node
    assert is_right(ledger, shown, first, "bob", "cookie:1")


def test_undoing_a_link_that_parts_nobody_takes_no_state_away(ledger, worker, shown):
    for pair in (("c1", "card:1"), ("c1", "card:2"), ("card:1", "card:2")):
        link(worker, *pair)
    take(worker, event(1, "c1"))
    take(worker, event(2, "c1", at=NOW - 2 * DAY))  # late, and noted as such
    before = kept(ledger)
    assert not unlink(worker, "card:1", "card:2")
    assert kept(ledger) == before
    assert is_right(ledger, shown, "c1")


def test_a_customer_who_is_left_without_events_is_shown_so(ledger, worker, shown):
    take(worker, event(1, "c1", **ORDER), event(2, "card:1", "c1"))
    link(worker, "c1", "card:9")
    unlink(worker, "c1", "card:9")
    assert same_states(shown.states["card:9"], FOLD.empty())
    assert is_right(ledger, shown, "c1")


def test_links_are_spelled_as_events_are(ledger, worker):
    take(worker, event(1, "email:A@B.it"))
    assert link(worker, "email: a@b.IT", "phone:+39 055")
    assert customer(ledger, "phone:39055") == "email:a@b.it"


def forget(ledger, *keys):
    ledger.write_now(lambda connection: add_tombstones(connection, keys, NOW))


@pytest.mark.parametrize("keys", [["c1"], ["email:a@b.it"], ["card:2", "email:A@B.it"]])
def test_events_of_the_forgotten_are_refused_and_those_of_others_taken(ledger, worker, keys):
    forget(ledger, "c1", "email:a@b.it")
    taken = take(worker, event(1, "c2"), event(2, *keys), event(3, "c3"))
    [rejected] = taken.rejected
    assert (rejected.index, rejected.field, taken.accepted) == (1, "identifiers", 2)
    assert "was forgotten" in rejected.error
    assert {row.customer_id for row in rows(ledger, tables.events)} == {"c2", "c3"}
    assert rows(ledger, tables.links) == []


def test_a_check_before_a_link_comes_before_all_others(ledger, worker):
    def gone(connection):
        raise IdentityUnknown("It is gone.", expected="a candidate", remedy="List them.")

    forget(ledger, "c1")
    with pytest.raises(IdentityUnknown):
        asyncio.run(worker.link(("c1", "c2"), "told an agent", NOW, before=gone))
    assert rows(ledger, tables.links) == []


def test_the_forgotten_are_not_linked(ledger, worker):
    forget(ledger, "c1")
    with pytest.raises(CustomerForgotten, match="'c1' belongs to a customer who was forgotten"):
        link(worker, "c2", "c1")
    assert rows(ledger, tables.links) == []


@pytest.fixture
def companies(ledger):
    people = [person("c1", "acme"), person("c2", "acme"), person("c3", "beta")]
    add(ledger, tables.customers, *people, person("email:x@y.it", "beta"), person("c4"))


def test_an_event_of_a_member_moves_the_account(ledger, worker, shown, companies):
    take(worker, event(1, "c1", **ORDER), event(2, "c2"), event(3, "c3"), event(4, "c4"))
    assert is_right(ledger, shown, "account acme", "account beta")
    assert FOLD.events_n(shown.states["account acme"]) == 2
    take(worker, event(5, "c2", at=NOW, **ORDER))
    assert FOLD.events_n(shown.states["account acme"]) == 3
    assert kept(ledger)["account acme"].restated_at is None
    assert is_right(ledger, shown, "account acme", "account beta")


def test_a_late_event_of_a_member_restates_the_account_only_where_it_is_late(
    ledger, worker, shown, companies
):
    take(worker, event(1, "c1"))
    take(worker, event(2, "c2", at=NOW - 2 * DAY))
    assert kept(ledger)["c2"].restated_at is None
    assert kept(ledger)["account acme"].restated_at == NOW
    assert is_right(ledger, shown, "account acme")


def test_a_merge_moves_events_from_account_to_account_and_back(ledger, worker, shown, companies):
    take(worker, event(1, "c1"), event(2, "c3", **ORDER))
    link(worker, "c1", "c3")
    assert FOLD.events_n(shown.states["account acme"]) == 2
    assert FOLD.events_n(shown.states["account beta"]) == 0
    assert is_right(ledger, shown, "c1", "account acme", "account beta")
    unlink(worker, "c3", "c1")
    assert is_right(ledger, shown, "c1", "c3", "account acme", "account beta")


def test_an_account_told_of_under_another_key_than_the_customer_s_name_is_restated_too(
    ledger, worker, shown, companies
):
    take(worker, event(1, "c1"), event(2, "c4", "email:x@y.it", **ORDER))
    assert FOLD.events_n(shown.states["account beta"]) == 1
    link(worker, "c1", "c4")  # now acme's, by its first key
    assert FOLD.events_n(shown.states["account beta"]) == 0
    assert is_right(ledger, shown, customer(ledger, "c1"), "account acme", "account beta")


def test_a_business_without_accounts_keeps_none(ledger, shown, companies):
    plain = Domain.model_validate({**SHOP.model_dump(), "account": None})
    take(live(ledger, shown, plain), event(1, "c1"))
    assert set(shown.states) == {"c1"}


def test_a_merge_shows_the_facts_of_both(ledger, worker, shown):
    add(ledger, tables.customers, person("c1", plan="plus"))
    add(ledger, tables.customers, person("c2", plan="basic", age_years="41.0"))
    link(worker, "c1", "c2")
    assert shown.profiles["c1"] == {"plan": "plus", "age_years": "41.0"}
    unlink(worker, "c1", "c2")
    assert shown.profiles["c1"] == {"plan": "plus"}
    assert shown.profiles["c2"] == {"plan": "basic", "age_years": "41.0"}


def test_the_clock_of_a_caller_may_be_ahead_by_minutes_not_by_days(worker):
    assert counts(take(worker, event(1, "c1", at=NOW + 4 * MINUTE))) == (1, 0, 0)
    [rejected] = take(worker, event(2, "c1", at=NOW + timedelta(hours=1))).rejected
    assert rejected.field == "occurred_at"


def test_both_links_with_a_key_that_was_linked_before_it_was_anonymous_are_undone(ledger, shown):
    former = SHOP.model_copy(deep=True)
    former.identifiers["cookie"] = former.identifiers["card"]
    take(live(ledger, shown, former), event(1, "ann", "cookie:1"), event(2, "bob", "cookie:1"))
    worker = live(ledger, shown)
    take(worker, event(3, "bob", "cookie:1", at=NOW))
    assert customer(ledger, "bob") == "ann"
    assert unlink(worker, "cookie:1", "bob")
    assert (customer(ledger, "bob"), customer(ledger, "cookie:1")) == ("bob", "ann")
    assert is_right(ledger, shown, "ann", "bob")
    with pytest.raises(IdentityUnknown):
        unlink(worker, "cookie:1", "bob")
