"""Stand-ins for the stages that take seconds per genome: rows out of a digest of what the real stage would read.

Their tables are the real ones, their inputs are read through the real store, so damage upstream shows in every table
downstream; models are written by the real writer. What they leave out is the biology.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from gemforest.stage import Products, Stage, Task
from gemforest.tables import TABLES

if TYPE_CHECKING:
    from gemforest.models import Network

# The first four stages are quick by themselves: files are small, and DIAMOND's hits were found beforehand.
REAL = ("fetch", "genes", "homology", "embed")
DECLARED = ("name", "version", "reads", "writes", "parameters", "row_fields", "folders")
VARIABLE = "GEMFOREST_QUICK_STAGES"
# STAGE:GENOME:MB:SECONDS, for one that takes so much memory for so long.
HEAVY = "GEMFOREST_HEAVY_GENOME"
ROWS = 12
SLEEP_SECONDS = 0.15


def declare(stages: Iterable[Stage], path: Path) -> None:
    """Write down what the real stages declare, so that no process of a fault run waits for their imports."""
    declared = {stage.name: {name: getattr(stage, name) for name in DECLARED} for stage in stages}
    path.write_text(json.dumps({name: fields for name, fields in declared.items() if name not in REAL}))


def install(stages: ModuleType) -> None:
    """Let `gemforest.stages.stage` hand out stand-ins."""
    real = stages.stage
    declared = json.loads(Path(os.environ[VARIABLE]).read_text())

    @functools.cache
    def stage(name: str) -> Stage:
        if name not in declared:
            found: Stage = real(name)
            return found
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in declared[name].items()}
        seen = fields["reads"], fields["writes"], fields["folders"]
        return Stage(**fields, process=functools.partial(process, name, *seen))

    stages.stage = stage  # type: ignore[attr-defined]


class BlankFigure:
    """What a figure is to the code that writes it."""

    def savefig(self, path: Path, **_options: Any) -> None:
        path.write_text("blank\n")


def leave_figures_blank(figures: ModuleType) -> None:
    """Let every figure be written as ever, with nothing in it."""
    figures.PLOTS = tuple(replace(found, draw=lambda _run: BlankFigure()) for found in figures.PLOTS)


def process(
    name: str, reads: tuple[str, ...], writes: tuple[str, ...], folders: tuple[str, ...], task: Task
) -> Products:
    seen = hashlib.sha256()
    for table in reads:
        seen.update(repr(task.read(table).to_pylist()).encode())
    stage, genome_id, megabytes, seconds = os.environ.get(HEAVY, ":::").split(":")
    heavy = (stage, genome_id) == (name, task.genome_id)
    taken = b"x" * (int(megabytes) << 20) if heavy else b""
    # A worker that sleeps can be killed at work without using the machine.
    time.sleep(float(seconds) if heavy else SLEEP_SECONDS)
    del taken
    rng = np.random.default_rng(int.from_bytes(seen.digest()[:8], "big"))
    tables = {name: rows(name, task.genome_id, rng) for name in writes}
    return Products(tables, {folder: network(task.genome_id, rng) for folder in folders})


def rows(table: str, genome_id: str, rng: np.random.Generator) -> pa.Table:
    schema = TABLES[table].schema
    n = 1 if TABLES[table].row.startswith("one row") else ROWS
    columns = {field.name: values(field.type, n, rng) for field in schema}
    columns["genome_id"] = [genome_id] * n
    if "universe" in columns:
        columns["universe"] = ["bacteria"] * n
    return pa.table(columns, schema=schema)


def values(kind: pa.DataType, n: int, rng: np.random.Generator) -> list[Any]:
    numbers = rng.integers(0, 2**20, n).tolist()
    if pa.types.is_string(kind):
        return [f"t{number:x}" for number in numbers]
    if pa.types.is_floating(kind):
        return [number / 1000 for number in numbers]
    if pa.types.is_boolean(kind):
        return [number % 2 == 0 for number in numbers]
    if pa.types.is_integer(kind):
        return [number % 100 for number in numbers]
    return [None] * n


def network(genome_id: str, rng: np.random.Generator) -> Network:
    """Uptake, a chain of conversions, biomass."""
    from scipy.sparse import csc_array

    from gemforest.models import Network

    n = 30
    metabolites = tuple(f"m{i}_c" for i in range(n))
    reactions = (*(f"R{i}" for i in range(n)), "Growth")
    matrix = np.zeros((n, n + 1))
    matrix[np.arange(n), np.arange(n)] = rng.integers(1, 5, n)
    matrix[np.arange(n), np.arange(1, n + 1)] = -1.0
    objective = np.zeros(n + 1)
    objective[-1] = 1.0
    return Network(
        network_id=genome_id,
        metabolites=metabolites,
        reactions=reactions,
        stoichiometry=csc_array(matrix),
        lower=np.zeros(n + 1),
        upper=np.full(n + 1, 1000.0),
        objective=objective,
        gprs=("",) * (n + 1),
        reaction_names=("",) * (n + 1),
        metabolite_names=("",) * n,
        formulas=("",) * n,
        charges=(None,) * n,
        compartments=("c",) * n,
    )
