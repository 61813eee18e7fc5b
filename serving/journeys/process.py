"""Keeps journeys counted in a process beside the server: `python -m serving.journeys.process`.

The first worker of a server starts it, as the learner. Every few seconds it cuts the customers
whose past has changed (`upkeep.refresh`). Every night, by the clock of the business, another
process counts everything again and compares (`upkeep.recount`). Both leave the processor to whoever
decides.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import time
from contextlib import suppress
from datetime import datetime, timedelta, tzinfo

import sqlalchemy as sa
from threadpoolctl import threadpool_limits

from features.analytics.upkeep.kept_state import FOLDER
from features.analytics.upkeep.recount import read_recounted, recount
from features.analytics.upkeep.refresh import Refresher
from features.business.catalog import Catalog
from features.business.yaml_file import load_yaml
from features.clock import Clock
from features.errors import NotCounted
from features.journeys.personas.persona_conditions import open_domain
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import clock_of, has_begun
from features.private_files import protect_process
from features.settings import Settings, load_settings
from serving.learn.child_process import (
    UNTIL_STDIN_CLOSES,
    end_with_parent,
    only_one,
    start_child,
)

log = logging.getLogger("nba.journeys")

EVERY_S = 5.0  # between two refreshes
NICE, RECOUNT_NICE = 10, 19  # who decides goes first; a recount has the whole night
PROBLEM = "journeys problem"  # key of `meta`: why the last refresh failed, as a sentence
NIGHT = range(2, 5)  # hours in which everything is counted again
ONCE_A_NIGHT = timedelta(hours=12)


class NightlyRecount:
    """Starts the recount of each night in a process of its own."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._began: datetime | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def check(self, now: datetime) -> None:
        """Start the recount if it is night, and none has begun this night."""
        if self._child is not None and self._child.poll() is not None:
            if self._child.returncode:
                log.warning("The recount ended with code %s", self._child.returncode)
            self._child = None
        is_night = now.astimezone(self._zone).hour in NIGHT
        is_due = self._began is None or now - self._began > ONCE_A_NIGHT
        if is_night and is_due and self._child is None:
            self._began = now
            self._child = start_child("serving.journeys.process", "--recount")


def keep(refresher: Refresher, ledger: Ledger, clock: Clock, noted: str) -> str:
    """Refresh once; a failure is noted in the ledger for `/readyz`, and tried again.

    Parameters
    ----------
    noted : str
        The problem that is noted at present; empty without one.

    Returns
    -------
    str
        The problem that is noted now.
    """
    problem = ""
    try:
        done = refresher.refresh(clock)
        if done.customers or done.builds:
            log.info("Cut the journeys of %s customers, %s builds", done.customers, done.builds)
    except NotCounted as error:  # another home keeps them; `/readyz` says so here, and not there
        log.warning("Journeys: %s", error)
    except Exception as error:  # a locked database or a full disk passes
        log.exception("Journeys could not be refreshed; trying again")
        problem = f"journeys: cannot be refreshed ({type(error).__name__}); see the log"
    if problem != noted:
        with suppress(Exception):  # the ledger may be what fails; then `/readyz` says so
            ledger.write_now(lambda c: _note(c, problem))
            return problem
    return noted


def _note(connection: sa.Connection, problem: str) -> None:
    if problem:
        tables.set_meta(connection, PROBLEM, problem)
    else:
        connection.execute(sa.delete(tables.meta).where(tables.meta.c.key == PROBLEM))


def run(settings: Settings) -> None:
    """Refresh until interrupted."""
    os.nice(NICE)
    threadpool_limits(limits=1, user_api="blas")
    domain, ledger = open_domain(settings.domain), Ledger(settings.ledger_url)
    folder, clock = settings.home / FOLDER, clock_of(settings, ledger)
    nightly = NightlyRecount(load_yaml(settings.actions, Catalog).clock.of_business)
    with only_one(folder / "process.lock"):
        refresher = Refresher(ledger, domain, folder)
        noted = ledger.read(lambda c: tables.get_meta(c, PROBLEM)) or ""
        while True:
            if has_begun(clock):
                noted = keep(refresher, ledger, clock, noted)
                nightly.check(clock())
            time.sleep(EVERY_S)


def run_recount(settings: Settings) -> None:
    """Count everything again, once; what differed the last time is built again before."""
    os.nice(RECOUNT_NICE)
    threadpool_limits(limits=1, user_api="blas")
    domain, ledger = open_domain(settings.domain), Ledger(settings.ledger_url)
    folder, clock = settings.home / FOLDER, clock_of(settings, ledger)
    try:
        before = ledger.read(read_recounted)
        if before is not None and before.differences:
            Refresher(ledger, domain, folder).refresh(clock, rebuild=True)
        for one in recount(ledger, domain, folder, clock()):
            log.error("Journeys: %s", one)
    finally:
        ledger.close()


if __name__ == "__main__":
    protect_process()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(UNTIL_STDIN_CLOSES, action="store_true", help="end with the parent")
    parser.add_argument("--recount", action="store_true", help="count everything again, once")
    asked = parser.parse_args()
    if asked.until_stdin_closes:
        end_with_parent()
    (run_recount if asked.recount else run)(load_settings())
