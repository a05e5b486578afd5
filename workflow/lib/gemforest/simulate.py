"""Simulate: growth and exchange fluxes on the genome's media, in the tables `summary` and `fba`.

Flux balance analysis on the filled model, one linear programme per medium. A value without an optimal status is null.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from gemforest.fluxes import FluxState, fba, with_bounds
from gemforest.gprs import genes_of, parse_gpr
from gemforest.lp import Status
from gemforest.media import exchange_bounds, media_digests, read_media
from gemforest.models import Network
from gemforest.stage import Context, Products, Stage, Task
from gemforest.tables import TABLES
from gemforest.universe import load_universe, subnetwork

SMALLEST_FLUX = 1e-9


def process(task: Task) -> Products:
    """Simulate the filled model on each of its media; the first one is the summary's."""
    model = task.read("model_reactions", ["reaction", "gpr", "origin"]).to_pylist()
    name = task.read("drafts", ["universe"])["universe"][0].as_py()
    universe = load_universe(name, task.context.cache)
    gprs = {row["reaction"]: row["gpr"] for row in model}
    network = subnetwork(universe, list(gprs), gprs, task.genome_id)
    media = read_media(task.context.project / task.context.config["media"])
    uptake = task.parameters["growth.uptake"]
    states = {
        medium: fba(with_bounds(network, exchange_bounds(network, media.uptakes(medium, uptake), uptake)))
        for medium in task.row["medium"].split(";")
    }
    gapfilled = sum(row["origin"] == "gapfill" for row in model)
    proteins = task.read("proteins", ["gene_id"]).num_rows
    tables = {
        "summary": _summary(task, name, network, states, gapfilled, proteins),
        "fba": pa.concat_tables(
            _fluxes(task.genome_id, medium, media.uptakes(medium, uptake), network, state)
            for medium, state in states.items()
        ),
    }
    return Products(tables)


def _fluxes(
    genome_id: str, medium: str, limits: Mapping[str, float] | None, network: Network, state: FluxState
) -> pa.Table:
    """The biomass reaction always; exchanges that carry flux."""
    biomass = network.biomass
    condition = "aerobic" if limits is None or limits.get("o2", 0.0) > 0 else "anaerobic"
    shown = np.flatnonzero(network.exchanges & (np.abs(np.nan_to_num(state.fluxes)) > SMALLEST_FLUX)).tolist()
    rows = [
        {
            "genome_id": genome_id,
            "medium": medium,
            "condition": condition,
            "status": str(state.status),
            "reaction": network.reactions[j],
            "kind": "biomass" if j == biomass else "exchange",
            "flux": float(state.fluxes[j]) if state.status is Status.OPTIMAL else None,
        }
        for j in [biomass, *shown]
    ]
    return pa.Table.from_pylist(rows, schema=TABLES["fba"].schema)


def _summary(
    task: Task,
    universe: str,
    network: Network,
    states: Mapping[str, FluxState],
    gapfilled: int,
    proteins: int,
) -> pa.Table:
    medium, state = next(iter(states.items()))
    optimal = state.status is Status.OPTIMAL
    internal = [j for j, r in enumerate(network.reactions) if not r.startswith("EX_") and j != network.biomass]
    row = {
        "genome_id": task.genome_id,
        "universe": universe,
        "medium": medium,
        "status": str(state.status),
        "growth_per_h": state.growth if optimal else None,
        "grows": optimal and state.growth >= task.parameters["growth.threshold_per_h"],
        "proteins": proteins,
        "reactions": len(network.reactions),
        "metabolites": len(network.metabolites),
        "genes": len({gene for rule in network.gprs for gene in genes_of(parse_gpr(rule))}),
        "gapfilled": gapfilled,
        "reactions_without_genes": sum(not network.gprs[j] for j in internal),
        "flags": [] if optimal and state.growth >= task.parameters["growth.threshold_per_h"] else ["no_growth"],
    }
    return pa.Table.from_pylist([row], schema=TABLES["summary"].schema)


def _versions(_context: Context) -> dict[str, str]:
    from importlib import metadata

    return {"highspy": metadata.version("highspy")}


STAGE = Stage(
    name="simulate",
    version=1,
    reads=("model_reactions", "drafts", "proteins"),
    writes=("summary", "fba"),
    parameters=("growth.threshold_per_h", "growth.uptake"),
    row_fields=("medium",),
    process=process,
    row_resources=media_digests,
    versions=_versions,
)
