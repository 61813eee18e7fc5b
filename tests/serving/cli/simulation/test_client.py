"""The HTTP client of a simulation, against a server of this process that fails on purpose."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from features.errors import InvalidSetting
from serving.cli.simulation.client import ServerClient, ServerConnections
from tests.server import free_port


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    failures: list[int | str] = []  # statuses to answer first; "gone" closes the connection
    seen: list[tuple[str, object, str | None]] = []

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        body = json.loads(self.rfile.read(length))
        failure = self.failures.pop(0) if self.failures else None
        if failure == "gone":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.seen.append((self.path, body, self.headers["authorization"]))
        text = json.dumps({"error": "It is refused"} if failure else {"got": body}).encode()
        self.send_response(failure or 200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def url():
    Handler.failures, Handler.seen = [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def client_of(url: str, pauses: list[float], key: str = "") -> ServerClient:
    return ServerClient(url, key, pauses.append)


def test_an_answer_is_parsed_and_the_key_is_sent(url):
    client = client_of(url, [], "nba_secret")
    assert client.post("/v1/decide", {"a": 1}) == {"got": {"a": 1}}
    assert Handler.seen == [("/v1/decide", {"a": 1}, "Bearer nba_secret")]


@pytest.mark.parametrize("failures", [[503, 429, 503], ["gone"], ["gone", 503, "gone"]])
def test_a_request_is_sent_again_while_the_server_is_busy_or_the_connection_broke(url, failures):
    Handler.failures = [*failures]
    pauses: list[float] = []
    assert client_of(url, pauses).post("/v1/decide", 7) == {"got": 7}
    assert len(pauses) == len(failures) and pauses == sorted(pauses)


def test_a_server_that_stays_busy_is_named_with_what_it_said(url):
    Handler.failures = [503] * 6
    with pytest.raises(InvalidSetting, match=r"/v1/decide answered 503: It is refused\."):
        client_of(url, []).post("/v1/decide", 7)
    assert len(Handler.seen) == 6


def test_a_refusal_is_quoted_and_not_sent_again(url):
    Handler.failures = [409]
    with pytest.raises(InvalidSetting, match=r"/v1/x answered 409: It is refused\. Expected"):
        client_of(url, []).post("/v1/x", {})
    assert len(Handler.seen) == 1


def test_an_address_where_nobody_answers_says_what_to_do():
    silent = client_of(f"http://127.0.0.1:{free_port()}", [])
    with pytest.raises(InvalidSetting, match="does not answer .* Expected a started server"):
        silent.get("/readyz")


@pytest.mark.parametrize("url", ["localhost", "ftp://localhost:3000", "http://"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(InvalidSetting, match="Expected an address such as"):
        ServerClient(url)


def test_parts_go_over_connections_of_their_own_in_their_order(url):
    connections, heard = ServerConnections(url, "", 3), []
    try:
        parts = [[(part, number) for number in range(20)] for part in range(3)]

        def work(client: ServerClient, one: tuple[int, int]) -> None:
            assert client.post("/v1/x", [*one]) == {"got": [*one]}
            heard.append(one)

        connections.each(work, parts)
        for part in parts:
            assert [one for one in heard if one[0] == part[0][0]] == part
    finally:
        connections.close()


def test_the_refusal_of_one_part_ends_the_work_and_is_told(url):
    connections = ServerConnections(url, "", 2)
    try:
        Handler.failures = [400]
        with pytest.raises(InvalidSetting, match="answered 400"):
            connections.each(lambda client, one: client.post("/v1/x", one), [[1], [2]])
        assert len(Handler.seen) == 2
    finally:
        connections.close()
