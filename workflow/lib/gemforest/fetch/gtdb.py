"""Choosing genomes from a metadata table of GTDB (`bac120_metadata.tsv`, `ar53_metadata.tsv`, also `.gz`, `.tar.gz`).

The table has a row per genome: accession with the prefix RS_ or GB_, `gtdb_representative` t or f, completeness and
contamination by CheckM2 (from release 220 on, before that by CheckM), the GTDB lineage, NCBI's assembly level. It is
read in blocks, only the columns that are needed, so that a release with 700,000 genomes costs little memory. Releases
before 214 are tar archives of one table: it is read from the archive's stream, nothing is unpacked to disk.
Source: Parks et al. 2022, Nucleic Acids Research 50, D785; column names of the releases' `metadata_field_desc.tsv`.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from gemforest.errors import InputError
from gemforest.sources import ACCESSION, GtdbQuery

COMPLETENESS = ("checkm2_completeness", "checkm_completeness")
CONTAMINATION = ("checkm2_contamination", "checkm_contamination")
CATEGORY = "ncbi_genome_category"
LEVEL = "ncbi_assembly_level"
NULLS = ["", "none", "na", "n/a", "None", "NA"]


@dataclass(frozen=True)
class GtdbGenome:
    """A row that was chosen."""

    accession: str
    taxonomy: str
    completeness_percent: float | None
    contamination_percent: float | None


def chosen(path: Path, query: GtdbQuery) -> list[GtdbGenome]:
    """The genomes of a table that pass the query's filters, by accession; at most `limit` of them.

    A genome whose value for a filtered column is not known does not pass.

    Raises
    ------
    InputError
        The table cannot be read, or lacks a column that a filter needs.
    """
    filters = dict(query.filters)
    found = sorted(_passing(path, filters), key=lambda genome: genome.accession)
    return found[: int(filters["limit"])] if "limit" in filters else found


def _passing(path: Path, filters: dict[str, str]) -> Iterator[GtdbGenome]:
    columns = _columns(path, filters)
    options = csv.ConvertOptions(
        include_columns=list(columns.values()),
        column_types={
            name: pa.float64() if role in ("completeness", "contamination") else pa.string()
            for role, name in columns.items()
        },
        null_values=NULLS,
        strings_can_be_null=True,
    )
    try:
        with _opened(path) as stream:
            reader = csv.open_csv(
                stream,
                csv.ReadOptions(block_size=8 << 20),
                csv.ParseOptions(delimiter="\t", quote_char=False),
                options,
            )
            for batch in reader:
                table = pa.Table.from_batches([batch]).rename_columns(list(columns))
                yield from _genomes(table.filter(_mask(table, filters)))
    except (pa.ArrowInvalid, OSError, tarfile.TarError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a readable metadata table of GTDB: {error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[pa.NativeFile]:
    """The table's bytes, unpacked; of a tar archive its only `.tsv`."""
    if not path.name.endswith((".tar.gz", ".tgz")):
        with pa.input_stream(path) as stream:
            yield stream
        return
    with tarfile.open(path, "r|gz") as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(".tsv"):
                content = archive.extractfile(member)
                assert content
                yield pa.PythonFile(content, mode="r")
                return
    raise InputError(f"{path}: the archive holds no .tsv; expected a metadata table of GTDB")


def _genomes(table: pa.Table) -> Iterator[GtdbGenome]:
    for row in table.to_pylist():
        accession = (row["accession"] or "")[3:]
        if (row["accession"] or "")[:3] in ("RS_", "GB_") and ACCESSION.fullmatch(accession):
            yield GtdbGenome(accession, row.get("taxonomy") or "", row.get("completeness"), row.get("contamination"))


def _mask(table: pa.Table, filters: dict[str, str]) -> pa.Array:
    masks = [pc.is_valid(table["accession"])]
    if "representative" in filters:
        masks.append(pc.equal(table["representative"], "t" if filters["representative"] == "true" else "f"))
    if "min_completeness" in filters:
        masks.append(pc.greater_equal(table["completeness"], float(filters["min_completeness"])))
    if "max_contamination" in filters:
        masks.append(pc.less_equal(table["contamination"], float(filters["max_contamination"])))
    if "taxon" in filters:
        lineage = pc.binary_join_element_wise(table["taxonomy"], "", ";")
        masks.append(pc.match_substring(lineage, filters["taxon"] + ";"))
    if "level" in filters:
        levels = [{"complete": "complete genome"}.get(level, level) for level in filters["level"].split(",")]
        masks.append(pc.is_in(pc.utf8_lower(table["level"]), pa.array(levels)))
    if "isolates" in filters:
        isolate = pc.is_null(table["category"])
        masks.append(isolate if filters["isolates"] == "true" else pc.invert(isolate))
    whole = masks[0]
    for mask in masks[1:]:
        whole = pc.and_(whole, pc.fill_null(mask, False))
    return whole


def _columns(path: Path, filters: dict[str, str]) -> dict[str, str]:
    """Our name of each needed column to the table's."""
    try:
        with _opened(path) as stream:
            header = stream.read(1 << 16).split(b"\n", 1)[0].decode().rstrip("\r").split("\t")
    except (OSError, UnicodeDecodeError, tarfile.TarError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    needed: dict[str, tuple[str, ...]] = {"accession": ("accession",), "taxonomy": ("gtdb_taxonomy",)}
    needed |= {"completeness": COMPLETENESS, "contamination": CONTAMINATION}
    if "representative" in filters:
        needed["representative"] = ("gtdb_representative",)
    if "level" in filters:
        needed["level"] = (LEVEL,)
    if "isolates" in filters:
        needed["category"] = (CATEGORY,)
    columns = {}
    for role, names in needed.items():
        name = next((name for name in names if name in header), None)
        if name is None:
            raise InputError(f"{path}: expected a column {' or '.join(names)}; is it a GTDB metadata table?")
        columns[role] = name
    return columns
