"""Simulate: fluxes, flux ranges, knock-outs, growth screens and quality of the filled model.

Tables `summary`, `fba`, `fva`, `knockouts`, `screens`, `quality`. Flux balance analysis runs on every medium of the
genome with and without oxygen; flux ranges and knock-outs on its first medium; screens on the screen medium. Each part
reduces the network once and solves all its programs from warm starts (`fluxes.py`). A value without an optimal status
is null, and a compound that the model does not exchange is `not_in_model`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gemforest.closing import shut, unneeded, without_gene
from gemforest.config import WORKFLOW
from gemforest.errors import InputError
from gemforest.fluxes import FluxRanges, FluxState, fba, fva, with_bounds
from gemforest.gprs import genes_of, parse_gpr
from gemforest.loopless import loopless_fva
from gemforest.lp import Status
from gemforest.media import Media, exchange_bounds, media_digests, read_media
from gemforest.models import Network
from gemforest.simulate.growth_score import (
    GrowthScore,
    base_path,
    common_compounds,
    common_path,
    growth_scores,
)
from gemforest.simulate.knockouts import Losses, gene_losses, gene_pairs, knock_out, reaction_losses
from gemforest.simulate.quality import Measure, quality
from gemforest.simulate.screens import ELEMENTS, Screener, ScreenResult, read_compounds
from gemforest.stage import Context, Products, Stage, Task
from gemforest.store import file_sha256
from gemforest.tables import TABLES
from gemforest.universe import load_universe, subnetwork

SMALLEST_FLUX = 1e-9
OXYGEN = "o2"
COMMON, ALL = "common", "all"
SPARE_GROWTH = 0.05
"""Share of the highest growth for which a reaction without gene counts as needed (scripts/gapfill_policies.py)."""


def process(task: Task) -> Products:
    """Simulate the filled model of one genome."""
    model = task.read("model_reactions", ["reaction", "gpr", "origin", "lower_bound", "upper_bound"]).to_pylist()
    name = task.read("drafts", ["universe"])["universe"][0].as_py()
    universe = load_universe(name, task.context.cache)
    gprs = {row["reaction"]: row["gpr"] for row in model}
    bounds = {row["reaction"]: (row["lower_bound"], row["upper_bound"]) for row in model}
    network = with_bounds(subnetwork(universe, list(gprs), gprs, task.genome_id), bounds)
    facts = {
        "universe": name,
        "proteins": task.read("proteins", ["gene_id"]).num_rows,
        "gapfilled": sum(row["origin"] == "gapfill" for row in model),
    }
    return simulate(task, network, facts, _scores(task))


def simulate(
    task: Task, network: Network, facts: Mapping[str, Any], scores: Mapping[str, GrowthScore] | None = None
) -> Products:
    """All tables of the stage for a network with BiGG ids.

    Parameters
    ----------
    facts
        Goes into the summary as it is.
    scores
        Carbon source to its growth score, which needs a genome's hits; none for a model of another tool.
    """
    media = read_media(task.context.project / task.context.config["media"])
    states = dict(_states(task, network, media))
    medium, condition = next(iter(states))
    at_home = _on_medium(task, network, media, medium, condition)
    ranges = _ranges(task, at_home)
    losses = _losses(task, at_home)
    measures = [*quality(network), *_range_measures(ranges), *_precursor_prices(network, states[medium, condition])]
    place = {"genome_id": task.genome_id, "medium": medium, "condition": condition}
    rows: dict[str, list[dict[str, Any]]] = {
        "summary": [_summary(task, facts, network, medium, states[medium, condition], ranges, losses, measures)],
        "fba": [row for where, state in states.items() for row in _flux_rows(task.genome_id, where, network, state)],
        "fva": list(_range_rows(place, network, ranges, task.parameters)),
        "knockouts": list(_loss_rows(place, losses, task.parameters["growth.threshold_per_h"])),
        "screens": list(
            _screen_rows(task.genome_id, _screens(task, network, media), scores or {}, _on_genes(task, network, media))
        ),
        "quality": [_measure_row(task.genome_id, measure) for measure in measures],
    }
    return Products({table: pa.Table.from_pylist(rows[table], schema=TABLES[table].schema) for table in rows})


# -- what is asked of the model ----------------------------------------------------------------------------------------


def _states(task: Task, network: Network, media: Media) -> Iterator[tuple[tuple[str, str], FluxState]]:
    """(medium, condition) to the optimal state, the genome's first medium first."""
    for medium in task.row["medium"].split(";"):
        limits = media.uptakes(medium, task.parameters["growth.uptake"])
        with_oxygen = limits is None or limits.get(OXYGEN, 0.0) > 0.0
        for condition in ("aerobic", "anaerobic") if with_oxygen else ("anaerobic",):
            if condition in task.parameters["simulate.conditions"] or not with_oxygen:
                on_medium = _on_medium(task, network, media, medium, condition)
                yield (medium, condition), fba(on_medium, parsimonious=task.parameters["simulate.parsimonious"])


