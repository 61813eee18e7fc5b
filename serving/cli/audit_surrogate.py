"""The command `nba audit-surrogate`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from serving.cli.terminal import out, plain_errors

if TYPE_CHECKING:
    from serving.effects.surrogate_view import SurrogateView
    from training.effects.surrogate_audit import AuditRow

surrogate = typer.Typer()
NONE_YET = (
    "There is no audit yet: no effect on leaving was fitted. The learner fits one when the domain "
    "says who leaves, the objective is added_value, and enough decisions were looked at again."
)
COLUMNS = ("family", "shown", "left after", "by features", "by who left", "difference", "verdict")


@surrogate.command("audit-surrogate")
def audit_surrogate(
    as_json: Annotated[bool, typer.Option("--json", help="Print the audit as JSON.")] = False,
) -> None:
    """Hold the effect on leaving that features tell early against who really left.

    The exit code is 0 also where they disagree; the verdict says so, as `/readyz` does.

    Example: nba audit-surrogate

    Example: nba audit-surrogate --json
    """
    from features.ledger.ledger import Ledger
    from features.settings import load_settings
    from serving.effects.surrogate_view import read_surrogate_view

    with plain_errors():
        with closing(Ledger(load_settings().ledger_url)) as ledger:
            found = ledger.read(read_surrogate_view)
        if as_json:
            out.print_json(data=None if found is None else found.to_json())
        elif found is None:
            _print(NONE_YET)
        else:
            _print_audit(found)


def _print_audit(found: SurrogateView) -> None:
    from serving.effects.surrogate_view import distrust_sentence, verdict

    table = Table(*COLUMNS)
    table.title = "What a showing adds to the probability to leave, in percentage points"
    for row in found.rows:
        table.add_row(*_cells(row), verdict(row))
    if found.rows:
        out.print(table)
    else:
        _print("No action was drawn by chance yet, so nothing can be compared.")
    for row in found.rows:
        if row.disagrees:
            _print(f"{distrust_sentence(row.family)}.")
    _print(
        f"An effect on leaving lasts {found.duration_days:.0f} days, as learned from "
        f"{found.matured:,} matured decisions ({found.prior_days:.0f} days before)."
    )
    _print(f"Effect model {found.number}, fitted on {found.fitted_at:%F %T} UTC.")


def _cells(row: AuditRow) -> tuple[str, ...]:
    told, real = (f"{100 * value:+.2f}" for value in (row.by_surrogate, row.by_truth))
    interval = f"[{100 * row.low:+.2f}, {100 * row.high:+.2f}]" if row.high < float("inf") else "-"
    return (row.family, f"{row.decisions:,}", f"{row.left:,}", told, real, interval)


def _print(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)
