"""Request and answer types of `/v1/clock`: the time of a server with a simulated clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, Field

from features.journeys.events import UtcTime
from serving.contract.requests import Request

EARLIEST, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class ClockRequest(Request):
    """The time to which the clock is set, the same as now or a later one.

    With ``settle``, all that is due by then is done at once, and `/readyz` says `settled_until`.
    """

    now: Annotated[UtcTime, Field(ge=EARLIEST, lt=END, examples=["2026-03-01T08:00:00Z"])]
    settle: bool = False


class ClockAnswer(BaseModel):
    """The time of the clock.

    ``settling``: something that was due is still being done; ``settled_until``: up to when all was
    done by the last request to settle that was met.
    """

    now: UtcTime
    settling: bool
    settled_until: UtcTime | None
