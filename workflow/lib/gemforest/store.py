"""Where results lie and how they get there: paths, atomic writes, keys, and reading tables back.

One Parquet file per genome per table, `<results>/<table>/shard=NNNN/<genome_id>.parquet`, zstd, written to a temporary
name in the same folder and renamed, so that no reader ever meets half a file. Each file's metadata says whose it is
and what it depends on (`gemforest.key`); a stage's main table also carries the genome's ledger row and the digests of
the files written beside it. Every Parquet file is sealed with a SHA-256 of its own bytes, so that `check --deep` finds
damage anywhere inside it, and page checksums are written, so that damaged rows are never read as data.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gemforest import packing
from gemforest.tables import TABLES

METADATA_PREFIX = "gemforest."
SEAL = "sha256"
_OPEN_SEAL = "0" * 64
# As it lies in a footer: the key, one byte of field and one of length, the value.
_SEAL_BYTES = re.compile(rb"gemforest\.sha256..([0-9a-f]{64})", re.DOTALL)
MODEL_FOLDERS = ("draft_models", "models", "ec_models")


@dataclass(frozen=True)
class Store:
    """The results folder."""

    root: Path

    def table_path(self, table: str, shard: str, genome_id: str) -> Path:
        """File of one genome in one table."""
        return self.root / table / f"shard={shard}" / f"{genome_id}.parquet"

    def model_path(self, folder: str, shard: str, genome_id: str) -> Path:
        """SBML file of one genome; `folder` is one of `MODEL_FOLDERS`."""
        if folder not in MODEL_FOLDERS:
            raise ValueError(f"unknown model folder {folder!r}, expected one of {MODEL_FOLDERS}")
        return self.root / folder / f"shard={shard}" / f"{genome_id}.xml.gz"

    def ledger_path(self, stage: str, shard: str) -> Path:
        """Ledger of one shard at one stage: the output that Snakemake tracks."""
        return self.root / "ledger" / stage / f"shard={shard}.parquet"

    def atlas_path(self, table: str, shard: str) -> Path:
        """One shard's part of a table of the atlas."""
        return self.root / "atlas" / table / f"shard={shard}.parquet"

    def inflight_path(self, stage: str, shard: str, genome_id: str) -> Path:
        """Marker of a genome that a job is working on now."""
        return self.root / ".inflight" / stage / f"shard={shard}" / f"{genome_id}.json"

    def progress_path(self, stage: str, shard: str) -> Path:
        """What a running shard job says of itself."""
        return self.root / ".progress" / stage / f"shard={shard}.json"

    def read(self, table: str, shard: str, genome_id: str, columns: list[str] | None = None) -> pa.Table:
        """One genome's rows of one table, without the file's metadata.

        Raises
        ------
        InfrastructureError
            The file is not there or is damaged: the disk's trouble, not the genome's.
        """
        path = self.table_path(table, shard, genome_id)
        member = self._packed(path)
        try:
            if member:
                return packing.read_member(path.parent, member, columns, checked=True)
            # A file is opened by itself, not as a dataset, so that `shard=` in its path adds no column.
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                return file.read(columns=columns, use_threads=False).replace_schema_metadata(None)
        except (OSError, ValueError, pa.ArrowException) as error:
            # The module of errors stands on the ledger's, which stands on this one.
            from gemforest.errors import InfrastructureError

            raise InfrastructureError(
                f"{path} cannot be read ({error}); `gemforest check --deep --repair`, then run again"
            ) from error

    def has(self, table: str, shard: str, genome_id: str) -> bool:
        """Whether a genome has a file in a table, or a place in the shard's packed one."""
        path = self.table_path(table, shard, genome_id)
        return path.exists() or self._packed(path) is not None

    def metadata(self, table: str, shard: str, genome_id: str) -> dict[str, str] | None:
        """The `gemforest.` metadata of a genome's file; None where it is missing, cut short or not Parquet."""
        path = self.table_path(table, shard, genome_id)
        member = self._packed(path)
        return member.metadata if member else read_metadata(path)

    def holds(self, name: str, size: int) -> bool:
        """Whether a file, by its name in the results folder, is there with that size, or was packed with it."""
        path = self.root / name
        if member := self._packed(path):
            return member.size == size
        try:
            return path.is_file() and path.stat().st_size == size
        except OSError:
            return False

    def damage(self, name: str, sha256: str = "") -> str:
        """Read every byte of a file, or of the packed one that it is in: what is wrong, empty where nothing is.

        Parameters
        ----------
        sha256
            What its content must have; empty for a file that carries its own seal.
        """
        path = self.root / name
        changed = f"{name} is not the file that was written"
        if member := self._packed(path):
            packed = packing.packed_path(path.parent)
            status = packed.stat()
            whole = _is_sealed_once(packed, status.st_mtime_ns, status.st_size)
            return "" if whole and sha256 in ("", member.sha256) else changed
        if not sha256:
            return "" if is_sealed(path) else changed
        try:
            return "" if file_sha256(path) == sha256 else changed
        except OSError as error:
            return f"{name}: {error}"

    def _packed(self, path: Path) -> packing.Member | None:
        """A genome's place in the packed file of a folder; None where it has a file of its own, or no place."""
        return None if path.exists() else packing.members(path.parent).get(path.stem)

    def pack(self, tables: Sequence[str], shard: str) -> None:
        """Gather the files that genomes of a shard left in a stage's tables (the main table first), and remove them.

        Beside a genome's main file lie the files that its metadata names; what an earlier run packed and this one did
        not write again is dropped. The main table comes last: a job that dies here finds the rest by it.
        """
        main, *beside = (self.table_path(table, shard, "any").parent for table in tables)
        named: dict[str, set[str]] = {}
        for path in _own_files(main):
            if metadata := read_metadata(path):
                named[path.stem] = set(json.loads(metadata["files"]))
        for folder in beside:
            gone = {g for g, names in named.items() if f"{folder.parent.name}/{folder.name}/{g}.parquet" not in names}
            _pack(folder, named.keys() - gone, gone)
        _pack(main, named.keys(), set())

    def forget(self, table: str, shard: str, genomes: Iterable[str]) -> None:
        """Remove genomes from a table, wherever they are in it."""
        folder = self.table_path(table, shard, "any").parent
        for genome_id in genomes:
            self.table_path(table, shard, genome_id).unlink(missing_ok=True)
        _pack(folder, set(), set(genomes))


