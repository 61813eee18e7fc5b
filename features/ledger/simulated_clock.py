"""The simulated clock of a ledger: it stands still until somebody sets it to a later time.

It is one row of the ledger, read anew at each use. So the workers, the learner and the commands
of `nba` agree on the time. A ledger that has the row keeps a simulated clock for ever: what was
done at simulated times must not be mixed with what is done at real ones.

A request to set the clock may ask to *settle*: all that is due by then is to be done. Each part of
the server, such as the learner, notes the number of the last such request for which it has done
its work; `finish_settle` notes that all parts have.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from features.clock import Clock, utc_now
from features.errors import InvalidRequest, InvalidSetting
from features.ledger import tables
from features.ledger.experiment_tables import settled_parts
from features.ledger.ledger import Ledger
from features.ledger.statements import Statement
from features.settings import Settings

KEY = "clock"
_CLOCK = tables.simulated_clock.c
_MINE = _CLOCK.key == KEY
_NOW = Statement(sa.select(_CLOCK.now).where(_MINE))
_STATE = sa.select(
    _CLOCK.now, _CLOCK.was_set, _CLOCK.settles_asked, _CLOCK.settles_done, _CLOCK.settled_until
).where(_MINE)
# Times that say how far the ledger has come; those of events are the latest of imported ones.
_KNOWN = (
    tables.events.c.occurred_at,
    tables.decisions.c.decided_at,
    tables.outcomes.c.received_at,
)


class ClockState(NamedTuple):
    """The simulated clock, and how far the parts of the server have settled.

    Attributes
    ----------
    now : aware UTC
    was_set : bool
        Somebody has set it; until then it may be set back, but not before what the ledger knows.
    settles_asked, settles_done : int
        Numbers of the last request to settle, and of the last one that was met.
    settled_until : aware UTC or None
        Everything due by then was done when the last request was met; None: none was met yet.
    """

    now: datetime
    was_set: bool
    settles_asked: int
    settles_done: int
    settled_until: datetime | None

    @property
    def is_settling(self) -> bool:
        """True while the last request to settle is not met."""
        return self.settles_done < self.settles_asked


class SimulatedClock:
    """Tells the simulated time of a ledger; it begins at the newest time that the ledger knows.

    An empty ledger begins at the real time, and the first who sets the clock may set it back.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        if ledger.read(read_clock) is None:
            ledger.write_now(_begin)

    def __call__(self) -> datetime:
        """Read the time."""
        row = self._ledger.read_autocommit(lambda connection: _NOW.first(connection, {}))
        if row is None:  # the ledger was emptied meanwhile
            return utc_now()
        return tables.from_micros(row[0])

    def state(self) -> ClockState:
        """Read the clock, and how far the parts have settled."""
        found = self._ledger.read(read_clock)
        return found or ClockState(utc_now(), False, 0, 0, None)


def clock_of(settings: Settings, ledger: Ledger) -> Clock:
    """Return the clock by which a ledger is used: simulated if a server has simulated it, or shall.

    The real clock costs no read of the ledger.
    """
    if settings.clock == "simulated" or ledger.read(read_clock) is not None:
        return SimulatedClock(ledger)
    return utc_now


def check_clock(settings: Settings, ledger: Ledger) -> None:
    """Refuse to serve a ledger of simulated times by the real clock.

    Raises
    ------
    InvalidSetting
        If its clock is simulated, and `NBA_CLOCK` is not.
    """
    found = ledger.read(read_clock)
    if found is not None and settings.clock != "simulated":
        raise InvalidSetting(
            f"NBA_CLOCK is real, and the clock of this ledger is simulated: {_text(found.now)}.",
            expected="NBA_CLOCK=simulated, as its decisions were made at simulated times",
            remedy="Set it, or serve another ledger (NBA_HOME, NBA_LEDGER_URL).",
        )


def read_clock(connection: sa.Connection) -> ClockState | None:
    """Read the simulated clock; None if the ledger goes by the real one."""
    row = connection.execute(_STATE).first()
    return None if row is None else ClockState(*row)


def set_clock(connection: sa.Connection, now: datetime, settle: bool) -> ClockState:
    """Set the clock to the same or a later time, and ask to settle.

    Raises
    ------
    InvalidRequest
        If ``now`` is earlier than the clock, or, before anybody has set it, than what the ledger
        knows.
    """
    row = connection.execute(_STATE.with_for_update()).one()
    before = ClockState(*row)
    newest = before.now if before.was_set else newest_time(connection)
    if newest is not None and now < newest:
        stands = "the clock stands at" if before.was_set else "the ledger knows of things until"
        raise InvalidRequest(
            f"now is {_text(now)}, and {stands} {_text(newest)}.",
            expected="the same or a later time, as the clock moves forward only",
            remedy="Send a later time, or start a server with another NBA_HOME.",
        )
    asked = before.settles_asked + settle
    after = before._replace(now=now, was_set=True, settles_asked=asked)
    connection.execute(tables.simulated_clock.update().where(_MINE).values(after._asdict()))
    return after


def note_part(connection: sa.Connection, part: str, settle: int) -> None:
    """Note that a part of the server has done its work for a request to settle."""
    tables.upsert(connection, settled_parts, [{"part": part, "settle": settle}])


def read_parts(connection: sa.Connection) -> dict[str, int]:
    """Read the last request to settle for which each part has done its work."""
    rows = connection.execute(sa.select(settled_parts))
    return {row.part: row.settle for row in rows}


def finish_settle(connection: sa.Connection, settle: int, until: datetime) -> None:
    """Note that a request to settle is met: everything due by ``until`` is done."""
    values = {"settles_done": settle, "settled_until": until}
    later = _MINE & (_CLOCK.settles_done < settle)
    connection.execute(tables.simulated_clock.update().where(later).values(values))


def newest_time(connection: sa.Connection) -> datetime | None:
    """Find the newest time of the ledger's events, decisions and outcomes; None without any."""
    found = (connection.execute(sa.select(sa.func.max(column))).scalar() for column in _KNOWN)
    return max((at for at in found if at is not None), default=None)


def _begin(connection: sa.Connection) -> None:
    now = newest_time(connection) or utc_now()
    row = ClockState(now, False, 0, 0, None)._asdict()
    tables.insert_new(connection, tables.simulated_clock, [{"key": KEY, **row}])


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
