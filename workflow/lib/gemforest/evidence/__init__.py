"""Evidence: what the genome's proteins say about the reactions of its universe.

Tables `gene_reactions` (one call of a gene for a reaction), `reaction_scores` (CarveMe's scores, which carving weighs)
and `lineages` (the universe, from the sheet or decided from the hits, `lineage.py`). So far one source speaks: DIAMOND
hits against BiGG's proteins (`scores.py`).
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
from gemforest.lineage import decide, lineage_digests
from gemforest.stage import Context, Products, Stage, Task
from gemforest.store import file_sha256
from gemforest.tables import TABLES
from gemforest.universe import UNIVERSES, load_universe, universe_digest

AUTO = "auto"


def process(task: Task) -> Products:
    """Score the reactions of the genome's universe."""
    hits = task.read("hits", ["gene_id", "target", "bitscore", "alignment_length", "target_length"])
    lineage = _lineage(task, hits)
    universe = lineage["universe"][0].as_py()
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
            "lineages": lineage,
        }
    )


def _lineage(task: Task, hits: pa.Table) -> pa.Table:
    """The row of `lineages`: the sheet's universe, or with `auto` the one that the hits speak for."""
    row: dict[str, object] = {"genome_id": task.genome_id, "decided_by": "sheet", "universe": task.row["universe"]}
    if task.row["universe"] == AUTO:
        found = decide(hits, task.read("proteins", ["gene_id"]).num_rows)
        row |= {
            "decided_by": AUTO,
            "universe": found.universe,
            "score": found.score,
            "uncertain": found.uncertain,
            "votes": list(found.votes.items()),
            "markers": list(found.markers.items()),
            "proteins_with_hit": found.proteins_with_hit,
        }
    return pa.Table.from_pylist([row], schema=TABLES["lineages"].schema)


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
    if row["universe"] != AUTO:
        return {"universe": universe_digest(row["universe"])}
    # A change in any universe that `auto` can come to may change the genome's model.
    return {name: universe_digest(name) for name in UNIVERSES} | lineage_digests()


def _versions(_context: Context) -> dict[str, str]:
    return {"carveme": carveme_version()}


STAGE = Stage(
    name="evidence",
    version=1,
    reads=("hits", "proteins"),
    writes=("gene_reactions", "reaction_scores", "lineages"),
    parameters=("draft.min_reactions",),
    row_fields=("universe",),
    process=process,
    resources=_resources,
    row_resources=_universe,
    versions=_versions,
)
