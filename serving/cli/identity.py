"""The commands `nba merge-candidates` and `nba forget`: who is one person, and who is erased."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from serving.cli.terminal import REFUSED, err, out, plain_errors

if TYPE_CHECKING:
    from serving.contract.customers import UnconfirmedAnswer
    from serving.contract.merge_candidates import MergeCandidatesAnswer

identity = typer.Typer()


@identity.command()
def merge_candidates(
    status: Annotated[str, typer.Option(help="open, merged, confirmed or refused.")] = "open",
    limit: Annotated[int, typer.Option(min=1, max=200, help="The newest so many.")] = 50,
    after: Annotated[str | None, typer.Option(help="'next' of an earlier --json.")] = None,
    confirm: Annotated[
        tuple[str, str] | None, typer.Option(help="Link these two keys.", metavar="LEFT RIGHT")
    ] = None,
    refuse: Annotated[
        tuple[str, str] | None, typer.Option(help="Never link these two.", metavar="LEFT RIGHT")
    ] = None,
    cause: Annotated[str | None, typer.Option(help="The evidence for the decision.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """List pairs of customers who may be one person, or decide one of them.

    Example: nba merge-candidates

    Example: nba merge-candidates --confirm c1 c2 --cause "showed a passport"

    Example: nba merge-candidates --refuse c1 c2 --cause "brother and sister"
    """
    with plain_errors():
        sent: dict[str, object] = {"status": status, "limit": limit, "after": after}
        if confirm or refuse or cause is not None:
            sent = _decision(confirm, refuse, cause)
        from serving.cli.steps_identity import ask_candidates

        found = ask_candidates(sent)
        if as_json:
            out.print(found.model_dump_json(indent=1), markup=False, soft_wrap=True)
        elif found.candidates:
            out.print(_table(found))
            if found.next:
                more = f"There are more: --after {shlex.quote(found.next)}"
                out.print(more, markup=False, soft_wrap=True)
        else:
            out.print(f"No candidate is {status}.", markup=False)


@identity.command()
def forget(
    key: Annotated[str, typer.Argument(help="A customer id or an identifier.")],
    confirm: Annotated[
        list[str] | None,
        typer.Option(help="A named key of a merged customer; repeat it for each of them."),
    ] = None,
) -> None:
    """Erase a customer everywhere, and refuse them until they are readmitted.

    If several customers were merged into one, the command names them and asks before it erases
    them all; --confirm answers beforehand.

    Example: nba forget c1

    Example: nba forget c1 --confirm c1 --confirm c2
    """
    with plain_errors():
        from serving.cli.steps_identity import erase
        from serving.contract.customers import UnconfirmedAnswer

        done = erase(key, tuple(confirm or ()))
        if isinstance(done, UnconfirmedAnswer) and not confirm and _is_confirmed(done):
            done = erase(key, tuple(done.would_erase))
        if isinstance(done, UnconfirmedAnswer):
            err.print(done.error, style="red", markup=False, soft_wrap=True)
            raise typer.Exit(REFUSED)
        counts = ", ".join(f"{count:,} {name}" for name, count in done.erased.items())
        out.print(f"Erased: {counts} (erasure {done.erasure_id}).", soft_wrap=True)
        if done.trained_on is None:
            out.print("MLflow did not say which models were trained on the customer.")
        elif done.trained_on:
            out.print(f"Trained on the customer: {', '.join(done.trained_on)}.", soft_wrap=True)
        out.print(done.remark, markup=False, soft_wrap=True)


def _decision(
    confirm: tuple[str, str] | None, refuse: tuple[str, str] | None, cause: str | None
) -> dict[str, object]:
    from features.errors import InvalidSetting

    pair = confirm or refuse
    if pair is None or (confirm and refuse) or not cause:
        raise InvalidSetting(
            "A decision is not complete.",
            expected="either --confirm or --refuse, with two keys, and --cause",
            remedy="Send 'nba merge-candidates --refuse LEFT RIGHT --cause TEXT'.",
        )
    decision = "confirm" if confirm else "refuse"
    return {"left": pair[0], "right": pair[1], "decision": decision, "cause": cause}


def _is_confirmed(asked: UnconfirmedAnswer) -> bool:
    err.print(f"It is {len(asked.would_erase)} customers who were merged into one:")
    for key in asked.would_erase:
        err.print(f"    {key}", markup=False, highlight=False)
    try:
        return typer.confirm("Erase all of them?", err=True)
    except typer.Abort:  # nobody can answer: not a terminal
        return False


def _table(found: MergeCandidatesAnswer) -> Table:
    table = Table("left", "right", "via", "reason", "status", "found at", "cause")
    for one in found.candidates:
        cells = (one.left, one.right, one.via, one.reason, one.status)
        cause = escape(one.decided_cause or "")
        table.add_row(*map(escape, cells), f"{one.found_at:%Y-%m-%dT%H:%M:%SZ}", cause)
    return table
