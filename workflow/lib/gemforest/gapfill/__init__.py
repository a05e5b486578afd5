"""Gap-fill: reactions added so that the draft grows on its media, in the tables `model_reactions` and `gapfills`.

The engine `highs` (`filling.py`) finds the cheapest additions without big-M, so that nothing leaks, and does not let
them make energy from nothing (`energy.py`). An addition costs the less the more the evidence speaks for it: -ln P, with
that of the least probability that evidence keeps as 1, and 1 without any. The engine `carveme` is CarveMe's MILP with
SCIP (Machado et al. 2018), a scored reaction costing 1/(1+score), others 1. A draft that grows already gets nothing.
Where nothing helps, `diagnosis.py` says what is missing. The model written has the bounds of the genome's first medium.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gemforest.carveme_files import carveme_version
from gemforest.energy import close, energies_path, universe_closed_directions
from gemforest.errors import GenomeError
from gemforest.fluxes import growth, with_bounds
from gemforest.gapfill.diagnosis import in_words, unmakeable
from gemforest.gapfill.filling import Infeasible, Problem, cheapest_fill
from gemforest.ledger import Reason
from gemforest.lp import Status
from gemforest.media import Media, exchange_bounds, media_digests, read_media
from gemforest.models import Network
from gemforest.stage import Context, Products, Stage, Task
from gemforest.store import file_sha256
from gemforest.tables import TABLES
from gemforest.universe import Universe, load_universe, subnetwork, universe_sbml

# The evidence keeps no call below this; an addition with such a probability costs as much as one without any.
LEAST_PROBABILITY = 0.02
LEAST_COST = 0.01
MOST_CANDIDATES = 5


def process(task: Task) -> Products:
    """Fill the draft for each medium in turn; each fill stays for the next."""
    draft = task.read("draft_reactions", ["reaction", "in_draft", "gpr", "normalized_score"]).to_pylist()
    name = task.read("drafts", ["universe"])["universe"][0].as_py()
    universe = load_universe(name, task.context.cache)
    scores = {row["reaction"]: row["normalized_score"] for row in draft if row["normalized_score"] is not None}
    gprs = {row["reaction"]: row["gpr"] for row in draft if row["in_draft"] and "spontaneous" not in row["gpr"]}
    kept = [row["reaction"] for row in draft if row["in_draft"]]
    probabilities = _probabilities(task)
    media = read_media(task.context.project / task.context.config["media"])
    uptake = task.parameters["growth.uptake"]
    exact = task.parameters["gapfill.engine"] == "highs"
    closed = universe_closed_directions(universe, task.context.cache) if exact else ()
    added: dict[str, str] = {}

    def model() -> Network:
        return without_cycles(subnetwork(universe, [*kept, *added], gprs, task.genome_id), closed)

    for medium in task.row["medium"].split(";"):
        network = model()
        limits = media.uptakes(medium, uptake)
        if not task.parameters["gapfill.enabled"] or _grows(network, limits, task):
            continue
        bounds = exchange_bounds(universe.network, limits, uptake)
        least = task.parameters["gapfill.min_growth_per_h"]
        if exact:
            found = fill_with_highs(universe, network.reactions, scores, bounds, least, medium, closed, probabilities)
        else:
            sbml = universe_sbml(name, task.context.cache)
            found = fill(sbml, network.reactions, scores, bounds, least, medium)
        most = task.parameters["gapfill.max_fill"]
        if len(found) > most:
            missing = unmakeable(with_bounds(network, exchange_bounds(network, limits, uptake)))
            raise GenomeError(
                Reason.FILL_TOO_LARGE,
                f"{len(found)} additions for {medium}, gapfill.max_fill is {most}; the draft cannot make "
                f"{', '.join(missing[:10])}",
            )
        added |= dict.fromkeys(sorted(found), medium)
    network = model()
    first = media.uptakes(task.row["medium"].split(";")[0], uptake)
    on_medium = with_bounds(network, exchange_bounds(network, first, uptake))
    costs = addition_costs(added, scores, probabilities if exact else {})
    on_medium.reaction_notes.update(
        {r: {"GAP_FILL": medium, "GAP_FILL_COST": f"{costs[r]:.4g}"} for r, medium in added.items()}
    )
    facts = Additions(added, costs, probabilities, _candidates(task, added), _unblocks(network, added, media, uptake))
    tables = {
        "model_reactions": _model_reactions(task.genome_id, network, added),
        "gapfills": _gapfills(task.genome_id, facts),
    }
    return Products(tables, {"models": on_medium})


def without_cycles(network: Network, closed: tuple[tuple[str, int], ...]) -> Network:
    """The network without the directions that make energy from nothing (`energy.closed_directions`)."""
    lower, upper = network.lower.copy(), network.upper.copy()
    index = {reaction: j for j, reaction in enumerate(network.reactions)}
    close(lower, upper, index, closed)
    return replace(network, lower=lower, upper=upper)


def fill(
    universe: Path,
    reactions: tuple[str, ...],
    scores: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
    min_growth: float,
    medium: str,
) -> frozenset[str]:
    """Additions by CarveMe's `gapFill` from a universe's SBML; ids without R_."""
    from carveme.reconstruction.gapfilling import gapFill
    from reframed.solvers import set_default_solver

    set_default_solver("scip")
    model, donor = _fresh_model(universe), _fresh_model(universe)
    before = {r for r in model.reactions if r.removeprefix("R_") in set(reactions)}
    model.remove_reactions([r for r in model.reactions if r not in before])
    constraints = {f"R_{reaction}": pair for reaction, pair in bounds.items()}
    try:
        gapFill(
            model,
            donor,
            constraints=constraints,
            min_growth=min_growth,
            scores={f"R_{reaction}": score for reaction, score in scores.items()},
            tag=medium,
        )
    except RuntimeError as error:
        detail = f"CarveMe's gap-fill found no way to {min_growth:g} 1/h on {medium}: {error}"
        raise GenomeError(Reason.INFEASIBLE_MEDIUM, detail) from error
    return frozenset(r.removeprefix("R_") for r in set(model.reactions) - before)


def fill_with_highs(
    universe: Universe,
    reactions: tuple[str, ...],
    scores: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
    min_growth: float,
    medium: str,
    closed: tuple[tuple[str, int], ...] = (),
    probabilities: Mapping[str, float] | None = None,
) -> frozenset[str]:
    """The cheapest additions without leaks; `closed` directions serve nobody while they are chosen.

    Raises
    ------
    GenomeError
        Growth stays below `min_growth` with the whole universe added.
    """
    costs = addition_costs(universe.network.reactions, scores, probabilities or {})
    on_medium = with_bounds(universe.network, bounds)
    present = set(reactions)
    lower, upper = on_medium.lower.copy(), on_medium.upper.copy()
    close(lower, upper, {r: j for j, r in enumerate(on_medium.reactions)}, closed)
    problem = Problem(
        stoichiometry=on_medium.stoichiometry,
        lower=lower[None, :],
        upper=upper[None, :],
        biomass=on_medium.biomass,
        candidates=np.array([r not in present for r in on_medium.reactions]),
        costs=np.array([costs[r] for r in on_medium.reactions]),
        min_growth=min_growth,
    )
    try:
        found = cheapest_fill(problem)
    except Infeasible as error:
        whole = replace(on_medium, lower=lower, upper=upper)
        detail = f"on {medium} even the whole universe {in_words(whole, min_growth)}"
        raise GenomeError(Reason.INFEASIBLE_MEDIUM, detail) from error
    return frozenset(on_medium.reactions[j] for j in found.added)


def _grows(network: Network, limits: Mapping[str, float] | None, task: Task) -> bool:
    bounds = exchange_bounds(network, limits, task.parameters["growth.uptake"])
    status, rate = growth(network, bounds)
    return status is Status.OPTIMAL and rate >= task.parameters["gapfill.min_growth_per_h"]


@lru_cache(maxsize=1)
def _pristine_model(universe: Path) -> bytes:
    import pickle

    from reframed import load_cbmodel
    from reframed.core.transformation import apply_bounds

    model = load_cbmodel(str(universe), flavor="bigg")
    apply_bounds(model)
    return pickle.dumps(model)


def _fresh_model(universe: Path) -> Any:
    """CarveMe's own model object of a universe, to be changed at will; unpickling beats parsing by far."""
    import pickle

    # Only what this very process has pickled is unpickled.
    return pickle.loads(_pristine_model(universe))  # noqa: S301


