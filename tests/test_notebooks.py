"""The notebooks run from the first cell to the last, on real data."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import HELPDESK, ROOT, TELCO, Built, published

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Makes homes of its own, from files that are not ours to keep.
OTHERS = ROOT / "notebooks" / "02_two_other_businesses.ipynb"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(
    path: Path, request: pytest.FixtureRequest, monkeypatch, tmp_path
):
    for name in [name for name in os.environ if name.startswith("NBA_")]:
        monkeypatch.delenv(name)
    if path == OTHERS:
        for name in (TELCO, HELPDESK):
            published(name)  # or skip
        monkeypatch.setenv("TMPDIR", str(tmp_path))  # where its folders are made
    else:
        grocer: Built = request.getfixturevalue("grocer")
        for name, value in grocer.env.items():
            monkeypatch.setenv(name, value)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    answers = [cell for cell in notebook.cells if cell.get("outputs")]
    assert answers, "a notebook shows something"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path):
    cells = nbformat.read(path, as_version=4).cells
    assert not any(cell.get("outputs") for cell in cells)
