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

from gemforest.errors import InputError
from gemforest.fetch.client import Client
from gemforest.fetch.datasets import taxon_reports
from gemforest.fetch.gtdb import chosen
from gemforest.fetch.sources import GtdbQuery, LocalGlob, Source, TaxonQuery, parse_source

QUERY, RESOLVED, ORGANISM = "query", "resolved_on", "organism"
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
            paths = sorted(glob.glob(query.pattern, root_dir=folder, recursive=True))
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
                        f"{earlier['source']} and {found.source} would both be named {genome_id}: rename one of the files"
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
    if not lines or lines[0].split("\t")[:2] != list(FIRST_COLUMNS[:2]):
        raise InputError(f"{path} is not a list that `gemforest resolve` wrote; move it away")
    header = lines[0].split("\t")
    return [dict(zip(header, line.split("\t"), strict=True)) for line in lines[1:]]


def stale_queries(listed: Sequence[Mapping[str, str]], queries: Iterable[str]) -> tuple[list[str], list[str]]:
    """Queries of the sheet that are not in the list, and of the list that are no longer in the sheet."""
    pinned = {row[QUERY] for row in listed}
    asked = set(queries)
    return sorted(asked - pinned), sorted(pinned - asked)
