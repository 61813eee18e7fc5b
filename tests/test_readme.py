"""The four READMEs cannot lie: their commands, requests, classes, files, settings and packages
exist."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

from features.business.domain import load_domain
from features.identity.keys import KeyNormalizer
from features.journeys.events import parse_event
from features.settings import GROCERY, Settings
from serving.cli.main import app
from serving.contract.clock import ClockRequest
from serving.contract.customers import (
    AttributesRequest,
    CustomerRequest,
    ForgetRequest,
    LinkRequest,
)
from serving.contract.decisions import (
    ActivateRequest,
    DecideRequest,
    Decision,
    ExplainRequest,
    ReplayRequest,
)
from serving.contract.events import EventsRequest, OutcomeRequest
from serving.contract.guardrails import GuardrailsRequest
from serving.contract.journeys import JourneysRequest
from serving.contract.lift import LiftRequest
from serving.contract.merge_candidates import MergeCandidatesRequest
from tests.conftest import NOW
from training.evaluation.log import Log
from training.evaluation.off_policy import Estimate, compare, evaluate
from training.evaluation.reward_regression import cross_fitted

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "features/README.md", "training/README.md", "serving/README.md")
TEXTS = {page: (ROOT / page).read_text() for page in PAGES}
FIRST = TEXTS["README.md"]
ALL = "\n".join(TEXTS.values())
COMMANDS = set(get_command(app).commands)  # type: ignore[attr-defined]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUESTS = {
    "decide": DecideRequest,
    "activate": ActivateRequest,
    "outcomes": OutcomeRequest,
    "events": EventsRequest,
    "link": LinkRequest,
    "unlink": LinkRequest,
    "merge_candidates": MergeCandidatesRequest,
    "attributes": AttributesRequest,
    "clock": ClockRequest,
    "customer": CustomerRequest,
    "forget": ForgetRequest,
    "guardrails": GuardrailsRequest,
    "explain": ExplainRequest,
    "replay": ReplayRequest,
    "journeys": JourneysRequest,
    "lift": LiftRequest,
}
PARTS = ("Context", "Choice", "Cost")
MOST_LINES, MOST_WORDS, FIGURES = 160, 25, 8

pages = pytest.mark.parametrize("page", PAGES)


def section(page: str, title: str) -> str:
    """The text of a section of a page, up to the next section of its level."""
    return TEXTS[page].split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """Cells of the rows of the only table in a text, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[1:]]


