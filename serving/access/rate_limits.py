"""Rate limits: a token bucket for each key, and one for all requests without a right key.

A bucket is kept as one time, at which it would be full again. This is the generic cell rate
algorithm (ITU-T I.371, 1993), which grants the same requests as a bucket of tokens does.
"""

from __future__ import annotations

import math

from features.errors import NbaError, quoted

BURST_S = 1.0  # a bucket holds the requests of this time, in seconds
# Requests without a right key that one worker answers with 401, in one second. All callers share
# them; a caller with a right key is not held up by the others.
FAILURES_PER_S = 100.0
MOST_BUCKETS = 10_000


class RateLimits:
    """The token buckets of one worker.

    Parameters
    ----------
    per_s
        Requests of one key in a second; at least one request is granted at a time.
    """

    def __init__(self, per_s: float) -> None:
        self.per_s = per_s
        self._each_s = 1 / per_s
        self._burst_s = max(BURST_S, self._each_s)
        self._full_at: dict[str, float] = {}

    def wait_s(self, key: str, now_s: float) -> float:
        """Take a token of a key's bucket.

        Parameters
        ----------
        now_s
            The time in seconds, of a clock that never runs backwards.

        Returns
        -------
        float
            0.0 if there was a token; else the seconds after which there will be one.
        """
        full_at = max(self._full_at.get(key, now_s), now_s) + self._each_s
        wait_s = full_at - now_s - self._burst_s
        if wait_s > 1e-9:  # the sum of many steps is not exact
            return wait_s
        if key not in self._full_at and len(self._full_at) >= MOST_BUCKETS:
            self._forget_full(now_s)
        self._full_at[key] = full_at
        return 0.0

    def _forget_full(self, now_s: float) -> None:
        """Forget the full buckets; if none is full, the one that is full first."""
        kept = {key: full_at for key, full_at in self._full_at.items() if full_at > now_s}
        if len(kept) >= MOST_BUCKETS:
            del kept[min(kept, key=kept.__getitem__)]
        self._full_at = kept


def retry_after(wait_s: float) -> list[tuple[bytes, bytes]]:
    """Make the header that names the whole seconds to wait, at least 1."""
    return [(b"retry-after", str(max(1, math.ceil(wait_s))).encode())]


def too_many_of(name: str, per_s: float, wait_s: float) -> str:
    """Say that a key sends too much."""
    return str(
        NbaError(
            f"The key {quoted(name)} sent too many requests; this one was not begun.",
            expected=f"at most {per_s:,g} a second",
            remedy=f"Send the same again after {max(1, math.ceil(wait_s))} s, "
            "or set NBA_REQUESTS_PER_S.",
        )
    )


def too_many_failures() -> str:
    """Say that too many requests without a right key come."""
    return str(
        NbaError(
            "Too many requests without a right key come to this server.",
            expected=f"at most {FAILURES_PER_S:,g} a second",
            remedy="Send 'Authorization: Bearer KEY' with a key that 'nba keys list' names.",
        )
    )
