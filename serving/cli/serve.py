"""Starts the BentoML server as a child process and prints a request to try."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import sqlalchemy as sa

from features.business.domain import load_domain
from features.clock import monotonic_s
from features.errors import InvalidSetting
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import Settings, load_settings
from serving.cli.migrate import migrate_and_say

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 60.0


def serve_until_stopped(say: Callable[[str], None]) -> int:
    """Run the server until it ends or is interrupted.

    Returns
    -------
    int
        The server's exit code.
    """
    settings = load_settings()
    _check_port_is_free(settings.port)
    migrate_and_say(settings.ledger_url, say)  # the workers would refuse an older schema
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:NextBestAction"]
    command += ["--port", str(settings.port), "--working-dir", str(ROOT)]
    server = subprocess.Popen(command, env={**os.environ, **_child_environment(settings)})
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    threading.Thread(target=_announce, args=(settings, server, say), daemon=True).start()
    while True:
        try:
            return server.wait()
        except KeyboardInterrupt:  # the terminal has interrupted the child, too
            continue


def _check_port_is_free(port: int) -> None:
    """Refuse a port in use: the server that listens there would be taken for ours."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            raise InvalidSetting(
                f"NBA_PORT is {port}, and another process listens there already.",
                expected="a free port",
                remedy="Stop the other server, or set NBA_PORT to another port.",
            ) from None


def _child_environment(settings: Settings) -> dict[str, str]:
    # The child runs in another folder, so it gets absolute paths.
    given = settings.model_dump(mode="json")
    # Only the retentions can be None.
    told = {name: "never" if value is None else str(value) for name, value in given.items()}
    return {f"NBA_{name}".upper(): value for name, value in told.items()}


def _announce(
    settings: Settings, server: subprocess.Popen[bytes], say: Callable[[str], None]
) -> None:
    """Wait until the server is ready; then print what is missing, and a request to try."""
    end = monotonic_s() + READY_WITHIN_S
    while monotonic_s() < end and server.poll() is None:
        answer = _readiness(settings.port)
        if answer is not None:
            break
        time.sleep(0.2)
    else:
        if server.poll() is None:
            say(
                f"Not ready after {READY_WITHIN_S:.0f} s; /readyz on port {settings.port} says why."
            )
        return
    for missing in answer["degraded"]:
        say(f"Missing: {missing}")
    domain = load_domain(settings.domain)
    body = json.dumps({"customer_id": _some_customer(settings), "channel": domain.channels[0]})
    say(f"Ready on port {settings.port}. Try:\n")
    say(
        f"curl -s localhost:{settings.port}/v1/decide "
        f"-H 'content-type: application/json' \\\n  -d '{body}'\n"
    )


def _readiness(port: int) -> dict[str, list[str]] | None:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        content: dict[str, list[str]] = json.loads(answer.read())
        return content if answer.status == 200 else None
    except (OSError, ValueError):
        return None
    finally:
        connection.close()


def _some_customer(settings: Settings) -> str:
    """Return a customer of the ledger for the request to try."""
    query = sa.select(tables.customers.c.customer_id).order_by(tables.customers.c.customer_id)
    ledger = Ledger(settings.ledger_url)
    found = ledger.read(lambda connection: connection.execute(query.limit(1)).scalar())
    ledger.close()
    return str(found or "somebody")
