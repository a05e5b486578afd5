"""Check and retry: what Snakemake cannot see, made visible to it.

Snakemake tracks ledgers, not the files of single genomes. `check` compares these files with the ledgers and removes
the ledgers of damaged shards (`--repair`), so that the next run makes what is missing and only that. `retry` forgets
failures, so that they are tried again under the same key.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from gemforest.atlas import damaged_parts
from gemforest.ledger import Outcome, Reason, read_ledger
from gemforest.loop import beside, booked_row
from gemforest.plan import mend_plan, read_shard, read_shards
from gemforest.stage import Context, Stage
from gemforest.stages import STAGE_NAMES, all_stages
from gemforest.store import Store, is_sealed, sweep_temporaries
from gemforest.views import LEDGER_TABLE

# A source can vanish between the stage that brings it here and the one that reads it: caches are emptied.
SOURCE_STAGE, READING_STAGE = "fetch", "genes"

# Machines that share a disk need not agree on the second.
CLOCK_SLACK_SECONDS = 60

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
    if repair:
        damages += [Damage("plan", "", "", f"{name} was damaged and is made again") for name in mend_plan(context)]
    for shard in read_shards(context.store.root):
        gone = _sources_gone(context, shard)
        for stage in all_stages():
            found = [*_gap(stage, context, shard), *_damages(stage, context, shard, deep)]
            if stage.name in (SOURCE_STAGE, READING_STAGE):
                found += [Damage(stage.name, shard, one, "its file was gone when it was to be read") for one in gone]
            damages += found
            if found and repair:
                _forget(context, stage, shard, [damage.genome_id for damage in found if damage.genome_id])
        damages += _check_atlas(context.store, shard, deep, repair)
    damages += _check_ends(context.store, deep, repair)
    if repair:
        _pull_back(context.store)
    return damages


def sweep(store: Store) -> None:
    """Remove what killed writers left beside the files that no shard job owns; for the one run that holds the lock."""
    for folder in (store.root, store.root / "plan", store.root / "plan" / "shards", store.root / "report"):
        sweep_temporaries(folder)
    for pattern in ("ledger/*/", "atlas/", "atlas/*/", "report/*/", ".progress/*/", ".inflight/*/*/"):
        for folder in store.root.glob(pattern):
            sweep_temporaries(folder)


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
    """A ledger that is missing although what comes later is there: Snakemake alone would never make it again."""
    if context.store.ledger_path(stage.name, shard).exists():
        return
    later = [context.store.ledger_path(name, shard) for name in STAGE_NAMES[STAGE_NAMES.index(stage.name) + 1 :]]
    later += [context.store.atlas_path(LEDGER_TABLE, shard), *(context.store.root / end for end in ENDS)]
    if any(path.exists() for path in later):
        yield Damage(stage.name, shard, "", "the ledger is missing")


def _sources_gone(context: Context, shard: str) -> list[str]:
    """Genomes whose file was gone when it was to be read; both stages must run again to bring it back."""
    with suppress(OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        rows = read_ledger(context.store.ledger_path(READING_STAGE, shard))
        return [row.genome_id for row in rows if row.reason is Reason.FILE_NOT_FOUND]
    return []


def _damages(stage: Stage, context: Context, shard: str, deep: bool) -> Iterator[Damage]:
    path = context.store.ledger_path(stage.name, shard)
    rows = None
    if path.exists():
        try:
            rows = read_ledger(path)
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            yield Damage(stage.name, shard, "", f"the ledger cannot be read: {error}")
    if rows is None:
        # The job that makes the ledger again will take every file whose footer is right as it is.
        for planned in read_shard(context.store.root, shard) if deep else []:
            genome_id = planned["genome_id"]
            if booked_row(stage, context, shard, genome_id) and (
                what := _deep_damage(stage, context, shard, genome_id)
            ):
                yield Damage(stage.name, shard, genome_id, what)
        return
    if deep and not is_sealed(path):
        yield Damage(stage.name, shard, "", "the ledger is not as it was written")
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
            _remove(path)
    for table in stage.writes:
        context.store.forget(table, shard, genomes)
    for name in STAGE_NAMES[STAGE_NAMES.index(stage.name) :]:
        _remove(context.store.ledger_path(name, shard))
    _remove(context.store.atlas_path(LEDGER_TABLE, shard))
    _forget_ends(context.store)


def _forget_ends(store: Store) -> None:
    for last in ENDS:
        _remove(store.root / last)


def _remove(path: Path) -> None:
    """Remove a file, or whatever stands in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check_atlas(store: Store, shard: str, deep: bool, repair: bool) -> list[Damage]:
    """The atlas parts of a shard against what its ledger says was written."""
    tables = damaged_parts(store, shard, deep)
    if not store.atlas_path(LEDGER_TABLE, shard).exists() and any((store.root / end).exists() for end in ENDS):
        tables = [LEDGER_TABLE]
    if tables and repair:
        for table in {*tables, LEDGER_TABLE}:
            _remove(store.atlas_path(table, shard))
        _forget_ends(store)
    return [Damage("atlas", shard, "", f"the part of {table} is missing, cut short or damaged") for table in tables]


def _check_ends(store: Store, deep: bool, repair: bool) -> list[Damage]:
    """What is made once for all shards: whole, or cut short."""
    damages = []
    for number, (name, whole) in enumerate(ENDS.items()):
        path = store.root / name
        later = [store.root / end for end in list(ENDS)[number + 1 :]]
        missing = not path.exists() and any(end.exists() for end in later)
        if missing or (path.exists() and not (path.is_file() and whole(path, deep))):
            damages.append(Damage(name.split("/")[0], "", "", f"{name} is missing, cut short or damaged"))
            if repair:
                for end in (path, *later):
                    _remove(end)
    return damages


def _whole_database(path: Path, deep: bool) -> bool:
    # Three header pages, then blocks of one size, each with a checksum of its own.
    blocks, rest = divmod(path.stat().st_size - DUCKDB_HEADERS, DUCKDB_BLOCK)
    with path.open("rb") as handle:
        if rest or blocks < 1 or handle.read(12)[8:] != b"DUCK":
            return False
    if not deep:
        return True
    import duckdb

    try:
        with duckdb.connect(str(path), read_only=True) as database:
            database.execute("SELECT count(*) FROM duckdb_views()").fetchall()
    except duckdb.Error:
        return False
    return True


def _whole_page(path: Path, _deep: bool) -> bool:
    return path.read_bytes().rstrip().endswith(b"</html>")


ENDS = {"atlas/atlas.duckdb": _whole_database, "report/index.html": _whole_page}
DUCKDB_HEADERS, DUCKDB_BLOCK = 3 * 4096, 256 * 1024


def _pull_back(store: Store) -> None:
    """Give files that a wrong clock dated into the future the present: Snakemake goes by times, and would wait for it.

    What was made from such a file is always older than it, so that every run would make it again.
    """
    now = time.time()
    for pattern in ("ledger/*/shard=*.parquet", "plan/shards/*.tsv", "atlas/*/shard=*.parquet", *ENDS):
        for path in store.root.glob(pattern):
            if path.stat().st_mtime > now + CLOCK_SLACK_SECONDS:
                os.utime(path)
