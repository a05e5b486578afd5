"""Draft: the reactions of the universe that a genome keeps, in the tables `draft_reactions` and `drafts`.

An engine takes a universe and reaction scores and returns a `Carving`; all engines share that door. With
`draft.biomass: auto` the engine `highs` also decides what of the biomass the lineage has (`biomass.py`), and the draft
is one of that variant of the universe. The score sum that is written down is recomputed on the returned reactions, not
taken from the solver; so are directions, and what reactions without evidence are there for.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gemforest.biomass import closed_name, described, is_biomass_pool, open_name, split_name
from gemforest.carveme_files import carveme_version
from gemforest.draft.carving import Carving, score_sum
from gemforest.draft.constraints import read_hard, read_reference, read_soft
from gemforest.draft.problem import MAINTENANCE, CarvingOptions, build_problem
from gemforest.draft.purpose import Purpose, directions, purposes
from gemforest.draft.rules import (
    SPONTANEOUS,
    accepted_calls,
    call_log_odds,
    with_paralogs,
    without_weak_isozymes,
)
from gemforest.draft.same_enzyme import shared_enzymes
from gemforest.errors import GenomeError, InputError
from gemforest.fluxes import growth
from gemforest.gprs import genes_of, parse_gpr
from gemforest.ledger import Reason
from gemforest.lp import Status
from gemforest.models import Network
from gemforest.stage import Context, Products, Stage, Task
from gemforest.store import file_sha256
from gemforest.tables import TABLES
from gemforest.universe import Universe, consistent, load_universe, shared_enzymes_path, subnetwork

FILES = {
    "draft.soft_constraints": read_soft,
    "draft.hard_constraints": read_hard,
    "draft.reference_model": read_reference,
}


@dataclass(frozen=True)
class Draft:
    """A carving with the universe that it is of, and what was found out about it.

    Attributes
    ----------
    name
        Of the universe, or of its variant with another biomass.
    purposes
        Reaction without evidence to what it is there for.
    direction
        Reaction to forward | reverse | both; reactions that cannot run are absent.
    """

    name: str
    universe: Universe
    carving: Carving
    network: Network
    purposes: Mapping[str, Purpose]
    direction: Mapping[str, str]


def process(task: Task) -> Products:
    """Carve the genome's universe."""
    scores = [row for row in task.read("reaction_scores").to_pylist() if row["score"] is not None]
    scores = with_rules_by_evidence(scores, partial(task.read, "gene_reactions"), task.parameters)
    if fits_lineage(task.parameters):
        scores = with_shared_enzymes(scores)
    gprs = {row["reaction"]: row["gpr"] for row in scores if row["gpr"] and SPONTANEOUS not in row["gpr"]}
    options = carving_options(task.parameters, task.context.project)
    normalized = {row["reaction"]: row["normalized_score"] for row in scores}
    draft = make_draft(scores[0]["universe"], normalized, gprs, options, task.parameters, task.context.cache)
    network = replace(draft.network, network_id=task.genome_id)
    status, rate = growth(network)
    if status is not Status.OPTIMAL:
        raise GenomeError(Reason.SOLVER_FAILED, f"the draft's growth could not be computed: {status}")
    by_reaction = {row["reaction"]: row for row in scores}
    tables = {
        "draft_reactions": _draft_reactions(task.genome_id, draft, by_reaction, options.reference_reactions),
        "drafts": _drafts(task, draft, normalized, rate),
    }
    return Products(tables, {"draft_models": network})


def fits_lineage(parameters: Mapping[str, Any]) -> bool:
    """Whether the carving is of a variant of the universe that fits the lineage (`biomass.py`)."""
    return bool(parameters["draft.engine"] == "highs" and parameters["draft.biomass"] == "auto")


