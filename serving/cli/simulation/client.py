"""An HTTP client of a server: connections that stay open, and requests that are sent again.

Every request of a simulation names its own id (`event_id`, `decision_id`, `outcome_id`), so a
request that is sent twice counts once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from features.errors import InvalidSetting
from serving.access.gate import bearer

TIMEOUT_S = 30
TRIES = 6  # of one request that the server is too busy for, or whose connection broke
LONGEST_PAUSE_S = 5.0
AGAIN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
START = (
    "NBA_CLOCK=simulated NBA_DOMAIN=features/domains/world.yaml nba serve "
    "(shop.yaml for --world shop)"
)

AS_IT_SAYS = "Do what the answer says, and run the command again."

T = TypeVar("T")


class ServerClient:
    """One connection to a server.

    Parameters
    ----------
    url
        Such as ``http://localhost:3000``.
    key
        A key of the server, if it needs one.
    pause
        Waits so many seconds before a request is sent again.

    Raises
    ------
    InvalidSetting
        If ``url`` is no address.
    """

    def __init__(
        self, url: str, key: str = "", pause: Callable[[float], None] = time.sleep
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not _has_host(parts):
            raise InvalidSetting(
                f"url is {url!r}.",
                expected="an address such as http://localhost:3000",
                remedy="Correct --url.",
            )
        self.url = url.rstrip("/")
        self._path, self._pause = parts.path.rstrip("/"), pause
        self._headers = {"content-type": "application/json", **bearer(key)}
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.netloc, timeout=TIMEOUT_S)

    def post(self, path: str, body: Any, remedy: str = AS_IT_SAYS) -> Any:
        """Send a JSON body and return the parsed answer.

        Parameters
        ----------
        remedy
            What to do if the server refuses it.

        Raises
        ------
        InvalidSetting
            If the server does not answer, or answers with an error, which is quoted.
        """
        status, text = self._ask("POST", path, json.dumps(body))
        if status != HTTPStatus.OK:
            raise InvalidSetting(
                f"{self.url}{path} answered {status}: {_sentence(text)}",
                expected="an answer of status 200",
                remedy=remedy,
            )
        return json.loads(text)

    def ask(self, path: str, body: Any) -> tuple[int, Any]:
        """Send a JSON body and return status and parsed answer, also of an error.

        Raises
        ------
        InvalidSetting
            If the server does not answer.
        """
        status, text = self._ask("POST", path, json.dumps(body))
        return status, json.loads(text)

    def get(self, path: str) -> Any:
        """Read a page that answers with JSON, whatever its status.

        Raises
        ------
        InvalidSetting
            If the server does not answer.
        """
        return json.loads(self._ask("GET", path, None)[1])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, method: str, path: str, content: str | None) -> tuple[int, str]:
        """Send a request, again if the server is busy or the connection broke."""
        failure: Exception | None = None
        for tried in range(TRIES):
            if tried:
                self._pause(min(LONGEST_PAUSE_S, 0.1 * 2**tried))
            try:
                self._connection.request(method, self._path + path, content, self._headers)
                answer = self._connection.getresponse()
                text = answer.read().decode()
            except ConnectionRefusedError as error:
                self._connection.close()
                raise self._silent(error) from error
            except (OSError, HTTPException) as error:
                # A connection that was idle for long may be closed by the server.
                failure = error
                self._connection.close()
                continue
            failure = None
            if not _is_busy(answer, path):
                return answer.status, text
        if failure is not None:
            raise self._silent(failure) from failure
        return answer.status, text

    def _silent(self, error: Exception) -> InvalidSetting:
        return InvalidSetting(
            f"{self.url} does not answer ({type(error).__name__}).",
            expected="a started server",
            remedy=f"Start one: {START}",
        )


def _has_host(parts: SplitResult) -> bool:
    try:
        return bool(parts.hostname) and parts.port != 0  # reading it checks its range
    except ValueError:
        return False


def _is_busy(answer: HTTPResponse, path: str) -> bool:
    return answer.status in AGAIN and path != "/readyz"  # it says 503 for what is not ready


def _sentence(text: str) -> str:
    """The sentence of an error, at most 300 characters."""
    try:
        found = json.loads(text).get("error", text)
    except (ValueError, AttributeError):
        found = text
    return str(found)[:300].rstrip(".") + "."


class ServerConnections:
    """Several connections to one server, each used by one thread at a time.

    Parameters
    ----------
    url, key
        As for `ServerClient`.
    count : int
        Number of connections.
    """

    def __init__(self, url: str, key: str, count: int) -> None:
        self._clients = [ServerClient(url, key) for _ in range(count)]
        self.count = count
        self._pool = ThreadPoolExecutor(count, "channel")

    @property
    def first(self) -> ServerClient:
        """The connection for requests that are sent one after the other."""
        return self._clients[0]

    def each(self, work: Callable[[ServerClient, T], None], parts: Iterable[Sequence[T]]) -> None:
        """Do the work of each part on a connection of its own, in the order of the part.

        Parameters
        ----------
        work
            Called with the connection and an element of the part.
        parts
            As many as there are connections, at most.

        Raises
        ------
        InvalidSetting
            If the server refuses one of them; the other parts are ended first.
        """

        def all_of(client: ServerClient, part: Sequence[T]) -> None:
            for one in part:
                work(client, one)

        pairs = zip(self._clients, parts, strict=False)
        begun = [self._pool.submit(all_of, client, part) for client, part in pairs if part]
        wait(begun)
        for one in begun:
            one.result()

    def close(self) -> None:
        """End the threads and close the connections."""
        self._pool.shutdown()
        for client in self._clients:
            client.close()
