"""Imports point down only: floor, stages, top (DESIGN: three layers)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gemforest.stages import STAGE_NAMES

PACKAGE = Path(__file__).resolve().parents[2] / "workflow" / "lib" / "gemforest"
TOP = {"atlas", "check", "cli", "config_show", "dag", "doctor", "explain", "explain_gene", "explain_medium", "export",
       "init", "query", "report", "run", "runlock", "stages", "status", "evaluation", "mediacheck", "mediaimport",
       "newproject", "project", "efficiency", "sizing", "usermodels", "views", "questions", "figures", "plot",
       "terminal", "mappings", "gecko"}  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """First part below `gemforest` of everything that a module imports from the package, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gemforest"):
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("gemforest.")}
    return found


def layer(path: Path) -> str:
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "stage" if name in STAGE_NAMES else "top" if name in TOP else "floor"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    others = imported(path) - {own}
    if layer(path) == "floor" or layer(path) == "stage":
        assert not others & (set(STAGE_NAMES) | TOP)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_package_works_without_snakemake_and_one_module_holds_the_solver(path: Path) -> None:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    assert "snakemake" not in names
    assert "highspy" not in names or path.name == "lp.py"
