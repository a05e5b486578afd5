"""Where the installed carveme package keeps its data; found without importing it (its import takes seconds)."""

from __future__ import annotations

from functools import cache
from importlib import metadata, util
from pathlib import Path

from gemforest.errors import InfrastructureError


@cache
def carveme_data(relative: str) -> Path:
    """A file of the carveme package's data folder; InfrastructureError where the package is not installed."""
    found = util.find_spec("carveme")
    if found is None or found.origin is None:
        raise InfrastructureError("the carveme package is not installed; install the lock file of this project")
    return Path(found.origin).parent / "data" / relative


def carveme_version() -> str:
    """Version of the installed carveme package."""
    return metadata.version("carveme")
