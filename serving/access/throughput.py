"""Measures how many requests a worker ends in a second while it is busy."""

from __future__ import annotations

from math import exp2

BUSY = 4  # with fewer requests in the worker the rate is that of the callers, not of the worker
HALF_LIFE_S = 1.0  # of what was measured
FIRST_PER_S = 400.0  # the rate before anything was measured


class Throughput:
    """The rate of one worker, with exponential forgetting; pure arithmetic.

    Parameters
    ----------
    per_s
        The rate before anything was measured.
    """

    def __init__(self, per_s: float = FIRST_PER_S) -> None:
        self._busy_s = HALF_LIFE_S / 2
        self._ended = per_s * self._busy_s
        self._since_s: float | None = None  # None while the worker is not busy

    def note(self, now_s: float, inside: int, ended: int = 0) -> None:
        """Note that a request begins or ends.

        Parameters
        ----------
        now_s
            The time in seconds, of a clock that never runs backwards.
        inside
            Requests in the worker from now on.
        ended
            Requests that end now.
        """
        if self._since_s is not None:
            passed_s = now_s - self._since_s
            kept = exp2(-passed_s / HALF_LIFE_S)
            self._busy_s = self._busy_s * kept + passed_s
            self._ended = self._ended * kept + ended
        self._since_s = now_s if inside >= BUSY else None

    def per_s(self, now_s: float) -> float:
        """Estimate the rate; the time since the last request ended counts, too."""
        passed_s = 0.0 if self._since_s is None else now_s - self._since_s
        kept = exp2(-passed_s / HALF_LIFE_S)
        return self._ended * kept / (self._busy_s * kept + passed_s)
