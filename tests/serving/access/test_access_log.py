"""Tests the access log: a use is there before it happens, its status after."""

from __future__ import annotations

from datetime import timedelta

import pytest

from serving.access.access_log import Access, append_access, read_accesses, set_status

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def test_uses_are_read_the_newest_first_with_their_status(ledger, now):
    forget = Access(now, "12ab34cd", "dpo", "10.0.0.7", "POST /v1/forget")
    link = Access(now + timedelta(hours=1), None, "no key", "127.0.0.1", "POST /v1/link")
    serials = [ledger.write_now(lambda c, one=one: append_access(c, one)) for one in (forget, link)]
    ledger.write_now(lambda c: set_status(c, serials[0], 404))
    read = ledger.read(lambda c: read_accesses(c, None, 10))
    assert read == [link, forget._replace(status=404)]
    assert ledger.read(lambda c: read_accesses(c, None, 1)) == [link]
    assert ledger.read(lambda c: read_accesses(c, now + timedelta(minutes=1), 10)) == [link]