@lru_cache(maxsize=64)
def _is_sealed_once(path: Path, _mtime_ns: int, _size: int) -> bool:
    return is_sealed(path)


def _own_files(folder: Path) -> list[Path]:
    """Files of single genomes in a shard's folder of a table."""
    return sorted(path for path in folder.glob("*.parquet") if path != packing.packed_path(folder))


def _pack(folder: Path, fresh: Collection[str], gone: Collection[str]) -> None:
    """Put the own files of `fresh` genomes into the packed file of a folder, and take out those that are `gone`."""
    own = [path for path in _own_files(folder) if path.stem in fresh]
    before = packing.members(folder)
    if not own and not before.keys() & gone:
        return
    leaving = {path.stem for path in own} | set(gone)
    parts = {}
    for genome_id, member in before.items():
        # A genome whose rows are damaged is left out: then it is missing, and made again.
        with contextlib.suppress(OSError, ValueError, pa.ArrowException):
            if genome_id not in leaving:
                parts[genome_id] = packing.read_member(folder, member, None, checked=True), member
    for path in own:
        with pq.ParquetFile(path) as file:
            rows = file.read(use_threads=False).replace_schema_metadata(None)
        member = packing.Member(0, 0, path.stat().st_size, file_sha256(path), read_metadata(path) or {})
        parts[path.stem] = rows, member
    if not parts:
        packing.packed_path(folder).unlink(missing_ok=True)
        return
    sink = pa.BufferOutputStream()
    packing.write_packed(sink, parts, TABLES[folder.parent.name].schema, sealable({}))
    write_sealed(packing.packed_path(folder), sink)
    for path in own:
        path.unlink()


