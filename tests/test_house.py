"""The rules of the code are checked here: order of imports, sizes, names, docstrings, tests.

Each rule is a function that lists its violations in a tree of files. The tests apply it to this
repository, where it must find none, and to a small tree with one planted violation, which it must
find.
"""

from __future__ import annotations

import ast
import json
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

from tests.conftest import SLOWEST

ROOT = Path(__file__).parents[1]
# A floor may import itself and the floors before it; a suite, itself and the suites before it.
SUITES = {
    "features": [
        *("conditions", "business", "ledger", "identity", "customers", "journeys", "states"),
        *("outcomes", "rewards", "store", "value_labels", "ingest", "datasets", "analytics"),
    ],
    "training": ["models", "bandit", "evaluation", "effects", "simulation", "pipeline"],
    "serving": [
        *("contract", "catalog", "policies", "effects", "models", "learn"),
        *("decide", "guardrails", "audit", "journeys", "access", "server", "simulation", "cli"),
        "console",
    ],
}
AT_ROOT = {
    "features": {
        *("errors", "masking", "private_files", "settings", "progress", "clock", "intervals"),
        "nearest_names",
    },
    "training": {"params", "contributions", "arrays"},
    "serving": {"service"},
}
NO_SUITES = {"features/feature_repo"}  # Feast's own folder: `feast apply` imports all that is in it
MODULES_OF_A_SUITE = range(3, 14)
OTHER_SIZES = {"serving/console": range(1)}  # it holds one page, and no module
MODULE_LINES, FUNCTION_LINES, MEDIAN_LINES = 300, 45, 150
INTERROGATIVES = ("what", "who", "how", "where", "when", "why", "which", "whether", "whose", "whom")
TOP = {
    *("features", "training", "serving", "notebooks", "mlruns", "tests"),
    *("pyproject.toml", "README.md", "bentofile.yaml", "Makefile", "requirements.txt", "LICENSE"),
}
GATEWAYS = {"feast": "features/store/feast_store.py", "mlflow": "training/pipeline/registry.py"}
ALSO_ALLOWED = {"features/feature_repo/definitions.py", "training/pipeline/pyfunc.py"}
# Programs and libraries begin at these modules; Jupyter, at the notebooks.
ENTRIES = {"serving/cli/main.py", "serving/service.py", "features/feature_repo/definitions.py"}
# Modules without a test file of their own, each with the test that covers it.
TESTED_ELSEWHERE: dict[str, str] = {
    "serving/decide/step_results.py": "tests/serving/decide/test_choice.py",
}


def imports_of(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@dataclass(frozen=True)
class Module:
    """A Python file of one of the floors, parsed once."""

    root: Path
    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(self.root))

    @property
    def dotted(self) -> str:
        return ".".join(self.path.relative_to(self.root).with_suffix("").parts)

    @property
    def place(self) -> tuple[str, str]:
        """Floor and suite; the suite is empty at the root of a floor."""
        parts = self.path.relative_to(self.root).parts
        return parts[0], parts[1] if len(parts) > 2 else ""

    @cached_property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def imports(self) -> set[str]:
        """Modules that are imported anywhere in the file, and names taken from packages."""
        return imports_of(self.tree)

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        kinds = ast.FunctionDef | ast.AsyncFunctionDef
        return [node for node in ast.walk(self.tree) if isinstance(node, kinds)]


@cache
def modules(root: Path) -> list[Module]:
    found = (path for floor in SUITES for path in sorted((root / floor).rglob("*.py")))
    return [Module(root, path) for path in found if path.name != "__init__.py"]


def imports_against_the_order(root: Path) -> Iterator[str]:
    floors = list(SUITES)
    for module in modules(root):
        floor, suite = module.place
        if suite not in ("", *SUITES[floor]):
            continue
        for name in sorted(module.imports):
            their_floor, *rest = name.split(".")
            if their_floor not in floors:
                continue
            up = floors.index(their_floor) > floors.index(floor)
            if their_floor == floor and rest and rest[0] in SUITES[floor]:
                mine = -1 if suite == "" else SUITES[floor].index(suite)
                up = SUITES[floor].index(rest[0]) > mine and module.name != "serving/service.py"
            if up:
                yield f"{module.name} imports {name}"


def circles(root: Path) -> Iterator[str]:
    ours = {module.dotted: module for module in modules(root)}
    reach = {name: module.imports & set(ours) for name, module in ours.items()}
    grown = True
    while grown:
        grown = False
        for name, known in reach.items():
            further = known.union(*(reach[one] for one in known))
            if further != known:
                reach[name], grown = further, True
    yield from (name for name, known in reach.items() if name in known)


