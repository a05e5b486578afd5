"""Report: a page about a run that opens offline in any browser, made from the ledgers and the atlas.

`parts.py` reads the atlas · `runfacts.py` the run · `collection.py` all genomes together · `details.py` one genome ·
`comparison.py` two runs · `page.py` puts the page together from `assets/`. Small runs are one file; from
`MOST_EMBEDDED` genomes on, the genomes' pages and the large matrices are files beside it, read when looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gemforest import __version__
from gemforest.ledger import LedgerRow
from gemforest.report import collection, runfacts
from gemforest.report.comparison import compare_runs
from gemforest.report.details import shard_blocks, shard_stamp
from gemforest.report.page import assemble, pack, sidecar, stamped
from gemforest.report.parts import Genomes, Parts
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES
from gemforest.store import write_text

MOST_EMBEDDED = 40


def write_report(context: Context, partial: bool = False, compare: Path | None = None, cores: int = 1) -> Path:
    """Write `report/index.html`, and for larger runs the files beside it.

    Parameters
    ----------
    partial
        Say on the page that the run was not finished.
    compare
        Results folder of an earlier run to compare with.
    cores
        Shards whose genomes are written at the same time.

    Raises
    ------
    InputError
        `compare` is no results folder with an atlas.
    """
    parts = Parts.of(context.store.root)
    genomes = parts.genomes()
    comparison = compare_runs(context, parts, compare) if compare else None
    core, blocks = _blocks(context, parts, genomes, runfacts.read_rows(parts))
    embedded = len(genomes) <= MOST_EMBEDDED
    core |= {"partial": partial, "comparison": comparison, "embedded": embedded}
    large = {name: pack(block) for name, block in blocks.items()}
    folder = context.store.root / "report"
    written: set[Path] = set()
    in_page = {"core": pack(core)}
    if embedded:
        in_page |= large
        for shard in parts.shards:
            in_page |= shard_blocks(context.store.root, shard)
    else:
        written |= {_write(folder / "data" / f"{name}.js", sidecar({name: text})) for name, text in large.items()}
        written |= _write_shards(context.store.root, folder, parts.shards, cores)
    _sweep(folder, written)
    path = folder / "index.html"
    write_text(path, assemble("gemforest report", in_page))
    return path


def _write_shards(root: Path, folder: Path, shards: Sequence[str], cores: int) -> set[Path]:
    """The sidecar of each shard, unless it was made of the same parts."""
    paths = {shard: folder / "genomes" / f"shard={shard}.js" for shard in shards}
    stale = [shard for shard, path in paths.items() if not _is_current(path, shard_stamp(root, shard))]
    if cores < 2 or len(stale) < 2:
        for shard in stale:
            _write_shard(root, paths[shard], shard)
    else:
        with ProcessPoolExecutor(min(cores, len(stale)), mp_context=get_context("spawn")) as pool:
            list(pool.map(_write_shard, repeat(root), [paths[shard] for shard in stale], stale))
    return set(paths.values())


def _write_shard(root: Path, path: Path, shard: str) -> None:
    # The stamp comes first: parts that change meanwhile make the sidecar stale.
    stamp = shard_stamp(root, shard)
    write_text(path, sidecar(shard_blocks(root, shard), stamp))


def _is_current(path: Path, stamp: str) -> bool:
    if not path.exists():
        return False
    with path.open(encoding="utf-8") as file:
        return file.readline() == stamped(stamp)


def _blocks(
    context: Context, parts: Parts, genomes: Genomes, rows: Sequence[LedgerRow]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the page needs at once, and what it needs later."""
    ledger = runfacts.by_genome_id(rows)
    ends = [
        collection.end_of([(r.stage, r.outcome, r.reason) for r in ledger.get(name, [])], len(STAGE_NAMES))
        for name in genomes.ids
    ]
    columns = collection.collection_columns(parts, genomes, ends)
    screens = collection.screen_matrices(parts, genomes)
    for screen, title, doc in (
        ("carbon", "carbon sources", "carbon sources that the model grows on"),
        ("auxotrophy", "auxotrophies", "compounds that the model needs from outside"),
        ("product", "products", "fermentation products that the model can secrete"),
    ):
        counts = collection.positive_counts(screens, screen, len(genomes))
        if counts:
            columns.append({"key": screen, "title": title, "kind": "number", "doc": doc, "unit": "", "values": counts})
    groups = collection.groupings(parts, genomes, columns)
    content = collection.reaction_content(parts, genomes)
    names = collection.reaction_names(context.cache)
    compounds = {name for screen in screens for name in screen["compounds"]}
    compound_names = collection.compound_names()
    by_key = {column["key"]: column["values"] for column in columns}
    core = {
        "version": __version__,
        "genomes": genomes.ids,
        "shards": genomes.shards,
        "columns": columns,
        "groups": groups,
        "pca": collection.principal_components(content),
        "pan": collection.pan_reactome(content.present.sum(axis=0), int(content.modelled.sum())),
        "reactions": content.reactions,
        "reaction_names": [names.get(name, "") for name in content.reactions],
        "compound_names": {name: compound_names[name] for name in sorted(compounds) if name in compound_names},
        "outcomes": runfacts.outcomes(rows, len(genomes)),
        "stopped": runfacts.stopped(rows),
        "costs": runfacts.costs(rows),
        "versions": runfacts.versions(rows),
        "config": runfacts.config_rows(context),
        "cards": runfacts.model_cards(),
        "remarks": runfacts.remarks(context, parts, rows, by_key),
        "sources": _sources(parts),
        "thresholds": {"growth": context.config["growth"]["threshold_per_h"]},
    }
    return core, {"screens": screens, "reactions": collection.reaction_table(content, groups)}


def _sources(parts: Parts) -> list[list[Any]]:
    """Where genomes came from: kind of source, kind of file, genomes, bytes."""
    found: dict[tuple[str, str], list[int]] = {}
    for part in parts.each("genomes", ["source", "source_kind", "file_bytes"]):
        for source, kind, size in zip(*(part[name].to_pylist() for name in part.column_names), strict=True):
            scheme = source.split(":", 1)[0] if source and ":" in source else "file"
            entry = found.setdefault((scheme, kind or ""), [0, 0])
            entry[0] += 1
            entry[1] += size or 0
    return [[*key, *value] for key, value in sorted(found.items())]


def _write(path: Path, text: str) -> Path:
    write_text(path, text)
    return path


def _sweep(folder: Path, written: set[Path]) -> None:
    """Remove sidecars of an earlier report that this one does not have."""
    for kind in ("genomes", "data"):
        for path in (folder / kind).glob("*.js"):
            if path not in written:
                path.unlink()
