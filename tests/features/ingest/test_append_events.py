"""Appends events: new ones once, each to its customer, and links the keys that they name."""

from dataclasses import replace
from datetime import timedelta

import pytest

from features.business.domain import Domain
from features.identity.keys import KeyNormalizer
from features.identity.links import restated_by, unlink
from features.ingest.append_events import append_events
from features.ingest.erase_rows import begin_erasure
from features.journeys.events import parse_event
from features.ledger import tables
from tests.features.live import NOW, SHOP, event, rows

pytestmark = pytest.mark.databases("sqlite", "postgresql")
NORMALIZER = KeyNormalizer(SHOP)


@pytest.fixture
def append(ledger):
    """Appends events in one transaction."""

    def appended(*sent, **more):
        events = [parse_event(one, SHOP, NORMALIZER, NOW) for one in sent]
        return ledger.write_now(lambda c: append_events(c, NORMALIZER, events, NOW, **more))

    return appended


def test_new_events_are_given_by_customer_and_kept(append, ledger):
    done = append(event(1, "ann"), event(2, "bob"), event(3, "ann"))
    ids = {key: [one.event_id for one in new] for key, new in done.new_events.items()}
    assert ids == {"ann": ["e1", "e3"], "bob": ["e2"]}
    assert {row.event_id: row.customer_id for row in rows(ledger, tables.events)} == {
        "e1": "ann",
        "e2": "bob",
        "e3": "ann",
    }


def test_the_same_event_is_a_duplicate_and_another_with_its_id_is_refused(append, ledger):
    append(event(1, "ann"))
    later = event(1, "ann", at=NOW - timedelta(hours=1))
    done = append(event(1, "ann"), later, event(2, "ann"))
    assert ([*done.new_events], done.duplicates, [*done.refused]) == (
        ["ann"],
        {0: "ann"},
        [1],
    )
    assert "event_id is 'e1', which is there with another content" in str(done.refused[1])
    assert len(rows(ledger, tables.events)) == 2


def test_a_live_event_keeps_when_it_was_first_received_and_an_imported_one_does_not(append, ledger):
    append(event(1, "ann"), imported=True)
    append(event(1, "ann"), event(2, "ann"))
    append(event(2, "ann"), imported=True)
    kept = {row.event_id: row.received_at for row in rows(ledger, tables.events)}
    assert kept == {"e1": None, "e2": NOW}


def test_keys_that_an_event_names_together_merge_their_customers(append):
    append(event(1, "cookie:x"), event(2, "ann"))
    done = append(event(3, "ann", "cookie:x"))
    assert restated_by(done.merges) == {"ann"}
    assert [merge.loser for merge in done.merges] == ["cookie:x"]
    assert [*done.new_events] == ["ann"]


def test_a_repeated_event_links_the_keys_that_it_did_not_name_before(append, ledger):
    append(event(1, "card:7"), event(2, "ann"), event(3, "bob", "cookie:x"))
    done = append(event(1, "ann", "card:7", "cookie:x"), event(3, "cookie:x"))
    assert (done.new_events, done.duplicates) == ({}, {0: "card:7"})
    assert [(one.survivor, one.loser) for one in done.merges] == [("ann", "card:7")]
    assert [row.event_id for row in rows(ledger, tables.logins)] == ["e3"]
    assert append(event(1, "card:7", "ann")).merges == []


def test_a_repeated_event_does_not_link_again_what_was_unlinked(append, ledger):
    append(event(1, "ann"), event(2, "card:7"), event(3, "ann", "card:7"))
    ledger.write_now(lambda c: unlink(c, ("ann", "card:7"), "a mistake", NOW))
    done = append(event(3, "card:7", "ann"))
    assert (done.duplicates, done.merges) == ({0: "ann"}, [])


def test_a_consent_that_was_stored_in_another_spelling_is_a_duplicate(ledger):
    domain = Domain(name="x", currency="eur", channels=("web",), vocabulary="all")
    sent = event(1, "ann", kind="consent_withdrawn", purpose="MARKETING", for_channel="Web ")
    now = parse_event(sent, domain, NORMALIZER, NOW)
    assert now.properties == {"purpose": "marketing", "for_channel": "web"}
    other = parse_event(sent | {"properties": {"purpose": "news"}}, domain, NORMALIZER, NOW)
    former = replace(now, properties=sent["properties"])  # stored before consents were spelled
    ledger.write_now(lambda c: append_events(c, NORMALIZER, [former], NOW))
    done = ledger.write_now(lambda c: append_events(c, NORMALIZER, [now, other], NOW))
    assert (done.duplicates, [*done.refused]) == ({0: "ann"}, [1])


def test_a_device_of_a_forgotten_customer_is_of_whoever_logs_in_on_it_from_then_on(append, ledger):
    append(event(1, "ann", "cookie:x", at=NOW - timedelta(hours=3)))
    ledger.write_now(lambda c: begin_erasure(c, ["ann"], NOW))
    before, login, after = (NOW - timedelta(hours=n) for n in (2, 1, 0))
    done = append(
        event(2, "cookie:x", at=login),  # nobody has logged in yet
        event(3, "bob", "cookie:x", at=login),
        event(4, "cookie:x", at=after),
        event(5, "cookie:x", at=before),
    )
    assert sorted(done.refused) == [0, 3]
    assert {key: [one.event_id for one in new] for key, new in done.new_events.items()} == {
        "bob": ["e3", "e4"]
    }
    assert [*append(event(6, "cookie:x", at=before)).refused] == [0]
    assert [*append(event(2, "cookie:x", at=login)).new_events] == ["bob"]


def test_a_login_that_is_refused_opens_no_device_of_a_forgotten_customer(append, ledger):
    append(event(1, "ann", "cookie:x"), event(2, "bob"))
    ledger.write_now(lambda c: begin_erasure(c, ["ann"], NOW))
    done = append(event(2, "bob", "cookie:x", at=NOW), event(3, "cookie:x", at=NOW))
    assert sorted(done.refused) == [0, 1]
    assert [*append(event(3, "cookie:x", at=NOW)).refused] == [0]


def test_an_event_that_is_refused_is_no_duplicate_when_it_comes_twice(append, ledger):
    append(event(1, "ann", "cookie:x"), event(2, "bob", "cookie:x", at=NOW))
    ledger.write_now(lambda c: begin_erasure(c, ["ann"], NOW))
    early = event(3, "cookie:x", at=NOW - timedelta(hours=1))
    done = append(early, early, event(4, "cookie:x", at=NOW), event(4, "cookie:x", at=NOW))
    assert sorted(done.refused) == [0, 1] and [*done.duplicates] == [3]
