"""The atlas: one part per shard and table, and a DuckDB file with a view per table.

A job per shard gathers the shard's per-genome files, so no job ever touches a million files. Here the promise is kept
that no genome is lost: at every stage the ledger must name exactly the genomes of the shard. `finish` writes the views
and judges the share of failures over the whole run, after everything is written.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gemforest.errors import InfrastructureError
from gemforest.ledger import Outcome
from gemforest.plan import read_shard, read_shards
from gemforest.stage import Context
from gemforest.stages import all_stages
from gemforest.store import Store, atomic, is_sealed, read_metadata, sealable, write_parquet, write_sealed
from gemforest.tables import LEDGER, TABLES
from gemforest.views import LEDGER_TABLE, create_views

# Metadata of a shard's ledger in the atlas: the sizes of the parts beside it.
PARTS = "parts"
# Below this many genomes a share of failures says nothing about the run.
FEWEST_GENOMES_JUDGED = 20


class TooManyFailed(Exception):
    """More genomes failed than the config allows; everything is written all the same."""


def gather_shard(context: Context, shard: str, partial: bool = False) -> Counter[str]:
    """Write the atlas parts of one shard; rows per table.

    Parameters
    ----------
    partial
        Take the stages that have a ledger and leave out the others.

    Raises
    ------
    InfrastructureError
        A ledger is missing (unless partial), or does not name exactly the shard's genomes.
    """
    genomes = [row["genome_id"] for row in read_shard(context.store.root, shard)]
    ledgers: list[pa.Table] = []
    rows: Counter[str] = Counter()
    for stage in all_stages():
        path = context.store.ledger_path(stage.name, shard)
        if partial and not path.exists():
            continue
        ledger = read_whole_ledger(path, stage.name, genomes)
        ledgers.append(ledger)
        finished = [
            genome_id
            for genome_id, outcome in zip(ledger["genome_id"].to_pylist(), ledger["outcome"].to_pylist(), strict=True)
            if outcome == Outcome.OK
        ]
        for table in stage.writes:
            rows[table] = _gather(context.store, table, shard, finished)
    together = pa.concat_tables(ledgers) if ledgers else LEDGER.empty_table()
    sizes = {table: context.store.atlas_path(table, shard).stat().st_size for table in rows}
    # The ledger comes last: it is what Snakemake tracks of this job. It names the parts that were written with it.
    path = context.store.atlas_path(LEDGER_TABLE, shard)
    write_parquet(path, _with_shard(together, shard), {PARTS: json.dumps(sizes)})
    return rows


def damaged_parts(store: Store, shard: str, deep: bool = False) -> list[str]:
    """Tables whose part of the atlas is not as it was written; none where the shard has not been gathered yet.

    Parameters
    ----------
    deep
        Read every byte; otherwise the sizes are looked at.
    """
    path = store.atlas_path(LEDGER_TABLE, shard)
    if not path.exists():
        return []
    try:
        sizes: dict[str, int] = json.loads((read_metadata(path) or {})[PARTS])
    except (KeyError, ValueError):
        return [LEDGER_TABLE]
    damaged = [] if not deep or is_sealed(path) else [LEDGER_TABLE]
    for table, size in sizes.items():
        part = store.atlas_path(table, shard)
        if not part.is_file() or part.stat().st_size != size or (deep and not is_sealed(part)):
            damaged.append(table)
    return damaged


def read_whole_ledger(path: Path, stage: str, genomes: Iterable[str]) -> pa.Table:
    """A shard's ledger, after a check that it names each genome once: rows in = rows out."""
    if not path.exists():
        raise InfrastructureError(f"{path} is missing: run `gemforest {stage}` for this shard first")
    with pq.ParquetFile(path) as file:
        ledger = file.read(use_threads=False)
    expected, found = Counter(genomes), Counter(ledger["genome_id"].to_pylist())
    if expected != found:
        lost, extra = sorted(expected - found), sorted(found - expected)
        raise InfrastructureError(
            f"{path}: the ledger does not name exactly the genomes of the shard (lost: {lost[:5]}, unexpected: "
            f"{extra[:5]}); remove it and run `gemforest {stage}` for this shard again"
        )
    return ledger


def _gather(store: Store, table: str, shard: str, genomes: Iterable[str]) -> int:
    """One table's part: written genome by genome, so that memory holds one genome's rows; the number of rows."""
    schema = TABLES[table].schema.append(pa.field("shard", pa.string(), metadata={"doc": "shard of the genome"}))
    rows = 0
    sink, named = pa.BufferOutputStream(), schema.with_metadata(sealable({}))
    with pq.ParquetWriter(sink, named, compression="zstd", write_page_checksum=True) as out:
        for genome_id in genomes:
            part = _with_shard(store.read(table, shard, genome_id), shard)
            out.write_table(part.cast(named))
            rows += part.num_rows
    write_sealed(store.atlas_path(table, shard), sink)
    return rows


def _with_shard(rows: pa.Table, shard: str) -> pa.Table:
    return rows.append_column("shard", pa.array([shard] * rows.num_rows, pa.string()))


def finish(context: Context, partial: bool = False) -> Counter[str]:
    """Write `atlas.duckdb` and judge the run; genomes by how they ended.

    Raises
    ------
    TooManyFailed
        The share of genomes that did not pass every stage is above `max_failed_fraction`.
    """
    store = context.store
    shards = read_shards(store.root)
    if partial:
        for shard in shards:
            gather_shard(context, shard, partial=True)
    _write_views(store)
    ends = genome_ends(context, shards)
    failed = ends.total() - ends[Outcome.OK]
    limit = context.config["max_failed_fraction"]
    if ends.total() >= FEWEST_GENOMES_JUDGED and failed > limit * ends.total() and not partial:
        raise TooManyFailed(
            f"{failed} of {ends.total()} genomes did not pass every stage, more than max_failed_fraction {limit:g}; "
            "everything is written: `gemforest status` shows the reasons"
        )
    return ends


def same_genomes(context: Context) -> list[list[str]]:
    """Groups of genomes that come from the same file, by their first name."""
    import duckdb

    with duckdb.connect(str(context.store.root / "atlas" / "atlas.duckdb"), read_only=True) as database:
        views = {name for (name,) in database.execute("SELECT view_name FROM duckdb_views()").fetchall()}
        if "same_genomes" not in views:
            return []
        return sorted(ids for (ids,) in database.execute("SELECT genome_ids FROM same_genomes").fetchall())


def genome_ends(context: Context, shards: Iterable[str]) -> Counter[str]:
    """How many genomes ended in which way: by the first stage that did not end ok."""
    ends: Counter[str] = Counter()
    for shard in shards:
        path = context.store.atlas_path(LEDGER_TABLE, shard)
        if not path.exists():
            continue
        with pq.ParquetFile(path) as file:
            ledger = file.read(["genome_id", "outcome"], use_threads=False)
        worst: dict[str, str] = {}
        for genome_id, outcome in zip(ledger["genome_id"].to_pylist(), ledger["outcome"].to_pylist(), strict=True):
            if worst.setdefault(genome_id, outcome) == Outcome.OK:
                worst[genome_id] = outcome
        ends.update(worst.values())
    return ends


def _write_views(store: Store) -> None:
    """A DuckDB file with the views over the parts.

    Paths are absolute, because DuckDB takes relative ones from the reader's folder; `gemforest atlas` after a move.
    """
    import duckdb

    folder = store.root.resolve() / "atlas"
    with atomic(folder / "atlas.duckdb") as temporary:
        temporary.unlink()
        with duckdb.connect(str(temporary)) as database:
            create_views(database, folder)
