"""A stand-in for the server: the pages of the console, and `/v1/journeys` over a log in memory.

It answers with the code and the security headers of the server, without its start of many seconds.
"""

from __future__ import annotations

import json
import mimetypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

from pydantic import ValidationError

from features.analytics.journey_data import JourneyData
from features.errors import InvalidRequest
from features.ledger.tables import from_micros
from serving.access.browsers import CONTENT_POLICY
from serving.contract.journeys import JourneysRequest
from serving.journeys.answer import answer_journeys
from tests.commands import ROOT

FOLDERS = (ROOT / "serving/console", ROOT / "features/analytics/pictures/styles")


class StandIn(HTTPServer):
    """Serves the pages, and answers over some journeys.

    Attributes
    ----------
    data : JourneyData
    age_s : float
        How old the data are said to be.
    key : str
        The key that a request must have; empty: none.
    asked : list of dict
        The requests that came.
    """

    def __init__(self, data: JourneyData) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data, self.age_s, self.key = data, 35.0, ""
        self.asked: list[dict[str, object]] = []

    @property
    def page(self) -> str:
        """The address of the page of journeys."""
        return f"http://127.0.0.1:{self.server_port}/console/journeys.html"

    def answer(self, body: bytes) -> tuple[int, str]:
        """Return status and text of the answer to a request."""
        self.asked.append(json.loads(body))
        now = from_micros(self.data.as_of_us) + timedelta(seconds=self.age_s)
        try:
            asked = JourneysRequest.model_validate_json(body)
            return 200, answer_journeys(asked, self.data, now).model_dump_json()
        except (InvalidRequest, ValidationError) as error:
            return 400, json.dumps({"error": str(error)})


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].removeprefix("/console/") or "index.html"
        for folder in FOLDERS:
            if (file := folder / name).is_file():
                kind = mimetypes.guess_type(name)[0] or "text/plain"
                self._send(200, file.read_bytes(), kind)
                return
        self._send(404, b"", "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status, text = 401, json.dumps({"error": "Send a key."})
        key = self.server.key
        if not key or self.headers.get("authorization") == f"Bearer {key}":
            status, text = self.server.answer(body)
        self._send(status, text.encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.send_header("content-security-policy", CONTENT_POLICY)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def stand_in(data: JourneyData) -> Iterator[StandIn]:
    """Serve some journeys until the end of the block."""
    server = StandIn(data)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
