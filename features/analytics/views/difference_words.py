"""Tells a difference of two maps in a sentence."""

from __future__ import annotations

from features.analytics.nodes import END_LABEL, START_LABEL


def difference_words(
    source: str,
    target: str,
    interval: tuple[float, float, float] | None,
    is_tested: bool,
    is_changed: bool,
) -> str:
    """Tell a difference, such as "9 of 100 more go from payment to call (between 6 and 12)."

    Parameters
    ----------
    interval
        The difference of the shares and its bounds; None if it cannot be told.
    is_tested
        False if there are too few customers or transitions.
    is_changed
        True if it is not taken for chance.
    """
    way = _way(source, target)
    if interval is None:
        return f"Nobody could {way} on one of the maps."
    if not is_tested and interval[0] != 0:
        return f"Too few to tell whether more {way}."
    if not is_changed:
        return f"No difference found in how many {way}."
    difference, low, high = interval
    sign, word = (1, "more") if difference > 0 else (-1, "fewer")
    bounds = sorted((sign * low, sign * high))
    between = " and ".join(_of_100(bound) for bound in bounds)
    return f"{_of_100(sign * difference)} of 100 {word} {way} (between {between})."


def _way(source: str, target: str) -> str:
    if source == START_LABEL:
        return f"begin with {target}"
    if target == END_LABEL:
        return f"end after {source}"
    return f"go from {source} to {target}"


def _of_100(share: float) -> str:
    """Tell a share as so many of 100; below 1, with one digit that counts."""
    value = 100 * share
    return f"{value:.0f}" if abs(value) >= 1 else f"{value:.1g}"
