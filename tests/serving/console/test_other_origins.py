"""Pages of other origins, in a real browser: none may write, and those that are listed may.

The browser finds every host of `.test` at a tiny server of the test's own, and `rebound.test` at
ours, as a page does whose name is made to lead to this machine (DNS rebinding).
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.ledger.ledger import Ledger
from tests.browser import Browser, chromium
from tests.conftest import LISTED_ORIGIN
from tests.server import Server

pytestmark = pytest.mark.server
# Each way in which a page can send a body; `body` is JSON, and the server must not take it.
WAYS = {
    "text/plain": "fetch(url, {method: 'POST', mode: 'no-cors', body})",
    "no type": "fetch(url, {method: 'POST', mode: 'no-cors', body: new Blob([body])})",
    "bytes": "fetch(url, {method: 'POST', mode: 'no-cors', body: new TextEncoder().encode(body)})",
    "form": "fetch(url, {method: 'POST', mode: 'no-cors', body: new URLSearchParams({a: body})})",
    "beacon": "Promise.resolve(navigator.sendBeacon(url, new Blob([body])))",
    "application/json": "fetch(url, {method: 'POST', body, headers: {'content-type': TYPE}})",
    "keepalive": "fetch(url, {method: 'POST', mode: 'no-cors', keepalive: true, body})",
    "xhr": """new Promise((done, failed) => { const sent = new XMLHttpRequest();
      sent.open('POST', url); sent.onload = done; sent.onerror = failed;
      sent.setRequestHeader('content-type', TYPE); sent.send(body); })""",
    "sandbox": """new Promise(done => { const frame = document.createElement('iframe');
      frame.sandbox = 'allow-scripts'; frame.onload = () => setTimeout(done, 50);
      frame.srcdoc = `<script>fetch(${JSON.stringify(url)}, {method: 'POST', mode: 'no-cors',
        body: new Blob([${JSON.stringify(body)}])})</scr` + 'ipt>';
      document.body.append(frame); })""",
    "form post": """new Promise(done => { const frame = document.createElement('iframe');
      frame.name = 'inside'; document.body.append(frame);
      const form = document.createElement('form'), field = document.createElement('input');
      Object.assign(form, {method: 'post', action: url, target: 'inside', enctype: 'text/plain'});
      field.name = body.slice(0, -1) + ', "context": {"a'; field.value = '": 1}}';
      form.append(field); document.body.append(form); form.submit(); setTimeout(done, 300); })""",
}


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = b"<!doctype html><title>page</title><body>"
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def elsewhere():
    """The port of a server with pages that are not ours."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory, elsewhere, first_day_server: Server):
    ours = f"MAP rebound.test 127.0.0.1:{first_day_server.port}"
    rules = f"--host-resolver-rules={ours},MAP *.test 127.0.0.1:{elsewhere}"
    with chromium(tmp_path_factory.mktemp("chromium"), rules) as started:
        yield started


@pytest.fixture
def decided(first_day_server: Server):
    """The ids of all decisions that begin with a name."""
    ledger = Ledger(f"sqlite:///{first_day_server.log.parent / 'ledger.db'}")
    ids = tables.decisions.c.decision_id

    def read(name: str) -> set[str]:
        found = sa.select(ids).where(ids.startswith(name))
        return set(ledger.read(lambda connection: connection.execute(found).scalars().all()))

    yield read
    ledger.close()


def send_all(browser: Browser, server: Server, name: str) -> dict[str, str]:
    """Send a decision in each way from the open page; say what the page was told of each."""
    told = {}
    for number, (way, script) in enumerate(WAYS.items()):
        body = {"customer_id": "h1", "channel": "app", "decision_id": f"{name}-{number}"}
        told[way] = browser.evaluate(
            f"""(() => {{ const TYPE = 'application/json', body = {json.dumps(json.dumps(body))},
              url = 'http://127.0.0.1:{server.port}/v1/decide';
              return {script}.then(found => String(found && found.status), String); }})()"""
        )
    assert server.get("/livez")[0] == 200  # behind all that was sent
    return told


@pytest.mark.parametrize("page", ["http://evil.test/", "http://127.0.0.1:{port}/"])
def test_a_page_of_another_origin_cannot_post_in_any_way(
    page, browser, first_day_server, elsewhere, decided
):
    """The second is of the same site as ours, and of another port."""
    browser.open(page.format(port=elsewhere))
    name = f"foreign-{'evil' in page}"
    told = send_all(browser, first_day_server, name)
    assert len(told) == len(WAYS) and decided(name) == set()
    answered = [status for url, status in browser.answered if url.endswith("/v1/decide")]
    assert set(answered) == {403}  # of those that the browser tells of
    assert "TypeError" in told["application/json"]


def test_a_page_of_a_listed_origin_posts_json_and_nothing_else(browser, first_day_server, decided):
    browser.open(LISTED_ORIGIN)
    told = send_all(browser, first_day_server, "listed")
    ways = list(WAYS)
    assert decided("listed") == {f"listed-{ways.index(way)}" for way in ("application/json", "xhr")}
    assert told["application/json"] == "200"


def test_a_page_whose_name_leads_to_this_machine_is_refused(browser, first_day_server, decided):
    browser.open("http://rebound.test/console/")
    assert "Host is 'rebound.test', and this server has no keys yet." in browser.html()
    body = json.dumps({"customer_id": "h1", "channel": "app", "decision_id": "rebound-1"})
    sent = {"method": "POST", "body": body, "headers": {"content-type": "application/json"}}
    asked = f"fetch('/v1/decide', {json.dumps(sent)}).then(found => found.status)"
    assert browser.evaluate(asked) == 403 and decided("rebound") == set()


def test_a_page_of_another_origin_cannot_frame_ours_or_read_it(browser, first_day_server):
    browser.open("http://evil.test/")
    address = f"http://127.0.0.1:{first_day_server.port}"
    for path in ("/v1/decide", "/docs.json", "/console/page.js", "/readyz"):
        asked = f"fetch('{address}{path}').then(found => found.text(), error => 'refused')"
        assert browser.evaluate(asked) == "refused"
    framed = f"""new Promise(done => {{ const frame = document.createElement('iframe');
      frame.src = '{address}/console/'; frame.onload = done; document.body.append(frame); }})
      .then(() => {{ try {{ return String(frames[0].document); }}
                    catch {{ return 'closed'; }} }})"""
    assert browser.evaluate(framed) == "closed"
