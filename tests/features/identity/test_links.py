"""Many identifiers, one customer; and two again, if that was a mistake."""

import pytest

from features.errors import IdentityUnknown
from features.identity import links
from features.identity.keys import KeyNormalizer
from features.identity.links import Merge, keys_of, links_of, resolve_each, restated_by
from features.ledger import tables
from tests.features.live import DAY, NOW, SHOP, add, customer, decision, rows

pytestmark = pytest.mark.databases("sqlite", "postgresql")

NORMALIZER = KeyNormalizer(SHOP)


def link(ledger, *pair, again=False, cause="they said so", at=NOW):
    merged = ledger.write_now(lambda c: links.link(c, NORMALIZER, pair, cause, at, again))
    return merged and merged[:2]


def link_each(ledger, *pairs):
    return [link(ledger, *pair) for pair in pairs]


def unlink(ledger, *pair, at=NOW):
    return ledger.write_now(lambda c: links.unlink(c, pair, "a mistake", at))


def keys(ledger, customer_id):
    return ledger.read(lambda connection: keys_of(connection, customer_id))


def happened(ledger, *subjects):
    """One event and one decision under each key."""
    for subject in subjects:
        who = {"customer_id": customer(ledger, subject), "subject": subject}
        what = {"type": "view", "channel": "web", "properties": "{}", "occurred_at": NOW}
        add(ledger, tables.events, {**who, **what, "event_id": f"e-{subject}"})
        add(ledger, tables.decisions, decision(subject, subject, who["customer_id"]))


def whose(ledger):
    """The customer of each subject of events, checked to be the same as of decisions."""
    found = [
        {row.subject: row.customer_id for row in rows(ledger, table)}
        for table in (tables.events, tables.decisions)
    ]
    assert found[0] == found[1]
    return found[0]


def test_a_stranger_is_kept_under_the_first_key(ledger):
    assert customer(ledger, "cookie:x", "cookie:y") == "cookie:x"
    assert keys(ledger, "cookie:x") == ["cookie:x"]


def test_the_first_key_we_know_decides(ledger):
    link_each(ledger, ("c1", "card:1"), ("c2", "card:2"))
    assert customer(ledger, "cookie:new", "card:2", "card:1") == "c2"
    assert customer(ledger, "card:1", "card:2") == "c1"


def test_a_key_is_compared_as_it_is_written(ledger):
    link(ledger, "c1", "card:1")
    assert customer(ledger, "card:1 OR 1=1") == "card:1 OR 1=1"
    assert customer(ledger, "CARD:1") == "CARD:1"


@pytest.mark.parametrize("number", [0, 3, 70_000])
def test_any_number_of_keys_is_resolved_on_any_database(ledger, number):
    link(ledger, "c1", "card:7")
    asked = [f"card:{one}" for one in range(number)] + ["card:7"]

    def few_variables(connection):
        if connection.dialect.name == "postgresql":  # takes 65,535, however it was built
            return resolve_each(connection, asked)
        limited = connection.connection.driver_connection
        before = limited.setlimit(9, 32_766)  # SQLITE_LIMIT_VARIABLE_NUMBER as it comes
        try:
            return resolve_each(connection, asked)
        finally:
            limited.setlimit(9, before)

    assert ledger.read(few_variables) == {"card:7": "c1"}


@pytest.mark.parametrize(
    ("pair", "survivor"),
    [
        (("cookie:1", "email:a@b.it"), "email:a@b.it"),
        (("email:a@b.it", "c1"), "c1"),
        (("cookie:1", "c1"), "c1"),
        (("c2", "c1"), "c2"),  # the one that was heard of first
        (("card:1", "email:a@b.it"), "card:1"),
    ],
)
def test_the_best_name_survives_a_merge_and_of_equals_the_oldest(ledger, pair, survivor):
    happened(ledger, *pair)
    assert link(ledger, *pair) == (survivor, next(key for key in pair if key != survivor))
    assert set(whose(ledger).values()) == {survivor}
    assert keys(ledger, survivor)[0] == survivor


def test_a_chain_of_links_is_one_customer_by_its_best_name(ledger):
    happened(ledger, "cookie:1", "cookie:2", "email:a@b.it", "c1")
    link_each(
        ledger, ("cookie:1", "cookie:2"), ("cookie:2", "email:a@b.it"), ("email:a@b.it", "c1")
    )
    assert set(whose(ledger).values()) == {"c1"}
    assert keys(ledger, "c1") == ["c1", "email:a@b.it", "cookie:1", "cookie:2"]


def test_two_chains_become_one(ledger):
    link_each(ledger, ("c1", "card:1"), ("c2", "card:2"))
    assert link(ledger, "card:2", "card:1") == ("c1", "c2")
    assert set(
        ledger.read(lambda c: resolve_each(c, ["c1", "c2", "card:1", "card:2"])).values()
    ) == {"c1"}


def test_a_link_that_is_there_or_with_oneself_merges_nobody(ledger):
    link_each(ledger, ("c1", "card:1"), ("c1", "card:2"))
    assert (
        link_each(ledger, ("c1", "card:1"), ("card:1", "c1"), ("c1", "c1"), ("card:1", "card:2"))
        == [None] * 4
    )
    assert len(rows(ledger, tables.links)) == 3


