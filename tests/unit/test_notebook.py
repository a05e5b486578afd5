"""The notebook of docs/ runs on an atlas and finds what is in it; it is stored without outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from projects import REPOSITORY
from toy_atlas import make_atlas

NOTEBOOK = REPOSITORY / "docs" / "atlas.ipynb"


def test_the_notebook_is_stored_without_outputs() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_the_notebook_runs_and_tells_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = make_atlas(tmp_path / "project")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(context.project)}}).execute()
    shown = [
        output["data"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output["output_type"] in ("execute_result", "display_data")
    ]
    tables = "\n".join(data.get("text/plain", "") for data in shown)
    assert any("image/png" in data for data in shown)
    for told in ("reaction_content", "Toyus parvus 4", "infeasible_medium", "glc__D", "without_candidates"):
        assert told in tables
    assert "g00" not in tables  # it was stopped and has no model
