"""The home of a simulated business, for a server that its customers use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from serving.cli.simulation.tables import write_customers
from tests.commands import ROOT, Completed, nba
from training.simulation.business import SimulatedBusiness

Env = dict[str, str]
DOMAINS = ROOT / "features" / "domains"


def make_home(
    folder: Path,
    business: SimulatedBusiness,
    customers: int,
    seed: int,
    share: float,
    run: Callable[[list[str], Mapping[str, str]], Completed] = nba,
) -> Env:
    """Load the customers of a world; return the settings of a server with a simulated clock.

    Parameters
    ----------
    share : float
        Of the arms random and nobody, each.
    """
    actions = DOMAINS / f"{business.domain}.actions.yaml"
    catalog = yaml.safe_load(actions.read_text(encoding="utf-8"))
    catalog.pop("control_group", None)
    catalog["arms"] = {"random": share, "nobody": share}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "actions.yaml").write_text(yaml.safe_dump(catalog), encoding="utf-8")
    env = {
        "NBA_HOME": str(folder / "home"),
        "NBA_DOMAIN": str(DOMAINS / f"{business.domain}.yaml"),
        "NBA_ACTIONS": str(folder / "actions.yaml"),
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'no-models.db'}",
        "NBA_CLOCK": "simulated",
        "NBA_JOURNEYS": "false",
    }
    write_customers(business, folder / "tables", customers, seed)
    for command in (["load", str(folder / "tables")], ["build"]):
        done = run(command, env)
        assert done.returncode == 0, done.stdout + done.stderr
    return env
