"""Decides when the learner fits its encoder again, which means to count all credits again."""

from __future__ import annotations

from collections.abc import Callable

from training.bandit.contextual_bandit import next_encoding

RETRY_GROWTH = 1 / 8  # more shown decisions until a recount that was not possible is tried again


class EncodingThreshold:
    """Tells when the number of shown decisions has reached the next threshold of the encoder.

    Parameters
    ----------
    count_shown
        Counts the decisions that showed an action. It reads them all, so it is called only where
        the threshold may be reached.
    """

    def __init__(self, count_shown: Callable[[], int]) -> None:
        self._count_shown = count_shown
        self._shown: int | None = None  # shown decisions when they were counted; None: not yet
        self._shown_since = 0  # at most so many were shown since they were counted
        self._recount_from = 0  # no recount with fewer shown decisions; 0: by the threshold alone

    def reached(self, encoded_at: int, new: int) -> int:
        """Return the threshold that the number of shown decisions has newly reached; 0 for none.

        Every shown decision comes up in a step, with a first credit or as one of another layout of
        features.

        Parameters
        ----------
        encoded_at : int
            The threshold at which the encoder was fitted last.
        new : int
            So many shown decisions have come up in this step, at most.
        """
        self._shown_since += new
        threshold = next_encoding(encoded_at)
        wanted = max(threshold, self._recount_from)
        if self._shown is not None and self._shown + self._shown_since < wanted:
            return 0
        self._shown, self._shown_since = self._count_shown(), 0
        if self._shown < wanted:
            return 0
        while next_encoding(threshold) <= self._shown:
            threshold = next_encoding(threshold)
        return threshold

    def postpone(self, encoded_at: int) -> None:
        """Wait for more shown decisions, as the threshold that was reached could not be used."""
        shown = self._shown or encoded_at
        self._recount_from = shown + max(1, int(RETRY_GROWTH * shown))