def digest(parts: Any) -> str:
    """SHA-256 of the canonical JSON form of `parts`: the stage key, and the digests it is made of."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any error it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        # mkstemp makes private files; results are to be read by the group like any other file.
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        if path.is_dir() and not path.is_symlink():
            # Only an empty one goes: somebody's folder in a file's place is not ours to empty.
            path.rmdir()
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> bool:
    """Write `text` atomically unless `path` holds it already; True where the file changed."""
    if holds(path, text):
        return False
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return True


def holds(path: Path, text: str) -> bool:
    """Whether a file is there and says just this."""
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False


def write_parquet(
    path: Path, rows: pa.Table, metadata: Mapping[str, str] | None = None, row_group_size: int | None = None
) -> tuple[int, str]:
    """Write rows atomically with `metadata` under the `gemforest.` prefix in the file's schema, sealed.

    Returns
    -------
    tuple
        Size of the file, bytes, and its SHA-256.
    """
    named = sealable({METADATA_PREFIX + key: value for key, value in (metadata or {}).items()})
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows.replace_schema_metadata(named),
        sink,
        row_group_size=row_group_size,
        compression="zstd",
        write_page_checksum=True,
        store_schema=True,
    )
    return write_sealed(path, sink)


def write_sealed(path: Path, sink: pa.BufferOutputStream) -> tuple[int, str]:
    """Seal a Parquet file made in memory and write it in one go, for a shared file system; its size and SHA-256."""
    data = sealed(sink.getvalue().to_pybytes())
    with atomic(path) as temporary:
        temporary.write_bytes(data)
    return len(data), hashlib.sha256(data).hexdigest()


def sealable(metadata: Mapping[str, str]) -> dict[str, str]:
    """Schema metadata with room for a seal."""
    return {**metadata, METADATA_PREFIX + SEAL: _OPEN_SEAL}


def sealed(data: bytes) -> bytes:
    """A Parquet file with the SHA-256 of its bytes, taken with the open seal in its place, in its footer."""
    found = [match for match in _SEAL_BYTES.finditer(data) if match[1] == _OPEN_SEAL.encode()]
    if len(found) != 1:
        raise ValueError(f"expected room for one seal, found {len(found)}")
    start, end = found[0].span(1)
    return b"".join([data[:start], hashlib.sha256(data).hexdigest().encode(), data[end:]])


def is_sealed(path: Path) -> bool:
    """Whether every byte of a Parquet file is as it was written; False also for a file without a seal."""
    try:
        data = path.read_bytes()
    except OSError:
        return False
    for match in _SEAL_BYTES.finditer(data):
        opened = b"".join([data[: match.start(1)], _OPEN_SEAL.encode(), data[match.end(1) :]])
        if hashlib.sha256(opened).hexdigest().encode() == match[1]:
            return True
    return False


def write_table(path: Path, table: str, rows: pa.Table, metadata: Mapping[str, str]) -> tuple[int, str]:
    """Write one genome's rows of a declared table; size and SHA-256; TypeError where they do not have its columns."""
    schema = TABLES[table].schema
    if rows.schema.names != schema.names:
        raise TypeError(f"table {table}: expected columns {schema.names}, found {rows.schema.names}")
    return write_parquet(path, rows.cast(schema), metadata)


def read_metadata(path: Path) -> dict[str, str] | None:
    """The `gemforest.` metadata of a file; None where it is missing, cut short, damaged or not Parquet."""
    prefix = METADATA_PREFIX.encode()
    try:
        raw = pq.read_schema(path).metadata or {}
        named = {key[len(prefix) :].decode(): value.decode() for key, value in raw.items() if key.startswith(prefix)}
        named.pop(SEAL, None)
        return named
    except (OSError, ValueError, pa.ArrowException):
        return None


def sweep_temporaries(folder: Path) -> None:
    """Remove what a killed writer left in `folder`; only a job that owns the folder calls this."""
    if folder.is_dir():
        for leftover in folder.glob(".*.tmp*"):
            leftover.unlink(missing_ok=True)


def _umask() -> int:
    # os.umask can only be read by setting it; the processes that write are single-threaded in this respect.
    current = os.umask(0o022)
    os.umask(current)
    return current
