"""Runs the notebooks from the first cell to the last, on real data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.commands import ROOT, environment
from tests.conftest import Built, published
from tests.fast_mode import refuse_in_fast_mode

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Trains two businesses for minutes: tests/training/test_two_other_businesses.py runs it, and then
# evaluates the models that it made.
OTHERS = ROOT / "notebooks" / "02_two_other_businesses.ipynb"
# What a notebook reads that others published; without it, it is skipped.
READS = {
    "03_policy_and_off_policy_evaluation": "hillstrom.csv.gz",
    "05_what_does_it_cause": "hillstrom.csv.gz",
}


def executed(notebook: NotebookNode, env: Mapping[str, str]) -> list[NotebookNode]:
    """Run a notebook; the cells that show something."""
    refuse_in_fast_mode("the kernel of a notebook")
    with environment(env):
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    return [cell for cell in notebook.cells if cell.get("outputs")]


@pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if path != OTHERS], ids=lambda path: path.stem
)
def test_a_notebook_runs_to_its_end(path: Path, grocer: Built):
    if path.stem in READS:
        published(READS[path.stem])
    answers = executed(nbformat.read(path, as_version=4), grocer.env)
    assert answers, "a notebook shows something"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path):
    cells = nbformat.read(path, as_version=4).cells
    assert not any(cell.get("outputs") for cell in cells)
