"""The README cannot lie: its commands, requests, settings and packages exist."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from features.business.domain import load_domain
from features.customers.identity import Spelling
from features.journeys.events import read_event
from features.settings import GROCERY, Settings
from serving.cli.main import app
from serving.contract.customers import CustomerRequest, ForgetRequest, LinkRequest
from serving.contract.decisions import ActivateRequest, DecideRequest, ReplayRequest
from serving.contract.events import EventsRequest, OutcomeRequest
from serving.contract.lift import LiftRequest
from tests.conftest import NOW

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = set(get_command(app).commands)  # type: ignore[attr-defined]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_command_in_the_readme_exists_and_every_command_is_in_it():
    named = set(re.findall(r"\bnba ([a-z]+)", README))
    assert named == COMMANDS


def test_every_make_target_in_the_readme_exists():
    assert set(re.findall(r"`make ([a-z]+)|\$ make ([a-z]+)", README)) and all(
        (first or second) in TARGETS
        for first, second in re.findall(r"`make ([a-z]+)|\$ make ([a-z]+)", README)
    )


def test_every_request_in_the_readme_is_accepted():
    found = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", README, re.DOTALL)]
    kinds = (DecideRequest, ActivateRequest, OutcomeRequest, EventsRequest, LinkRequest)
    kinds += (CustomerRequest, ForgetRequest, ReplayRequest, LiftRequest)
    for kind, content in zip(kinds, found, strict=True):
        kind.model_validate(content)
    domain = load_domain(GROCERY)
    for event in found[3]["events"]:
        read_event(event, domain, Spelling(domain), NOW)


def test_every_setting_is_in_the_readme_and_no_other():
    named = set(re.findall(r"NBA_[A-Z_]+", README))
    assert named == {f"NBA_{field}".upper() for field in Settings.model_fields}


@pytest.mark.parametrize(
    "requirement", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
)
def test_every_dependency_has_its_line_and_its_pin(requirement):
    name = re.match(r"[A-Za-z0-9-]+", requirement)[0]
    needs = README.split("## What it needs")[1].split("## Decisions")[0]
    assert re.search(rf"\b{re.escape(name)}\b", needs)
    pins = (ROOT / "requirements.txt").read_text().lower().replace("_", "-")
    assert re.search(rf"^{re.escape(name.lower())}==", pins, re.MULTILINE)
