"""`gemforest export`: models in the form in which other programs take them.

`sbml` unpacks models for programs that read no gzip. `micom` writes the manifest of a model collection for MICOM
(Diener et al., mSystems 5, e00606-19, 2020): the columns that its `build_database` and `Community` ask for, one row
per model.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from gemforest.errors import InputError
from gemforest.ledger import REASON_TEXT, Outcome, read_ledger
from gemforest.plan import read_shard, read_shards
from gemforest.query import open_atlas
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES
from gemforest.store import Store, atomic, write_text

# MICOM's names of the ranks; it calls the domain a kingdom.
RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")
MICOM_COLUMNS = ("id", "file", *RANKS, "genome_id", "organism", "medium", "growth_per_h")
_PREFIXES = dict(zip("dpcofgs", RANKS, strict=True)) | {"k": "kingdom"}
_BINOMIAL = re.compile(r"(?:Candidatus )?\[?([A-Z][a-z-]+)\]? ([a-z][a-z-]+)\b")


@dataclass(frozen=True)
class Manifest:
    """What was written for MICOM: models, and those without genus or species, which it cannot group."""

    models: int
    without_species: tuple[str, ...]


def export_micom(store: Store, path: Path) -> Manifest:
    """Write MICOM's manifest as CSV; files by their absolute paths, since MICOM takes them from the reader's folder.

    Raises
    ------
    InputError
        There is no atlas, or no genome has a model.
    """
    sql = "SELECT genome_id, organism, taxonomy, medium, growth_per_h, shard FROM models ORDER BY genome_id"
    with open_atlas(store) as atlas:
        models = atlas.ask(sql).read_all().to_pylist() if "models" in atlas.views else []
    if not models:
        raise InputError("no genome has a model yet: `gemforest status` shows how far the run is")
    names = micom_ids(model["genome_id"] for model in models)
    rows, without = [], []
    for model in models:
        ranks = ranks_of(model["taxonomy"], model["organism"])
        if not ranks["genus"] or not ranks["species"]:
            without.append(model["genome_id"])
        file = store.model_path("models", model["shard"], model["genome_id"]).resolve()
        if "|" in str(file):
            raise InputError(f"{file}: MICOM takes `|` in a path for two files; move the project elsewhere")
        rows.append({**model, **ranks, "id": names[model["genome_id"]], "file": str(file)})
    text = io.StringIO()
    writer = csv.DictWriter(text, MICOM_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
    return Manifest(len(rows), tuple(without))


def micom_ids(genome_ids: Iterable[str]) -> dict[str, str]:
    """Names of letters, digits and `_`, which MICOM would make of the others itself, here without clashes."""
    found: dict[str, str] = {}
    for genome_id in genome_ids:
        plain = name = re.sub(r"\W", "_", genome_id, flags=re.ASCII)
        number = 2
        while name in found.values():
            name, number = f"{plain}_{number}", number + 1
        found[genome_id] = name
    return found


def ranks_of(taxonomy: str | None, organism: str | None) -> dict[str, str]:
    """Ranks from a lineage, with or without prefixes (`g__Bacillus`); genus and species else from the name."""
    ranks = dict.fromkeys(RANKS, "")
    parts = [part.strip() for part in (taxonomy or "").split(";")]
    for place, part in enumerate(parts):
        prefix, found, name = part.partition("__")
        rank = _PREFIXES.get(prefix) if found else RANKS[place] if len(parts) == len(RANKS) else None
        if rank:
            ranks[rank] = name if found else part
    binomial = _BINOMIAL.match(organism or "")
    if binomial and not ranks["genus"]:
        ranks["genus"] = binomial[1]
    if binomial and not ranks["species"]:
        ranks["species"] = f"{binomial[1]} {binomial[2]}"
    return ranks


def export_sbml(context: Context, genomes: Sequence[str], folder: Path, draft: bool = False) -> list[Path]:
    """Write the models of genomes as plain SBML, `<genome_id>.xml`; all that have one where `genomes` is empty.

    Parameters
    ----------
    draft
        The draft before gap-filling instead of the filled model on its medium.

    Raises
    ------
    InputError
        A genome is not in the plan or has no model; the message says why.
    """
    store, kind = context.store, "draft_models" if draft else "models"
    shards = {row["genome_id"]: shard for shard in read_shards(store.root) for row in read_shard(store.root, shard)}
    files = {}
    for genome_id in genomes or shards:
        if genome_id not in shards:
            near = get_close_matches(genome_id, shards, n=1, cutoff=0.0)
            raise InputError(f"no genome {genome_id!r} in the plan" + (f"; the nearest is {near[0]!r}" if near else ""))
        file = store.model_path(kind, shards[genome_id], genome_id)
        if file.exists():
            files[genome_id] = file
        elif genomes:
            raise InputError(f"{genome_id} has no model: {why_none(store, shards[genome_id], genome_id)}")
    if not files:
        raise InputError("no genome has a model yet: `gemforest status` shows how far the run is")
    written = []
    for genome_id, file in files.items():
        with (
            atomic(folder / f"{genome_id}.xml") as temporary,
            gzip.open(file) as packed,
            temporary.open("wb") as plain,
        ):
            shutil.copyfileobj(packed, plain)
        written.append(folder / f"{genome_id}.xml")
    return written


def why_none(store: Store, shard: str, genome_id: str) -> str:
    """Where a genome was stopped, from the ledgers."""
    for stage in STAGE_NAMES:
        ledger = store.ledger_path(stage, shard)
        row = (
            next((row for row in read_ledger(ledger) if row.genome_id == genome_id), None) if ledger.exists() else None
        )
        if row is None:
            return f"it has not passed {stage} yet; `gemforest run` goes on"
        if row.outcome is not Outcome.OK:
            return f"{row.outcome} at {stage}, {row.detail or REASON_TEXT[row.reason] or row.reason}"
    return "its file is gone; `gemforest check --repair` and then `gemforest run` make it again"