def _model_reactions(genome_id: str, network: Network, added: Mapping[str, str]) -> pa.Table:
    n = len(network.reactions)
    return pa.table(
        {
            "genome_id": [genome_id] * n,
            "reaction": list(network.reactions),
            "origin": ["gapfill" if r in added else "draft" for r in network.reactions],
            "lower_bound": network.lower,
            "upper_bound": network.upper,
            "gpr": list(network.gprs),
        },
        schema=TABLES["model_reactions"].schema,
    )


@dataclass(frozen=True)
class Additions:
    """What was added and why: reaction to medium, to cost, to probability, to candidate genes, to precursors."""

    medium: Mapping[str, str]
    cost: Mapping[str, float]
    probability: Mapping[str, float]
    candidates: Mapping[str, list[str]]
    unblocks: Mapping[str, list[str]]


def addition_costs(
    reactions: Iterable[str], scores: Mapping[str, float], probabilities: Mapping[str, float]
) -> dict[str, float]:
    """Cost of each addition, in (0, 1]."""
    return {
        r: min(1.0, max(LEAST_COST, math.log(probabilities[r]) / math.log(LEAST_PROBABILITY)))
        if probabilities.get(r)
        else 1.0 / (1.0 + max(0.0, scores.get(r, 0.0)))
        for r in reactions
    }


