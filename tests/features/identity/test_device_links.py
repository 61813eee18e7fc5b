"""People link a device with a customer, undo the link, and make it again."""

from __future__ import annotations

import pytest

from features.errors import IdentityUnknown
from features.identity import links
from features.identity.device_links import link_device, unlink_device
from features.identity.joining import join_keys
from features.identity.keys import KeyNormalizer
from features.identity.logins import Login
from features.ledger import tables
from tests.features.live import MINUTE, NOW, SHOP, add, customer, rows, stored

pytestmark = pytest.mark.databases("sqlite", "postgresql")

NORMALIZER = KeyNormalizer(SHOP)
KIOSK = "cookie:kiosk"


def link(ledger, holder, minute=0):
    at = NOW + minute * MINUTE
    pair = KIOSK, holder
    return ledger.write_now(lambda c: link_device(c, NORMALIZER, pair, "they said so", at))


def unlink(ledger, holder):
    return ledger.write_now(lambda c: unlink_device(c, (KIOSK, holder), "a mistake", NOW))


def log_in(ledger, *logins):
    each = [
        Login(KIOSK, tables.micros(NOW + n * MINUTE), f"e{n}", who, "an event") for n, who in logins
    ]
    ledger.write_now(lambda c: join_keys(c, NORMALIZER, {}, each, NOW))


def looked(ledger, *minutes, who=KIOSK, node=KIOSK):
    at = {n: NOW + n * MINUTE for n in minutes}
    add(ledger, tables.events, *(stored(f"v{n}", who, at[n], subject=node) for n in minutes))


def whose(ledger):
    found = sorted(rows(ledger, tables.events), key=lambda row: row.occurred_at)
    return [row.customer_id for row in found]


def test_a_device_of_nobody_is_the_customers_with_all_its_past(ledger):
    looked(ledger, -9, 9)
    done = link(ledger, "c1")
    assert done.changed and done.reassigned == []
    assert done.merge[:3] == ("c1", KIOSK, True)
    assert whose(ledger) == ["c1", "c1"]


def test_a_device_of_another_is_the_customers_from_now_on(ledger):
    log_in(ledger, (-20, "c1"))
    looked(ledger, -9, 9, who="c1")
    done = link(ledger, "c2")
    assert done.changed and done.merge == ("c2", "cookie:kiosk c2", False, None, None)
    assert done.reassigned == [("c1", "c2", NOW + 9 * MINUTE)]
    assert whose(ledger) == ["c1", "c2"]
    assert customer(ledger, KIOSK) == "c2"
    [candidate] = rows(ledger, tables.merge_candidates)
    assert (candidate.left, candidate.right, candidate.reason) == ("c1", "c2", "device")


def test_a_link_with_the_present_holder_changes_nothing(ledger):
    log_in(ledger, (-20, "c1"))
    before = rows(ledger, tables.logins)
    assert link(ledger, "c1") == (False, None, [])
    assert rows(ledger, tables.logins) == before


def test_an_undone_link_gives_the_rows_to_whoever_holds_the_device_without_it(ledger):
    log_in(ledger, (0, "c1"), (10, "c2"), (20, "c3"))
    looked(ledger, -5, 5, who="c1")
    looked(ledger, 15, who="c2", node="cookie:kiosk c2")
    looked(ledger, 25, who="c3", node="cookie:kiosk c3")
    customers, reassigned = unlink(ledger, "c2")
    assert customers == ["c2"]  # its node is nobody
    assert reassigned == [("c2", "c1", NOW + 15 * MINUTE)]
    assert whose(ledger) == ["c1", "c1", "c1", "c3"]
    customers, reassigned = unlink(ledger, "c1")
    assert sorted(customers) == ["c1", KIOSK]
    assert reassigned == [("c1", "c3", NOW - 5 * MINUTE)]
    assert whose(ledger) == ["c3"] * 4


def test_a_device_without_any_holder_left_is_its_own_customer(ledger):
    log_in(ledger, (0, "c1"), (10, "c2"))
    looked(ledger, 5, who="c1")
    looked(ledger, 15, who="c2", node="cookie:kiosk c2")
    unlink(ledger, "c1")
    assert whose(ledger) == ["c2", "c2"]
    unlink(ledger, "c2")
    assert whose(ledger) == [KIOSK, KIOSK]
    assert customer(ledger, KIOSK) == KIOSK


def test_a_link_that_is_made_again_holds_as_if_it_always_had(ledger):
    log_in(ledger, (0, "c1"), (10, "c2"), (20, "c3"))
    looked(ledger, -5, who="c1")
    looked(ledger, 15, who="c2", node="cookie:kiosk c2")
    unlink(ledger, "c2")
    unlink(ledger, "c1")
    assert whose(ledger) == ["c3", "c3"]
    assert link(ledger, "c2", minute=30).changed
    assert whose(ledger) == ["c2", "c2"]  # before the first login, too
    assert customer(ledger, KIOSK) == "c2"  # from the time of the link, c3 no more
    assert link(ledger, "c1", minute=40).changed
    assert whose(ledger) == ["c1", "c2"]
    assert customer(ledger, KIOSK) == "c1"


@pytest.mark.parametrize("holder", ["c9", "c2"])
def test_only_a_link_that_holds_can_be_undone(ledger, holder):
    log_in(ledger, (0, "c1"), (10, "c2"))
    unlink(ledger, "c2")
    with pytest.raises(IdentityUnknown, match="No link holds between"):
        unlink(ledger, holder)
    assert customer(ledger, KIOSK) == "c1"


def test_people_make_a_link_again_that_was_undone_before_there_were_logins(ledger):
    log_in(ledger, (0, "c1"))
    ledger.write_now(lambda c: links.unlink(c, (KIOSK, "c1"), "a mistake", NOW))
    looked(ledger, 5, who=KIOSK)
    assert link(ledger, "c1").changed
    assert whose(ledger) == ["c1"] and customer(ledger, KIOSK) == "c1"


def test_a_link_that_does_not_hold_is_refused_before_anything_is_written(ledger):
    log_in(ledger, (0, "c1"), (10, "c2"))
    looked(ledger, 15, who="c2", node="cookie:kiosk c2")
    ledger.write_now(lambda c: links.unlink(c, ("cookie:kiosk c2", "c2"), "a mistake", NOW))
    before = rows(ledger, tables.logins), whose(ledger)

    def refused(connection):  # other units of this transaction are committed
        with pytest.raises(IdentityUnknown):
            unlink_device(connection, (KIOSK, "c2"), "a mistake", NOW)

    ledger.write_now(refused)
    assert (rows(ledger, tables.logins), whose(ledger)) == before