def _on_medium(task: Task, network: Network, media: Media, medium: str, condition: str) -> Network:
    uptake = task.parameters["growth.uptake"]
    bounds = exchange_bounds(network, media.uptakes(medium, uptake), uptake)
    oxygen = f"EX_{OXYGEN}_e"
    if condition == "anaerobic" and oxygen in bounds:
        bounds[oxygen] = (0.0, bounds[oxygen][1])
    return with_bounds(network, bounds)


def _ranges(task: Task, network: Network) -> FluxRanges | None:
    extent, fraction = task.parameters["simulate.fva"], task.parameters["simulate.fva_fraction"]
    if extent == "off":
        return None
    range_of = loopless_fva if task.parameters["simulate.fva_loopless"] else fva
    if extent == "full":
        return range_of(network, fraction)
    panel = set(task.parameters["simulate.fva_panel"])
    return range_of(network, fraction, reactions=np.flatnonzero([r in panel for r in network.reactions]))


def _losses(task: Task, network: Network) -> dict[str, Losses]:
    """Kind of loss to what it does."""
    asked = task.parameters["simulate.knockouts"]
    found = {}
    if "gene" in asked:
        found["gene"] = knock_out(network, gene_losses(network))
    if "reaction" in asked:
        found["reaction"] = knock_out(network, reaction_losses(network))
    if task.parameters["simulate.double_genes"]:
        found["gene_pair"] = knock_out(network, gene_pairs(network, task.parameters["simulate.double_genes"]))
    return found


def _screens(task: Task, network: Network, media: Media) -> Iterator[tuple[str, ScreenResult]]:
    """(condition, result) of each compound in each screen."""
    asked = task.parameters["simulate.screens"]
    if not asked:
        return
    compounds = {s: c for s, c in read_compounds(_compound_list()).items() if s in asked}
    tried = {compound for names in compounds.values() for compound in names}
    screener = _screener(task, network, media, tried)
    condition = "aerobic" if screener.uptakes.get(OXYGEN, 0.0) > 0.0 else "anaerobic"
    for screen in ELEMENTS:
        for result in screener.sources(screen, compounds.get(screen, ())):
            yield condition, result
    for result in screener.needs(compounds.get("auxotrophy", ())):
        yield condition, result
    for result in screener.products(compounds.get("product", ())):
        yield "anaerobic", result


def _screener(task: Task, network: Network, media: Media, tried: Iterable[str]) -> Screener:
    uptake, threshold = task.parameters["growth.uptake"], task.parameters["growth.threshold_per_h"]
    base = media.uptakes(task.parameters["simulate.screen_medium"], uptake)
    assert base is not None, "the key of the stage could not have been made with the medium that holds everything"
    return Screener(network, base, tried, uptake, threshold)


def _on_genes(task: Task, network: Network, media: Media) -> dict[str, float]:
    """Carbon source to growth when what has no gene, and the genome's first medium does without, is closed.

    Nothing for a model that names no genes, does not grow on that medium, or has nothing to close.
    """
    if "carbon" not in task.parameters["simulate.screens"] or not any(network.gprs):
        return {}
    uptake = task.parameters["growth.uptake"]
    home = exchange_bounds(network, media.uptakes(task.row["medium"].split(";")[0], uptake), uptake)
    spare = unneeded(network, without_gene(network), [home], SPARE_GROWTH)
    if not spare.any():
        return {}
    compounds = read_compounds(_compound_list()).get("carbon", ())
    screener = _screener(task, shut(network, spare), media, compounds)
    return {result.compound: result.growth for result in screener.sources("carbon", compounds)}


