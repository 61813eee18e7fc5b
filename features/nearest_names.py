"""Finds the known name that somebody meant by an unknown one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import SequenceMatcher
from itertools import islice

CUTOFF = 0.6  # least likeness, as of `difflib.get_close_matches`
MAX_NEAR, MAX_LENGTH = 2000, 200  # known names that are compared, and characters of each
MAX_ASKED = 40  # unknown names of one sentence


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like a name, without regard to case; None if none is near.

    The first one of equals is taken. A known name with which the name begins is near enough: people
    write 'Female' for F.
    """
    wanted = _compared(name)
    matcher = SequenceMatcher(b=wanted, autojunk=False)

    def likeness(one: str) -> float:
        folded = _compared(one)
        least = CUTOFF if folded and wanted.startswith(folded) else 0.0
        matcher.set_seq1(folded)
        bounds = (matcher.real_quick_ratio, matcher.quick_ratio)  # from above, and cheap
        return max(least, matcher.ratio()) if all(bound() >= CUTOFF for bound in bounds) else least

    best = max(islice(known, MAX_NEAR), key=likeness, default="")
    return best if best and likeness(best) >= CUTOFF else None


def did_you_mean(names: Iterable[str], known: Collection[str]) -> str:
    """Ask for the known name that is nearest to each unknown one; empty if none is near."""
    close = (nearest(str(name), known) for name in islice(names, MAX_ASKED))
    meant = dict.fromkeys(one for one in close if one is not None)
    return f"Did you mean {' and '.join(map(repr, meant))}?" if meant else ""


def _compared(name: str) -> str:
    return name[:MAX_LENGTH].strip().casefold()
