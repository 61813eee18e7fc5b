"""The command `nba migrate`, and the same step for the commands that run it before they begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from features.private_files import open_to_others
from serving.cli.terminal import err, out, plain_errors

migration = typer.Typer()


@migration.command()
def migrate(
    dry_run: Annotated[bool, typer.Option(help="Name the steps only; change nothing.")] = False,
) -> None:
    """Bring the ledger of an older version to the schema of this version.

    All steps are one transaction: if a step fails, nothing has changed. Stop the servers of the
    older version first. 'nba serve' and 'nba quickstart' do the same before anything else.

    Example: nba migrate --dry-run
    """
    from features.settings import load_settings

    with plain_errors():
        settings = load_settings()
        if not migrate_and_say(settings.ledger_url, _say, dry_run):
            out.print("Nothing is to do: the ledger has the schema of this version.")
        if found := open_to_others(settings):
            err.print(found, markup=False, highlight=False, soft_wrap=True)


def migrate_and_say(url: str, say: Callable[[str], None], dry_run: bool = False) -> bool:
    """Migrate the ledger, if there is one, and name the schemas and the steps; False if none."""
    from features.ledger.migrations import migrate as migrate_ledger

    plan = migrate_ledger(url, dry_run)
    if plan.pending:
        done = "would be brought" if dry_run else "was brought"
        say(f"The ledger {done} from schema {plan.found} to {plan.pending[-1].schema}:")
        for step in plan.pending:
            say(f"    step {step.schema}: {step.summary}")
    return bool(plan.pending)


def _say(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)
