"""A queue of the processes that want to write one SQLite ledger: first come, first served.

SQLite's busy handler polls for the lock, so a process that has just released the lock gets it again
while others sleep. Here each writer takes a ticket, and waits until all earlier tickets are given
back. A ticket is a locked byte of a file beside the ledger; such queues of locks are by Craig
(1993) and by Magnusson, Landin and Hagersten (1994). The kernel unlocks the bytes of a process that
dies.

The queue decides only about the order: SQLite's own lock keeps the writers apart. If the queue
cannot be used, or a program does not know of it, nothing but the order is lost.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from features.clock import monotonic_s

log = logging.getLogger(__name__)

SUFFIX = "-queue"  # of the file beside the ledger
COUNTER = struct.Struct("<q")  # the content of the file: the next ticket
FLOCK = struct.Struct("hhqqi")  # `struct flock` of Linux: type, whence, start, length, process
HELD = (errno.EAGAIN, errno.EACCES)  # another open file has locked the byte
# The bytes that are locked: 0 by a writer who came when nobody was there; n by ticket n, n >= 1;
# and the last one while a ticket is taken.
LAST = TAKING = 2**62  # a million tickets a second last for 146,000 years
POLL_S = 0.002
LOOK_EVERY_S = 1.0  # at the name of the file, which may have been deleted and made again


def _flock(kind: int, start: int, length: int) -> bytes:
    """Pack a request of the kernel; a length of 0 reaches to the end of all bytes."""
    return FLOCK.pack(kind, os.SEEK_SET, start, length, 0)


ALL_BYTES = _flock(fcntl.F_WRLCK, 0, 0)
UNLOCK_TICKETS = _flock(fcntl.F_UNLCK, 1, 0)
UNLOCK_ALL = _flock(fcntl.F_UNLCK, 0, 0)


class WriterQueue:
    """A place in the queue. Each thread that writes has an instance of its own.

    Parameters
    ----------
    ledger : Path
        The file of the ledger.
    """

    def __init__(self, ledger: Path) -> None:
        self.waiting = False
        self._ledger = ledger
        self._path = ledger.with_name(f"{ledger.name}{SUFFIX}")
        self._file: int | None = None
        self._look_at_s = 0.0
        self._usable = True

    @contextmanager
    def turn(self, at_most_s: float | None = None) -> Iterator[None]:
        """Wait until all earlier writers are done; later writers wait until the block ends.

        Parameters
        ----------
        at_most_s : float, seconds
            Then go on without a turn: SQLite will say that it is locked. None: no limit, and no
            polling.
        """
        try:
            self._enter(wait=True, at_most_s=at_most_s)
            yield
        finally:
            self.leave()

    def enter_at_once(self) -> bool:
        """Begin a turn unless another writer waits or writes; `leave` ends the turn."""
        return self._enter(wait=False)

    def leave(self) -> None:
        """End the turn, if there is one."""
        if self._file is not None:
            with suppress(OSError):
                fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, UNLOCK_ALL)

    def close(self) -> None:
        """Close the file, which gives back a ticket, too."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _enter(self, wait: bool, at_most_s: float | None = None) -> bool:
        if not self._usable:
            return True
        try:
            file = self._open()
            if _enter_empty(file):
                return True
            if wait:
                self.waiting = True
                _wait(file, at_most_s)
            return wait
        except OSError as error:  # such as a network file system without locks
            self._usable = False
            self.close()
            _warn_once(self._path, error.strerror or str(error))
            return True
        finally:
            self.waiting = False

    def _open(self) -> int:
        """Return the open file; make it if it is not there."""
        now_s = monotonic_s()
        if self._file is not None and now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_EVERY_S
            if not _is_at(self._path, self._file):
                self.close()
        if self._file is None:
            if sys.platform != "linux":
                raise OSError(errno.ENOTSUP, "the queue needs locks of open files, as Linux has")
            # Whoever may write the ledger may join the queue.
            mode = self._ledger.stat().st_mode & 0o777 if self._ledger.exists() else 0o600
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, mode)
        return self._file


def _enter_empty(file: int) -> bool:
    """Enter if nobody is there."""
    if not _try(file, ALL_BYTES):
        return False
    _try(file, UNLOCK_TICKETS)
    return True


def _wait(file: int, at_most_s: float | None) -> None:
    """Take a ticket, and wait until all earlier ones are given back.

    Waiting for all of them, not for the latest one, keeps the order when a waiting process dies.
    """
    _lock(file, fcntl.F_WRLCK, TAKING, 1)
    ticket = _next_ticket(file)
    _lock(file, fcntl.F_WRLCK, ticket, 1)  # it is free, unless the counter was spoilt
    os.pwrite(file, COUNTER.pack(ticket + 1), 0)
    _lock(file, fcntl.F_UNLCK, TAKING, 1)
    if at_most_s is None:
        _lock(file, fcntl.F_RDLCK, 0, ticket)
        return
    earlier, until_s = _flock(fcntl.F_RDLCK, 0, ticket), monotonic_s() + at_most_s
    while not _try(file, earlier) and monotonic_s() < until_s:
        time.sleep(POLL_S)


def _next_ticket(file: int) -> int:
    """Read the counter; begin at 1 in a new file, in a spoilt one, and after the last ticket."""
    content = os.pread(file, COUNTER.size, 0)
    (ticket,) = COUNTER.unpack(content) if len(content) == COUNTER.size else (1,)
    return int(ticket) if 1 <= ticket < LAST else 1


def _lock(file: int, kind: int, start: int, length: int) -> None:
    """Lock or unlock bytes for this open file; wait while another one has a lock there."""
    fcntl.fcntl(file, fcntl.F_OFD_SETLKW, _flock(kind, start, length))


def _try(file: int, flock: bytes) -> bool:
    """Lock or unlock bytes for this open file; False if another one has a lock there."""
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, flock)
    except OSError as error:
        if error.errno in HELD:
            return False
        raise
    return True


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except OSError:
        return False


@cache
def _warn_once(path: Path, reason: str) -> None:
    log.warning(
        "The queue of writers %s cannot be used (%s). Writers of several processes take turns as "
        "SQLite lets them, which is not in the order in which they ask.",
        path,
        reason,
    )
