"""Genes: the proteins of a genome, normalised and keyed by sequence, in the table `proteins`."""

from __future__ import annotations

import pyarrow as pa

from gemforest.content import Limits
from gemforest.errors import RefusedError
from gemforest.ledger import Reason
from gemforest.sequences import read_proteins
from gemforest.stage import Products, Stage, Task
from gemforest.tables import TABLES


def process(task: Task) -> Products:
    """Read the genome's file; refuse what is not a genome's worth of proteins."""
    path = task.context.project / task.read("genomes", ["file"])["file"][0].as_py()
    limits = Limits(max_bytes=int(task.context.config["limits"]["unpacked_mb"] * 1e6))
    proteins = read_proteins(path, limits)
    least = task.parameters["genes.min_proteins"]
    if proteins.num_rows < least:
        raise RefusedError(
            Reason.TOO_FEW_PROTEINS if proteins.num_rows else Reason.NO_PROTEINS,
            f"{path.name}: {proteins.num_rows} proteins, expected at least {least} (genes.min_proteins)",
        )
    return Products({"proteins": _with_genome_id(proteins, task.genome_id)})


def _with_genome_id(proteins: pa.Table, genome_id: str) -> pa.Table:
    """Complete the reader's columns to those of the table; what the source does not tell is null."""
    n = proteins.num_rows
    columns = {"genome_id": pa.array([genome_id] * n, pa.string())}
    for field in TABLES["proteins"].schema:
        if field.name in proteins.column_names:
            columns[field.name] = proteins[field.name]
        elif field.name not in columns:
            columns[field.name] = pa.nulls(n, field.type)
    return pa.table({field.name: columns[field.name] for field in TABLES["proteins"].schema}).cast(
        TABLES["proteins"].schema
    )


STAGE = Stage(
    name="genes",
    version=1,
    reads=("genomes",),
    writes=("proteins",),
    parameters=("genes.min_proteins",),
    process=process,
)
