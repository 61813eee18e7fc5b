"""Fixtures of many tests: a small business, and the real grocer, imported and built once."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from threadpoolctl import threadpool_limits

from features.business.catalog import Catalog
from features.business.domain import Domain, load_domain
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.store.locks import file_lock
from serving.catalog.compiled_catalog import load_catalog
from tests import fast_mode, scratch
from tests.commands import ROOT, nba, nba_in_process
from tests.postgres import Postgres, find_binaries, postgresql
from tests.server import Server, running, two_workers

TOY, SHOP = Path(__file__).parent / "toy", Path(__file__).parent / "shop"
TELCO, HELPDESK = "telco_customer_churn.csv.gz", "helpdesk.csv.gz"
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
SECRET = "1" * 64  # of the ledgers of tests
LISTED_ORIGIN = "http://shop.test"  # whose pages may call the server of the first day

# Files that share a started server: one worker of pytest-xdist runs them all, one after the other.
FIRST_DAY = (
    "serving/server/test_openapi.py",
    "serving/server/test_story.py",
    "serving/server/test_logs.py",
    "serving/server/test_customer.py",
    "serving/server/test_merge_candidates.py",
    "serving/server/test_kiosk.py",
    "serving/decide/test_repeats_http.py",
    "serving/console/test_console.py",
    "serving/console/test_other_origins.py",
    "serving/access/test_bodies_http.py",
    "serving/server/test_without_models.py",
    "serving/policies/test_arms_http.py",
)
BUSY = ("serving/server/test_events.py", "serving/server/test_attributes.py")
SHARING = {
    **dict.fromkeys(FIRST_DAY, "first_day_server"),
    **dict.fromkeys(BUSY, "busy_server"),
}
FAST = {"NBA_LEARN_EVERY_S": "0.2", "NBA_MODELS_EVERY_S": "1"}  # of a server

# The slowest files, in descending order of CPU time: were one of them left for the end, one of two
# workers would be idle.
SLOWEST = (
    "training/pipeline/test_two_other_businesses.py",  # meanwhile the other worker makes the grocer
    "serving/test_service.py",
    "serving/policies/test_caps.py",  # it needs no grocer, who may not be made yet
    *FIRST_DAY,
    "serving/server/test_parity.py",
    "features/analytics/views/test_identities.py",
    "serving/server/test_fuzz.py",
    "serving/server/test_forget.py",
    "bench/test_guarantees.py",
    "features/analytics/upkeep/test_refresh.py",
    "features/ingest/test_merge_property.py",
    "training/bandit/test_contextual_bandit.py",
    "test_notebooks.py",
    *BUSY,
    "training/pipeline/test_train.py",
    "serving/policies/test_paced_days.py",
    "serving/audit/test_replay_http.py",
    "serving/server/settling/test_clock_http.py",
    "serving/server/test_kill.py",
    "bench/test_served_run.py",
    "serving/learn/test_learner_silence.py",
    "serving/server/test_postgres.py",
    "features/datasets/test_point_in_time.py",
    "features/ingest/test_kiosk_property.py",
    "serving/policies/test_leavers.py",
    "serving/simulation/test_tournament.py",
    "serving/decide/test_choice.py",
    "serving/audit/test_evaluate_http.py",
    "serving/access/test_access_http.py",
    "serving/server/test_strangers.py",
    "serving/server/test_bento.py",
    "serving/cli/simulation/test_play.py",
    "serving/learn/test_process.py",
    "features/ingest/test_load_tables.py",
    "serving/cli/test_main.py",
    "training/pipeline/test_registry.py",
    "serving/learn/test_maintenance.py",
    "serving/audit/lift/test_credited.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    what = "no server, no database process, no notebook, no command, no slow test"
    parser.addoption("--fast", action="store_true", help=f"{what} (`make test-fast`)")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("fast"):
        fast_mode.switch_on()
    scratch.use_memory()
    # Or pytest-xdist would begin with the files that hold the most tests.
    config.option.loadscopereorder = False
    # Several workers share the cores: linear algebra on one thread each, as in server and learner
    # (which see to it themselves), also in what is loaded later and in the commands we run.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # No process of journeys beside each server: only its own tests start it.
    os.environ.setdefault("NBA_JOURNEYS", "false")
    # OpenBLAS would wake all cores for a matrix of a hundred rows, and wait for the slowest.
    threadpool_limits(limits=1, user_api="blas")
    # What is imported and collected stays: the garbage collector would walk it again and again.
    # `pytest_collection_finish` switches it on again, for all that comes later.
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """In the fast mode, files whose tests are all left out are not even imported."""
    fast = config.getoption("fast") and collection_path.suffix == ".py"
    return True if fast and fast_mode.all_left_out(collection_path) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("fast"):
        out = [item for item in items if fast_mode.left_out(item)]
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if not fast_mode.left_out(item)]
    place = {name: number for number, name in enumerate(SLOWEST)}
    here = ROOT / "tests"
    items.sort(key=lambda item: place.get(str(item.path.relative_to(here)), len(place)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The scheduler of `--dist loadfile`, with the files of `SHARING` as if they were one."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class SharingServers(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return SHARING.get(file.removeprefix("tests/"), file)

    return SharingServers(config, log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The marker `databases` says on which a test gets its ledger, in turn."""
    marked = metafunc.definition.get_closest_marker("databases")
    if marked and "ledger_url" in metafunc.fixturenames:
        metafunc.parametrize("ledger_url", marked.args, indirect=True)


