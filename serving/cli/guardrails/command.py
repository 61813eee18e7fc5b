"""The command `nba guardrails`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from serving.cli.terminal import out, plain_errors

if TYPE_CHECKING:
    from serving.contract.guardrails import GuardrailsView, GuardrailView, HarmTestView

guarding = typer.Typer()
STRONGEST = 5  # actions of a guardrail that are shown


@guarding.command()
def guardrails(
    lift: Annotated[
        str | None, typer.Option(help="Lift a stop of this guardrail; needs --action.")
    ] = None,
    action: Annotated[str | None, typer.Option(help="The action that is offered again.")] = None,
    cause: Annotated[str, typer.Option(help="Why it is lifted.")] = "lifted with nba guardrails",
    stops: Annotated[str, typer.Option(help="now, or all: also those that were lifted.")] = "now",
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Show what the guardrails have found and switched off, or offer an action again.

    A lifted action is offered again by running servers within 2 s, and its test begins anew.

    Example: nba guardrails

    Example: nba guardrails --lift unsubscribes --action discount --cause "another wording"
    """
    from serving.cli.guardrails.steps import lift_one, read_guardrails

    with plain_errors():
        if lift is not None or action is not None:
            stop = lift_one({"guardrail": lift, "action_id": action, "cause": cause})
            _print(f"{stop.action_id} is offered again; its test by {stop.guardrail} begins anew.")
            return
        found = read_guardrails({"stops": stops})
        if as_json:
            _print(found.model_dump_json(indent=1))
            return
        _print_guardrails(found)


def _print_guardrails(found: GuardrailsView) -> None:
    if not found.guardrails:
        _print("The catalogue has no guardrails.")
    else:
        out.print(_table(found.guardrails))
    for guardrail in found.guardrails:
        _print(f"{guardrail.name}: {guardrail.words}")
    for stop in found.stops:
        text = f"{stop.guardrail} has switched off {stop.action_id} on {stop.stopped_at:%F %T} UTC"
        test = stop.test
        text += f": {test.after} of {test.harmed} harmed had it, {test.expected:.1f} at the limit"
        if stop.lifted_at:
            text += f"; lifted on {stop.lifted_at:%F %T} UTC ({stop.lifted_by})"
        _print(f"{text}.")


def _table(guardrails: list[GuardrailView]) -> Table:
    table = Table("guardrail", "of", "harmed", "had it", "at the limit", "e-value", "stops at")
    table.title = "Harm by action; that of the policy is by customer and stops nothing"
    for guardrail in guardrails:
        strongest = sorted(guardrail.actions, key=lambda one: -one.e_value)[:STRONGEST]
        policy = [guardrail.policy] if guardrail.policy else []
        for number, test in enumerate([*policy, *strongest]):
            table.add_row("" if number else guardrail.name, *_cells(test))
    return table


def _cells(test: HarmTestView) -> tuple[str, ...]:
    of = test.action_id or "the policy"
    counts = (f"{test.harmed:,}", f"{test.after:,}", f"{test.expected:,.1f}")
    return (of, *counts, f"{test.e_value:.3g}", f"{test.stops_at:,.0f}")


def _print(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)
