"""The stages in the order in which a genome passes them, imported one by one where they are needed."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from gemforest.config import Config
from gemforest.stage import Stage

STAGE_NAMES = ("fetch", "genes", "homology", "embed", "evidence", "draft", "gapfill", "kinetics", "simulate")


@cache
def stage(name: str) -> Stage:
    """A stage by its name; KeyError where there is none."""
    if name not in STAGE_NAMES:
        raise KeyError(f"no stage {name!r}; stages: {', '.join(STAGE_NAMES)}")
    found = import_module(f"gemforest.{name}").STAGE
    assert isinstance(found, Stage)
    return found


def all_stages() -> list[Stage]:
    """All stages, first to last."""
    return [stage(name) for name in STAGE_NAMES]


def passengers(name: str, config: Config) -> tuple[str, ...]:
    """Stages before this one that are switched off: its job writes their empty tables, they need none of their own."""
    found: list[str] = []
    for each in STAGE_NAMES[: STAGE_NAMES.index(name)]:
        found = [] if stage(each).is_on(config) else [*found, each]
    return tuple(found)
