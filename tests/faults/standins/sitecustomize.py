"""On the path of a fault run's processes: the slow stages get stand-ins, everything else is the product's own.

Python imports a module of this name at its start, in shard jobs and their workers too. It waits for
`gemforest.stages` to be imported and wraps its one function that finds stages; and for `gemforest.figures`, whose
drawing takes longer than all the rest of a small run.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from types import ModuleType

TARGETS = {"gemforest.stages": "install", "gemforest.figures": "leave_figures_blank"}


class Loader(importlib.abc.Loader):
    """Runs the real module, then puts the stand-ins in."""

    def __init__(self, real: importlib.abc.Loader) -> None:
        self.real = real

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.real.exec_module(module)
        import quickstages

        getattr(quickstages, TARGETS[module.__name__])(module)


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in TARGETS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            spec.loader = Loader(spec.loader)
        return spec


if os.environ.get("GEMFOREST_QUICK_STAGES"):
    sys.meta_path.insert(0, Finder())
