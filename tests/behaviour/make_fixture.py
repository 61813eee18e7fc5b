"""This makes the kept decisions anew, only after they were changed on purpose.

    python -m tests.behaviour.make_fixture --grocer /path/to/home --mlflow sqlite:////path/mlflow.db

What is kept proves that decisions, explanations, features and predictions are what they were when
the fixture was made, so it is made again only when one of them is meant to change. The commit that
does so says which and why, and brings `KINDS` and `ROWS` of `test_behaviour.py` to what is printed
here. The grocer's home is one that `nba quickstart` has built; without it, the households stay as
they are kept.

Everything is seeded, with a clock of its own and a known secret for the draws: the same program
makes the same answers. Only the salt of each ledger is new. The ledgers are of the schema of the
day; when it has changed, whoever renews them gives up the ledger that a migration can be tested on,
and keeps that elsewhere before. The draws of what is kept were seeded by the decision id alone, as
until schema 9: whoever renews them loses that too.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from threadpoolctl import threadpool_limits

from tests.behaviour import shop_story, world_story
from tests.behaviour.kept import (
    BUSINESSES,
    FIXTURE,
    counted,
    kept_in,
    kinds,
    opened,
    read_json,
    scratch_ledger,
    write_json,
)

SEED = 20261128
STORIES: dict[str, Any] = {
    "shop": shop_story.live_through,
    "world": world_story.live_through,
}
out = Console(width=120)


def make(fixture: Path, seed: int = SEED) -> None:
    """This lives through the stories and keeps what came of them."""
    for name in BUSINESSES:
        shutil.rmtree(fixture / name, ignore_errors=True)
        with tempfile.TemporaryDirectory() as scratch:
            live = STORIES[name](Path(scratch), seed)
            kept = kept_in(name, Path(scratch), live.ledger)
            with scratch_ledger(Path(scratch)) as other:
                told = {row.decision_id: kept.told(row, other) for row in kept.decisions()}
            live.ledger.close()
            (fixture / name).mkdir(parents=True)
            packed = _packed(Path(scratch) / "ledger.db")
            (fixture / name / "ledger.db.gz").write_bytes(packed)
            shutil.copy(Path(scratch) / "domain.yaml", fixture / name)
            shutil.copytree(Path(scratch) / "models", fixture / name / "models")
            write_json(fixture / name / "expected.json.gz", told)


def _packed(ledger: Path) -> bytes:
    """This packs a ledger into one file, without what lingers."""
    whole = ledger.with_name("whole.db")
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("VACUUM INTO ?", (str(whole),))
    return gzip.compress(whole.read_bytes(), 9, mtime=0)


def _show() -> None:
    """This prints the numbers that `test_behaviour.py` has to count."""
    with tempfile.TemporaryDirectory() as scratch:
        businesses = [opened(name, Path(scratch)) for name in BUSINESSES]
        found: dict[str, Any] = {"KINDS": dict(sorted(kinds(businesses).items()))}
        for one in businesses:
            one.ledger.close()
        found["ROWS"] = {name: counted(name, Path(scratch)) for name in BUSINESSES}
    for name, content in found.items():
        out.print(f"{name} = {json.dumps(content, indent=4)}", soft_wrap=True, markup=False)
    size = sum(path.stat().st_size for path in FIXTURE.rglob("*") if path.is_file())
    out.print(f"{size:,} bytes in {FIXTURE}", soft_wrap=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes the kept decisions anew.")
    parser.add_argument("--grocer", type=Path, help="home that `nba quickstart` has built")
    parser.add_argument("--mlflow", help="address of its MLflow")
    parser.add_argument("--only-grocer", action="store_true", help="leave the decisions alone")
    inputs = parser.parse_args()
    threadpool_limits(limits=1, user_api="blas")
    FIXTURE.mkdir(exist_ok=True)
    if not inputs.only_grocer:
        make(FIXTURE)
    if inputs.grocer:
        from tests.behaviour.households import households  # imports Feast, which takes seconds

        env = {"NBA_HOME": str(inputs.grocer)}
        if inputs.mlflow:
            env["NBA_MLFLOW_URI"] = inputs.mlflow
        write_json(FIXTURE / "grocer.json.gz", households(env))
        out.print(f"{len(read_json(FIXTURE / 'grocer.json.gz')['rows'])} households")
    _show()
    return 0


if __name__ == "__main__":
    sys.exit(main())
