"""Evidence: what the genome's proteins say about the reactions of its universe.

Tables `gene_reactions` (one call of a gene for a reaction) and `reaction_scores` (CarveMe's scores, which carving
weighs). So far one source speaks: DIAMOND hits against BiGG's proteins (`scores.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from gemforest.carveme_files import carveme_data, carveme_version
from gemforest.errors import RefusedError
from gemforest.evidence.scores import SPONTANEOUS, ReactionScore, Rules, load_rules, score_reactions
from gemforest.ledger import Reason
from gemforest.stage import Context, Products, Stage, Task
from gemforest.store import file_sha256
from gemforest.tables import TABLES
from gemforest.universe import load_universe, universe_digest


def process(task: Task) -> Products:
    """Score the reactions of the genome's universe."""
    universe = universe_of(task.row)
    hits = task.read("hits", ["gene_id", "target", "bitscore"])
    scored = score_reactions(
        rules_of(universe, task.context.cache),
        hits["gene_id"].to_numpy(zero_copy_only=False),
        np.array(hits["target"].to_pylist(), dtype=str),
        hits["bitscore"].to_numpy(),
    )
    with_evidence = sum(score.score > 0 for score in scored)
    least = task.parameters["draft.min_reactions"]
    if with_evidence < least:
        raise RefusedError(
            Reason.TOO_FEW_REACTIONS,
            f"evidence for {with_evidence} reactions of the universe {universe}, expected at least {least}",
        )
    return Products(
        {
            "gene_reactions": _gene_reactions(task.genome_id, scored),
            "reaction_scores": _reaction_scores(task.genome_id, universe, scored),
        }
    )


def universe_of(row: Mapping[str, str]) -> str:
    """The universe that a row asks for; until something better decides, `auto` is the one for all bacteria."""
    return "bacteria" if row["universe"] == "auto" else row["universe"]


@lru_cache(maxsize=5)
def rules_of(universe: str, cache: Path) -> Rules:
    """The gene rules of a universe, once per process."""
    return load_rules(load_universe(universe, cache).network.reactions)


def _reaction_scores(genome_id: str, universe: str, scored: list[ReactionScore]) -> pa.Table:
    n = len(scored)
    return pa.table(
        {
            "genome_id": [genome_id] * n,
            "reaction": [s.reaction for s in scored],
            "score": [s.score for s in scored],
            "normalized_score": [s.normalized_score for s in scored],
            "gpr": [s.gpr for s in scored],
            "probability": pa.nulls(n, pa.float64()),
            "universe": [universe] * n,
        },
        schema=TABLES["reaction_scores"].schema,
    )


def _gene_reactions(genome_id: str, scored: list[ReactionScore]) -> pa.Table:
    calls = [
        {"genome_id": genome_id, "gene_id": gene, "reaction": score.reaction, "decision": "accepted"}
        for score in scored
        for gene in sorted({gene for subunits in score.complexes for gene in subunits} - {SPONTANEOUS})
    ]
    return pa.Table.from_pylist(calls, schema=TABLES["gene_reactions"].schema)


def _resources(_context: Context) -> dict[str, str]:
    return {"bigg_gprs": file_sha256(carveme_data("generated/bigg_gprs.csv.gz"))}


def _universe(_context: Context, row: Mapping[str, str]) -> dict[str, str]:
    return {"universe": universe_digest(universe_of(row))}


def _versions(_context: Context) -> dict[str, str]:
    return {"carveme": carveme_version()}


STAGE = Stage(
    name="evidence",
    version=1,
    reads=("hits",),
    writes=("gene_reactions", "reaction_scores"),
    parameters=("draft.min_reactions",),
    row_fields=("universe",),
    process=process,
    resources=_resources,
    row_resources=_universe,
    versions=_versions,
)
