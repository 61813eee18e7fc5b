"""Runs the command `nba` for tests: in a process of its own, or in the process of the test.

A process imports everything anew, for 2 to 5 s of CPU time, so only the tests that are about the
process use `nba`. All others use `nba_in_process`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path

from tests.fast_mode import refuse_in_fast_mode

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 200  # columns of what the command prints
Completed = subprocess.CompletedProcess[str]


def nba(arguments: list[str], env: Mapping[str, str]) -> Completed:
    """Run the command as a person would."""
    refuse_in_fast_mode(f"the command 'nba {arguments[0]}' as a process")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NBA_")}
    return subprocess.run(
        [str(Path(sys.executable).with_name("nba")), *arguments],
        env={**clean, **env, "COLUMNS": str(WIDTH)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def nba_in_process(arguments: list[str], env: Mapping[str, str]) -> Completed:
    """Run the command in this process, with the settings of ``env`` alone.

    Exit code, standard output and standard error are those of a process. An error that the
    command does not expect stands as a traceback in standard error, and the exit code is 1.
    """
    from typer.testing import CliRunner

    from serving.cli.main import app

    with environment(env), chdir(ROOT), _wide_consoles():
        try:
            found = CliRunner().invoke(app, arguments)
        finally:
            _forget_mlflows_address()
    stderr = found.stderr
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        stderr += "".join(traceback.format_exception(found.exception))
    return Completed(["nba", *arguments], found.exit_code, found.stdout, stderr)


@contextmanager
def environment(env: Mapping[str, str]) -> Iterator[None]:
    """These variables, and no other of ours, for the length of a ``with`` block."""
    before, env = dict(os.environ), dict(env)
    for name in [name for name in os.environ if name.startswith("NBA_")]:
        del os.environ[name]
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _wide_consoles() -> Iterator[None]:
    """The consoles of the command are as wide as those of a process with `COLUMNS` set."""
    from serving.cli import terminal

    consoles = (terminal.out, terminal.err)
    before = [console._width for console in consoles]
    for console in consoles:
        console.width = WIDTH
    try:
        yield
    finally:
        for console, width in zip(consoles, before, strict=True):
            console._width = width


def _forget_mlflows_address() -> None:
    """Reset the address that MLflow keeps in the process for all who come after."""
    if "mlflow" in sys.modules:
        import mlflow

        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
