"""Fetch: each row's source becomes a local file with a known digest, in the table `genomes`.

Sources so far: `carveme:NAME`, a proteome that the installed carveme package carries, and local files. The content's
SHA-256 is part of the key, so an edited file is noticed whatever its name and time say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from gemforest.errors import RefusedError
from gemforest.ledger import Reason
from gemforest.sheet import carveme_sample, local_source
from gemforest.stage import Context, Products, Stage, Task
from gemforest.store import file_sha256
from gemforest.tables import TABLES


def process(task: Task) -> Products:
    """Find the genome's file and write down what it is."""
    path = source_path(task.context, task.row)
    if not path.is_file():
        if task.row["source"].startswith("carveme:"):
            raise RefusedError(Reason.UNKNOWN_SAMPLE, f"carveme carries no proteome {path.name!r}")
        raise RefusedError(Reason.FILE_NOT_FOUND, f"{path}: there is no such file; mend the source in the sheet")
    try:
        sha256 = file_sha256(path)
    except PermissionError:
        raise RefusedError(Reason.FILE_UNREADABLE, f"{path}: not readable by this user; change its mode") from None
    columns = dict.fromkeys(TABLES["genomes"].schema.names)
    columns |= {
        "genome_id": task.genome_id,
        "source": task.row["source"],
        "file": _portable(path, task.context),
        "file_sha256": sha256,
        "file_bytes": path.stat().st_size,
        "tags": list(json.loads(task.row["tags"] or "{}").items()),
    }
    return Products({"genomes": pa.Table.from_pylist([columns], schema=TABLES["genomes"].schema)})


def source_path(context: Context, row: Mapping[str, str]) -> Path:
    """The file that a row's source means; it need not exist."""
    source = row["source"]
    if source.startswith("carveme:"):
        return carveme_sample(source)
    path = local_source(source, (context.project / context.config["genomes"]).parent, context.project)
    assert path is not None
    return path


def _portable(path: Path, context: Context) -> str:
    """Relative to the project where inside it, so that a moved project keeps its keys."""
    return str(path.relative_to(context.project)) if path.is_relative_to(context.project) else str(path)


def _content(context: Context, row: Mapping[str, str]) -> dict[str, str]:
    path = source_path(context, row)
    try:
        return {"sha256": file_sha256(path)}
    except OSError as error:
        return {"unreadable": type(error).__name__}


STAGE = Stage(
    name="fetch",
    version=1,
    reads=(),
    writes=("genomes",),
    row_fields=("source", "tags"),
    process=process,
    row_resources=_content,
)
