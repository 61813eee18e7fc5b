"""The house rules, checked: imports go down only and in no circle, rooms stay small and say
what they are, and what must not be in the repository is not."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import SLOWEST

ROOT = Path(__file__).parents[1]
FLOORS = ["features", "training", "serving"]  # a floor may import itself and the floors before it
ROOMS = sorted(
    path for floor in FLOORS for path in (ROOT / floor).rglob("*.py") if path.name != "__init__.py"
)
ROOM_LINES = 350
FUNCTION_LINES = 60  # with its docstring; most are far below
TOP = {
    *("features", "training", "serving", "notebooks", "mlruns", "tests"),
    *("pyproject.toml", "README.md", "bentofile.yaml", "Makefile", "requirements.txt", "LICENSE"),
}
ALONE = {"feast": "features/store/feast_store.py", "mlflow": "training/pipeline/registry.py"}
ALSO_ALLOWED = {"features/feature_repo/definitions.py", "training/pipeline/pyfunc.py"}

rooms = pytest.mark.parametrize("room", ROOMS, ids=lambda path: str(path.relative_to(ROOT)))


def imported(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it, with the names taken from packages."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@rooms
def test_imports_go_down_only(room):
    floor = room.relative_to(ROOT).parts[0]
    above = set(FLOORS[FLOORS.index(floor) + 1 :])
    assert not {name.split(".")[0] for name in imported(room)} & above


def test_no_room_leads_back_to_itself():
    ours = {module(path): path for path in ROOMS}
    leads_to = {name: imported(path) & set(ours) for name, path in ours.items()}
    for _ in ours:  # follow one more door each time
        for name, doors in leads_to.items():
            leads_to[name] = doors | {far for door in doors for far in leads_to[door]}
    assert [name for name, doors in leads_to.items() if name in doors] == []


@rooms
def test_rooms_are_small_and_say_what_they_are(room):
    source = room.read_text()
    assert ast.get_docstring(ast.parse(source)), "the first line of a module says what lives in it"
    assert source.count("\n") <= ROOM_LINES


@rooms
def test_functions_do_one_thing(room):
    for node in ast.walk(ast.parse(room.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES, node.name


@rooms
def test_feast_and_mlflow_have_one_gateway_each(room):
    here = str(room.relative_to(ROOT))
    for library, gateway in ALONE.items():
        if here != gateway and here not in ALSO_ALLOWED:
            assert library not in {name.split(".")[0] for name in imported(room)}


@rooms
def test_the_environment_is_read_in_one_room_and_the_business_stays_in_its_files(room):
    source, here = room.read_text(), str(room.relative_to(ROOT))
    if here not in ("features/settings.py", "serving/cli/serve.py"):  # launch hands it to its child
        assert "os.environ" not in source and "getenv" not in source
    if not here.startswith("features/sources/"):
        words = ["basket", "household", "coupon", "redemption", "mission", "fuel"]
        assert [word for word in words if word in source.lower()] == []


def tracked() -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return listing.stdout.splitlines()


def test_the_top_level_holds_what_was_agreed():
    top = {name.split("/")[0] for name in tracked()}
    assert {name for name in top if not name.startswith(".")} <= TOP


def test_requirements_are_plain_pins():
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z]+\])?==[A-Za-z0-9.+!]+", line), line


def test_the_files_that_are_to_be_tested_first_exist():
    assert [name for name in SLOWEST if not (ROOT / "tests" / name).is_file()] == []