def modules_without_a_suite(root: Path) -> Iterator[str]:
    for module in modules(root):
        floor, suite = module.place
        at_root = suite == "" and module.path.stem in AT_ROOT[floor]
        if not at_root and suite not in SUITES[floor] and f"{floor}/{suite}" not in NO_SUITES:
            yield module.name


def suites_of_another_size(root: Path) -> Iterator[str]:
    for floor, suites in SUITES.items():
        for suite in suites:
            name = f"{floor}/{suite}"
            count = sum(path.name != "__init__.py" for path in (root / name).glob("*.py"))
            if count not in OTHER_SIZES.get(name, MODULES_OF_A_SUITE):
                yield f"{name} has {count} modules"
            page = name in OTHER_SIZES and not count
            first = root / name / "__init__.py"
            said = ast.get_docstring(ast.parse(first.read_text())) if first.exists() else None
            if not page and (not said or "\n\n" in said or not said.rstrip().endswith(".")):
                yield f"{name}/__init__.py does not say in one sentence what lives there"


def names_that_stand_twice(root: Path) -> Iterator[str]:
    places: dict[str, list[str]] = defaultdict(list)
    for module in modules(root):
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef):
                places[f"class {node.name}"].append(module.name)
            elif isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("NDArray["):
                places[f"alias {ast.unparse(node.value)}"].append(module.name)
    yield from (f"{name}: {', '.join(them)}" for name, them in places.items() if len(them) > 1)


