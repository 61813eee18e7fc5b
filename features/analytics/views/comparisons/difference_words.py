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


def deviation_words(
    source: str,
    target: str,
    interval: tuple[float, float, float] | None,
    usual: float | None,
    is_on_way: bool,
) -> str:
    """Tell how real journeys differ from the expected way.

    Parameters
    ----------
    interval
        The real share and its bounds; None: nobody visited the source.
    usual
        The expected share, 0 or 1; None: it is not told.
    is_on_way
        True if the source is on the expected way.
    """
    way = _way(source, target)
    if interval is None:
        return f"Nobody could {way}."
    share, low, high = interval
    if not is_on_way:
        return f"{_of_100(share)} of 100 {way}; {source} is not on the expected way."
    if usual is None:
        return f"{_of_100(share)} of 100 {way}, as one of the expected ways."
    if usual == share:
        return f"All {way}, as expected."
    if usual == 0:
        return (
            f"{_of_100(share)} of 100 {way}, beside the expected way "
            f"(between {_of_100(max(low, 0))} and {_of_100(high)})."
        )
    return (
        f"{_of_100(1 - share)} of 100 do not {way}, the expected way "
        f"(between {_of_100(max(1 - high, 0))} and {_of_100(1 - low)})."
    )


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
