"""The simulated clock of a ledger: it stands still until somebody sets it to a later time.

It is one row of the ledger, read anew at each use. So the workers, the learner and the commands
of `nba` agree on the time. A ledger that has the row keeps a simulated clock for ever: what was
done at simulated times must not be mixed with what is done at real ones.

A request to set the clock may ask to *settle*: all that is due by then is to be done. Such requests
have numbers. Each part of the server, such as the learner, notes the number of the last one for
which it has done its work (`note_part`); `finish_settle` notes that all parts have.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Self

import sqlalchemy as sa

from features.clock import Clock, utc_now
from features.errors import InvalidRequest, InvalidSetting
from features.ledger import tables
from features.ledger.experiment_tables import settled_parts
from features.ledger.ledger import Ledger
from features.ledger.statements import Statement
from features.settings import Settings

KEY = "clock"
# Parts of a server that settle, in their order; then each of its workers loads the new snapshot.
FOLDED, LEARNED, SUMMED = "folded", "learned", "summed"
POLL_S = 0.02  # between two looks at what is to settle; each takes some 0.1 ms
_CLOCK = tables.simulated_clock.c
_PART = settled_parts.c
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
        self._has_begun = False  # once it has, it stays so

    def begin(self) -> Self:
        """Let the ledger have a simulated clock from now on."""
        if self._ledger.read(read_clock) is None:
            self._ledger.write_now(_begin)
        return self

    def __call__(self) -> datetime:
        """Read the time."""
        row = self._ledger.read_autocommit(lambda connection: _NOW.first(connection, {}))
        return self.state().now if row is None else tables.from_micros(row[0])

    def has_begun(self) -> bool:
        """Say if there is anything to do at this time: somebody set it, or something happened.

        An empty ledger may still be set back, so nothing should be noted as of its first time.
        """
        self._has_begun = (
            self._has_begun or self.state().was_set or self._ledger.read(newest_time) is not None
        )
        return self._has_begun

    def state(self) -> ClockState:
        """Read the clock, and how far the server has settled."""
        return self._ledger.read(lambda connection: read_clock(connection) or _first(connection))

    def state_of(self, parts: Iterable[str]) -> tuple[ClockState, list[str]]:
        """Read the same, and those of some parts that a request to settle waits for."""
        state = self.state()
        if not state.is_settling:
            return state, []
        return state, self._ledger.read(lambda connection: unsettled(connection, state, parts))


def clock_of(settings: Settings, ledger: Ledger) -> Clock:
    """Return the clock by which a ledger is used.

    It is simulated if a server has begun it for the ledger, or if the settings say so. The
    real clock reads no ledger.
    """
    if settings.clock == "simulated" or ledger.read(read_clock) is not None:
        return SimulatedClock(ledger)
    return utc_now


def has_begun(clock: Clock) -> bool:
    """Say if work may be noted as of the time of a clock; see `SimulatedClock.has_begun`."""
    return not isinstance(clock, SimulatedClock) or clock.has_begun()


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
    after = before._replace(now=now, was_set=True, settles_asked=before.settles_asked + settle)
    if settle and after.settled_until is not None and after.settled_until >= now:
        after = after._replace(settled_until=None)  # what came since then is to be done, too
    connection.execute(tables.simulated_clock.update().where(_MINE).values(after._asdict()))
    return after


def parts_of(workers: int) -> list[str]:
    """Name the parts of a server that settle."""
    return [FOLDED, LEARNED, SUMMED, *(worker_part(index + 1) for index in range(workers))]


def worker_part(index: int) -> str:
    """Name the part of one worker, which loads the new snapshot; the first has the index 1."""
    return f"worker {index}"


def settle_due(connection: sa.Connection, part: str, after: Iterable[str] = ()) -> int | None:
    """Return the number of the request for which a part has to settle; None: not now.

    Parameters
    ----------
    after
        Parts that settle before this one.
    """
    state = read_clock(connection)
    if state is None or not state.is_settling:
        return None
    waits = unsettled(connection, state, [part, *after])
    return state.settles_asked if waits == [part] else None


def unsettled(connection: sa.Connection, state: ClockState, parts: Iterable[str]) -> list[str]:
    """Name those of some parts that have not done their work for the last request to settle."""
    rows = connection.execute(sa.select(_PART.part, _PART.settle))
    done = {row.part: row.settle for row in rows}
    return [part for part in parts if done.get(part, 0) < state.settles_asked]


def note_part(connection: sa.Connection, part: str, settle: int, until: datetime) -> None:
    """Note that a part has done what was due by a time, for a request to settle."""
    row = {"part": part, "settle": settle, "until": until}
    tables.upsert(connection, settled_parts, [row])


def finish_settle(connection: sa.Connection, parts: Iterable[str]) -> bool:
    """Note that the last request to settle is met; False if one of the parts has work to do."""
    state, names = read_clock(connection), [*parts]
    if state is None or not state.is_settling or unsettled(connection, state, names):
        return False
    until = sa.select(sa.func.min(_PART.until)).where(_PART.part.in_(names))
    values = {
        "settles_done": state.settles_asked,
        "settled_until": connection.execute(until).scalar_one(),
    }
    same = _MINE & (_CLOCK.settles_asked == state.settles_asked)
    return (
        connection.execute(tables.simulated_clock.update().where(same).values(values)).rowcount > 0
    )


def newest_time(connection: sa.Connection) -> datetime | None:
    """Find the newest time of the ledger's events, decisions and outcomes; None without any."""
    found = (connection.execute(sa.select(sa.func.max(column))).scalar() for column in _KNOWN)
    return max((at for at in found if at is not None), default=None)


def _first(connection: sa.Connection) -> ClockState:
    """The clock of a ledger that has none yet."""
    return ClockState(newest_time(connection) or utc_now(), False, 0, 0, None)


def _begin(connection: sa.Connection) -> None:
    row = {"key": KEY, **_first(connection)._asdict()}
    tables.insert_new(connection, tables.simulated_clock, [row])


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
