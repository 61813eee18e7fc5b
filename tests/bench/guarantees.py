"""Measures what the service guarantees, and compares each figure with the one that is asked for.

    make bench-guarantees
    python -m tests.bench.guarantees visible long

Without a subject all of them run, one after the other. The exit code is 1 if a figure is short.
`identifiers`, `fair`, `strangers` and `overload` use the home of `nba quickstart`; the others make
homes of their own.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time

import psutil

from tests.bench.guarantees_report import Figure, out, print_figures

# The modules of each subject; each has a function `run`.
SUBJECTS = {
    "visible": ("guarantees_visible", "guarantees_over_http"),
    "identifiers": ("guarantees_identifiers",),
    "long": ("guarantees_long", "guarantees_accounts"),
    "store": ("guarantees_store",),
    "fair": ("guarantees_fair",),
    "backlog": ("guarantees_backlog", "guarantees_set_aside"),
    "kiosk": ("guarantees_kiosk",),
    "leavers": ("guarantees_leavers",),
    "lift": ("guarantees_lift",),
    "strangers": ("guarantees_strangers",),
    "access": ("guarantees_access",),
    "overload": ("guarantees_overload",),
}


def main() -> int:
    """Run the subjects that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("subjects", nargs="*", choices=[*SUBJECTS, []], metavar="SUBJECT")
    parser.epilog = f"Subjects: {', '.join(SUBJECTS)}."
    asked = parser.parse_args().subjects or [*SUBJECTS]
    out.print(f"{psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}")
    short: list[str] = []
    for subject in asked:
        for module in SUBJECTS[subject]:
            began = time.monotonic()
            figures = _figures(module)
            print_figures(f"{subject} ({time.monotonic() - began:.0f} s)", figures)
            short += [one.subject for one in figures if not one.holds]
    out.print(f"{len(short)} figures are short." if short else "All figures hold.")
    for one in short:
        out.print(f"    {one}")
    return int(bool(short))


def _figures(module: str) -> list[Figure]:
    try:
        found: list[Figure] = importlib.import_module(f"tests.bench.{module}").run()
    except Exception as error:  # the other subjects are still measured
        out.print_exception()
        found = [Figure(module, f"{type(error).__name__}: {error}"[:300], "figures", False)]
    return found


if __name__ == "__main__":
    sys.exit(main())