def _scores(task: Task) -> dict[str, GrowthScore]:
    """Carbon source to its growth score; sources that the screen does not try have none.

    Routes are looked for in the universe that the evidence was judged in, not in the draft's variant of it: a score is
    about evidence, which the variant's own biomass and reactions have none of.
    """
    asked = task.parameters["simulate.growth_scores"]
    if not asked or "carbon" not in task.parameters["simulate.screens"]:
        return {}
    tried = set(read_compounds(_compound_list()).get("carbon", ()))
    wanted = {
        c for name in asked for c in (common_compounds() if name == COMMON else tried if name == ALL else (name,))
    }
    hits = task.read("hits", ["target", "identity_percent"])
    scores = task.read("reaction_scores", ["reaction", "probability", "universe"])
    if not scores.num_rows:
        return {}
    known = dict(zip(scores["reaction"].to_pylist(), scores["probability"].to_pylist(), strict=True))
    probabilities = {reaction: p for reaction, p in known.items() if p is not None}
    return growth_scores(scores["universe"][0].as_py(), task.context.cache, probabilities, hits, wanted & tried)


def _compound_list() -> Path:
    return WORKFLOW.parent / "resources" / "screen_compounds.tsv"


def _range_measures(ranges: FluxRanges | None) -> list[Measure]:
    """Median width of the ranges, with and without reactions that carry nothing on this medium."""
    if ranges is None or ranges.status is not Status.OPTIMAL:
        return []
    width = ranges.maximum - ranges.minimum
    asked = ~np.isnan(width)
    open_ = asked & ~ranges.blocked
    if not asked.any():
        return []
    return [
        Measure("fva_median_width", float(np.median(width[asked])), "mmol gDW^-1 h^-1"),
        Measure(
            "fva_median_width_unblocked", float(np.median(width[open_])) if open_.any() else np.nan, "mmol gDW^-1 h^-1"
        ),
        Measure("blocked_on_medium_share", float(ranges.blocked[asked].mean())),
    ]


def _precursor_prices(network: Network, state: FluxState) -> list[Measure]:
    """What one more unit of each biomass precursor would add to growth; the dearest ones limit it."""
    if state.status is not Status.OPTIMAL:
        return []
    column = network.stoichiometry[:, [network.biomass]].tocoo()
    precursors = column.coords[0][column.data < 0.0]
    prices = sorted(((float(state.shadow_prices[i]), network.metabolites[i]) for i in precursors), reverse=True)
    if not prices:
        return []
    listed = ", ".join(f"{metabolite} {price:.4g}" for price, metabolite in prices[:10])
    return [Measure("highest_precursor_shadow_price", prices[0][0], "gDW mmol^-1", detail=listed)]


# -- rows --------------------------------------------------------------------------------------------------------------


def _flux_rows(genome_id: str, where: tuple[str, str], network: Network, state: FluxState) -> Iterator[dict[str, Any]]:
    """The biomass reaction always; the others where they carry flux."""
    biomass = network.biomass
    exchanges = network.exchanges
    carrying = np.flatnonzero(np.abs(np.nan_to_num(state.fluxes)) > SMALLEST_FLUX)
    for j in [biomass, *carrying[carrying != biomass].tolist()]:
        yield {
            "genome_id": genome_id,
            "medium": where[0],
            "condition": where[1],
            "status": str(state.status),
            "reaction": network.reactions[j],
            "kind": "biomass" if j == biomass else "exchange" if exchanges[j] else "internal",
            "flux": float(state.fluxes[j]) if state.status is Status.OPTIMAL else None,
        }


