"""Many links at once come to the same as link after link, with few statements."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from features.identity import bulk_links, links
from features.identity.bulk_links import link_all
from features.identity.keys import KeyNormalizer
from features.identity.links import keys_of, resolve
from features.ledger import statements, tables
from features.ledger.ledger import Ledger
from tests.features.live import DAY, NOW, SHOP, add, customer, decision, person, rows

pytestmark = pytest.mark.databases("sqlite", "postgresql")
NORMALIZER = KeyNormalizer(SHOP)


def link_at_once(ledger, *pairs, cause="the table", at=NOW):
    causes = dict.fromkeys(pairs, cause)
    return ledger.write_now(lambda c: link_all(c, NORMALIZER, causes, at))


def link_each(ledger, *pairs):
    def each(connection):
        return [
            links.link(connection, NORMALIZER, pair, "the table", NOW)
            for pair in dict.fromkeys(pairs)
        ]

    return [merged for merged in ledger.write_now(each) if merged]


def unlink(ledger, *pair):
    return ledger.write_now(lambda c: links.unlink(c, pair, "a mistake", NOW))


def happened(ledger, *subjects, at=NOW):
    """One event under each key."""
    what = {"type": "view", "channel": "web", "properties": "{}", "occurred_at": at}
    for subject in subjects:
        row = {"customer_id": customer(ledger, subject), "subject": subject} | what
        add(ledger, tables.events, row | {"event_id": f"e-{subject}"})


def decided(ledger, *subjects):
    """One decision under each key."""
    for subject in subjects:
        row = decision(subject, subject, customer(ledger, subject))
        add(ledger, tables.decisions, row)
        shown = {"decision_id": row["decision_id"], "action_id": "call", "subject": subject}
        shown |= {"customer_id": row["customer_id"], "shown_at": NOW, "channel": "web"}
        add(ledger, tables.contacts, shown | {"action_group": "care", "outcomes_at": ""})


def whose(ledger, table=tables.events):
    return {row.subject: row.customer_id for row in rows(ledger, table)}


def test_new_identifiers_become_keys_of_their_customer_and_merge_nobody(ledger):
    happened(ledger, "c1")
    assert link_at_once(ledger, ("c1", "cookie:1"), ("c1", "cookie:2"), ("cookie:3", "c2")) == []
    assert ledger.read(lambda c: keys_of(c, "c1")) == ["c1", "cookie:1", "cookie:2"]
    assert ledger.read(lambda c: keys_of(c, "c2")) == ["c2", "cookie:3"]


def test_the_events_of_an_unlinked_key_come_along(ledger):
    happened(ledger, "email:a@b.it", "card:1", at=NOW - DAY)
    happened(ledger, "c1")
    merged = link_at_once(ledger, ("c1", "email:a@b.it"), ("c2", "card:2"))
    assert merged == [("c1", "email:a@b.it", True, NOW, NOW - DAY)]
    assert whose(ledger) == {"email:a@b.it": "c1", "c1": "c1", "card:1": "card:1"}


def test_a_key_with_attributes_and_no_events_is_merged(ledger):
    add(ledger, tables.customers, person("email:a@b.it"))
    assert link_at_once(ledger, ("c1", "email:a@b.it")) == [
        ("c1", "email:a@b.it", True, None, None)
    ]


def test_the_decisions_and_contacts_of_an_unlinked_key_come_along(ledger):
    decided(ledger, "cookie:1")
    assert link_at_once(ledger, ("c1", "cookie:1")) == [("c1", "cookie:1", False, None, None)]
    assert whose(ledger, tables.decisions) == whose(ledger, tables.contacts) == {"cookie:1": "c1"}


def test_a_new_key_with_a_better_name_survives(ledger):
    link_at_once(ledger, ("cookie:1", "cookie:2"))
    happened(ledger, "cookie:2")
    merged = link_at_once(ledger, ("cookie:1", "email:a@b.it"))
    assert merged == [("email:a@b.it", "cookie:1", True, None, NOW)]
    assert whose(ledger) == {"cookie:2": "email:a@b.it"}


def test_a_new_cookie_between_two_customers_makes_them_one(ledger):
    happened(ledger, "c1", at=NOW - DAY)
    happened(ledger, "c2")
    link_each(ledger, ("c1", "card:1"), ("c2", "card:2"))
    merged = link_at_once(ledger, ("c2", "cookie:new"), ("c1", "cookie:new"))
    assert merged == [("c1", "c2", True, NOW - DAY, NOW)]
    assert set(whose(ledger).values()) == {"c1"}
    assert ledger.read(lambda c: keys_of(c, "c1")) == ["c1", "c2", "card:1", "card:2", "cookie:new"]


def test_a_loser_of_two_merges_ends_at_the_last_survivor(ledger):
    happened(ledger, "cookie:1", at=NOW - 2 * DAY)
    happened(ledger, "email:a@b.it", at=NOW - DAY)
    happened(ledger, "c1")
    merged = link_at_once(ledger, ("cookie:1", "email:a@b.it"), ("email:a@b.it", "c1"))
    assert merged == [
        ("email:a@b.it", "cookie:1", True, NOW - DAY, NOW - 2 * DAY),
        ("c1", "email:a@b.it", True, NOW, NOW - 2 * DAY),
    ]
    assert set(whose(ledger).values()) == {"c1"}


def test_a_link_that_was_undone_is_not_made_again_in_either_direction(ledger):
    link_at_once(ledger, ("c1", "card:1"), ("c1", "card:2"), at=NOW - timedelta(days=1))
    assert unlink(ledger, "card:1", "c1") == ["c1", "card:1"]
    assert link_at_once(ledger, ("c1", "card:1"), ("card:1", "c1"), ("c1", "card:3")) == []
    assert ledger.read(lambda c: resolve(c, ["card:1"])) == "card:1"
    assert ledger.read(lambda c: resolve(c, ["card:3"])) == "c1"


def test_the_first_cause_of_a_pair_is_kept(ledger):
    causes = {("c1", "card:1"): "event e1", ("card:1", "c1"): "event e2"}
    ledger.write_now(lambda c: link_all(c, NORMALIZER, causes, NOW))
    [row] = rows(ledger, tables.links)
    assert (row.left, row.right, row.cause, row.linked_at) == ("c1", "card:1", "event e1", NOW)


def test_ten_thousand_links_take_as_many_statements_as_ten(ledger, monkeypatch):
    counts = []
    link_at_once(ledger, *((f"c{n}", f"card:{n}") for n in range(7)))
    for number in (10, 10_000):
        pairs = [(f"c{n % 7}", f"cookie:{number}-{n}") for n in range(number)]
        ran = []
        for name in ("execute_text", "_execute_many"):
            _count_calls(monkeypatch, name, ran)
        assert link_at_once(ledger, *pairs) == []
        monkeypatch.undo()
        counts.append(len(ran))
    assert counts[0] >= counts[1] > 0
    assert len(rows(ledger, tables.links)) == 10_017


def test_links_of_one_call_move_few_rows_together_and_list_the_others(ledger, monkeypatch):
    monkeypatch.setattr(bulk_links, "AT_ONCE", 2)
    cookies = [f"cookie:{number}" for number in range(4)]
    happened(ledger, *cookies)
    link_at_once(ledger, *(("c1", cookie) for cookie in cookies))
    assert whose(ledger) == dict.fromkeys(cookies[:2], "c1") | {one: one for one in cookies[2:]}
    assert [row.subject for row in rows(ledger, tables.relocations)] == cookies[2:]


def limits(largest=50, largest_personal=20):
    rules = SHOP.identity.model_copy(
        update={"largest": largest, "largest_personal": largest_personal}
    )
    return KeyNormalizer(SHOP.model_copy(update={"identity": rules}))


def link_within(ledger, normalizer, *pairs):
    causes = dict.fromkeys(pairs, "the table")
    return ledger.write_now(lambda c: link_all(c, normalizer, causes, NOW))


def noted(ledger):
    found = rows(ledger, tables.merge_candidates)
    return [(row.left, row.right, row.via, row.reason) for row in found]


def test_a_customer_has_at_most_so_many_keys_and_people_decide_about_more(ledger):
    four = limits(largest=4)
    pairs = [("c1", "card:1"), ("c1", "card:2"), ("c2", "card:3")]
    link_within(ledger, four, *pairs)
    assert link_within(ledger, four, ("c1", "card:9")) == []
    assert ledger.read(lambda c: keys_of(c, "c1")) == ["c1", "card:1", "card:2", "card:9"]
    assert noted(ledger) == []
    assert link_within(ledger, four, ("card:1", "card:3"), ("c1", "card:10")) == []
    assert ledger.read(lambda c: keys_of(c, "c1")) == ["c1", "card:1", "card:2", "card:9"]
    assert ledger.read(lambda c: resolve(c, ["card:10"])) == "card:10"
    assert sorted(noted(ledger)) == [
        ("c1", "card:10", "card:10", "size"),
        ("card:1", "card:3", "card:3", "size"),
    ]
    assert not any("card:10" in (row.left, row.right) for row in rows(ledger, tables.links))


def test_links_of_one_call_count_against_the_limit(ledger):
    link_within(ledger, limits(largest=3), *((f"c{n}", f"c{n + 1}") for n in range(4)))
    assert ledger.read(lambda c: keys_of(c, "c0")) == ["c0", "c1", "c2"]
    assert ledger.read(lambda c: keys_of(c, "c3")) == ["c3", "c4"]
    assert noted(ledger) == [("c2", "c3", "c3", "size")]


def test_merged_customers_count_with_all_their_keys(ledger):
    link_within(ledger, limits(), ("c1", "card:1"), ("c2", "card:2"), ("c3", "card:3"))
    link_within(ledger, limits(largest=5), ("c1", "c2"), ("card:2", "card:3"))
    assert ledger.read(lambda c: keys_of(c, "c1")) == ["c1", "c2", "card:1", "card:2"]
    assert noted(ledger) == [("card:2", "card:3", "card:3", "size")]


def test_devices_do_not_count(ledger):
    three = limits(largest=3, largest_personal=3)
    nodes = [("c1", f"cookie:{n}") for n in range(5)]
    link_within(ledger, three, *nodes, ("c1", "email:a@b.it"))
    link_within(ledger, three, *(("c1", f"cookie:{n}") for n in range(5, 9)))
    link_within(ledger, three, ("c1", "card:1"))
    assert len(ledger.read(lambda c: keys_of(c, "c1"))) == 12
    assert noted(ledger) == []


def test_a_personal_identifier_that_is_known_merges_smaller_customers_only(ledger):
    three = limits(largest_personal=3)
    link_within(ledger, three, ("c1", "email:a@b.it"))
    link_within(ledger, three, ("c2", "email:a@b.it"))
    assert ledger.read(lambda c: keys_of(c, "c1")) == ["c1", "c2", "email:a@b.it"]
    assert link_within(ledger, three, ("c3", "email:a@b.it")) == []
    assert ledger.read(lambda c: resolve(c, ["c3"])) == "c3"
    assert noted(ledger) == [("c3", "email:a@b.it", "email:a@b.it", "personal")]


def test_an_identifier_with_rows_is_known_and_a_new_one_is_a_key_more(ledger):
    two = limits(largest_personal=2)
    link_within(ledger, two, ("c1", "card:1"))
    happened(ledger, "email:old@b.it")
    assert link_within(ledger, two, ("c1", "email:new@b.it"), ("c1", "email:old@b.it")) == []
    assert ledger.read(lambda c: keys_of(c, "c1")) == ["c1", "card:1", "email:new@b.it"]
    assert noted(ledger) == [("c1", "email:old@b.it", "email:old@b.it", "personal")]


def test_keys_of_one_customer_are_linked_whatever_its_size(ledger):
    link_within(ledger, limits(), ("c1", "card:1"), ("card:1", "card:2"))
    link_within(ledger, limits(largest=2), ("c1", "card:2"))
    assert len(rows(ledger, tables.links)) == 3 and noted(ledger) == []


def test_people_are_not_bound_by_the_limits(ledger):
    two = limits(largest=2, largest_personal=2)
    link_within(ledger, two, ("c1", "card:1"))
    for key in ("card:2", "email:a@b.it", "c2"):
        ledger.write_now(lambda c, key=key: links.link(c, two, ("c1", key), "they said so", NOW))
    assert len(ledger.read(lambda c: keys_of(c, "c1"))) == 5
    assert noted(ledger) == []


def _count_calls(monkeypatch, name, ran):
    original = getattr(statements, name)

    def counted(*given):
        ran.append(name)
        return original(*given)

    monkeypatch.setattr(statements, name, counted)


any_key = st.sampled_from(
    ["c1", "c2", "c3", "card:1", "card:2", "email:a", "cookie:1", "cookie:2", "cookie:3"]
)
one_pair = st.tuples(any_key, any_key)


@pytest.fixture(scope="module")
def two_ledgers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("links")
    opened = [Ledger(f"sqlite:///{folder / name}.db") for name in ("at once", "one by one")]
    yield opened
    for one in opened:
        one.close()


def _wipe(connection):
    for table in tables.metadata.sorted_tables:
        if table is not tables.meta:
            connection.execute(sa.delete(table))


def _who_and_why(ledger):
    known = {row.key: (row.customer_id, row.rank) for row in rows(ledger, tables.identities)}
    links = sorted(tuple(row) for row in rows(ledger, tables.links))
    order = {who: ledger.read(lambda c, who=who: keys_of(c, who)) for who, _ in known.values()}
    kept = (tables.events, tables.decisions, tables.contacts)
    return known, order, links, [whose(ledger, table) for table in kept]


@settings(max_examples=150, derandomize=True, deadline=None, database=None)
@given(
    events=st.dictionaries(any_key, st.integers(0, 3), max_size=5),
    decisions=st.lists(any_key, max_size=2, unique=True),
    facts=st.lists(any_key, max_size=2, unique=True),
    before=st.lists(one_pair, max_size=4),
    undone=st.integers(0, 6),
    pairs=st.lists(one_pair, max_size=9),
)
def test_many_links_at_once_come_to_the_same_as_one_by_one(
    two_ledgers, events, decisions, facts, before, undone, pairs
):
    for ledger in two_ledgers:
        ledger.write_now(_wipe)
        for key, days in events.items():
            happened(ledger, key, at=NOW - days * DAY)
        decided(ledger, *decisions)
        add(ledger, tables.customers, *map(person, facts))
        link_each(ledger, *before)
        held = sorted((row.left, row.right) for row in rows(ledger, tables.links))
        if undone < len(held):
            unlink(ledger, *held[undone])
    at_once, one_by_one = two_ledgers
    merged, each = link_at_once(at_once, *pairs), link_each(one_by_one, *pairs)
    assert _who_and_why(at_once) == _who_and_why(one_by_one)
    # Merges of losers without rows are not all told; they change nobody's features.
    assert [one for one in merged if one.loser_had_data] == [
        one for one in each if one.loser_had_data
    ]
    assert {*merged} <= {*each}
