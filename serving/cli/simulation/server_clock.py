"""Sets the simulated clock of a server, and waits until what is due by then is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from features.clock import monotonic_s
from features.errors import InvalidSetting
from serving.cli.simulation.client import START, ServerClient

SETTLE_WITHIN_S = 300.0  # a day of many customers takes seconds
LOOK_EVERY_S = 0.05
DAY = timedelta(days=1)


class ServerClock:
    """The clock of a server that was started with ``NBA_CLOCK=simulated``.

    Parameters
    ----------
    client
        A connection with a key of the scopes read and admin, if the server has keys.

    Attributes
    ----------
    now : datetime
        The time of the server.

    Raises
    ------
    InvalidSetting
        If the server goes by the real clock, so that no days can pass.
    """

    def __init__(self, client: ServerClient, pause: Callable[[float], None] = time.sleep) -> None:
        self._client, self._pause = client, pause
        ready = client.get("/readyz")
        if "models" not in ready:
            raise InvalidSetting(
                f"{client.url} does not tell its clock without a key of the scope read.",
                expected="a key of the scopes decide, write, read and admin",
                remedy="Make one with nba keys add, and send it by --key or NBA_KEY.",
            )
        if ready.get("clock") != "simulated":
            raise InvalidSetting(
                f"{client.url} goes by the real clock, on which no simulated days pass.",
                expected="a server with a simulated clock and a home of its own",
                remedy=f"Start one: NBA_HOME=simulated/.nba {START}",
            )
        self.now = datetime.fromisoformat(ready["now"])

    def next_midnight(self) -> datetime:
        """The first midnight (UTC) that is not before the time of the server."""
        midnight = self.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight if midnight == self.now else midnight + DAY

    def advance(self, to: datetime) -> None:
        """Set the clock; a time that has passed already changes nothing."""
        if to > self.now:
            self._set(to, settle=False)

    def settle(self, to: datetime) -> None:
        """Set the clock, and wait until all that is due by then is learned and published.

        Raises
        ------
        InvalidSetting
            If that takes more than `SETTLE_WITHIN_S`.
        """
        if to <= self.now:
            return
        self._set(to, settle=True)
        begun = monotonic_s()
        while not self._is_settled(to):
            if monotonic_s() - begun > SETTLE_WITHIN_S:
                raise InvalidSetting(
                    f"{self._client.url} has not settled within {SETTLE_WITHIN_S:g} s.",
                    expected=f"settled_until of {to.isoformat()} on /readyz",
                    remedy="Look at its log: does the learner run? Then run the command again; it "
                    "goes on where it was.",
                )
            self._pause(LOOK_EVERY_S)

    def _set(self, to: datetime, settle: bool) -> None:
        body = {"now": to.isoformat(), "settle": settle}
        self.now = datetime.fromisoformat(self._client.post("/v1/clock", body)["now"])

    def _is_settled(self, to: datetime) -> bool:
        until = self._client.get("/readyz").get("settled_until")
        return until is not None and datetime.fromisoformat(until) >= to
