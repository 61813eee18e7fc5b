"""The simulated clock of a server is set forward, and waited for until it has settled."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from features.errors import InvalidSetting
from serving.cli.simulation import server_clock
from serving.cli.simulation.server_clock import ServerClock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENING = datetime(2026, 3, 1, 20, tzinfo=UTC)


class StandIn:
    """A server whose clock settles after it was looked at some times."""

    url = "http://here"

    def __init__(self, looks: int = 0, **ready: Any) -> None:
        self.ready = {"clock": "simulated", "now": NOON.isoformat(), "models": {}, **ready}
        self.looks, self.sent = looks, list[Any]()

    def post(self, path: str, body: Any) -> Any:
        assert path == "/v1/clock"
        self.sent.append(body)
        self.ready["now"] = body["now"]
        return {"now": body["now"]}

    def get(self, path: str) -> Any:
        assert path == "/readyz"
        if self.sent and self.sent[-1]["settle"]:
            self.looks -= 1
            if self.looks <= 0:
                self.ready["settled_until"] = self.sent[-1]["now"]
        return self.ready


def clock_of(server: StandIn, pauses: list[float]) -> ServerClock:
    return ServerClock(server, pauses.append)  # type: ignore[arg-type]


def test_the_clock_is_only_set_forward():
    server = StandIn()
    clock = clock_of(server, [])
    clock.advance(NOON)
    clock.advance(datetime(2026, 2, 1, tzinfo=UTC))
    clock.settle(NOON)
    assert server.sent == [] and clock.now == NOON
    clock.advance(EVENING)
    assert server.sent == [{"now": "2026-03-01T20:00:00+00:00", "settle": False}]
    assert clock.now == EVENING


def test_it_waits_until_the_server_has_settled():
    pauses: list[float] = []
    clock_of(StandIn(looks=4, settled_until=NOON.isoformat()), pauses).settle(EVENING)
    assert len(pauses) == 3


def test_a_server_that_does_not_settle_is_named_with_what_to_look_at(monkeypatch):
    times = iter(range(0, 10_000, 100))
    monkeypatch.setattr(server_clock, "monotonic_s", lambda: float(next(times)))
    with pytest.raises(InvalidSetting, match="has not settled within 300 s.*does the learner run"):
        clock_of(StandIn(looks=10**9), []).settle(EVENING)


@pytest.mark.parametrize("clock", [None, "real"])
def test_the_real_clock_is_refused_with_the_remedy(clock):
    with pytest.raises(InvalidSetting, match="goes by the real clock.*NBA_CLOCK=simulated"):
        clock_of(StandIn(clock=clock), [])


def test_a_key_that_may_not_read_the_clock_is_thought_of():
    server = StandIn()
    server.ready = {"status": "ready"}
    with pytest.raises(InvalidSetting, match="without a key of the scope read.*--key or NBA_KEY"):
        clock_of(server, [])


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-03-01T12:00:00+00:00", datetime(2026, 3, 2, tzinfo=UTC)),
        ("2026-03-01T00:00:00+00:00", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T00:30:00+01:00", datetime(2026, 3, 1, tzinfo=UTC)),
    ],
)
def test_the_days_begin_at_the_next_midnight(now, expected):
    assert clock_of(StandIn(now=now), []).next_midnight() == expected
