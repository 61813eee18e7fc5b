"""Prints a lift: the pairs of arms, the arms, and credited rewards as the second table."""

from __future__ import annotations

from rich.table import Table

from serving.cli.terminal import out
from serving.contract.credited_lift import CreditedLift
from serving.contract.lift import LiftView


def print_lift(found: LiftView) -> None:
    """Print a lift for people."""
    for remark in found.remarks:
        _print(remark)
    _print(found.verdict)
    _print_credited(found.credited)


def _print_credited(found: CreditedLift) -> None:
    unit = found.currency.upper()
    table = Table("arm", "customers", "decisions", f"{unit} a customer", f"{unit} a decision")
    table.title = "Credited rewards only: this is not what the policy earns"
    for name, arm in (("policy", found.policy), ("random", found.random)):
        means = (arm.reward_per_customer, arm.reward_per_decision)
        figures = ["" if mean is None else f"{mean:.3f}" for mean in means]
        table.add_row(name, f"{arm.customers:,}", f"{arm.decisions:,}", *figures)
    out.print(table)
    for remark in found.remarks:
        _print(remark)
    _print(found.verdict)


def _print(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)
