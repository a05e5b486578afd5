"""Shared fixtures: a project folder of its own for a test, the data folder where there is one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from projects import REPOSITORY, make_project

from gemforest.stage import Context

# How long an example takes says more about the machine's other work than about the code.
settings.register_profile("gemforest", deadline=None)
settings.load_profile("gemforest")


LONG = ("cluster", "faults", "workflow")
"""Folders of tests that take minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that the short ones fill what is left when one worker has finished before the other."""
    items.sort(key=lambda item: item.path.parent.name not in LONG)


@pytest.fixture
def shared_data() -> Path:
    """The data folder beside the repository; skips where there is none."""
    folder = Path(os.environ.get("GEMFOREST_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("needs the shared data folder: set GEMFOREST_SHARED_DATA")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Context]:
    """Make a project folder with a sheet and a config; the workflow and compiled universes are the repository's."""
    return lambda sheet, **config: make_project(tmp_path / "project", sheet, **config)