def _probabilities(task: Task) -> dict[str, float]:
    rows = task.read("reaction_scores", ["reaction", "probability"]).to_pylist()
    return {row["reaction"]: row["probability"] for row in rows if row["probability"] is not None}


def _candidates(task: Task, added: Mapping[str, str]) -> dict[str, list[str]]:
    """Genes that the evidence holds possible for an addition, the most probable first."""
    if not added:
        return {}
    calls = task.read("gene_reactions", ["gene_id", "reaction", "probability"]).to_pylist()
    found: dict[str, list[str]] = {}
    for call in sorted(calls, key=lambda call: (-(call["probability"] or 0.0), call["gene_id"])):
        if call["reaction"] in added:
            found.setdefault(call["reaction"], []).append(call["gene_id"])
    return {reaction: genes[:MOST_CANDIDATES] for reaction, genes in found.items()}


def _unblocks(network: Network, added: Mapping[str, str], media: Media, uptake: float) -> dict[str, list[str]]:
    """Precursors that the filled network cannot make on the medium without an addition."""
    found = {}
    for reaction, medium in added.items():
        bounds = exchange_bounds(network, media.uptakes(medium, uptake), uptake)
        found[reaction] = unmakeable(with_bounds(network, bounds | {reaction: (0.0, 0.0)}))
    return found


def _gapfills(genome_id: str, facts: Additions) -> pa.Table:
    rows = [
        {
            "genome_id": genome_id,
            "medium": medium,
            "reaction": reaction,
            "cost": facts.cost[reaction],
            "probability": facts.probability.get(reaction),
            "candidate_genes": facts.candidates.get(reaction, []),
            "unblocks": facts.unblocks[reaction],
        }
        for reaction, medium in sorted(facts.medium.items(), key=lambda item: (item[1], item[0]))
    ]
    return pa.Table.from_pylist(rows, schema=TABLES["gapfills"].schema)


def _versions(_context: Context) -> dict[str, str]:
    from importlib import metadata

    return {"carveme": carveme_version()} | {name: metadata.version(name) for name in ("highspy", "pyscipopt")}


def _resources(_context: Context) -> dict[str, str]:
    return {"reaction_energies": file_sha256(energies_path())}


STAGE = Stage(
    name="gapfill",
    version=4,
    reads=("draft_reactions", "drafts", "reaction_scores", "gene_reactions"),
    writes=("model_reactions", "gapfills"),
    parameters=("gapfill.enabled", "gapfill.engine", "gapfill.max_fill", "gapfill.min_growth_per_h", "growth.uptake"),
    row_fields=("medium",),
    process=process,
    folders=("models",),
    resources=_resources,
    row_resources=media_digests,
    versions=_versions,
)
