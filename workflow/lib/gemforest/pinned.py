"""The pinned list: what the sheet's queries (taxa, GTDB tables, globs) found, on which day, one row per genome.

`gemforest resolve` writes it beside the sheet, `config/genomes.tsv` -> `config/genomes.pinned.tsv`, and only it does;
`plan` reads it and never asks the network. It is a sheet like the user's, with the query and the date in columns of
each row, which go with the genome as tags. Here it is read; `fetch/resolve.py` makes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from gemforest.errors import InputError
from gemforest.sheet import Sheet, read_sheet

QUERY, RESOLVED, ORGANISM = "query", "resolved_on", "organism"


def pinned_path(sheet: Path) -> Path:
    """Where the pinned list of a sheet lies."""
    return sheet.with_name(f"{sheet.stem}.pinned.tsv")


def read_pinned(sheet: Sheet, media: Collection[str] | None = None) -> Sheet | None:
    """The pinned list of a sheet's queries; None where the sheet has no queries.

    Raises
    ------
    InputError
        There is no list yet, it was made of other queries, or it is not a valid sheet.
    """
    if not sheet.queries.num_rows:
        return None
    path = pinned_path(sheet.path)
    queries = sheet.queries["source"].to_pylist()
    if not path.exists():
        raise InputError(
            f"{sheet.path}: {len(queries)} row(s) stand for many genomes, the first is {queries[0]!r}; "
            "run `gemforest resolve` to write down which"
        )
    pinned = read_sheet(path, media=media)
    new, gone = stale_queries((dict(tags).get(QUERY, "") for tags in pinned.genomes["tags"].to_pylist()), queries)
    if new or gone:
        told = [f"{query!r} is new" for query in new] + [f"{query!r} is no longer in the sheet" for query in gone]
        raise InputError(f"{path} was made of other queries: {', '.join(told)}; run `gemforest resolve --update`")
    return pinned


def stale_queries(listed: Iterable[str], asked: Iterable[str]) -> tuple[list[str], list[str]]:
    """Queries that are asked but not listed, and listed but no longer asked; both sorted."""
    before, now = set(listed), set(asked)
    return sorted(now - before), sorted(before - now)


def with_pinned(sheet: Sheet, pinned: Sheet | None) -> pa.Table:
    """The genomes of both; one that the sheet lists by itself keeps the sheet's row.

    Raises
    ------
    InputError
        One genome_id stands for two sources.
    """
    if pinned is None:
        return sheet.genomes
    own = dict(zip(sheet.genomes["genome_id"].to_pylist(), sheet.genomes["source"].to_pylist(), strict=True))
    for genome_id, source in zip(
        pinned.genomes["genome_id"].to_pylist(), pinned.genomes["source"].to_pylist(), strict=True
    ):
        if own.get(genome_id, source) != source:
            raise InputError(
                f"{sheet.path}: {genome_id!r} is {own[genome_id]!r} there and {source!r} in {pinned.path.name}; "
                "give one of them another genome_id"
            )
    fresh = pc.invert(pc.is_in(pinned.genomes["genome_id"], pa.array(list(own), pa.string())))
    return pa.concat_tables([sheet.genomes, pinned.genomes.filter(fresh)])
