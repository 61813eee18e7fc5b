"""The commands `nba prune`, `nba erasures` and `nba compact`, which remove data or list it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from serving.cli.terminal import BROKEN, err, out, plain_errors, progress

if TYPE_CHECKING:
    from features.store.retention import Pruned, RetentionPolicy

deletion = typer.Typer()


@deletion.command()
def prune(
    dry_run: Annotated[bool, typer.Option(help="Count only; remove nothing.")] = False,
) -> None:
    """Remove the records of old decisions, and old events if NBA_RETENTION_EVENTS_DAYS is set.

    A running server does the same once a day. Rows are removed in short transactions, so servers
    go on meanwhile.

    Example: nba prune --dry-run
    """
    from features.journeys.personas.persona_conditions import open_domain
    from features.ledger.ledger import Ledger
    from features.ledger.simulated_clock import clock_of
    from features.settings import load_settings
    from features.store.retention import RetentionPolicy, pruning_lock

    with plain_errors():
        settings = load_settings()
        ledger = Ledger(settings.ledger_url)
        retention = RetentionPolicy(ledger, open_domain(settings.domain), settings)
        now = clock_of(settings, ledger)()
        if dry_run:
            _say(retention, retention.count(now), "would be")
            return
        with pruning_lock(settings.home), progress() as report:
            done = retention.prune(now, report)
        _say(retention, done, "were")


@deletion.command()
def compact() -> None:
    """Rewrite the files of the ledger and the online store, so that deleted data is wiped.

    Writers wait meanwhile: some seconds for each gigabyte.

    Example: nba compact
    """
    from serving.cli.steps_data import compact as compact_all

    with plain_errors():
        if not compact_all():
            err.print(
                "Somebody uses the ledger or the online store for long, so deleted data may remain "
                "in their free space. Run 'nba compact' again at a quiet hour.",
                soft_wrap=True,
            )
            raise typer.Exit(BROKEN)
        out.print("The files hold no deleted data any more.")


@deletion.command()
def erasures() -> None:
    """List the customers' erasures: when they were asked for, and when they were finished.

    Example: nba erasures
    """
    from features.ingest.erasure_log import erasure_statuses
    from features.ledger import tables
    from features.ledger.ledger import Ledger
    from features.settings import load_settings

    with plain_errors():
        ledger = Ledger(load_settings().ledger_url)
        every = tables.erasures.c.erasure_id.is_not(None)
        table = Table("erasure", "asked at", "finished at", "waits for")
        for one in ledger.read(lambda connection: erasure_statuses(connection, every)):
            finished = one.finished_at.isoformat() if one.finished_at else ""
            waits = "; ".join(f"{name} {why}" for name, why in one.problems.items())
            table.add_row(one.erasure_id, one.asked_at.isoformat(), finished, waits)
        out.print(table)


def _say(retention: RetentionPolicy, pruned: Pruned, verb: str) -> None:
    settings, storage = retention.settings, retention.storage()
    for what, days, count, size in (
        ("records", settings.retention_records_days, pruned.records, pruned.record_bytes),
        ("events", settings.retention_events_days, pruned.events, pruned.event_bytes),
    ):
        if days is None:
            out.print(f"{what.capitalize()} are kept for ever.")
        else:
            line = (
                f"{count:,} {what} older than {days:g} days {verb} removed: {size / 1e6:,.1f} MB."
            )
            out.print(line, highlight=False, soft_wrap=True)
    free = "" if storage.free is None else f", of which {storage.free / 1e6:,.1f} MB are free"
    line = f"The ledger takes {storage.total / 1e6:,.1f} MB{free}. New rows use free space first."
    out.print(line, highlight=False, soft_wrap=True)
