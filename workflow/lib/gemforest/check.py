"""Check and retry: what Snakemake cannot see, made visible to it.

Snakemake tracks ledgers, not the files of single genomes. `check` compares these files with the ledgers and removes
the ledgers of damaged shards (`--repair`), so that the next run makes what is missing and only that. `retry` forgets
failures, so that they are tried again under the same key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from gemforest.ledger import Outcome, Reason, read_ledger
from gemforest.loop import beside, booked_row
from gemforest.plan import read_shards
from gemforest.stage import Context, Stage
from gemforest.stages import STAGE_NAMES, all_stages

# A source can vanish between the stage that brings it here and the one that reads it: caches are emptied.
SOURCE_STAGE, READING_STAGE = "fetch", "genes"

# Footers are small reads on a shared file system: waiting overlaps well.
READERS = 8


@dataclass(frozen=True)
class Damage:
    """A file that is not what the ledger says."""

    stage: str
    shard: str
    genome_id: str
    what: str


def check(context: Context, deep: bool = False, repair: bool = False) -> list[Damage]:
    """Compare every genome's files with the ledgers.

    Parameters
    ----------
    deep
        Read every byte: page checksums of the main table, SHA-256 of the files beside it.
    repair
        Remove what is damaged and the ledgers of damaged shards; the next run makes them again.
    """
    damages: list[Damage] = []
    for shard in read_shards(context.store.root):
        gone = _sources_gone(context, shard)
        for stage in all_stages():
            found = [*_gap(stage, context, shard), *_damages(stage, context, shard, deep)]
            if stage.name in (SOURCE_STAGE, READING_STAGE):
                found += [Damage(stage.name, shard, one, "its file was gone when it was to be read") for one in gone]
            damages += found
            if found and repair:
                _forget(context, stage, shard, [damage.genome_id for damage in found if damage.genome_id])
    return damages


def retry(context: Context, reason: str | None = None, stage_name: str | None = None) -> list[tuple[str, str]]:
    """Forget failures, all or those of one reason or stage; (stage, genome_id) of what will be tried again."""
    forgotten = []
    for stage in all_stages():
        if stage_name not in (None, stage.name):
            continue
        for shard in read_shards(context.store.root):
            path = context.store.ledger_path(stage.name, shard)
            if not path.exists():
                continue
            failed = [
                row.genome_id
                for row in read_ledger(path)
                if row.outcome not in (Outcome.OK, Outcome.SKIPPED_UPSTREAM) and reason in (None, row.reason)
            ]
            if failed:
                _forget(context, stage, shard, failed)
                forgotten += [(stage.name, genome_id) for genome_id in failed]
    return forgotten


def _gap(stage: Stage, context: Context, shard: str) -> Iterator[Damage]:
    """A ledger that is missing although a later one is there: Snakemake alone would never make it again."""
    later = STAGE_NAMES[STAGE_NAMES.index(stage.name) + 1 :]
    if context.store.ledger_path(stage.name, shard).exists():
        return
    if any(context.store.ledger_path(name, shard).exists() for name in later):
        yield Damage(stage.name, shard, "", "the ledger is missing")


def _sources_gone(context: Context, shard: str) -> list[str]:
    """Genomes whose file was gone when it was to be read; both stages must run again to bring it back."""
    with suppress(OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
        rows = read_ledger(context.store.ledger_path(READING_STAGE, shard))
        return [row.genome_id for row in rows if row.reason is Reason.FILE_NOT_FOUND]
    return []


def _damages(stage: Stage, context: Context, shard: str, deep: bool) -> Iterator[Damage]:
    path = context.store.ledger_path(stage.name, shard)
    if not path.exists():
        return
    try:
        rows = read_ledger(path)
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        yield Damage(stage.name, shard, "", f"the ledger cannot be read: {error}")
        return
    with ThreadPoolExecutor(READERS) as readers:
        booked = readers.map(lambda row: booked_row(stage, context, shard, row.genome_id), rows)
        for row, found in zip(rows, booked, strict=True):
            if found is None:
                yield Damage(stage.name, shard, row.genome_id, "a file is missing, cut short or another genome's")
            elif found != row:
                yield Damage(stage.name, shard, row.genome_id, "the file is of another run than the ledger")
            elif deep and (what := _deep_damage(stage, context, shard, row.genome_id)):
                yield Damage(stage.name, shard, row.genome_id, what)


def _deep_damage(stage: Stage, context: Context, shard: str, genome_id: str) -> str:
    store = context.store
    main = store.table_path(stage.main_table, shard, genome_id)
    if what := store.damage(str(main.relative_to(store.root))):
        return what
    metadata = store.metadata(stage.main_table, shard, genome_id)
    assert metadata is not None
    others = json.loads(metadata["files"]).items()
    return next((what for name, (_size, sha256) in others if (what := store.damage(name, sha256))), "")


def _forget(context: Context, stage: Stage, shard: str, genomes: list[str]) -> None:
    """Remove genomes' files at a stage, and all that Snakemake tracks from there on.

    Snakemake does not make a missing file again while everything after it is there, so the shard's later ledgers go
    too; their genomes' own files stay, and the jobs that rebuild those ledgers have nothing to do.
    """
    for genome_id in genomes:
        paths: list[Path] = [*beside(stage, context, shard, genome_id)]
        paths.append(context.store.table_path(stage.main_table, shard, genome_id))
        paths.append(context.store.inflight_path(stage.name, shard, genome_id))
        for path in paths:
            path.unlink(missing_ok=True)
    for table in stage.writes:
        context.store.forget(table, shard, genomes)
    for name in STAGE_NAMES[STAGE_NAMES.index(stage.name) :]:
        context.store.ledger_path(name, shard).unlink(missing_ok=True)
    context.store.atlas_path("ledger", shard).unlink(missing_ok=True)
    for last in ("atlas/atlas.duckdb", "report/index.html"):
        (context.store.root / last).unlink(missing_ok=True)