@pytest.fixture(scope="session", autouse=True)
def _known_secrets() -> Iterator[None]:
    """Ledgers of this process share their draw secret, so that an id draws the same in each run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("features.ledger.ledger.new_draw_secret", lambda: SECRET)
        yield


@pytest.fixture
def now() -> datetime:
    """The one time that tests know."""
    return NOW


@pytest.fixture(scope="session")
def toy_domain() -> Domain:
    """A little subscription business: two kinds of event, two attributes."""
    return load_domain(TOY / "domain.yaml")


@pytest.fixture(scope="session")
def toy_catalog(toy_domain: Domain) -> Catalog:
    """Three actions: one for each channel alone, one for both."""
    return load_catalog(TOY / "actions.yaml", toy_domain)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of our own; where it is not installed, its tests are skipped."""
    binaries = find_binaries()
    if binaries is None:
        why = "PostgreSQL is not installed: initdb is neither on the PATH nor where Debian has it"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    with postgresql(binaries) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """A new, empty database."""
    return postgres.database()


@pytest.fixture
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty ledger; see `pytest_generate_tests`."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.emptied()


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of SQLite without rows: a copy takes a quarter of the time of a new one."""
    file = tmp_path_factory.mktemp("empty") / "ledger.db"
    Ledger(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def ledger(ledger_url: str, empty_file: Path) -> Iterator[Ledger]:
    """An empty ledger on disk."""
    if ledger_url.startswith("sqlite"):
        shutil.copyfile(empty_file, ledger_url.removeprefix("sqlite:///"))
    opened = Ledger(ledger_url)
    yield opened
    opened.close()


@dataclass(frozen=True)
class Built:
    """The grocer's home after `nba quickstart`."""

    folder: Path
    home: Path
    env: dict[str, str]
    output: str


