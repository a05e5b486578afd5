"""One file per shard and table instead of one per genome: `storage: packed`, for runs whose inodes are counted.

While a stage works on a shard every genome still leaves files of its own, so that a job that dies loses nothing; at the
end of the job they are gathered into `<results>/<table>/shard=NNNN/shard=NNNN.parquet` (no genome has such a name) and
removed. That file's metadata holds for each genome where its rows are and the metadata of the file it had: keys, ledger
rows and digests go on to live with the genome. A genome's own file goes before its place in the packed one, so a genome
that is made again needs no rewriting until its job ends, and a job that dies between the two leaves nothing ambiguous.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

MEMBERS = "gemforest.members"
# Rows that are decompressed together: small enough to read one genome, large enough to compress well.
GROUP_ROWS = 32_768


@dataclass(frozen=True)
class Member:
    """A genome in a packed file: its rows, and the file that it had.

    Attributes
    ----------
    start, rows
        First row and number of rows.
    size, sha256
        Of the genome's own file, which the stage's main table names.
    metadata
        What stood in that file's schema under the `gemforest.` prefix, without the prefix.
    """

    start: int
    rows: int
    size: int
    sha256: str
    metadata: dict[str, str]


def packed_path(folder: Path) -> Path:
    """The packed file in a shard's folder of a table."""
    return folder / f"{folder.name}.parquet"


def members(folder: Path) -> dict[str, Member]:
    """Genomes in the packed file of a folder; none where there is no such file, or it cannot be read."""
    path = packed_path(folder)
    try:
        status = path.stat()
        return _members(path, status.st_mtime_ns, status.st_size)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return {}


@lru_cache(maxsize=32)
def _members(path: Path, _mtime_ns: int, _size: int) -> dict[str, Member]:
    found = json.loads((pq.read_schema(path).metadata or {})[MEMBERS.encode()])
    return {genome_id: Member(**fields) for genome_id, fields in found.items()}


def read_member(folder: Path, member: Member, columns: list[str] | None, checked: bool = False) -> pa.Table:
    """A genome's rows; with `checked` every page is compared with its checksum."""
    with pq.ParquetFile(packed_path(folder), page_checksum_verification=checked) as file:
        groups: list[int] = []
        first = before = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if before < member.start + member.rows and member.start < before + rows:
                first = first if groups else before
                groups.append(group)
            before += rows
        found = file.read_row_groups(groups, columns=columns, use_threads=False).replace_schema_metadata(None)
    return found.slice(member.start - first, member.rows) if groups else found.slice(0, 0)


def write_packed(
    where: Path | pa.BufferOutputStream,
    parts: Mapping[str, tuple[pa.Table, Member]],
    schema: pa.Schema,
    also: Mapping[str, str],
) -> None:
    """Write genomes, in the order of their names, to a file or a buffer; `Member.start` and `rows` are set here.

    Parameters
    ----------
    parts
        genome_id to its rows and what its own file was.
    also
        Further metadata of the file.
    """
    ordered = sorted(parts)
    start, placed = 0, {}
    for genome_id in ordered:
        rows, member = parts[genome_id]
        placed[genome_id] = asdict(member) | {"start": start, "rows": rows.num_rows}
        start += rows.num_rows
    together = pa.concat_tables([parts[genome_id][0].cast(schema) for genome_id in ordered])
    index = json.dumps(placed, sort_keys=True, separators=(",", ":"))
    metadata = {**also, MEMBERS: index}
    pq.write_table(
        together.replace_schema_metadata(metadata),
        where,
        compression="zstd",
        row_group_size=GROUP_ROWS,
        write_page_checksum=True,
        store_schema=True,
    )
