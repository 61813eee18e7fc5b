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

from features.clock import monotonic_s
from features.errors import InvalidSetting, quoted
from features.journeys.personas.persona_conditions import open_domain
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import check_clock
from features.settings import Settings, load_settings
from features.states.set_aside import without_customers
from serving.access.addresses import is_loopback
from serving.access.gate import bearer
from serving.access.keys import KeyRing, read_keys
from serving.cli.migrate import migrate_and_say

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 60.0


def serve_until_stopped(say: Callable[[str], None], host: str | None = None) -> int:
    """Run the server until it ends or is interrupted.

    Parameters
    ----------
    say
        Prints a line.
    host
        The address to listen on; by default that of the settings.

    Returns
    -------
    int
        The server's exit code.

    Raises
    ------
    InvalidSetting
        If the port is taken, others could call while the ledger has no key, or the clock is
        simulated and the address is no loopback one, or real and that of the ledger simulated.
    """
    given = {"NBA_HOST": host} if host else {}
    settings = load_settings({**os.environ, **given})
    _check_simulated_stays_here(settings)  # no key would help, so before the question for one
    _check_port_is_free(settings.port)
    migrate_and_say(settings.ledger_url, say)  # the workers would refuse an older schema
    keys = _checked_keys(settings)
    _check_others_need_a_key(settings.host, keys)
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:NextBestAction"]
    command += ["--port", str(settings.port), "--host", settings.host]
    command += ["--working-dir", str(ROOT)]
    server = subprocess.Popen(command, env={**os.environ, **_child_environment(settings)})
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    threading.Thread(
        target=_announce, args=(settings, server, say, bool(keys)), daemon=True
    ).start()
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
    given["origins"] = ",".join(settings.origins)
    given["key"] = ""  # it is for commands that call, and no secret of the server
    # Only the retentions can be None.
    told = {name: "never" if value is None else str(value) for name, value in given.items()}
    return {f"NBA_{name}".upper(): value for name, value in told.items()}


def _announce(
    settings: Settings,
    server: subprocess.Popen[bytes],
    say: Callable[[str], None],
    has_keys: bool = False,
) -> None:
    """Wait until the server is ready; then print what is missing, and a request to try."""
    end = monotonic_s() + READY_WITHIN_S
    while monotonic_s() < end and server.poll() is None:
        answer = _readiness(settings)
        if answer is not None:
            break
        time.sleep(0.2)
    else:
        if server.poll() is None:
            say(
                f"Not ready after {READY_WITHIN_S:.0f} s; /readyz on port {settings.port} says why."
            )
        return
    to_person = sys.stdout.isatty()  # or to a log, which must not name customers
    for missing in answer.get("degraded", ()):
        say(f"Missing: {missing if to_person else without_customers(missing)}")
    domain = open_domain(settings.domain)
    customer = _some_customer(settings) if to_person else "somebody"
    body = json.dumps({"customer_id": customer, "channel": domain.channels[0]})
    say(f"Ready on port {settings.port}. Try:\n")
    key = " -H 'authorization: Bearer KEY'" if has_keys else ""
    say(
        f"curl -s {_called(settings)}:{settings.port}/v1/decide "
        f"-H 'content-type: application/json'{key} \\\n  -d '{body}'\n"
    )
    if not has_keys:
        say(
            "Only this machine can call it. To open it safely: "
            "nba keys add NAME --scope decide,write, then nba serve --host 0.0.0.0"
        )


def _readiness(settings: Settings) -> dict[str, list[str]] | None:
    connection = HTTPConnection(_called(settings), settings.port, timeout=2)
    try:
        connection.request("GET", "/readyz", headers=bearer(settings.key))
        answer = connection.getresponse()
        content: dict[str, list[str]] = json.loads(answer.read())
        return content if answer.status == 200 else None
    except (OSError, ValueError):
        return None
    finally:
        connection.close()


def _called(settings: Settings) -> str:
    """Return the address at which this machine calls the server."""
    everywhere = ("0.0.0.0", "::")
    if settings.host in (*everywhere, "127.0.0.1"):
        return "localhost"
    return f"[{settings.host}]" if ":" in settings.host else settings.host


def _checked_keys(settings: Settings) -> KeyRing:
    ledger = Ledger(settings.ledger_url)
    try:
        check_clock(settings, ledger)
        return KeyRing(ledger.read(read_keys))
    finally:
        ledger.close()


def _check_others_need_a_key(host: str, keys: KeyRing) -> None:
    if not len(keys) and not is_loopback(host):
        raise InvalidSetting(
            f"NBA_HOST is {quoted(host)}, where others could call without a key.",
            expected="a key, or a loopback address such as 127.0.0.1",
            remedy="Run 'nba keys add NAME --scope decide,write' first.",
        )


def _check_simulated_stays_here(settings: Settings) -> None:
    if settings.clock == "simulated" and not is_loopback(settings.host):
        raise InvalidSetting(
            f"NBA_CLOCK is simulated, and NBA_HOST is {quoted(settings.host)}.",
            expected="a loopback address such as 127.0.0.1, as whoever calls could set the time",
            remedy="Leave --host and NBA_HOST out, or NBA_CLOCK.",
        )


def _some_customer(settings: Settings) -> str:
    """Return a customer of the ledger for the request to try."""
    query = sa.select(tables.customers.c.customer_id).order_by(tables.customers.c.customer_id)
    ledger = Ledger(settings.ledger_url)
    found = ledger.read(lambda connection: connection.execute(query.limit(1)).scalar())
    ledger.close()
    return str(found or "somebody")
