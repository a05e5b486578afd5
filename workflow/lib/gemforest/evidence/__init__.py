"""Evidence: what the genome's proteins say about the reactions of its universe.

Tables `gene_reactions` (one call of a gene for a reaction), `reaction_scores` (CarveMe's scores, which carving weighs)
and `lineages` (the universe, from the sheet or decided from the hits, `lineage.py`). Scores are CarveMe's, from hits
alone (`scores.py`); probabilities are calibrated on lineages that were hidden from the database (`calls.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from gemforest.carveme_files import carveme_data, carveme_version
from gemforest.errors import RefusedError
from gemforest.evidence.calibration import evidence_digests
from gemforest.evidence.calls import call_reactions, gene_reactions_table, reaction_probabilities
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
    calls = call_reactions(task.read("proteins", ["gene_id", "sequence"]), task.read("homologs"))
    floor = task.parameters["evidence.floor"]
    network = frozenset(load_universe(universe, task.context.cache).network.reactions)
    return Products(
        {
            "gene_reactions": gene_reactions_table(task.genome_id, calls, floor),
            "reaction_scores": _reaction_scores(
                task.genome_id,
                universe,
                scored,
                reaction_probabilities(calls, floor, network, {score.reaction for score in scored}),
            ),
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


def _reaction_scores(
    genome_id: str, universe: str, scored: list[ReactionScore], probabilities: Mapping[str, float]
) -> pa.Table:
    """CarveMe's scores beside our probabilities; a reaction that CarveMe does not score has only the latter."""
    by_reaction = {score.reaction: score for score in scored}
    rows = []
    for reaction in sorted(by_reaction.keys() | probabilities.keys()):
        score = by_reaction.get(reaction)
        needs_no_enzyme = score is not None and (SPONTANEOUS,) in score.complexes
        rows.append(
            {
                "genome_id": genome_id,
                "reaction": reaction,
                "score": score and score.score,
                "normalized_score": score and score.normalized_score,
                "gpr": score and score.gpr,
                "probability": 1.0 if needs_no_enzyme else probabilities.get(reaction),
                "universe": universe,
            }
        )
    return pa.Table.from_pylist(rows, schema=TABLES["reaction_scores"].schema)


def _resources(_context: Context) -> dict[str, str]:
    gprs = {"bigg_gprs": file_sha256(carveme_data("generated/bigg_gprs.csv.gz"))}
    return gprs | evidence_digests("clades.tsv", "homologs.json", "reactions.json") | lineage_digests()


def _universe(_context: Context, row: Mapping[str, str]) -> dict[str, str]:
    if row["universe"] != AUTO:
        return {"universe": universe_digest(row["universe"])}
    # A change in any universe that `auto` can come to may change the genome's model.
    return {name: universe_digest(name) for name in UNIVERSES}


def _versions(_context: Context) -> dict[str, str]:
    return {"carveme": carveme_version()}


STAGE = Stage(
    name="evidence",
    version=2,
    reads=("hits", "homologs", "proteins"),
    writes=("gene_reactions", "reaction_scores", "lineages"),
    parameters=("draft.min_reactions", "evidence.floor"),
    row_fields=("universe",),
    process=process,
    resources=_resources,
    row_resources=_universe,
    versions=_versions,
)