def docstrings_that_do_not_begin_with_a_sentence(root: Path) -> Iterator[str]:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for path in sorted(path for top in (*SUITES, "tests") for path in (root / top).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            said = ast.get_docstring(node) if isinstance(node, kinds) else None
            first = re.match(r"[A-Za-z]+", said) if said else None
            if first and first[0].lower() in INTERROGATIVES:
                name = getattr(node, "name", "the module")
                yield f"{path.relative_to(root)}, {name}: {said.splitlines()[0]}"


def modules_that_say_nothing(root: Path) -> Iterator[str]:
    yield from (one.name for one in modules(root) if not ast.get_docstring(one.tree))


def modules_that_are_too_long(root: Path) -> Iterator[str]:
    for module in modules(root):
        if (lines := module.source.count("\n")) > MODULE_LINES:
            yield f"{module.name} has {lines} lines"


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    said = ast.get_docstring(function, clean=False)
    without = len(said.split("\n")) if said else 0
    return (function.end_lineno or 0) - function.lineno + 1 - without


def functions_that_are_too_long(root: Path) -> Iterator[str]:
    for module in modules(root):
        for function in module.functions:
            if (lines := lines_of(function)) > FUNCTION_LINES:
                yield f"{module.name}, {function.name} has {lines} lines"


def functions_without_types(root: Path) -> Iterator[str]:
    for module in modules(root):
        for function in module.functions:
            given = function.args
            named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            bare = [one.arg for one in named if one and one.annotation is None]
            if set(bare) - {"self", "cls"} or function.returns is None:
                yield f"{module.name}, {function.name}"


def modules_without_a_test(root: Path) -> Iterator[str]:
    for module in modules(root):
        floor, suite = module.place
        if f"{floor}/{suite}" in NO_SUITES or module.name in TESTED_ELSEWHERE:
            continue
        test = Path("tests") / module.path.relative_to(root).with_name(f"test_{module.path.name}")
        if not (root / test).exists():
            yield f"{module.name} has no {test}"


def clocks_read_elsewhere(root: Path) -> Iterator[str]:
    for module in modules(root):
        if module.name != "features/clock.py" and re.search(
            r"\bdatetime\.(now|utcnow|today)\(|\bdate\.today\(|\btime\.(time|monotonic)\(",
            module.source,
        ):
            yield module.name


def formatting_switched_off(root: Path) -> Iterator[str]:
    switch = "# fmt" + ": "
    paths = [*(module.path for module in modules(root)), *sorted((root / "tests").rglob("*.py"))]
    yield from (str(one.relative_to(root)) for one in paths if switch in one.read_text("utf-8"))


def libraries_met_elsewhere(root: Path) -> Iterator[str]:
    for module in modules(root):
        for library, gateway in GATEWAYS.items():
            met = library in {name.split(".")[0] for name in module.imports}
            if met and module.name not in (gateway, *ALSO_ALLOWED):
                yield f"{module.name} imports {library}"


def environment_read_elsewhere(root: Path) -> Iterator[str]:
    # `serve` hands the environment to the server that it starts; `training` sets how the threads of
    # a library wait, before the library is loaded.
    allowed = ("features/settings.py", "serving/cli/serve.py", "training/__init__.py")
    for module in modules(root):
        if module.name not in allowed and re.search(r"os\.environ|getenv", module.source):
            yield module.name


def words_of_one_business(root: Path) -> Iterator[str]:
    words = ("basket", "household", "coupon", "redemption", "mission", "fuel")
    for module in modules(root):
        if not module.name.startswith("features/ingest/sources/"):
            found = [word for word in words if word in module.source.lower()]
            if found:
                yield f"{module.name}: {', '.join(found)}"


def code_of_notebooks(root: Path) -> Iterator[ast.Module]:
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                source = re.sub(r"^[%!].*$", "", "".join(cell["source"]), flags=re.MULTILINE)
                yield ast.parse(source)


def imported_from(root: Path, starts: set[str]) -> set[str]:
    """Modules, by their dotted names, that are imported from some of them, directly or not."""
    ours = {module.dotted: module for module in modules(root)}
    reached: set[str] = set()
    ahead = [name for name in starts if name in ours]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += ours[name].imports & set(ours)
    return reached


def modules_that_only_tests_use(root: Path) -> Iterator[str]:
    starts = {module.dotted for module in modules(root) if module.name in ENTRIES}
    for code in code_of_notebooks(root):
        starts |= imports_of(code)
    used = imported_from(root, starts)
    yield from (module.name for module in modules(root) if module.dotted not in used)


def figures_of_what_does_not_serve(root: Path) -> Iterator[str]:
    """Rows of tables of figures that name a class which `serving` does not import."""
    imported = {
        name.rsplit(".", 1)[1]
        for module in modules(root)
        if module.place[0] == "serving"
        for name in module.imports
        if "." in name
    }
    for path in (root / "README.md", *(root / floor / "README.md" for floor in SUITES)):
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        section = text.partition("\n## Figures\n")[2].split("\n## ")[0]
        for row in (line for line in section.splitlines() if line.startswith("|")):
            if set(re.findall(r"`([A-Z]\w*[a-z]\w*)`", row)) - imported:
                yield f"{path.relative_to(root)}: {row}"


RULES: tuple[Callable[[Path], Iterator[str]], ...] = (
    imports_against_the_order,
    circles,
    modules_without_a_suite,
    suites_of_another_size,
    names_that_stand_twice,
    docstrings_that_do_not_begin_with_a_sentence,
    modules_that_say_nothing,
    modules_that_are_too_long,
    functions_that_are_too_long,
    functions_without_types,
    modules_without_a_test,
    clocks_read_elsewhere,
    formatting_switched_off,
    libraries_met_elsewhere,
    environment_read_elsewhere,
    words_of_one_business,
    modules_that_only_tests_use,
    figures_of_what_does_not_serve,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_code_keeps_the_rule(rule):
    assert list(rule(ROOT)) == []


SOUND = '"""Adds numbers."""\n\n\ndef add(a: int, b: int) -> int:\n    return a + b\n'
PLANTED = {
    "an import of a floor above": (
        imports_against_the_order,
        {"features/ledger/tables.py": '"""T."""\nfrom serving.decide import engine\n'},
    ),
    "an import of a later suite": (
        imports_against_the_order,
        {"features/ledger/a.py": '"""T."""\ndef f() -> None:\n    import features.store.x\n'},
    ),
    "an import of a suite at a floor's root": (
        imports_against_the_order,
        {"features/settings.py": '"""T."""\nfrom features.business import domain\n'},
    ),
    "two modules that import each other": (
        circles,
        {
            "features/ledger/a.py": '"""T."""\nfrom features.ledger import b\n',
            "features/ledger/b.py": '"""T."""\nfrom features.ledger.a import x\n',
        },
    ),
    "a module at a floor's root": (modules_without_a_suite, {"serving/helpers.py": SOUND}),
    "a suite that nobody agreed on": (modules_without_a_suite, {"serving/misc/a.py": SOUND}),
    "a suite without a sentence": (suites_of_another_size, {"features/ledger/a.py": SOUND}),
    "a second class of one name": (
        names_that_stand_twice,
        {
            "features/ledger/a.py": '"""T."""\nclass Log:\n    pass\n',
            "serving/audit/b.py": '"""T."""\nclass Log:\n    pass\n',
        },
    ),
    "a second alias of one type": (
        names_that_stand_twice,
        {
            "training/arrays.py": '"""T."""\nFloats = NDArray[np.float64]\n',
            "training/bandit/b.py": '"""T."""\nNumbers = NDArray[np.float64]\n',
        },
    ),
    **{
        f"a docstring that begins with {word}": (
            docstrings_that_do_not_begin_with_a_sentence,
            {"features/ledger/a.py": f'"""T."""\nclass A:\n    """{word} is kept."""\n'},
        )
        for word in ("What", "who", "How", "where", "When", "why", "Which")
    },
    "a module docstring that begins with What": (
        docstrings_that_do_not_begin_with_a_sentence,
        {"features/ledger/a.py": '"""What is kept."""\n'},
    ),
    "a module without a docstring": (modules_that_say_nothing, {"features/ledger/a.py": "A = 1\n"}),
    "a module of 301 lines": (
        modules_that_are_too_long,
        {"features/ledger/a.py": '"""T."""\n' + "A = 1\n" * 300},
    ),
    "a function of 46 lines": (
        functions_that_are_too_long,
        {"features/ledger/a.py": '"""T."""\ndef f() -> None:\n' + "    g()\n" * 45},
    ),
    "an argument without a type": (
        functions_without_types,
        {"features/ledger/a.py": '"""T."""\ndef f(a) -> None:\n    g()\n'},
    ),
    "a module without a test": (modules_without_a_test, {"features/ledger/a.py": SOUND}),
    "a second clock": (
        clocks_read_elsewhere,
        {"features/ledger/a.py": '"""T."""\nNOW = datetime.now(UTC)\n'},
    ),
    "lines that are not formatted": (
        formatting_switched_off,
        {"features/ledger/a.py": '"""T."""\nA = 1  # fmt' + ": skip\n"},
    ),
    "Feast beside its gateway": (
        libraries_met_elsewhere,
        {"features/ledger/a.py": '"""T."""\nimport feast\n'},
    ),
    "a variable of the environment": (
        environment_read_elsewhere,
        {"features/ledger/a.py": '"""T."""\nA = os.environ["A"]\n'},
    ),
    "a word of one business": (
        words_of_one_business,
        {"features/ledger/a.py": '"""Counts baskets."""\n'},
    ),
    "a module that tests alone use": (
        modules_that_only_tests_use,
        {
            "serving/service.py": '"""T."""\nfrom training.bandit import used\n',
            "training/bandit/used.py": SOUND,
            "training/bandit/a.py": SOUND,
            "tests/training/bandit/test_a.py": '"""T."""\nfrom training.bandit import a\n',
        },
    ),
    "two unused modules of which one uses the other": (
        modules_that_only_tests_use,
        {
            "training/bandit/a.py": '"""T."""\nfrom training.bandit import b\n',
            "training/bandit/b.py": SOUND,
        },
    ),
    "a figure of a policy that does not serve": (
        figures_of_what_does_not_serve,
        {
            "training/bandit/a.py": '"""T."""\nclass Rival:\n    pass\n',
            "README.md": "\n## Figures\n\n| what | reached |\n|---|---|\n| `Rival` | 0.9 |\n",
        },
    ),
    "a figure of a floor, of a policy that does not serve": (
        figures_of_what_does_not_serve,
        {"training/README.md": "\n## Figures\n\n| `Policy` | 0.9 | `nba train` |\n"},
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_violation_is_found(planted, tmp_path):
    rule, files = PLANTED[planted]
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert list(rule(tmp_path))


def test_a_sound_module_breaks_no_rule(tmp_path):
    for name in ("features/ledger/a.py", "tests/features/ledger/test_a.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(SOUND, encoding="utf-8")
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "service.py").write_text(
        '"""T."""\nfrom features.ledger import a\n', encoding="utf-8"
    )
    (tmp_path / "tests" / "serving").mkdir()
    (tmp_path / "tests" / "serving" / "test_service.py").write_text(SOUND, encoding="utf-8")
    for rule in RULES:
        if rule is not suites_of_another_size:
            assert list(rule(tmp_path)) == [], rule.__name__


def test_half_of_the_modules_are_short(capsys):
    lines = sorted(module.source.count("\n") for module in modules(ROOT))
    functions = sorted(lines_of(one) for module in modules(ROOT) for one in module.functions)
    median = statistics.median(lines)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(lines)} modules: median {median:.0f} lines, longest {lines[-1]}; "
            f"{len(functions)} functions: median {statistics.median(functions):.0f} lines, "
            f"longest {functions[-1]}; functions without types: "
            f"{len(list(functions_without_types(ROOT)))}\n"
        )
    assert median <= MEDIAN_LINES


@pytest.mark.parametrize("floor", SUITES)
def test_the_readme_of_a_floor_lists_its_suites_in_their_order(floor):
    text = (ROOT / floor / "README.md").read_text(encoding="utf-8")
    section = text.split("## Suites")[1].split("\n## ")[0]
    listed = re.findall(r"^(?:\| |\* |- )?`([a-z_]+)/`", section, re.MULTILINE)
    assert listed == SUITES[floor]


def test_tests_that_cover_other_modules_exist():
    assert [test for test in TESTED_ELSEWHERE.values() if not (ROOT / test).exists()] == []
    needless = [name for name in TESTED_ELSEWHERE if not (ROOT / name).exists()]
    assert needless == []


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
