"""Personal data and secrets stay out of the server's logs, metrics and files that others read."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any

import pytest

from tests import planted
from tests.server import Server, metrics_of

pytestmark = pytest.mark.server
PERSON = {"customer_id": planted.CUSTOMER, "identifiers": [planted.CARD, f"email:{planted.EMAIL}"]}


def _event(number: int, **more: Any) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    named = {"event_id": f"{planted.CUSTOMER}-{number}", "occurred_at": at, "channel": "app"}
    return {**named, "type": "visit", **PERSON, **more}


def _bodies() -> list[tuple[str, object]]:
    """Requests about the planted person: some are answered, others refused at each step."""
    words = planted.FREE_TEXT
    return [
        ("/v1/decide", {**PERSON, "channel": "app"}),
        ("/v1/decide", {**PERSON, "channel": words}),
        ("/v1/decide", {**PERSON, "channel": "app", "context": {planted.ATTRIBUTE: words}}),
        ("/v1/decide", {**PERSON, "channel": "app", words: planted.TOKEN}),
        ("/v1/decide", {**PERSON, "channel": "app", "slots": words}),
        ("/v1/decide", {**PERSON, "channel": "app", "decision_id": words}),
        ("/v1/decide", {"identifiers": [planted.EMAIL, words], "channel": "app"}),
        ("/v1/events", {"events": [_event(1), _event(2, type=words)]}),
        ("/v1/events", {"events": [_event(3, properties={words: planted.EMAIL})]}),
        ("/v1/events", {"events": [_event(4, occurred_at=words), _event(5, channel=words)]}),
        ("/v1/attributes", {**PERSON, "attributes": {"age_group": planted.ATTRIBUTE}}),
        (
            "/v1/attributes",
            {
                "customer_id": planted.CUSTOMER,
                "attributes": {"age_group": planted.ATTRIBUTE, planted.EMAIL: 1},
            },
        ),
        ("/v1/outcomes", {"decision_id": planted.CUSTOMER, "outcome": words}),
        ("/v1/outcomes", {"decision_id": words, "outcome": "accepted", "action_id": words}),
        ("/v1/explain", {"decision_id": planted.EMAIL}),
        ("/v1/replay", {"decision_id": words}),
        ("/v1/customer", PERSON),
        ("/v1/customer", {"identifier": planted.CARD}),
        ("/v1/link", {"keys": [planted.CARD, planted.EMAIL, words]}),
        ("/v1/merge_candidates", {"candidate_id": planted.EMAIL, "decision": words}),
        ("/v1/forget", {"customer_id": planted.CUSTOMER}),
        ("/v1/forget", {"customer_id": planted.CUSTOMER}),
        (f"/v1/{planted.CUSTOMER}", PERSON),
        (f"/{planted.EMAIL}/{planted.TOKEN}", PERSON),
        ("/v1/decide", f'{{"customer_id": "{planted.EMAIL}", '.encode()),
        ("/v1/decide", f'["{words}"]'.encode()),
        ("/v1/decide", f'{{"customer_id": "{words}\udcff"}}'.encode(errors="surrogateescape")),
    ]


def test_what_callers_send_is_in_no_log_and_no_metric(first_day_server: Server):
    statuses = {first_day_server.post(path, body)[0] for path, body in _bodies()}
    assert {200, 400, 404} <= statuses and max(statuses) < 500
    connection = HTTPConnection("127.0.0.1", first_day_server.port, timeout=30)
    connection.request(
        "POST",
        f"/v1/decide?token={planted.TOKEN}",
        json.dumps({**PERSON, "channel": planted.FREE_TEXT}),
        {"content-type": "application/json", "authorization": f"Bearer {planted.TOKEN}"},
    )
    connection.getresponse().read()
    connection.close()
    metrics = metrics_of(first_day_server)
    assert "nba_decisions_total{" in metrics
    planted.check(metrics, first_day_server.log)


def test_files_and_folders_of_the_home_belong_to_their_owner_only(first_day_server: Server):
    home = first_day_server.log.parent
    of_the_tests = {first_day_server.log, home / "bentoml"}
    others = {
        str(path.relative_to(home)): oct(stat.S_IMODE(path.stat().st_mode))
        for path in [home, *home.rglob("*")]
        if not of_the_tests & {path, *path.parents} and path.stat().st_mode & 0o077
    }
    assert others == {}
    assert (home / "ledger.db-wal").exists()
