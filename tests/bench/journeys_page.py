"""Measures how long Chromium takes to draw a map of 30 nodes with all ways between them.

    python -m tests.bench.journeys_page

The time is from the text of the picture to its layout in the page: `drawing.js` reads it, lets
through what is on its list, and puts it in. Then Tab is pressed until each node was reached.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from features.analytics.views.filters import JourneyFilter
from features.business.domain import Domain
from features.ledger.tables import from_micros
from serving.contract.journeys import JourneysRequest
from serving.journeys.answer import answer_journeys
from serving.journeys.report import MOST_EDGES, report_html
from tests.browser import Browser, chromium
from tests.journey_logs import journeys_of
from tests.journeys_stand_in import StandIn, stand_in

NODES, STEPS, ALLOWED_MS, MOST_TABS = 30, 60_000, 100.0, 400
DRAW = """(async () => {
  const {drawn} = await import('./drawing.js');
  const asked = {view: 'map', filter: {map: 'support'}, picture: true};
  const answer = await (await fetch('../v1/journeys', {method: 'POST', body: JSON.stringify(asked),
    headers: {'content-type': 'application/json'}})).json();
  const place = document.querySelector('#map .seen'), times = [], painted = [];
  for (let i = 0; i < ROUNDS; i++) {
    place.replaceChildren();
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    const begin = performance.now();
    place.append(drawn(answer.drawn.map.picture));
    place.firstChild.getBoundingClientRect();
    times.push(performance.now() - begin);
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    painted.push(performance.now() - begin);
  }
  return {times, painted, edges: answer.map.edges.length, nodes: answer.map.nodes.length,
    bytes: answer.drawn.map.picture.length};
})()"""
out = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    with (
        journeys_of(domain(), log()) as data,
        stand_in(data) as server,
        chromium(Path(tempfile.mkdtemp())) as browser,
    ):
        browser.open(f"{server.page}?map=support&lines=all")
        browser.wait_for("document.querySelectorAll('svg.picture').length === 4")
        browser.resize(1440)
        reached, tabs = reached_by_tab(browser)
        found = browser.evaluate(DRAW.replace("ROUNDS", str(asked.rounds)))
        report(found, reached, tabs, server, browser)
        asked_page = JourneysRequest(filter=JourneyFilter(map="support"), most_edges=MOST_EDGES)
        answer = answer_journeys(asked_page, data, from_micros(data.as_of_us))
        size = len(report_html(answer, data.domain).encode())
        out.print(f"The report of this map has {size / 1000:,.0f} kB (allowed: 400).")


def report(
    found: dict[str, Any], reached: int, tabs: int, server: StandIn, browser: Browser
) -> None:
    """Print the figures."""
    title = f"{found['nodes']} nodes, {found['edges']} ways, {found['bytes'] / 1000:,.0f} kB of SVG"
    table = Table(title, "fastest ms", "median ms", "slowest ms", "allowed")
    for name, times in (("in the page, laid out", "times"), ("and painted", "painted")):
        median, slowest = statistics.median(found[times]), max(found[times])
        allowed = f"{ALLOWED_MS:g}" if times == "times" else ""
        table.add_row(name, f"{min(found[times]):.1f}", f"{median:.1f}", f"{slowest:.1f}", allowed)
    out.print(table)
    out.print(f"{reached} of {found['nodes']} nodes reached by {tabs} presses of Tab.")
    out.print(f"Errors of the console and of the policy: {len(browser.complaints)}.")


def reached_by_tab(browser: Browser) -> tuple[int, int]:
    """Press Tab until all nodes were reached; return how many were, and the presses."""
    browser.evaluate("document.getElementById('all').focus()")
    met: set[str] = set()
    for presses in range(1, MOST_TABS + 1):
        browser.press("Tab")
        name = browser.evaluate("document.activeElement.getAttribute('class') || ''")
        if name.startswith("node n"):
            met.add(name)
        if len(met) == NODES:
            return len(met), presses
    return len(met), MOST_TABS


def domain() -> Domain:
    """A business with one kind of journey, whose map has 30 nodes in three stages."""
    names = [[f"step {stage} {at}" for at in range(NODES // 3)] for stage in range(3)]
    stages = ("awareness", "action", "use")
    events = {
        f"type_{stage}": {
            "description": "A step.",
            "journey": "support",
            "stage": stage,
            "touchpoint": "internal",
            "signal": "passive",
            "properties": {"name": {"type": "category", "values": values, "required": True}},
        }
        for stage, values in zip(stages, names, strict=True)
    }
    content = {"name": "made_up", "currency": "eur", "channels": ["web"], "events": events}
    content["journeys"] = {"support": {"map": {"node": "name", "lanes": "none"}}}
    return Domain.model_validate(content)


def log() -> list[tuple[Any, ...]]:
    """A log in which each of the 30 steps follows each, by chance, for 300 customers."""
    rng = np.random.default_rng(5)
    stages = ("awareness", "action", "use")
    return [
        (
            f"c{at % 300}",
            f"type_{stages[step // 10]}",
            at / 1000,
            "web",
            {"name": f"step {step // 10} {step % 10}"},
        )
        for at, step in enumerate(rng.zipf(1.4, STEPS * 2) % NODES)
        if at < STEPS
    ]


if __name__ == "__main__":
    main()
