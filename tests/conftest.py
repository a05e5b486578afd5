"""Shared fixtures: a project folder of its own for a test, the data folder where there is one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from gemforest.config import complete
from gemforest.stage import Context
from gemforest.store import Store

REPOSITORY = Path(__file__).resolve().parents[1]


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


def make_project(folder: Path, sheet: str, **config: object) -> Context:
    """A project folder; calling again changes sheet and config of the same folder."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "resources").mkdir(exist_ok=True)
    for name in ("Snakefile", "workflow", "envs"):
        if not (folder / name).exists():
            (folder / name).symlink_to(REPOSITORY / name)
    cache = REPOSITORY / "resources" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    if not (folder / "resources" / "cache").exists():
        (folder / "resources" / "cache").symlink_to(cache)
    (folder / "config" / "genomes.tsv").write_text(sheet)
    (folder / "config" / "media.tsv").write_text((REPOSITORY / "config" / "media.tsv").read_text())
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    return Context(folder, complete(config), Store(folder / "results"))
