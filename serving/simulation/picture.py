"""Draws a tournament: cumulative value, cumulative churn, and differences with their intervals.

Apart from `report`, so that only this module loads matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from serving.simulation.report import policy_differences
from serving.simulation.tournament import TournamentResult

matplotlib.use("Agg")

import matplotlib.pyplot as plt

COLORS = {
    "served": "#0f172a",
    "acceptance": "#db2777",
    "leaving_off": "#b45309",
    "nobody": "#c2410c",
    "oracle": "#15803d",
    "informed": "#65a30d",
    "rules": "#1d4ed8",
    "fixed": "#7c3aed",
    "random": "#6b7280",
}


def draw_tournaments(tournaments: Sequence[TournamentResult], path: Path) -> None:
    """Write the picture as PNG: a row for each business."""
    figure, rows = plt.subplots(
        len(tournaments),
        3,
        figsize=(16, 4.5 * len(tournaments)),
        layout="constrained",
        squeeze=False,
    )
    for tournament, (values, churn, differences) in zip(tournaments, rows, strict=True):
        _draw_courses(values, churn, tournament)
        _draw_differences(differences, tournament)
    figure.savefig(path, dpi=110, format="png")
    plt.close(figure)


def _draw_courses(values: Any, churn: Any, tournament: TournamentResult) -> None:
    days = np.arange(1, tournament.days + 1)
    for name in tournament.asked:
        runs = [played.run for played in tournament.runs[name]]
        value = np.mean([run.value_eur.cumsum() for run in runs], axis=0)
        lost = np.mean([run.lost.cumsum() for run in runs], axis=0)
        values.plot(days, value / tournament.customers, label=name, color=COLORS[name])
        churn.plot(days, 100 * lost / tournament.customers, label=name, color=COLORS[name])
    title = f"{tournament.world}: cumulative value, all arms"
    values.set(title=title, xlabel="day", ylabel="euro a customer")
    churn.set(title="Customers who have left, all arms", xlabel="day", ylabel="%")
    churn.set_ylim(bottom=0)
    values.legend()


def _draw_differences(axes: Any, tournament: TournamentResult) -> None:
    found = policy_differences(tournament)
    for row, one in enumerate(found):
        error = [[one.value.value - one.value.low], [one.value.high - one.value.value]]
        axes.errorbar(one.value.value, row, xerr=error, fmt="o", color=COLORS[one.other])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(title="Served less the others, 95 %", xlabel="euro a customer")
    axes.set_yticks(range(len(found)), [one.other for one in found])