def test_undoing_a_link_gives_each_side_what_happened_under_its_keys(ledger):
    happened(ledger, "c1", "card:1", "c2", "card:2")
    link_each(ledger, ("c1", "card:1"), ("c2", "card:2"), ("card:1", "card:2"))
    happened(ledger, "cookie:9")
    link(ledger, "cookie:9", "card:2")
    assert set(whose(ledger).values()) == {"c1"}
    assert unlink(ledger, "card:2", "card:1") == ["c1", "c2"]
    ones, others = ["c1", "card:1"], ["c2", "card:2", "cookie:9"]
    assert whose(ledger) == dict.fromkeys(ones, "c1") | dict.fromkeys(others, "c2")
    assert (keys(ledger, "c1"), keys(ledger, "c2")) == (ones, others)


def test_the_side_without_the_name_is_named_anew(ledger):
    happened(ledger, "cookie:1", "email:a@b.it", "cookie:2")
    link_each(ledger, ("cookie:1", "email:a@b.it"), ("cookie:1", "cookie:2"))
    assert unlink(ledger, "cookie:1", "email:a@b.it") == ["email:a@b.it", "cookie:1"]
    assert whose(ledger)["cookie:2"] == "cookie:1"


def test_what_hangs_together_otherwise_is_not_parted(ledger):
    link_each(ledger, ("c1", "card:1"), ("card:1", "card:2"), ("c1", "card:2"))
    happened(ledger, "card:1", "card:2")
    assert unlink(ledger, "c1", "card:1") == []
    assert set(whose(ledger).values()) == {"c1"}
    assert unlink(ledger, "c1", "card:2") == ["c1", "card:1"]
    assert set(whose(ledger).values()) == {"card:1"}


def test_a_middle_that_is_parted_leaves_the_ends_where_their_links_are(ledger):
    happened(ledger, "a", "b", "c", "d")
    link_each(ledger, ("a", "b"), ("b", "c"), ("c", "d"))
    assert unlink(ledger, "b", "c") == ["a", "c"]
    assert whose(ledger) == {"a": "a", "b": "a", "c": "c", "d": "c"}


def test_a_link_that_was_undone_is_made_again_by_people_only(ledger):
    link(ledger, "c1", "card:1", cause="event e1")
    unlink(ledger, "c1", "card:1")
    assert link(ledger, "c1", "card:1", cause="event e2") is None
    assert customer(ledger, "card:1") == "card:1"
    assert link(ledger, "card:1", "c1", again=True) == ("c1", "card:1")
    undone, again = sorted(rows(ledger, tables.links), key=lambda row: row.linked_at)
    assert (undone.cause, undone.undone_cause) == ("event e1", "a mistake")
    assert (again.cause, again.undone_at, again.undone_cause) == ("they said so", None, None)
    assert unlink(ledger, "c1", "card:1") == ["c1", "card:1"]


def test_a_link_of_another_pair_still_joins_what_was_parted(ledger):
    link_each(ledger, ("c1", "card:1"), ("c2", "card:2"))
    unlink(ledger, "c1", "card:1")
    assert link(ledger, "card:1", "c2") == ("c2", "card:1")
    assert keys(ledger, "c1") == ["c1"]


@pytest.mark.parametrize("pair", [("c1", "c9"), ("c8", "c9"), ("c1", "card:2"), ("c1", "c1")])
def test_only_a_link_that_holds_can_be_undone(ledger, pair):
    link_each(ledger, ("c1", "card:1"), ("card:1", "card:2"))
    with pytest.raises(IdentityUnknown, match="No link holds between .*/v1/customer"):
        unlink(ledger, *pair)


def test_a_link_is_undone_once(ledger):
    link(ledger, "c1", "card:1")
    unlink(ledger, "c1", "card:1")
    with pytest.raises(IdentityUnknown):
        unlink(ledger, "card:1", "c1", at=NOW + DAY)
    [row] = rows(ledger, tables.links)
    assert (row.undone_at, row.undone_cause) == (NOW, "a mistake")


def test_links_tell_why_and_since_when_the_undone_ones_too(ledger):
    link(ledger, "c1", "card:1", cause="event e7", at=NOW)
    link(ledger, "card:2", "c1", cause="told an agent", at=NOW - DAY)
    link(ledger, "c2", "card:3")
    unlink(ledger, "c1", "card:1", at=NOW + DAY)
    told = ledger.read(lambda c: links_of(c, ["c1"]))
    assert [(row.left, row.right, row.cause) for row in told] == [
        ("c1", "card:2", "told an agent") if "c1" < "card:2" else ("card:2", "c1", "told an agent"),
        ("c1", "card:1", "event e7"),
    ]
    assert [row.undone_at for row in told] == [None, NOW + DAY]


def test_the_customers_of_a_chain_of_merges_gain_what_the_last_survivor_keeps():
    chain = [Merge("b", "c", True), Merge("a", "b", False), Merge("x", "y", False)]
    assert restated_by(chain) == {"a"}
    assert restated_by([]) == set()