def with_rules_by_evidence(
    rows: Sequence[Mapping[str, Any]], read_calls: Callable[[list[str]], pa.Table], parameters: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Rows of `reaction_scores` whose rules hold the genes that `draft.paralogs` and `draft.isozymes_within` leave.

    `read_calls` gives columns of `gene_reactions`.
    """
    made = [dict(row) for row in rows]
    if parameters["draft.paralogs"]:
        accepted = accepted_calls(read_calls(["gene_id", "reaction", "decision", "evidence"]).to_pylist())
        for row in made:
            row["gpr"] = with_paralogs(row["gpr"] or "", accepted.get(row["reaction"], {}))
    within = parameters["draft.isozymes_within"]
    if within is not None:
        odds = call_log_odds(read_calls(["gene_id", "reaction", "log_odds"]).to_pylist())
        for row in made:
            row["gpr"] = without_weak_isozymes(row["gpr"] or "", odds.get(row["reaction"], {}), within)
    return made


def with_shared_enzymes(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `reaction_scores` and those of reactions that the same enzymes do (`same_enzyme.py`)."""
    by_reaction = {row["reaction"]: dict(row) for row in rows}
    gprs = {reaction: row["gpr"] or "" for reaction, row in by_reaction.items()}
    shared = shared_enzymes(gprs, {reaction: row["score"] for reaction, row in by_reaction.items()})
    taken = {reaction: by_reaction[source] | {"reaction": reaction} for reaction, source in shared.items()}
    return list((by_reaction | taken).values())


def carving_options(parameters: Mapping[str, Any], project: Path) -> CarvingOptions:
    """Options as the config has them; InputError for a file that is not right."""

    def read(key: str, empty: Any) -> Any:
        return FILES[key](project / parameters[key]) if parameters[key] else empty

    return CarvingOptions(
        default_score=parameters["draft.default_score"],
        uptake_score=parameters["draft.uptake_score"],
        soft_constraints=read("draft.soft_constraints", {}),
        soft_score=parameters["draft.soft_score"],
        hard_constraints=read("draft.hard_constraints", {}),
        reference_reactions=read("draft.reference_model", frozenset()),
        reference_score=parameters["draft.reference_score"],
        omission_cost=parameters["draft.omission_cost"],
    )


def make_draft(
    name: str,
    scores: Mapping[str, float],
    gprs: Mapping[str, str],
    options: CarvingOptions,
    parameters: Mapping[str, Any],
    cache: Path,
) -> Draft:
    """Carve with the engine and the biomass that the config names, and look at what came out."""
    base = load_universe(name, cache)
    _tell_of_foreign_ids(base, options)
    if parameters["draft.engine"] == "carveme":
        from gemforest.draft.carveme_engine import carve as carve_with_carveme

        carving = carve_with_carveme(name, scores, options)
    else:
        from gemforest.draft.highs_engine import Ensemble
        from gemforest.draft.highs_engine import carve as carve_with_highs

        size = parameters["draft.ensemble_size"]
        ensemble = Ensemble(size - 1, parameters["draft.ensemble_within"]) if size > 1 else None
        if fits_lineage(parameters):
            wide = load_universe(open_name(name), cache)
            closed = partial(closed_name, name, wide.network)
            carving = carve_with_highs(wide, scores, options, lambda kept: load_universe(closed(kept), cache), ensemble)
            name = closed(carving.omitted | carving.reactions)
            base = load_universe(name, cache)
        else:
            carving = carve_with_highs(base, scores, options, ensemble=ensemble)
    return examined(name, base, carving, scores, gprs, options)


def examined(
    name: str,
    universe: Universe,
    carving: Carving,
    scores: Mapping[str, float],
    gprs: Mapping[str, str],
    options: CarvingOptions,
) -> Draft:
    """The network of a carving, the purpose of reactions without evidence, and the directions."""
    network = subnetwork(universe, sorted(carving.reactions), gprs, universe.network.network_id)
    kept = np.array([r in carving.reactions for r in universe.network.reactions])
    excused = set(scores) | options.reference_reactions | set(options.soft_constraints)
    found = purposes(universe, build_problem(universe, scores, options), kept, excused)
    forward, reverse = directions(network)
    # What the engine highs returns has been checked; CarveMe's big-M rows leave reactions that cannot run.
    able = consistent(network.stoichiometry, network.lower, network.upper)
    words = {(True, True): "both", (True, False): "forward", (False, True): "reverse"}
    direction = {
        reaction: words[bool(f), bool(b)]
        for reaction, f, b in zip(network.reactions, forward & able, reverse & able, strict=True)
        if f or b
    }
    return Draft(name, universe, carving, network, found, direction)


def _tell_of_foreign_ids(universe: Universe, options: CarvingOptions) -> None:
    """Say which ids of the user's files the universe does not have; they are left out, as in CarveMe."""
    named = {
        "soft constraints": set(options.soft_constraints),
        "hard constraints": set(options.hard_constraints),
        "reference model": set(options.reference_reactions),
    }
    for what, ids in named.items():
        foreign = sorted(ids - set(universe.network.reactions))
        if foreign:
            logging.getLogger(__name__).warning(
                "%s: %d of %d reactions are not in the universe %s and are left out: %s%s",
                what,
                len(foreign),
                len(ids),
                universe.network.network_id,
                ", ".join(foreign[:5]),
                ", ..." if len(foreign) > 5 else "",
            )


# -- tables ------------------------------------------------------------------------------------------------------------


def _draft_reactions(
    genome_id: str, draft: Draft, scores: Mapping[str, Mapping[str, Any]], reference: frozenset[str]
) -> pa.Table:
    sets = [draft.carving.reactions, *draft.carving.alternatives]
    share = Counter(reaction for held in sets for reaction in held)
    rows = []
    for reaction in draft.universe.network.reactions:
        score = scores.get(reaction, {})
        kept = reaction in draft.carving.reactions
        if not (kept or score or share[reaction]):
            continue
        gpr = str(score.get("gpr") or "")
        purpose = draft.purposes.get(reaction)
        rows.append(
            {
                "genome_id": genome_id,
                "reaction": reaction,
                "score": score.get("score"),
                "normalized_score": score.get("normalized_score"),
                "in_draft": kept,
                "direction": draft.direction.get(reaction) if kept else None,
                "gpr": gpr,
                "genes": sorted(genes_of(parse_gpr(gpr)) - {SPONTANEOUS}),
                "why": _why(reaction, gpr, bool(score), purpose, reference) if kept else None,
                "serves": list(purpose.serves) if kept and purpose else [],
                "frequency": share[reaction] / len(sets) if len(sets) > 1 else None,
            }
        )
    return pa.Table.from_pylist(rows, schema=TABLES["draft_reactions"].schema)


def _why(reaction: str, gpr: str, scored: bool, purpose: Purpose | None, reference: frozenset[str]) -> str:
    """Why a reaction is in the draft."""
    if scored:
        return SPONTANEOUS if SPONTANEOUS in gpr else "evidence"
    if purpose is not None and purpose.growth:
        return "growth"
    if reaction in reference:
        return "reference"
    if reaction.startswith("EX_"):
        return "exchange"
    if is_biomass_pool(reaction) or reaction == MAINTENANCE or purpose is None:
        return "growth"
    return "scored_reactions" if purpose.serves else "carveme"


def _drafts(task: Task, draft: Draft, scores: Mapping[str, float], rate: float) -> pa.Table:
    network, carving = draft.network, draft.carving
    total = score_sum(network, scores, task.parameters["draft.default_score"])
    unscored = [r for r in network.reactions if r not in scores and not r.startswith("EX_") and r != MAINTENANCE]
    changed = described(split_name(draft.name)[1])
    biomass = network.reactions[network.biomass]
    row = {
        "genome_id": task.genome_id,
        "engine": task.parameters["draft.engine"],
        "universe": draft.name,
        "biomass": f"{biomass}: {changed}" if changed else biomass,
        "score_sum": total,
        "score_bound": None if math.isnan(carving.bound) else carving.bound,
        "gap": None if math.isnan(carving.bound) else (carving.bound - total) / abs(carving.bound),
        "method": carving.method,
        "rounds": carving.rounds,
        "limit_fired": carving.limit_fired,
        "reactions": len(network.reactions),
        "reactions_without_evidence": sum(not is_biomass_pool(r) for r in unscored) - 1,
        "genes": len({gene for rule in network.gprs for gene in genes_of(parse_gpr(rule))}),
        "growth_per_h": rate,
    }
    return pa.Table.from_pylist([row], schema=TABLES["drafts"].schema)


def _versions(_context: Context) -> dict[str, str]:
    from importlib import metadata

    names = ("highspy", "pyscipopt")
    return {"carveme": carveme_version()} | {name: metadata.version(name) for name in names}


def _resources(context: Context) -> dict[str, str]:
    """Digests of the user's files, each read first, so that a fault stops the stage before any genome."""
    digests = {"fermentation_reactions": file_sha256(shared_enzymes_path())}
    for key, read in FILES.items():
        name = context.config["draft"][key.removeprefix("draft.")]
        if name:
            path = context.project / name
            if not path.is_file():
                raise InputError(f"{key}: there is no file {path}")
            read(path)
            digests[key] = file_sha256(path)
    return digests


STAGE = Stage(
    name="draft",
    version=7,
    reads=("reaction_scores", "gene_reactions"),
    writes=("draft_reactions", "drafts"),
    parameters=(
        "draft.engine",
        "draft.biomass",
        "draft.omission_cost",
        "draft.default_score",
        "draft.uptake_score",
        "draft.soft_score",
        "draft.soft_constraints",
        "draft.hard_constraints",
        "draft.reference_model",
        "draft.reference_score",
        "draft.ensemble_size",
        "draft.ensemble_within",
        "draft.isozymes_within",
        "draft.paralogs",
    ),
    process=process,
    folders=("draft_models",),
    resources=_resources,
    versions=_versions,
)
