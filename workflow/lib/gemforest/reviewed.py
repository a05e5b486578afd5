"""The shipped set of reviewed enzymes (UniProtKB, CC BY 4.0, clustered): where it lies and how it is read."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from gemforest.config import WORKFLOW

SEQUENCES = "reviewed.faa.gz"


def ec_resource(name: str) -> Path:
    """A file of `resources/ec`."""
    return WORKFLOW.parent / "resources" / "ec" / name


def enzymes() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Accession, EC numbers and sequence of each enzyme of the set."""
    with gzip.open(ec_resource(SEQUENCES), "rt", encoding="utf-8") as handle:
        for head in handle:
            name, ecs = head[1:].split()
            yield name, tuple(ecs.split(";")), next(handle).strip()


@cache
def enzyme_ecs() -> dict[str, tuple[str, ...]]:
    """EC numbers of each enzyme, as the set gives them."""
    return {name: ecs for name, ecs, _ in enzymes()}