def classes() -> dict[str, set[str]]:
    """Names of the classes of the floors, each with the names of its methods and fields."""
    found: dict[str, set[str]] = {}
    for floor in ("features", "training", "serving"):
        for path in (ROOT / floor).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    members = found.setdefault(node.name, set())
                    members |= {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
    return found


def test_every_command_in_the_readmes_exists_and_every_command_is_in_them():
    named = set(re.findall(r"\bnba ([a-z]+(?:-[a-z]+)*)", ALL))
    assert named == COMMANDS


def test_every_make_target_in_the_readmes_exists_and_every_target_is_in_them():
    named = set(re.findall(r"(?:`|\$ )make ([a-z-]+)", ALL))
    benches = {target for target in TARGETS if target.startswith("bench-")}
    assert named <= TARGETS
    assert named >= TARGETS - benches


def test_every_benchmark_in_the_readmes_exists_and_every_benchmark_is_in_them():
    made = dict(re.findall(r"^(bench-[a-z-]+):.*?\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE))
    modules = set(re.findall(r"python -m (tests[a-z_.]+)", ALL))
    for module in modules:
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module
    for target, recipe in made.items():
        runs = set(re.findall(r"python -m (tests[a-z_.]+)", recipe))
        assert f"`make {target}`" in ALL or runs & modules, target


def test_every_request_in_the_readmes_is_accepted():
    domain, seen = load_domain(GROCERY), set()
    for before, text in re.findall(r"(.*?)```json\n(.*?)```", ALL, re.DOTALL):
        routes = set(re.findall(r"`POST /v1/([a-z_]+)`", before))  # named since the last request
        content = json.loads(text)
        for route in routes:
            REQUESTS[route].model_validate(content)
        for event in content["events"] if "events" in routes else []:
            parse_event(event, domain, KeyNormalizer(domain), NOW)
        assert routes
        seen |= routes
    assert seen == set(REQUESTS)


def test_the_first_request_is_accepted_and_its_answer_has_the_form_of_a_decision():
    sent, answered = re.search(r"-d '(\{.*?\})'\n(.*?)\n\n", FIRST, re.DOTALL).groups()
    request = DecideRequest.model_validate_json(sent)
    decision = Decision.model_validate_json(answered)
    assert decision.customer_id == request.customer_id
    assert set(json.loads(answered)) <= set(Decision.model_fields)


def test_every_setting_is_in_the_readme_and_no_other():
    known = {f"NBA_{field}".upper() for field in Settings.model_fields}
    listed = {name for row in rows(section("README.md", "Settings")) for name in row[:1]}
    assert set(re.findall(r"NBA_[A-Z_]+", " ".join(listed))) == known
    assert set(re.findall(r"NBA_[A-Z_]+", ALL)) == known


@pytest.mark.parametrize(
    "requirement", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
)
def test_every_dependency_has_its_line_and_its_pin(requirement):
    name = re.match(r"[A-Za-z0-9-]+", requirement)[0]
    listed = [row[0] for row in rows(section("README.md", "What it needs"))]
    assert any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", cell) for cell in listed)
    pins = (ROOT / "requirements.txt").read_text().lower().replace("_", "-")
    assert re.search(rf"^{re.escape(name.lower())}==", pins, re.MULTILINE)


def test_the_off_policy_evaluation_in_the_readme_runs():
    n, n_actions, rng = 400, 2, np.random.default_rng(7)
    action = rng.integers(n_actions, size=n)
    given = {
        "contexts": rng.normal(size=(n, 3)),
        "action": action,
        "reward": action + rng.normal(size=n),
        "logged_probability": np.full(n, 1 / n_actions),
        "subject": np.array([f"c{number}" for number in range(n)]),
        "target": np.tile([0.2, 0.8], (n, 1)),
        "n_actions": n_actions,
    }
    names = {"Log": Log, "cross_fitted": cross_fitted, "evaluate": evaluate, "compare": compare}
    sample = section("training/README.md", "Contracts").split("### Off-policy evaluation")[1]
    lines = re.findall(r"^    (.+)$", sample.split("\n### ")[0], re.MULTILINE)
    assert len(lines) == 4
    exec("\n".join(lines[:2]), names, given)
    values, gains = (eval(line, names, given) for line in lines[2:])
    estimators = re.findall(r"`([a-z_]+)`", sample.split("There are five estimators")[1])[:5]
    assert set(values) == set(gains) == set(estimators)
    assert all(isinstance(one, Estimate) for one in [*values.values(), *gains.values()])


def test_the_bandit_in_the_readme_runs_and_explains_the_columns_of_the_data_frame():
    lines = re.findall(r"^    (.+)$", section("training/README.md", "The bandit"), re.MULTILINE)
    names: dict[str, object] = {}
    exec("\n".join(lines[:4]), names)
    chances, learned, rewards, why = (eval(line, names) for line in lines[4:])
    assert learned is None
    assert chances.sum(axis=1) == pytest.approx([1, 1])
    assert chances.shape == rewards.shape == (2, 3)
    assert rewards[0, 0] > rewards[0, 2] > rewards[0, 1]
    assert why.of == ("bike", "train", "no offer")
    assert set(why.features) == {"town=city", "age", "subscriber"}


@pages
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", TEXTS[page]):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path
        assert target.exists(), link
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in {head.lower().replace(" ", "-") for head in heads}, link


@pages
def test_every_file_that_is_named_exists(page):
    folders = (ROOT, (ROOT / page).parent, ROOT / "features/domains")
    named = set(re.findall(r"`([\w/]+\.(?:py|yaml|ipynb|txt|toml))`", TEXTS[page]))
    yours = {"shop/domain.yaml", "shop/actions.yaml", "domain.yaml", "actions.yaml"}
    for name in named - yours:
        assert any((folder / name).exists() for folder in folders), name


@pages
def test_every_class_that_is_named_exists(page):
    known = classes()
    for name, member in re.findall(r"`([A-Z][a-z]\w*)(?:\.(\w+))?`", TEXTS[page]):
        assert name in known, name
        assert not member or member in known[name], f"{name}.{member}"


@pages
def test_no_line_of_prose_is_wider_than_100_characters(page):
    assert not [
        line for line in TEXTS[page].splitlines() if len(line) > 100 and not line.startswith("|")
    ]


def test_the_readme_is_short_and_ends_with_its_words():
    assert len(FIRST.splitlines()) <= MOST_LINES
    assert re.findall(r"^## (.+)$", FIRST, re.MULTILINE)[-1] == "Words"
    assert 1 <= len(rows(section("README.md", "Words"))) <= MOST_WORDS


def test_the_readme_shows_eight_figures_each_with_its_command():
    figures = rows(section("README.md", "Figures"))
    assert len(figures) == FIGURES
    for figure in figures:
        assert re.fullmatch(r"`(?:make|nba) [a-z -]+`", figure[-1])


def test_every_figure_of_training_has_its_command():
    for what, _, command in rows(section("training/README.md", "Figures")):
        assert re.match(r"`(?:make|nba|python -m) ", command), what


@pytest.mark.parametrize("floor", ["features", "training", "serving"])
def test_every_decision_has_a_context_a_choice_and_a_cost(floor):
    decisions = re.split(r"^\* \*\*", section(f"{floor}/README.md", "Decisions"), flags=re.M)[1:]
    assert decisions
    for decision in decisions:
        assert re.findall(r"(?<= )(Context|Choice|Cost):\s", decision) == [*PARTS], decision
