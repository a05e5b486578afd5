"""Project folders for tests, and places that several tests need."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from gemforest.config import complete
from gemforest.stage import Context
from gemforest.store import Store

if TYPE_CHECKING:
    import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
CACHE = REPOSITORY / "resources" / "cache"


def common_folder(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder that all processes of a test session share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def make_project(folder: Path, sheet: str, **config: object) -> Context:
    """A project folder; calling again changes sheet and config of the same folder."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "resources").mkdir(exist_ok=True)
    for name in ("Snakefile", "workflow", "envs"):
        if not (folder / name).exists():
            (folder / name).symlink_to(REPOSITORY / name)
    CACHE.mkdir(parents=True, exist_ok=True)
    if not (folder / "resources" / "cache").exists():
        (folder / "resources" / "cache").symlink_to(CACHE)
    (folder / "config" / "genomes.tsv").write_text(sheet)
    (folder / "config" / "media.tsv").write_text((REPOSITORY / "config" / "media.tsv").read_text())
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    return Context(folder, complete(config), Store(folder / "results"))
