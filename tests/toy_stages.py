"""Stages that misbehave on demand: the genome's id says how. Imported by spawned workers."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from gemforest.errors import GenomeError, RefusedError
from gemforest.ledger import Reason
from gemforest.stage import Context, PoolCrashed, Products, Stage, Task
from gemforest.tables import TABLES


def rows(genome_id: str) -> pa.Table:
    return pa.Table.from_pylist([{"genome_id": genome_id, "source": "toy"}], schema=TABLES["genomes"].schema)


def process(task: Task) -> Products:
    kind = task.genome_id.split("-")[0]
    log = task.context.project / "calls.txt"
    with log.open("a") as handle:
        handle.write(f"{task.genome_id}\n")
    if kind == "refused":
        raise RefusedError(Reason.EMPTY_FILE, "nothing in it")
    if kind == "failed":
        raise GenomeError(Reason.SOLVER_FAILED, "no numbers")
    if kind == "bug":
        raise ZeroDivisionError("a mistake")
    if kind == "suicide":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hog":
        np.ones(10_000_000_000, dtype=np.uint8)
    if kind == "slow":
        time.sleep(600)
    if kind == "once":
        # Dies at its first try only, as a worker that somebody kills.
        seen = task.context.project / f"{task.genome_id}.seen"
        if not seen.exists():
            seen.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if kind == "late":
        # Dies when all is written, before its word reaches the job.
        threading.Thread(target=_die_when_written, args=(task,), daemon=True).start()
    if kind == "diskfull":
        raise OSError(errno.ENOSPC, "No space left on device")
    if kind == "sleeper":
        time.sleep(float(task.genome_id.split("-")[1]))
    return Products({"genomes": rows(task.genome_id)})


def _die_when_written(task: Task) -> None:
    while not task.context.store.table_path("genomes", task.shard, task.genome_id).exists():
        time.sleep(0.0001)
    os.kill(os.getpid(), signal.SIGKILL)


def pooled(tasks: Sequence[Task], cores: int) -> dict[str, Products]:
    with (tasks[0].context.project / "calls.txt").open("a") as handle:
        handle.write(" ".join(task.genome_id for task in tasks) + "\n")
    seen = tasks[0].context.project / "killed.seen"
    if tasks[0].genome_id.startswith("killed") and not seen.exists():
        seen.touch()
        raise PoolCrashed(Reason.SEARCH_CRASHED, "somebody killed it")
    if any(task.genome_id.startswith("poison") for task in tasks):
        raise PoolCrashed(Reason.SEARCH_CRASHED, "segmentation fault")
    return {task.genome_id: Products({"genomes": rows(task.genome_id)}) for task in tasks}


def copy(task: Task) -> Products:
    n = task.read("genomes").num_rows
    proteins = pa.Table.from_pylist([{"genome_id": task.genome_id}] * n, schema=TABLES["proteins"].schema)
    return Products({"proteins": proteins})


def parameter_resource(context: Context) -> dict[str, str]:
    path = context.project / "resource.txt"
    return {"resource": path.read_text() if path.exists() else ""}


def row_resource(_context: Context, row: Mapping[str, str]) -> dict[str, str]:
    return {"fingerprint": row["fingerprint"]}


FIRST = Stage("fetch", 1, (), ("genomes",), process=process, resources=parameter_resource, row_resources=row_resource)
POOLED = Stage("fetch", 1, (), ("genomes",), pooled=pooled)
SECOND = Stage("genes", 1, ("genomes",), ("proteins",), parameters=("genes.min_proteins",), process=copy)
