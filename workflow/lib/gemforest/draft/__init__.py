"""Draft: the reactions of the universe that a genome keeps, in the tables `draft_reactions` and `drafts`.

An engine takes a universe and reaction scores and returns a `Carving`; all engines share that door. The score sum that
is written down is recomputed on the returned reactions, not taken from the solver.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pyarrow as pa

from gemforest.carveme_files import carveme_version
from gemforest.draft.carving import Carving, score_sum
from gemforest.errors import GenomeError
from gemforest.fluxes import growth
from gemforest.gprs import genes_of, parse_gpr
from gemforest.ledger import Reason
from gemforest.lp import Status
from gemforest.models import Network
from gemforest.stage import Context, Products, Stage, Task
from gemforest.tables import TABLES
from gemforest.universe import Universe, load_universe, subnetwork


def process(task: Task) -> Products:
    """Carve the genome's universe."""
    scores = task.read("reaction_scores").to_pylist()
    name = scores[0]["universe"]
    universe = load_universe(name, task.context.cache)
    carving = carve(name, {row["reaction"]: row["normalized_score"] for row in scores}, task.parameters)
    gprs = {row["reaction"]: row["gpr"] for row in scores if row["gpr"] and "spontaneous" not in row["gpr"]}
    network = subnetwork(universe, sorted(carving.reactions), gprs, task.genome_id)
    status, rate = growth(network)
    if status is not Status.OPTIMAL:
        raise GenomeError(Reason.SOLVER_FAILED, f"the draft's growth could not be computed: {status}")
    draft_reactions = _draft_reactions(task, universe, carving, {row["reaction"]: row for row in scores})
    drafts = _drafts(task, name, carving, scores, network, rate)
    return Products({"draft_reactions": draft_reactions, "drafts": drafts}, {"draft_models": network})


def carve(universe: str, scores: Mapping[str, float], parameters: Mapping[str, object]) -> Carving:
    """Carve with the engine that the config names."""
    from gemforest.draft.carveme_engine import carve as carve_with_carveme

    return carve_with_carveme(universe, scores, float(str(parameters["draft.default_score"])))


def _draft_reactions(
    task: Task, universe: Universe, carving: Carving, scores: Mapping[str, Mapping[str, object]]
) -> pa.Table:
    rows = []
    for reaction in universe.network.reactions:
        score = scores.get(reaction, {})
        kept = reaction in carving.reactions
        if kept or score:
            gpr = str(score.get("gpr") or "")
            rows.append(
                {
                    "genome_id": task.genome_id,
                    "reaction": reaction,
                    "score": score.get("score"),
                    "normalized_score": score.get("normalized_score"),
                    "in_draft": kept,
                    "gpr": gpr,
                    "genes": sorted(genes_of(parse_gpr(gpr))),
                    "why": ("evidence" if score else "carveme") if kept else None,
                }
            )
    return pa.Table.from_pylist(rows, schema=TABLES["draft_reactions"].schema)


def _drafts(
    task: Task,
    universe: str,
    carving: Carving,
    scores: list[dict[str, object]],
    network: Network,
    rate: float,
) -> pa.Table:
    scored = {str(row["reaction"]): float(str(row["normalized_score"])) for row in scores}
    default = task.parameters["draft.default_score"]
    total = score_sum(network, scored, default)
    unscored = [r for r in network.reactions if r not in scored and not r.startswith("EX_") and r != "ATPM"]
    row = {
        "genome_id": task.genome_id,
        "engine": task.parameters["draft.engine"],
        "universe": universe,
        "biomass": network.reactions[network.biomass],
        "score_sum": total,
        "score_bound": None if math.isnan(carving.bound) else carving.bound,
        "gap": None if math.isnan(carving.bound) else (carving.bound - total) / abs(carving.bound),
        "method": carving.method,
        "rounds": carving.rounds,
        "limit_fired": carving.limit_fired,
        "reactions": len(network.reactions),
        "reactions_without_evidence": len(unscored) - 1,
        "genes": len({gene for rule in network.gprs for gene in genes_of(parse_gpr(rule))}),
        "growth_per_h": rate,
    }
    return pa.Table.from_pylist([row], schema=TABLES["drafts"].schema)


def _versions(_context: Context) -> dict[str, str]:
    from importlib import metadata

    return {"carveme": carveme_version(), "pyscipopt": metadata.version("pyscipopt")}


STAGE = Stage(
    name="draft",
    version=1,
    reads=("reaction_scores",),
    writes=("draft_reactions", "drafts"),
    parameters=("draft.engine", "draft.default_score"),
    process=process,
    folders=("draft_models",),
    versions=_versions,
)
