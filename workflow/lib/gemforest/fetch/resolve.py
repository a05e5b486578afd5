"""Rows that stand for many genomes, turned once into a dated, pinned list with a row per genome.

The list is a sheet like any other (`plan` reads it beside the user's), with the query and the date in columns of each
row, so that a genome's origin stays with it. It is only ever rewritten on demand: `changes` says first what a new
answer of the archive would add, remove, or replace by a newer version.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from gemforest.errors import InputError
from gemforest.fetch.client import Client
from gemforest.fetch.datasets import taxon_reports
from gemforest.fetch.gtdb import chosen
from gemforest.fetch.settings import service_of
from gemforest.fetch.stage import tools_for
from gemforest.pinned import ORGANISM, QUERY, RESOLVED, pinned_path
from gemforest.sheet import read_sheet
from gemforest.sources import GtdbQuery, LocalGlob, Source, TaxonQuery, parse_source
from gemforest.stage import Context

TAKEN_OVER = ("universe", "genetic_code", "medium", "content")
FIRST_COLUMNS = ("genome_id", "source", QUERY, RESOLVED, ORGANISM)
DROPPED_SUFFIXES = re.compile(r"(\.(faa|fna|fa|fasta|gbk|gbff|gb))?(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """One genome that a query found: its source as a sheet writes it, and the organism where that is known."""

    source: str
    organism: str = ""


@dataclass(frozen=True)
class Changes:
    """What a new list would change: rows by genome_id. `newer` maps a listed accession to its successor."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    newer: Mapping[str, str]

    @property
    def any(self) -> bool:
        """Whether anything would change."""
        return bool(self.added or self.removed or self.newer)

    def lines(self) -> list[str]:
        """For a terminal."""
        return (
            [f"+ {genome_id}" for genome_id in self.added]
            + [f"- {genome_id}" for genome_id in self.removed]
            + [f"~ {old} is now {new}" for old, new in self.newer.items()]
        )


def find(query: Source, folder: Path, client: Callable[[], Client], datasets_url: str) -> list[Found]:
    """What one query finds now, ordered by source.

    Parameters
    ----------
    folder
        What relative paths are relative to: the sheet's folder.
    client
        Called only where the network is needed.

    Raises
    ------
    InputError
        Nothing was found, or a table cannot be read.
    GenomeError
        The archive could not be asked, or knows no such taxon.
    """
    match query:
        case TaxonQuery():
            reports = sorted(taxon_reports(client(), datasets_url, query), key=lambda report: report.accession)
            limit = int(dict(query.filters).get("limit", len(reports)))
            found = [Found(report.accession, report.organism or "") for report in reports[:limit]]
        case GtdbQuery():
            genomes = chosen(folder / query.table, query)
            found = [Found(genome.accession, genome.taxonomy.rpartition("s__")[2]) for genome in genomes]
        case LocalGlob():
            # Path.glob takes no absolute pattern.
            paths = sorted(glob.glob(query.pattern, root_dir=folder, recursive=True))  # noqa: PTH207
            found = [Found(path) for path in paths if (folder / path).is_file()]
        case _:
            raise InputError(f"{query} stands for one genome; there is nothing to resolve")
    if not found:
        raise InputError(f"{query} finds no genome; loosen its filters or take the row out")
    return found


def pin(
    rows: Iterable[Mapping[str, str]], today: date, look_up: Callable[[Source], list[Found]]
) -> list[dict[str, str]]:
    """Rows of the pinned list for the sheet's query rows; a genome that two queries find is listed under the first.

    Each row keeps the further columns of its query's row (universe, medium, tags).

    Raises
    ------
    InputError
        Two different files would get the same genome_id.
    """
    pinned: dict[str, dict[str, str]] = {}
    for row in rows:
        text = row["source"]
        for found in look_up(parse_source(text)):
            genome_id = name_of(found.source)
            if genome_id.lower() in pinned:
                earlier = pinned[genome_id.lower()]
                if earlier["source"] != found.source:
                    raise InputError(
                        f"{earlier['source']} and {found.source} would both be named {genome_id}: rename one of them"
                    )
                continue
            own = {QUERY: text, RESOLVED: today.isoformat(), ORGANISM: found.organism.replace("\t", " ")}
            pinned[genome_id.lower()] = dict(row) | {"genome_id": genome_id, "source": found.source} | own
    return list(pinned.values())


