"""What a stage is: its name, what it reads and writes, and the key that says whether a result is still current.

A stage module declares one `Stage` and the function behind it. `loop.py` runs that function over the genomes of a
shard; the stage never sees the pool, the clock, the ledger or another stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from gemforest.config import Config, parameter
from gemforest.ledger import Reason
from gemforest.store import Store, digest
from gemforest.tables import TABLES

if TYPE_CHECKING:
    # With it comes scipy: a third of a second that a job with nothing to do need not wait for.
    from gemforest.models import Network


@dataclass(frozen=True)
class Context:
    """Where a run takes place: the project folder, its effective config, its results."""

    project: Path
    config: Config
    store: Store

    @property
    def cache(self) -> Path:
        """Folder of what is derived from installed packages and can be made again."""
        return self.project / "resources" / "cache"


@dataclass(frozen=True)
class Task:
    """One genome at one stage.

    Attributes
    ----------
    row
        The genome's row of the sheet: column to text.
    parameters
        The config keys that the stage declares: dotted key to value.
    """

    genome_id: str
    shard: str
    row: dict[str, str]
    parameters: dict[str, Any]
    context: Context
    key: str
    versions: str

    def read(self, table: str, columns: list[str] | None = None) -> pa.Table:
        """Rows of this genome in a table of an earlier stage."""
        return self.context.store.read(table, self.shard, self.genome_id, columns)


@dataclass(frozen=True)
class Products:
    """What a stage makes of a genome: rows per table, and models per folder of `store.MODEL_FOLDERS`."""

    tables: dict[str, pa.Table]
    models: dict[str, Network] = field(default_factory=dict)


class PoolCrashed(Exception):
    """A pooled call ended abnormally; the loop halves the pool until the culprit stands alone."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def _nothing(_context: Context) -> dict[str, str]:
    return {}


def _nothing_of_row(_context: Context, _row: Mapping[str, str]) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Stage:
    """A stage.

    Attributes
    ----------
    name, version
        The version is raised by hand whenever the same input gives another result.
    reads
        Tables of earlier stages.
    writes
        Tables of this stage, the main table first.
    parameters, row_fields
        Dotted config keys and sheet columns that the result depends on.
    process
        Works on one genome in a worker process; raises `GenomeError`. None for a pooled stage.
    pooled
        Works on many genomes in one call (tasks, cores) and returns products by genome_id; raises `PoolCrashed`.
    folders
        Folders of models that it writes.
    resources, row_resources
        Digests of databases, universes, weights; and of what one row refers to, such as a file or a medium.
    versions
        Versions of the tools that decide the result.
    switch
        Dotted config key that switches the stage off; it then leaves empty tables. None for one that is always on.
    output
        Digest of what later stages see of a genome's products, where that is less than all that went in: with the same
        digest they are not made again. None: the stage key stands for the products.
    """

    name: str
    version: int
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    row_fields: tuple[str, ...] = ()
    process: Callable[[Task], Products] | None = None
    pooled: Callable[[Sequence[Task], int], dict[str, Products]] | None = None
    folders: tuple[str, ...] = ()
    resources: Callable[[Context], dict[str, str]] = _nothing
    row_resources: Callable[[Context, Mapping[str, str]], dict[str, str]] = _nothing_of_row
    versions: Callable[[Context], dict[str, str]] = _nothing
    switch: str | None = None
    output: Callable[[Products], str] | None = None

    def is_on(self, config: Config) -> bool:
        """Whether the config lets the stage do its work."""
        return self.switch is None or bool(parameter(config, self.switch))

    @property
    def main_table(self) -> str:
        """The table whose file every genome leaves, whatever happened."""
        return self.writes[0]

    @property
    def upstream(self) -> tuple[str, ...]:
        """Stages that wrote what this one reads, in order of first mention."""
        return tuple(dict.fromkeys(TABLES[table].stage for table in self.reads))

    def settings(self, config: Config) -> dict[str, Any]:
        """The parameters that the stage reads: dotted key to value."""
        return {key: parameter(config, key) for key in self.parameters}


@dataclass(frozen=True)
class KeyMaker:
    """Makes the stage keys of a shard; what all genomes share is gathered once."""

    stage: Stage
    context: Context
    shared: dict[str, Any]
    versions: dict[str, str]

    @classmethod
    def for_stage(cls, stage: Stage, context: Context) -> KeyMaker:
        """Gather parameters, resource digests and tool versions."""
        versions = stage.versions(context)
        shared = {
            "stage": stage.name,
            "version": stage.version,
            "parameters": stage.settings(context.config),
            "resources": stage.resources(context),
            "versions": versions,
        }
        return cls(stage, context, shared, versions)

    def key(self, row: Mapping[str, str], inputs: Mapping[str, Sequence[str]]) -> str:
        """Key of one genome; `inputs` maps each upstream stage to (digest of its output, its outcome).

        The outcome counts because a retried genome may succeed under the key under which it failed before.
        """
        return digest(
            self.shared
            | {
                "genome_id": row["genome_id"],
                "row": {name: row[name] for name in self.stage.row_fields},
                "row_resources": self.stage.row_resources(self.context, row),
                "inputs": {stage: list(pair) for stage, pair in inputs.items()},
            }
        )