def _range_rows(
    place: Mapping[str, str], network: Network, ranges: FluxRanges | None, parameters: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    if ranges is None:
        return
    for j, reaction in enumerate(network.reactions):
        low, high = ranges.minimum_status[j], ranges.maximum_status[j]
        if low is None or high is None:
            continue
        yield {
            **place,
            "status": str(low if low is not Status.OPTIMAL else high),
            "reaction": reaction,
            "fraction": parameters["simulate.fva_fraction"],
            "minimum": _number(ranges.minimum[j]),
            "maximum": _number(ranges.maximum[j]),
            "loopless": parameters["simulate.fva_loopless"],
        }


def _loss_rows(place: Mapping[str, str], losses: Mapping[str, Losses], threshold: float) -> Iterator[dict[str, Any]]:
    for kind, found in losses.items():
        essential = found.essential(threshold)
        for k, target in enumerate(found.targets):
            decided = found.statuses[k] in (Status.OPTIMAL, Status.INFEASIBLE) and found.intact_growth >= threshold
            yield {
                **place,
                "status": str(found.statuses[k]),
                "kind": kind,
                "target": target,
                "growth_per_h": _number(found.growths[k]),
                "growth_ratio": _number(found.growths[k] / found.intact_growth) if decided else None,
                "essential": bool(essential[k]) if decided else None,
            }


def _screen_rows(
    genome_id: str,
    results: Iterator[tuple[str, ScreenResult]],
    scores: Mapping[str, GrowthScore],
    on_genes: Mapping[str, float],
) -> Iterator[dict[str, Any]]:
    for condition, result in results:
        score = scores.get(result.compound) if result.screen == "carbon" else None
        yield {
            "genome_id": genome_id,
            "screen": result.screen,
            "compound": result.compound,
            "condition": condition,
            "status": None if result.status is None else str(result.status),
            "growth_per_h": _number(result.growth),
            "growth_on_genes_per_h": _number(on_genes.get(result.compound, np.nan))
            if result.screen == "carbon"
            else None,
            "flux": _number(result.flux),
            "answer": result.answer,
            "growth_score": None if score is None else score.score,
            "weakest_links": None if score is None else list(score.weakest_links),
        }


def _measure_row(genome_id: str, measure: Measure) -> dict[str, Any]:
    return {
        "genome_id": genome_id,
        "measure": measure.name,
        "value": _number(measure.value),
        "unit": measure.unit,
        "flagged": measure.flagged,
        "detail": measure.detail,
    }


def _summary(
    task: Task,
    facts: Mapping[str, Any],
    network: Network,
    medium: str,
    state: FluxState,
    ranges: FluxRanges | None,
    losses: Mapping[str, Losses],
    measures: list[Measure],
) -> dict[str, Any]:
    threshold = task.parameters["growth.threshold_per_h"]
    grows = state.status is Status.OPTIMAL and state.growth >= threshold
    internal = [j for j, r in enumerate(network.reactions) if not r.startswith("EX_") and j != network.biomass]
    width = {measure.name: measure.value for measure in measures}.get("fva_median_width_unblocked")
    genes = losses.get("gene")
    return {
        **facts,
        "genome_id": task.genome_id,
        "medium": medium,
        "status": str(state.status),
        "growth_per_h": _number(state.growth),
        "grows": grows,
        "reactions": len(network.reactions),
        "metabolites": len(network.metabolites),
        "genes": len({gene for rule in network.gprs for gene in genes_of(parse_gpr(rule))}),
        "reactions_without_genes": sum(not network.gprs[j] for j in internal),
        "fva_median_width": None if width is None else _number(width),
        "essential_genes": int(genes.essential(threshold).sum()) if grows and genes is not None else None,
        "flags": [*([] if grows else ["no_growth"]), *(measure.name for measure in measures if measure.flagged)],
    }


def _number(value: float) -> float | None:
    """A value for a table: null where there is none."""
    return None if np.isnan(value) else float(value)


# -- the stage ---------------------------------------------------------------------------------------------------------


def _resources(context: Context) -> dict[str, str]:
    media = read_media(context.project / context.config["media"])
    screen_medium = str(context.config["simulate"]["screen_medium"])
    if media.uptakes(screen_medium, 0.0) is None:
        raise InputError(f"simulate.screen_medium: {screen_medium!r} holds every compound; name a medium of the table")
    return {
        "screen_compounds": file_sha256(_compound_list()),
        "growth_score": file_sha256(base_path()) + file_sha256(common_path()),
        "screen_medium": media.digest(screen_medium),
    }


def _versions(_context: Context) -> dict[str, str]:
    from importlib import metadata

    return {"highspy": metadata.version("highspy")}


STAGE = Stage(
    name="simulate",
    version=8,
    reads=("model_reactions", "drafts", "proteins", "hits", "reaction_scores"),
    writes=("summary", "fba", "fva", "knockouts", "screens", "quality"),
    parameters=(
        "growth.threshold_per_h",
        "growth.uptake",
        "simulate.conditions",
        "simulate.parsimonious",
        "simulate.fva",
        "simulate.fva_fraction",
        "simulate.fva_loopless",
        "simulate.fva_panel",
        "simulate.knockouts",
        "simulate.double_genes",
        "simulate.screens",
        "simulate.screen_medium",
        "simulate.growth_scores",
    ),
    row_fields=("medium",),
    process=process,
    resources=_resources,
    row_resources=media_digests,
    versions=_versions,
)