def name_of(source: str) -> str:
    """A genome_id for a source: the accession, or the file's name without its suffixes, made valid."""
    name = DROPPED_SUFFIXES.sub("", source.rpartition("/")[2]) if not source.startswith(("GCF_", "GCA_")) else source
    name = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9_.-]+", "_", name)).lstrip("._-")[:100]
    return re.sub(r"\.ec$", "_ec", name, flags=re.IGNORECASE) or "genome"


def changes(old: Sequence[Mapping[str, str]], new: Sequence[Mapping[str, str]]) -> Changes:
    """What `new` changes against `old`; dates do not count."""
    before = {row["genome_id"] for row in old}
    after = {row["genome_id"] for row in new}
    arrived = {_base(genome_id): genome_id for genome_id in sorted(after - before) if _base(genome_id)}
    newer = {one: arrived[_base(one)] for one in sorted(before - after) if _base(one) in arrived}
    return Changes(
        added=tuple(sorted(after - before - set(newer.values()))),
        removed=tuple(sorted(before - after - set(newer))),
        newer=newer,
    )


def _base(genome_id: str) -> str:
    return genome_id.partition(".")[0] if genome_id.startswith(("GCF_", "GCA_")) else ""


def list_text(rows: Sequence[Mapping[str, str]], sheet: str) -> str:
    """The pinned list as the text of a sheet."""
    further = sorted({name for row in rows for name in row} - set(FIRST_COLUMNS))
    columns = [*FIRST_COLUMNS, *further]
    lines = [
        f"# Made by `gemforest resolve` from {sheet}: one row per genome that its queries found on the day given.",
        "# Do not edit; `gemforest resolve` shows what has changed since, `gemforest resolve --update` rewrites it.",
        "\t".join(columns),
    ]
    lines += ["\t".join(row.get(name, "") for name in columns) for row in rows]
    return "\n".join(lines) + "\n"


def read_list(path: Path) -> list[dict[str, str]]:
    """The rows of a pinned list; none where there is no file yet."""
    if not path.exists():
        return []
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    if not lines or lines[0].split("\t")[: len(FIRST_COLUMNS)] != list(FIRST_COLUMNS):
        raise InputError(f"{path} is not a list that `gemforest resolve` wrote; move it away")
    header = lines[0].split("\t")
    return [dict(zip(header, line.split("\t"), strict=True)) for line in lines[1:]]


def resolve(context: Context, today: date, api_key: str) -> tuple[Path, list[dict[str, str]]]:
    """Ask what the sheet's queries find today: the path of the pinned list and its rows; nothing is written.

    Raises
    ------
    InputError
        The sheet has no queries, or one finds nothing.
    GenomeError
        The archive could not be asked, or knows no such taxon.
    """
    sheet = read_sheet(context.project / context.config["genomes"])
    if not sheet.queries.num_rows:
        raise InputError(f"{sheet.path}: no row stands for many genomes (taxon:, gtdb: or a glob); nothing to resolve")
    service = service_of(context.config, context.project, api_key)
    rows = [_query_row(row) for row in sheet.queries.to_pylist()]

    def look_up(query: Source) -> list[Found]:
        return find(query, sheet.path.parent, lambda: tools_for(service).client, service.datasets_url)

    return pinned_path(sheet.path), pin(rows, today, look_up)


def _query_row(row: Mapping[str, Any]) -> dict[str, str]:
    """A query's row with what its genomes take over: the sheet's columns that were filled, and the tags."""
    kept = {name: row[name] for name in TAKEN_OVER if row[name]}
    return {"source": row["source"]} | kept | dict(row["tags"])
