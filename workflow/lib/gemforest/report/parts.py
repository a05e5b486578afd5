"""The atlas as the report reads it: one shard's part of a table at a time, cut at its genomes.

A part that is not there is None and not an error: the report is made of any state of a run and says what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gemforest.plan import read_shard, read_shards
from gemforest.store import Store


@dataclass(frozen=True)
class Genomes:
    """The genomes of the plan, in its order.

    Attributes
    ----------
    ids, shards
        n texts each.
    rows
        n rows of the plan: the sheet's, completed from the config.
    """

    ids: list[str]
    shards: list[str]
    rows: list[dict[str, str]]

    def __len__(self) -> int:
        return len(self.ids)

    def indices(self, column: pa.ChunkedArray) -> np.ndarray:
        """Place of each genome_id of a column; -1 for one that the plan has no more."""
        found = pc.index_in(column.combine_chunks(), value_set=pa.array(self.ids, pa.string()))
        return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)


@dataclass(frozen=True)
class Parts:
    """The atlas of a results folder."""

    store: Store
    shards: tuple[str, ...]

    @classmethod
    def of(cls, root: Path) -> Parts:
        """The atlas of the results under `root`."""
        return cls(Store(root), tuple(read_shards(root)))

    def genomes(self) -> Genomes:
        """All genomes of the plan."""
        by_shard = {shard: read_shard(self.store.root, shard) for shard in self.shards}
        rows = [row for found in by_shard.values() for row in found]
        shards = [shard for shard, found in by_shard.items() for _ in found]
        return Genomes([row["genome_id"] for row in rows], shards, rows)

    def has(self, table: str) -> bool:
        """Whether any shard has a part of the table."""
        return any(self.store.atlas_path(table, shard).exists() for shard in self.shards)

    def read(self, table: str, shard: str, columns: list[str] | None = None) -> pa.Table | None:
        """One shard's part of a table; None where there is none."""
        path = self.store.atlas_path(table, shard)
        if not path.exists():
            return None
        with pq.ParquetFile(path) as file:
            return file.read(columns, use_threads=False)

    def each(self, table: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The parts of all shards, one after the other."""
        for shard in self.shards:
            part = self.read(table, shard, columns)
            if part is not None and part.num_rows:
                yield part


def by_genome(part: pa.Table | None) -> dict[str, pa.Table]:
    """The rows of each genome. The atlas writes genome after genome, so a cut is a slice."""
    if part is None or not part.num_rows:
        return {}
    ids = part["genome_id"].combine_chunks().dictionary_encode()
    codes, names = np.asarray(ids.indices), ids.dictionary.to_pylist()
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    if len(starts) != len(names):
        return by_genome(part.sort_by("genome_id"))
    ends = [*starts[1:].tolist(), part.num_rows]
    return {
        names[codes[start]]: part.slice(start, end - start) for start, end in zip(starts.tolist(), ends, strict=True)
    }


def significant(value: float | None, digits: int = 5) -> float | None:
    """A number for the page: rounded to its significant digits; None for what is not finite."""
    if value is None or not np.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")
