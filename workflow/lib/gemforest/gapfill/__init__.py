"""Gap-fill: reactions added so that the draft grows on its media, in the tables `model_reactions` and `gapfills`.

The engine `carveme` is CarveMe's MILP with SCIP (Machado et al. 2018): the cheapest additions, a scored reaction
costing 1/(1+score), others 1. The engine `highs` (`filling.py`) solves the same question without big-M, so that nothing
leaks, and does not let additions make energy from nothing (`energy.py`). A draft that grows already gets nothing. The
model that is written has the bounds of the genome's first medium.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gemforest.carveme_files import carveme_version
from gemforest.energy import close, energies_path, universe_closed_directions
from gemforest.errors import GenomeError
from gemforest.fluxes import growth, with_bounds
from gemforest.gapfill.filling import Infeasible, Problem, cheapest_fill
from gemforest.ledger import Reason
from gemforest.lp import Status
from gemforest.media import exchange_bounds, media_digests, read_media
from gemforest.models import Network
from gemforest.stage import Context, Products, Stage, Task
from gemforest.store import file_sha256
from gemforest.tables import TABLES
from gemforest.universe import Universe, load_universe, subnetwork, universe_sbml


def process(task: Task) -> Products:
    """Fill the draft for each medium in turn; each fill stays for the next."""
    draft = task.read("draft_reactions", ["reaction", "in_draft", "gpr", "normalized_score"]).to_pylist()
    name = task.read("drafts", ["universe"])["universe"][0].as_py()
    universe = load_universe(name, task.context.cache)
    scores = {row["reaction"]: row["normalized_score"] for row in draft if row["normalized_score"] is not None}
    gprs = {row["reaction"]: row["gpr"] for row in draft if row["in_draft"] and "spontaneous" not in row["gpr"]}
    kept = [row["reaction"] for row in draft if row["in_draft"]]
    media = read_media(task.context.project / task.context.config["media"])
    uptake = task.parameters["growth.uptake"]
    added: dict[str, str] = {}
    for medium in task.row["medium"].split(";"):
        network = subnetwork(universe, [*kept, *added], gprs, task.genome_id)
        limits = media.uptakes(medium, uptake)
        if not task.parameters["gapfill.enabled"] or _grows(network, limits, task):
            continue
        bounds = exchange_bounds(universe.network, limits, uptake)
        least = task.parameters["gapfill.min_growth_per_h"]
        if task.parameters["gapfill.engine"] == "highs":
            closed = universe_closed_directions(universe, task.context.cache)
            found = fill_with_highs(universe, network.reactions, scores, bounds, least, medium, closed)
        else:
            sbml = universe_sbml(name, task.context.cache)
            found = fill(sbml, network.reactions, scores, bounds, least, medium)
        added |= dict.fromkeys(sorted(found), medium)
    network = subnetwork(universe, [*kept, *added], gprs, task.genome_id)
    first = media.uptakes(task.row["medium"].split(";")[0], uptake)
    on_medium = with_bounds(network, exchange_bounds(network, first, uptake))
    on_medium.reaction_notes.update({r: {"GAP_FILL": medium} for r, medium in added.items()})
    tables = {
        "model_reactions": _model_reactions(task.genome_id, network, added),
        "gapfills": _gapfills(task.genome_id, added, scores),
    }
    return Products(tables, {"models": on_medium})


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
) -> frozenset[str]:
    """The cheapest additions without leaks; `closed` directions serve nobody while they are chosen.

    Raises
    ------
    GenomeError
        Growth stays below `min_growth` with the whole universe added.
    """
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
        costs=np.array([1.0 / (1.0 + scores.get(r, 0.0)) for r in on_medium.reactions]),
        min_growth=min_growth,
    )
    try:
        found = cheapest_fill(problem)
    except Infeasible as error:
        detail = f"no set of reactions of the universe gives {min_growth:g} 1/h on {medium}"
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


def _gapfills(genome_id: str, added: Mapping[str, str], scores: Mapping[str, float]) -> pa.Table:
    rows = [
        {
            "genome_id": genome_id,
            "medium": medium,
            "reaction": reaction,
            "cost": 1.0 / (1.0 + scores.get(reaction, 0.0)),
        }
        for reaction, medium in sorted(added.items(), key=lambda item: (item[1], item[0]))
    ]
    return pa.Table.from_pylist(rows, schema=TABLES["gapfills"].schema)


def _versions(_context: Context) -> dict[str, str]:
    from importlib import metadata

    return {"carveme": carveme_version()} | {name: metadata.version(name) for name in ("highspy", "pyscipopt")}


def _resources(_context: Context) -> dict[str, str]:
    return {"reaction_energies": file_sha256(energies_path())}


STAGE = Stage(
    name="gapfill",
    version=2,
    reads=("draft_reactions", "drafts"),
    writes=("model_reactions", "gapfills"),
    parameters=("gapfill.enabled", "gapfill.engine", "gapfill.min_growth_per_h", "growth.uptake"),
    row_fields=("medium",),
    process=process,
    folders=("models",),
    resources=_resources,
    row_resources=media_digests,
    versions=_versions,
)
