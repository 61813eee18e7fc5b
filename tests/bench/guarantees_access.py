"""Measures who is answered: every path of a server, asked without a key and with each kind of key.

The table is made from the code: each route declares its scope (`serving.access.scopes`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from serving.access.keys import add_key, revoke_key
from serving.access.scopes import ANY_KEY, OPEN, UNKNOWN, KeyScope, Need, need_of, scopes_of
from serving.service import NextBestAction
from tests.bench.guarantees_home import serving_shop
from tests.bench.guarantees_report import Figure, none_of, out
from tests.server import Server, ledger_of

PATHS = [*scopes_of(NextBestAction), "/v1/made-up", "/made-up", "/v1/forget%0A"]
NO_KEY, WRONG, REVOKED = "no key", "wrong", "revoked"
SENT = [NO_KEY, WRONG, REVOKED, *KeyScope]
ASK = {"customer_id": "c1", "channel": "app"}
BODIES = {"/v1/decide": ASK, "/v1/customer": {"customer_id": "c1"}, "/v1/lift": {}}


def run() -> list[Figure]:
    """Ask a server of its own, and print the table of statuses."""
    with serving_shop({"c1": None}) as (server, home):
        keys = make_keys(server, home.path)
        statuses = {(path, sent): ask(server, path, keys[sent])[0] for path, sent in cells()}
    table = Table("path", "needs", *SENT, title="Status of each path, by the key that was sent")
    for path in PATHS:
        row = [str(statuses[path, sent]) for sent in SENT]
        table.add_row(path, str(need_of(path, scopes_of(NextBestAction))), *row)
    out.print(table)
    wrong = [cell for cell, status in statuses.items() if not is_right(*cell, status)]
    subject = "paths x keys with another status than their scope asks for"
    return [none_of(subject, len(wrong), len(statuses), ", ".join(map(str, wrong[:3])))]


def cells() -> Iterator[tuple[str, str]]:
    """List each path with each kind of key."""
    return ((path, sent) for path in PATHS for sent in SENT)


def make_keys(server: Server, home: Path) -> dict[str, str]:
    """Make a key of each kind, and wait until the server knows them."""
    now = datetime.now(UTC)
    with ledger_of(home) as ledger:
        revoked = add_key(ledger, "revoked", list(KeyScope), now)
        revoke_key(ledger, "revoked", now)
        only = {scope.value: add_key(ledger, f"only-{scope}", [scope], now) for scope in KeyScope}
    last = [*only.values()][-1]
    server.wait_for(lambda: ask(server, "/docs.json", revoked)[0] == 401, 5)
    server.wait_for(lambda: ask(server, "/docs.json", last)[0] == 200, 5)
    return {NO_KEY: "", WRONG: last[:-1] + "_", REVOKED: revoked, **only}


def is_right(path: str, sent: str, status: int) -> bool:
    """Say if a status is that of the scope which a path needs."""
    need: Need = need_of(path, scopes_of(NextBestAction))
    if need == OPEN:
        return status == 200
    if sent in (NO_KEY, WRONG, REVOKED):
        return status == 401
    if need == UNKNOWN:
        return status == 404
    if need in (sent, ANY_KEY):
        return status not in (401, 403, 404)
    return status == 403


def ask(server: Server, path: str, token: str = "", host: str = "") -> tuple[int, Any]:
    """Ask a path as its clients do, with a key and at another address of this machine."""
    connection = server.connect()
    connection.host = host or connection.host
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    method = "POST" if path.startswith("/v1/") else "GET"
    body = json.dumps(BODIES.get(path, {})) if method == "POST" else None
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status == 401:
        assert answer.getheader("www-authenticate") == "Bearer"
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text.decode()
