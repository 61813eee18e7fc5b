"""The gate: middleware that asks for a key, checks its scope, and writes the access log.

Without any key in the ledger, requests that arrive at a loopback address need none, and all others
are refused, whoever started the server and on whichever address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import partial
from http import HTTPStatus

from features.clock import monotonic_s, utc_now
from features.errors import LedgerDown, NbaError, Overloaded, quoted
from features.ledger.ledger import Ledger
from features.settings import REQUESTS_PER_S
from serving.access.access_log import NO_KEY, Access, append_access, set_status
from serving.access.addresses import arrives_at_loopback, host_of, names_this_machine
from serving.access.asgi import App, Connection, Message, Receive, Send, header, send_json
from serving.access.keys import Key, KeyRing, read_keys
from serving.access.load_shedding import RETRY_AFTER_S
from serving.access.rate_limits import (
    FAILURES_PER_S,
    RateLimits,
    retry_after,
    too_many_failures,
    too_many_of,
)
from serving.access.scopes import (
    ANY_KEY,
    LOGGED,
    OPEN,
    PROBES,
    UNKNOWN,
    KeyScope,
    Need,
    need_of,
    unknown_path,
)

_GRANTED = "nba.scopes"  # key of an ASGI connection: the scopes that its request has
_BEARER = "bearer "
_ASK = [(b"www-authenticate", b"Bearer")]
HOW = "Send 'Authorization: Bearer KEY'; 'nba keys add' makes a key."


class AccessControl:
    """The keys that a server process knows, their rate limits, and the ledger of its access log.

    Parameters
    ----------
    origins
        Origins of web pages that may call. Without keys, `Host` may also be one of their hosts.
    requests_per_s
        Requests of one key in a second that this process answers.
    this_machine_only
        Refuse what did not arrive at a loopback address, with a key, too.
    """

    def __init__(
        self,
        origins: Collection[str] = (),
        requests_per_s: float = REQUESTS_PER_S,
        this_machine_only: bool = False,
    ) -> None:
        self.this_machine_only = this_machine_only
        self.keys = KeyRing()
        self.hosts = frozenset(host_of(origin.partition("://")[2]) for origin in origins)
        self.limits = RateLimits(requests_per_s)
        self.failures = RateLimits(FAILURES_PER_S)
        self._ledger: Ledger | None = None

    @property
    def ledger(self) -> Ledger:
        """The opened ledger."""
        if self._ledger is None:
            raise RuntimeError("requests are answered before the ledger was opened")
        return self._ledger

    @property
    def is_open(self) -> bool:
        """True once the keys have been read."""
        return self._ledger is not None

    def open(self, ledger: Ledger) -> None:
        """Read the keys for the first time.

        Raises
        ------
        LedgerDown
            If the database does not answer. A server that does not know the keys must not start.
        """
        self.keys = KeyRing(ledger.read(read_keys))
        self._ledger = ledger

    def refresh(self) -> None:
        """Read the keys again."""
        self.keys = KeyRing(self.ledger.read(read_keys))


class AccessMiddleware:
    """ASGI middleware; stands outside of `ErrorMiddleware`.

    Parameters
    ----------
    control
    scopes
        What each path needs, see `scopes_of`.
    """

    def __init__(self, app: App, control: AccessControl, scopes: Mapping[str, Need]) -> None:
        self._app = app
        self._control = control
        self._scopes = scopes

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        if connection["type"] == "websocket":  # no route is one
            await send({"type": "websocket.close", "code": 1008})
        elif connection["type"] == "http":
            await self._request(connection, receive, send)
        else:
            await self._app(connection, receive, send)

    async def _request(self, connection: Connection, receive: Receive, send: Send) -> None:
        need = need_of(connection["path"], self._scopes)
        if not self._control.is_open:
            await (self._app if need == OPEN else _starting)(connection, receive, send)
            return
        if self._control.this_machine_only and not arrives_at_loopback(connection):
            await _refuse(send, HTTPStatus.FORBIDDEN, _elsewhere())
            return
        keys, key = self._control.keys, None
        if keys:
            key = keys.find(token_of(connection))
            connection[_GRANTED] = key.scopes if key else frozenset()
        else:
            here = arrives_at_loopback(connection)
            known = names_this_machine(connection, self._control.hosts)
            connection[_GRANTED] = frozenset(KeyScope if here and known else ())
            if here and not known and connection["path"] not in PROBES:
                await _refuse(send, HTTPStatus.FORBIDDEN, _other_host(connection))
                return
        if need != OPEN and keys and (again := self._limit(key)):
            await _refuse(send, HTTPStatus.TOO_MANY_REQUESTS, *again)
        elif need != OPEN and not (key or connection[_GRANTED]):
            await _refuse(send, HTTPStatus.UNAUTHORIZED, _no_key(connection, bool(keys)), _ASK)
        elif need == UNKNOWN:
            await _refuse(send, HTTPStatus.NOT_FOUND, unknown_path(connection["path"]))
        elif need not in (OPEN, ANY_KEY) and need not in connection[_GRANTED]:
            await _refuse(send, HTTPStatus.FORBIDDEN, _other_scope(connection, key, need))
        elif need in LOGGED:
            await self._logged(connection, receive, send, key)
        else:
            await self._app(connection, receive, send)

    def _limit(self, key: Key | None) -> tuple[str, list[tuple[bytes, bytes]]] | None:
        """Return the sentence and the header of a refusal, if the key has sent too much."""
        limits = self._control.limits if key else self._control.failures
        wait_s = limits.wait_s(key.key_id if key else NO_KEY, monotonic_s())
        if not wait_s:
            return None
        said = too_many_of(key.name, limits.per_s, wait_s) if key else too_many_failures()
        return said, retry_after(wait_s)

    async def _logged(
        self, connection: Connection, receive: Receive, send: Send, key: Key | None
    ) -> None:
        """Answer a request between two writes to the access log; without the first, refuse it."""
        access = _access(connection, key, utc_now())
        ledger, status = self._control.ledger, 0
        try:
            serial = await ledger.write(partial(append_access, access=access))
        except (LedgerDown, Overloaded) as error:
            again = retry_after(RETRY_AFTER_S)
            await _refuse(send, HTTPStatus.SERVICE_UNAVAILABLE, str(error), again)
            return

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(connection, receive, note_status)
        except asyncio.CancelledError:  # by BentoML, which then answers that it took too long
            status = status or HTTPStatus.GATEWAY_TIMEOUT.value
            raise
        except Exception:
            status = status or HTTPStatus.INTERNAL_SERVER_ERROR.value
            raise
        finally:
            if status:  # else the caller hung up before the whole request had come
                kept = partial(set_status, serial=serial, status=status)
                await ledger.write(kept, begun=True)


def may(connection: Connection, scope: KeyScope) -> bool:
    """Say if the request of this connection has a scope; without a gate before it, it has none."""
    return scope in connection.get(_GRANTED, frozenset())


def bearer(token: str) -> dict[str, str]:
    """Make the header with which a caller sends a token; none for an empty token."""
    return {"authorization": f"Bearer {token}"} if token else {}


def token_of(connection: Connection) -> str:
    """Read the token of `Authorization: Bearer`; empty if there is none."""
    sent = header(connection, b"authorization")
    return sent[len(_BEARER) :].strip() if sent[: len(_BEARER)].lower() == _BEARER else ""


def _access(connection: Connection, key: Key | None, now: datetime) -> Access:
    client = (connection.get("client") or ("",))[0]
    request = f"{connection['method']} {connection['path']}"
    name, key_id = (key.name, key.key_id) if key else (NO_KEY, None)
    return Access(now, key_id, name, client, request)


async def _starting(_: Connection, __: Receive, send: Send) -> None:
    sentence = "The server is starting. Send the same again in a few seconds."
    await _refuse(send, HTTPStatus.SERVICE_UNAVAILABLE, sentence, [(b"retry-after", b"5")])


async def _refuse(
    send: Send, status: HTTPStatus, sentence: str, more: list[tuple[bytes, bytes]] | None = None
) -> None:
    await send_json(send, status, {"error": sentence}, more or ())


def _no_key(connection: Connection, keys_exist: bool) -> str:
    if not keys_exist:
        happened = "This server has no keys yet, so it answers on its own machine only."
        return str(NbaError(happened, expected="a key", remedy="Run 'nba keys add' there."))
    if not header(connection, b"authorization"):
        return str(NbaError("No key was sent.", expected="a key", remedy=HOW))
    happened = "The key that was sent is unknown or revoked."
    return str(NbaError(happened, expected="a key that 'nba keys list' names", remedy=HOW))


def _elsewhere() -> str:
    return str(
        NbaError(
            "The clock of this server is simulated, so it answers on its own machine only.",
            expected="a request to a loopback address such as 127.0.0.1, not through a proxy",
            remedy="Call it there; without NBA_CLOCK=simulated, a server can be opened to others.",
        )
    )


def _other_host(connection: Connection) -> str:
    return str(
        NbaError(
            f"Host is {quoted(header(connection, b'host'))}, and this server has no keys yet.",
            expected="localhost or 127.0.0.1, or the host of an origin that NBA_ORIGINS lists",
            remedy="Call it by one of these, or run 'nba keys add': with keys, any host will do.",
        )
    )


def _other_scope(connection: Connection, key: Key | None, need: Need) -> str:
    name = quoted(key.name) if key else "This request"
    scopes = ", ".join(sorted(key.scopes)) if key else "none"
    return str(
        NbaError(
            f"The key {name} has the scopes {scopes}.",
            expected=f"{need}, which {quoted(connection['path'])} needs",
            remedy="Send a key with that scope.",
        )
    )
