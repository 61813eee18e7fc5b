"""A rehearsal as a picture: what was earned, who left, and the lead of ours with its interval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from training.simulation.report import leads
from training.simulation.tournament import Rehearsal

matplotlib.use("Agg")

import matplotlib.pyplot as plt

COLORS = {
    "ours": "#c2410c",
    "oracle": "#15803d",
    "rules": "#1d4ed8",
    "fixed": "#7c3aed",
    "propensity": "#a16207",
    "random": "#6b7280",
}


def draw_rehearsal(rehearsal: Rehearsal, path: Path) -> None:
    """Write the picture as PNG."""
    figure, (earned, left, lead) = plt.subplots(1, 3, figsize=(16, 4.5), layout="constrained")
    days = np.arange(1, rehearsal.days + 1)
    for name, courses in rehearsal.courses.items():
        value = np.mean([one.value_eur.cumsum() for one in courses], axis=0)
        lost = np.mean([one.lost.cumsum() for one in courses], axis=0)
        earned.plot(days, value / rehearsal.customers, label=name, color=COLORS[name])
        left.plot(days, 100 * lost / rehearsal.customers, label=name, color=COLORS[name])
    earned.set(title="Earned so far", xlabel="day", ylabel="euro a customer")
    left.set(title="Left so far", xlabel="day", ylabel="% of the customers")
    earned.legend()
    _draw_leads(lead, rehearsal)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_leads(axes: Any, rehearsal: Rehearsal) -> None:
    found = leads(rehearsal)
    for place, one in enumerate(found):
        error = [[one.value.value - one.value.low], [one.value.high - one.value.value]]
        axes.errorbar(one.value.value, place, xerr=error, fmt="o", color=COLORS[one.over])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(title="Ours less the others, 95 %", xlabel="euro a customer")
    axes.set_yticks(range(len(found)), [one.over for one in found])
