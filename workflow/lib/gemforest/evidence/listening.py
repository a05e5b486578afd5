"""What the sources E, A and U have to say of one genome, gathered from tables, files and the users' tables.

A column `annotation` of the sheet names files of a genome (several joined by `;`, relative to the sheet or the
project); `evidence.annotation` is a pattern for all of them. Users' tables are in `evidence.tables`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from gemforest.content import Limits
from gemforest.errors import RefusedError
from gemforest.evidence.annotation import Dictionary, from_proteins, read_annotation
from gemforest.evidence.claims import Claim, GeneNames, Heard
from gemforest.evidence.ecreactions import known_reactions, ortholog_ecs
from gemforest.evidence.homologs import bigg_reference
from gemforest.evidence.usertables import IndexedTable, indexed, read_user_rows
from gemforest.ledger import Reason
from gemforest.reviewed import enzyme_ecs
from gemforest.sheet import local_source
from gemforest.stage import Context
from gemforest.store import digest, file_sha256
from gemforest.tables import TABLES

ENZYMES_VERSION = "1"
ANNOTATION_TAG = "annotation"


def hear(
    context: Context,
    row: Mapping[str, str],
    proteins: pa.Table,
    enzyme_hits: Callable[[], pa.Table],
    mapping: Path,
) -> list[Heard]:
    """The claims of every source that the config listens to.

    Parameters
    ----------
    row
        The genome's row of the sheet.
    proteins
        The table of that name.
    enzyme_hits
        Reads the table of that name.
    mapping
        Folder of the installed tables of EC numbers.

    Raises
    ------
    RefusedError
        `BAD_ANNOTATION`: a file is missing, is none of the known kinds, or is about other genes.
    InputError
        A user's table is wrong.
    """
    listened = context.config["evidence"]["sources"]
    heard: list[Heard] = []
    if "E" in listened:
        heard.append(from_enzymes(proteins, enzyme_hits()))
    if "A" in listened:
        heard += from_proteins(proteins)
        files = annotation_files(context, row)
        words = _dictionary(context, mapping) if files else None
        limits = Limits(max_bytes=int(context.config["limits"]["unpacked_mb"] * 1e6))
        for path in files:
            assert words is not None
            heard.append(read_annotation(path, proteins, words, limits))
    if "U" in listened:
        names = GeneNames(proteins["gene_id"].to_pylist(), proteins["locus_tag"].to_pylist())
        for table in user_tables(context):
            heard += read_user_rows(table, row["genome_id"], names)
    return heard


def from_enzymes(proteins: pa.Table, hits: pa.Table) -> Heard:
    """EC numbers of the reviewed enzymes that each gene resembles; the share is that of the gene's best bit score."""
    number = {gene: i for i, gene in enumerate(proteins["gene_id"].to_pylist())}
    numbers_of = enzyme_ecs()
    best: dict[str, float] = {}
    rows = hits.to_pylist()
    for hit in rows:
        best[hit["gene_id"]] = max(best.get(hit["gene_id"], 0.0), hit["bitscore"])
    claims = [
        Claim(
            gene=number[hit["gene_id"]],
            target=ec,
            source="E",
            origin="reviewed",
            version=ENZYMES_VERSION,
            weight=hit["bitscore"] / best[hit["gene_id"]],
            value=hit["bitscore"],
            entry=hit["target"],
            identity_percent=hit["identity_percent"],
            query_coverage=hit["query_coverage"],
            target_coverage=hit["target_coverage"],
        )
        for hit in rows
        for ec in numbers_of[hit["target"]]
    ]
    return Heard("E", "reviewed", ENZYMES_VERSION, tuple(claims))


def annotation_files(context: Context, row: Mapping[str, str]) -> list[Path]:
    """The genome's annotation files; RefusedError where one that is named is not there."""
    files = []
    named = json.loads(row["tags"] or "{}").get(ANNOTATION_TAG, "")
    sheet = (context.project / context.config["genomes"]).parent
    for name in filter(None, (part.strip() for part in named.split(";"))):
        path = local_source(name, sheet, context.project)
        if path is None or not path.is_file():
            raise RefusedError(
                Reason.BAD_ANNOTATION,
                f"the sheet's column {ANNOTATION_TAG} names {name!r} for {row['genome_id']}, and there is no such file "
                f"in {sheet} or {context.project}; mend the path or leave the cell empty",
            )
        files.append(path)
    pattern = context.config["evidence"]["annotation"]
    if pattern:
        files += sorted(
            path
            for path in context.project.glob(pattern.replace("{genome_id}", row["genome_id"]))
            if path.is_file() and path not in files
        )
    return files


def user_tables(context: Context) -> list[IndexedTable]:
    """The users' tables of the config, checked."""
    known = partial(known_reactions, context.cache)
    return [indexed(context.project / name, context.cache, known) for name in context.config["evidence"]["tables"]]


def heard_digests(context: Context, row: Mapping[str, str]) -> dict[str, str]:
    """Digests of what files and tables say of one genome, for its key."""
    listened = context.config["evidence"]["sources"]
    found: dict[str, str] = {}
    if "A" in listened:
        try:
            found |= {f"annotation {path.name}": file_sha256(path) for path in annotation_files(context, row)}
        except RefusedError as error:
            # The genome itself tells, when its turn comes; here only the key is wanted.
            found["annotation"] = digest(error.detail)
    if "U" in listened:
        for table in user_tables(context):
            if row["genome_id"] in table.digests:
                found[f"table {table.path.name}"] = table.digests[row["genome_id"]]
    return found


def sources_table(genome_id: str, heard: Sequence[Heard], coverage_note: str) -> pa.Table:
    """Rows of `evidence_sources`."""
    rows: list[dict[str, Any]] = [
        {
            "genome_id": genome_id,
            "source": one.source,
            "origin": one.origin,
            "version": one.version,
            "claims": len(one.claims),
            "genes": len({claim.gene for claim in one.claims}),
            "rejected": sorted(one.rejected.items()),
            "note": one.note or (coverage_note if one.source in "EA" else ""),
        }
        for one in heard
    ]
    return pa.Table.from_pylist(rows, schema=TABLES["evidence_sources"].schema)


@cache
def _words_of_bigg(cache_folder: Path) -> tuple[frozenset[str], dict[str, tuple[str, ...]]]:
    reference = bigg_reference()
    genes = {
        name: tuple(reference.reactions[reference.reaction[reference.start[i] : reference.start[i + 1]]].tolist())
        for i, name in enumerate(reference.genes.tolist())
    }
    return known_reactions(cache_folder), genes


def _dictionary(context: Context, mapping: Path) -> Dictionary:
    reactions, genes = _words_of_bigg(context.cache)
    return Dictionary(reactions, genes, ortholog_ecs(mapping))