@pytest.fixture(scope="session")
def grocer(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Real data, features and models, made as a newcomer would: by `nba quickstart`."""
    return _copy(_made_once(tmp_path_factory, "grocer", ["quickstart"]), tmp_path_factory)


@pytest.fixture(scope="session")
def first_day(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The grocer before anything happened: `nba build` was run, nothing is known, no models."""
    made = _made_once(tmp_path_factory, "first-day", ["build"], NBA_LEARNER="false")
    return _copy(made, tmp_path_factory)


@pytest.fixture(scope="session")
def first_day_server(
    first_day: Built, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The grocer's server before anything happened: one worker, no learner, no models.

    The tests of several files share it (`SHARING`), so each uses ids of its own.
    """
    home = tmp_path_factory.mktemp("first-day-server") / "home"
    shutil.copytree(first_day.home, home)
    env = {**first_day.env, "NBA_HOME": str(home), "NBA_MODELS_EVERY_S": "1"}
    env["NBA_ORIGINS"] = LISTED_ORIGIN
    with running(home, env) as started:
        yield started


def copied(made: Built, folder: Path) -> tuple[Path, dict[str, str]]:
    """A home and an MLflow of one's own, so that no test meets what another one wrote."""
    home, models = folder / "home", folder / "mlflow.db"
    shutil.copytree(made.home, home)
    theirs = Path(made.env["NBA_MLFLOW_URI"].removeprefix("sqlite:///"))
    if theirs.exists():
        shutil.copy(theirs, models)
    own = {"NBA_HOME": str(home), "NBA_MLFLOW_URI": f"sqlite:///{models}"}
    return home, {**made.env, **FAST, **own}


@pytest.fixture(scope="session")
def busy_home(
    first_day: Built, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """The home of `busy_server`, and its settings."""
    return copied(first_day, tmp_path_factory.mktemp("busy"))


@pytest.fixture(scope="session")
def busy_server(busy_home: tuple[Path, dict[str, str]]) -> Iterator[Server]:
    """The grocer's server before anything happened: two workers, shared by the files of `BUSY`."""
    with two_workers(*busy_home) as started:
        yield started


def _made_once(
    factory: pytest.TempPathFactory, name: str, command: list[str], **more: str
) -> Built:
    """A home that a command has made, for all workers of pytest-xdist; to be copied only."""
    with once(factory, name) as (folder, there):
        env = {
            "NBA_HOME": str(folder / "home"),
            "NBA_MLFLOW_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "NBA_MLFLOW_ARTIFACTS": str(folder / "artifacts"),
            **more,
        }
        said = folder / "said.txt"
        if not there:
            done = nba(command, env)
            assert done.returncode == 0, done.stdout + done.stderr
            with closing(Ledger(f"sqlite:///{folder / 'home' / 'ledger.db'}")) as made:
                made.write_now(lambda c: tables.set_meta(c, tables.DRAW_SECRET, SECRET))
            said.write_text(done.stdout, encoding="utf-8")
    return Built(folder, folder / "home", env, said.read_text(encoding="utf-8"))


@contextmanager
def once(factory: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """A folder that all workers of pytest-xdist share, held while it is filled; and whether an
    earlier one has filled it."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, full = base / name, base / f"{name}.full"
    with file_lock(base / f"{name}.lock", wait=True):
        there = full.exists()
        if not there:
            shutil.rmtree(folder, ignore_errors=True)  # of one who did not come to the end
            folder.mkdir()
        yield folder, there
        full.touch()


def _copy(made: Built, factory: pytest.TempPathFactory) -> Built:
    """A home, and the MLflow of its models, of a worker's own: somebody may write into it."""
    folder = factory.mktemp(made.folder.name)
    shutil.copytree(made.folder, folder, dirs_exist_ok=True)
    mlflow = f"sqlite:///{folder / 'mlflow.db'}"  # which knows where the artifacts lie
    env = {**made.env, "NBA_HOME": str(folder / "home"), "NBA_MLFLOW_URI": mlflow}
    return Built(folder, folder / "home", env, made.output)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A little business of our own, its few customers loaded; each test brings a catalogue."""
    with once(tmp_path_factory, "shop") as (folder, there):
        return opened_shop(folder, there)


def opened_shop(folder: Path, there: bool = False) -> Built:
    """The home of the shop before its first customer calls, to be copied only."""
    env = {
        "NBA_HOME": str(folder / "home"),
        "NBA_DOMAIN": str(SHOP / "domain.yaml"),
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'no-models.db'}",
        "NBA_LEARNER": "false",
    }
    if not there:
        (folder / "tables").mkdir()
        shutil.copy(SHOP / "customers.csv", folder / "tables")
        for command in (["load", str(folder / "tables")], ["build"]):
            done = nba_in_process(command, env)
            assert done.returncode == 0, done.stdout + done.stderr
    return Built(folder, folder / "home", env, "")


def published(name: str) -> Path:
    """A file that others published and that is not ours to keep; skips where it is missing."""
    path = ROOT.parent / "shared" / "data" / name
    if not path.exists():
        pytest.skip(f"{name} is not in ../shared/data beside the project")
    return path
