"""Kinetics: what fluxes cost in protein, for the filled model of each genome, and the model file that keeps it.

Tables `kcats`, `enzyme_costs`, `ec_fba`, `ec_fva`, `ec_summary`, `ec_tuning`; models in `ec_models`. Each enzyme gets
the best turnover number known for it, each reaction and direction the cost of its cheapest enzyme, and the sum of all
costs a pool P = protein x share of it that is enzymes x saturation. Growth is given at several pools and over draws of
all kcats at once, for both are uncertain. A genome of which no such model can be made (no growth even without costs, a
pool too small for any, no gene rules) is no failure: its plain model stands, and `ec_summary` says why.

`costs.py` rules and kcats to costs · `readers.py` others' tables · `sources.py` the tiers · `ecmodel.py` network and
program · `draws.py` uncertainty · `tuning.py` measured growth.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gemforest.config import WORKFLOW, parameter
from gemforest.errors import GenomeError, InputError
from gemforest.fluxes import boundary, growth, with_bounds
from gemforest.kinetics.costs import (
    FORWARD,
    REVERSE,
    Costs,
    Enzymes,
    enzyme_costs,
    find_enzymes,
    in_words,
    reaction_costs,
)
from gemforest.kinetics.draws import Draws, draw_log10_kcats, gene_clusters, solve_draws
from gemforest.kinetics.ecmodel import BACKWARD, POOL_EXCHANGE, PoolProgram, PoolRanges, PoolState, constrained_network
from gemforest.kinetics.predictor import RESOURCE, ec_means, load_predictor
from gemforest.kinetics.readers import read_kcats, read_measurements
from gemforest.kinetics.sources import TIERS, Genome, Kcats, Knowledge, find_kcats, structured
from gemforest.kinetics.structures import RESOURCE as COMPOUND_STRUCTURES
from gemforest.kinetics.structures import read_structures
from gemforest.kinetics.tuning import ANNEALING, MAP, Tuned, to_measured, tune, used_protein
from gemforest.ledger import Reason
from gemforest.lp import Status
from gemforest.media import Media, exchange_bounds, media_digests, read_media
from gemforest.models import Network
from gemforest.stage import Context, Products, Stage, Task
from gemforest.store import file_sha256
from gemforest.tables import TABLES
from gemforest.universe import load_universe, subnetwork

OXYGEN = "o2"
SMALLEST_FLUX = 1e-9
MG_PER_G = 1000.0
GROWTH_COLUMN = "growth_per_h"
BETTER_THAN_CLASS = frozenset(TIERS[:4])
TABLES_WRITTEN = ("kcats", "enzyme_costs", "ec_fba", "ec_fva", "ec_summary", "ec_tuning")


def process(task: Task) -> Products:
    """Constrain the filled model of one genome."""
    if not task.parameters["kinetics.enabled"]:
        return Products({table: TABLES[table].empty() for table in TABLES_WRITTEN})
    rows = task.read("model_reactions", ["reaction", "gpr", "lower_bound", "upper_bound"]).to_pylist()
    name = task.read("drafts", ["universe"])["universe"][0].as_py()
    gprs = {row["reaction"]: row["gpr"] for row in rows}
    bounds = {row["reaction"]: (row["lower_bound"], row["upper_bound"]) for row in rows}
    whole = subnetwork(load_universe(name, task.context.cache), list(gprs), gprs, task.genome_id)
    proteins = task.read("proteins", ["gene_id", "seq_key", "sequence", "mass_g_per_mol", "ec"])
    return constrain(task, with_bounds(whole, bounds), proteins, _domain(name))


@dataclass(frozen=True)
class _Absent:
    """Why a genome has no enzyme-constrained model.

    Attributes
    ----------
    needed
        Protein at the least growth that counts, mg gDW^-1; NaN where no pool would do.
    """

    reason: Reason
    detail: str
    needed: float = np.nan


@dataclass(frozen=True)
class _Found:
    """What was worked out for one genome; without `model`, `absent` says why."""

    network: Network
    enzymes: Enzymes
    kcats: Kcats
    costs: Costs
    pool: float
    state: PoolState
    fluxes: PoolState
    plain_growth: float
    draws: Draws | None = None
    ranges: PoolRanges | None = None
    tuned: Tuned | None = None
    sweep: Mapping[float, float] = field(default_factory=dict)
    model: Network | None = None
    absent: _Absent | None = None


def constrain(task: Task, network: Network, proteins: pa.Table, domain: str) -> Products:
    """All products of the stage for a network with BiGG ids and the proteins of its genes.

    Raises
    ------
    GenomeError
        `solver_failed`: a program without an answer.
    """
    media = read_media(task.context.project / task.context.config["media"])
    medium = task.row["medium"].split(";")[0]
    at_home = _on_medium(task, network, media, medium)
    masses = dict(zip(proteins["gene_id"].to_pylist(), proteins["mass_g_per_mol"].to_pylist(), strict=True))
    enzymes = find_enzymes(at_home, masses, _copies(task))
    known = _knowledge(task)
    kcats = find_kcats(at_home, enzymes, _genome(task, proteins, domain), known)
    found = _solve(task, at_home, enzymes, kcats)
    rows = {
        "kcats": list(_kcat_rows(task.genome_id, found)),
        "enzyme_costs": list(_cost_rows(task.genome_id, found)),
        "ec_fba": [
            *_flux_rows(task.genome_id, _place(found.network, medium), found.network, found.fluxes, found.draws),
            *_elsewhere(task, network, media, found),
        ],
        "ec_fva": list(_range_rows(task, _place(found.network, medium), found)),
        "ec_summary": list(_summary_rows(task, medium, found, known.structures)),
        "ec_tuning": list(_tuning_rows(task.genome_id, medium, found)),
    }
    tables = {name: pa.Table.from_pylist(rows[name], schema=TABLES[name].schema) for name in TABLES_WRITTEN}
    return Products(tables, {"ec_models": found.model} if found.model is not None else {})


def _solve(task: Task, network: Network, enzymes: Enzymes, kcats: Kcats) -> _Found:
    """Growth with and without the constraint, its file, ranges, draws."""
    n, least = len(network.reactions), task.parameters["growth.threshold_per_h"]
    plain_status, plain_growth = growth(network)
    absent = None
    if not len(enzymes):
        absent = _Absent(
            Reason.NO_ENZYMES, "no reaction has a gene rule that costs protein; expected a model with gene rules"
        )
    elif plain_status is not Status.OPTIMAL or plain_growth < least:
        says = f"the model without enzyme costs ends {plain_status} at {plain_growth:.3g} 1/h"
        absent = _Absent(Reason.NO_GROWTH, says)
    if absent is not None:
        costs = reaction_costs(enzymes, enzyme_costs(enzymes.mass, kcats.log10), n)
        nothing = PoolState(plain_status, np.nan, np.full(n, np.nan), np.nan, np.nan)
        return _Found(
            network, enzymes, kcats, costs, _pool(task.parameters), nothing, nothing, plain_growth, absent=absent
        )
    program = PoolProgram(network)
    pool, factors = _pool(task.parameters), task.parameters["kinetics.pool_factors"]
    target = _measured_growth(task)
    tuned = condition = None
    believed = kcats
    method = task.parameters["kinetics.tuning"]
    if target is not None and method != "off":
        limits = pool * min(factors), pool * max(factors)
        # Each draw is tuned too, and annealing has no optimum that they could share.
        of_draws = MAP if method == ANNEALING else method
        condition = to_measured(program, enzymes, kcats, pool, limits, target, of_draws)
        tuned = tune(program, enzymes, kcats, pool, limits, target, method)
        kcats, pool = tuned.kcats, tuned.pool
    costs = reaction_costs(enzymes, enzyme_costs(enzymes.mass, kcats.log10), n)
    program.set_costs(costs, pool)
    state = program.grow()
    fluxes = program.least_flux(state.growth) if state.status is Status.OPTIMAL else state
    if state.status is not Status.OPTIMAL or state.growth < least:
        absent = _too_small(program, network, costs, enzymes, pool, least)
    sweep = {}
    for factor in factors:
        program.set_pool(pool * factor)
        sweep[factor] = program.grow().growth
    program.set_pool(pool)
    model = ranges = None
    if absent is None:
        model = constrained_network(network, costs, pool, _notes(network, enzymes, kcats, costs))
    if absent is None and task.parameters["kinetics.fva"] == "full":
        ranges = program.ranges(task.parameters["kinetics.fva_fraction"] * state.growth)
    draws = None
    if count := task.parameters["kinetics.draws"]:
        log10 = draw_log10_kcats(believed, gene_clusters(enzymes.genes), count, seed=0)
        draws = solve_draws(program, enzymes, log10, pool, condition)
    return _Found(
        network, enzymes, kcats, costs, pool, state, fluxes, plain_growth, draws, ranges, tuned, sweep, model, absent
    )


def _too_small(
    program: PoolProgram, network: Network, costs: Costs, enzymes: Enzymes, pool: float, least: float
) -> _Absent:
    """A pool that carries no growth: what is needed, and by whom."""
    needed = program.least_protein(least)
    if needed.status is not Status.OPTIMAL:
        raise GenomeError(Reason.SOLVER_FAILED, f"least protein for {least:g} 1/h ended {needed.status}")
    used = used_protein(costs, needed.fluxes, len(enzymes))
    largest = ", ".join(
        f"{network.reactions[enzymes.reaction[e]]} ({'+'.join(enzymes.genes[e])}) {used[e]:.3g}"
        for e in np.argsort(-used)[:10]
        if used[e] > 0.0
    )
    return _Absent(
        Reason.POOL_TOO_SMALL,
        f"growth of {least:g} 1/h needs {needed.used:.4g} mg/gDW of enzymes, the pool holds {pool:.4g}; the largest "
        f"consumers, mg/gDW: {largest}; raise kinetics.protein_g_per_gdw or give better kcats for these",
        needed.used,
    )


# -- what goes in ------------------------------------------------------------------------------------------------------


def _pool(parameters: Mapping[str, Any]) -> float:
    """P, mg gDW^-1."""
    parts = ("kinetics.protein_g_per_gdw", "kinetics.enzyme_share", "kinetics.saturation")
    return MG_PER_G * float(np.prod([parameters[key] for key in parts]))


def _on_medium(task: Task, network: Network, media: Media, medium: str) -> Network:
    uptake = task.parameters["growth.uptake"]
    return with_bounds(network, exchange_bounds(network, media.uptakes(medium, uptake), uptake))


def _place(network: Network, medium: str) -> dict[str, str]:
    """Medium, and whether it offers oxygen."""
    index = {reaction: j for j, reaction in enumerate(network.reactions)}
    j = index.get(f"EX_{OXYGEN}_e")
    return {"medium": medium, "condition": "aerobic" if j is not None and network.lower[j] < 0.0 else "anaerobic"}


def _domain(universe: str) -> str:
    return "archaea" if "archaea" in universe else "bacteria"


def _genome(task: Task, proteins: pa.Table, domain: str) -> Genome:
    genes = proteins["gene_id"].to_pylist()
    ecs: dict[tuple[str, str], list[str]] = {
        ("", reaction): list(numbers) for reaction, numbers in reaction_ecs(reaction_ecs_path()).items()
    }
    for call in task.read("gene_reactions", ["gene_id", "reaction", "ec"]).to_pylist():
        if call["ec"]:
            ecs.setdefault((call["gene_id"], call["reaction"]), []).extend(call["ec"])
    return Genome(
        task.genome_id,
        dict(zip(genes, proteins["seq_key"].to_pylist(), strict=True)),
        dict(zip(genes, proteins["sequence"].to_pylist(), strict=True)),
        ecs,
        domain,
    )


def reaction_ecs_path() -> Path:
    """Table of EC numbers of BiGG reactions."""
    return WORKFLOW.parent / "resources" / "reaction_ecs.tsv"


@lru_cache(maxsize=2)
def reaction_ecs(path: Path) -> dict[str, tuple[str, ...]]:
    """BiGG reaction to EC numbers."""
    with path.open(encoding="utf-8") as handle:
        return {row["reaction"]: tuple(row["ec"].split()) for row in csv.DictReader(handle, delimiter="\t")}


def _knowledge(task: Task) -> Knowledge:
    project = task.context.project
    return knowledge(
        tuple(project / path for path in task.parameters["kinetics.kcat_tables"]),
        tuple(project / path for path in task.parameters["kinetics.measured_tables"]),
        tuple(project / path for path in task.parameters["kinetics.structure_tables"]),
    )


@lru_cache(maxsize=2)
def knowledge(tables: tuple[Path, ...], measured: tuple[Path, ...], structures: tuple[Path, ...] = ()) -> Knowledge:
    """All that the config names, read once per process.

    Raises
    ------
    InputError
        A table cannot be used.
    """
    predictor = load_predictor()
    return Knowledge(
        classes=ec_means(),
        classes_source=predictor.version,
        predictor=predictor,
        structures={metabolite: found.smiles for metabolite, found in read_structures(structures).items()},
        entries=[entry for path in tables for entry in read_kcats(path)],
        measurements=[value for path in measured for value in read_measurements(path)],
    )


def _copies(task: Task) -> dict[tuple[str, str], float] | None:
    path = task.parameters["kinetics.subunit_table"]
    return read_copies(task.context.project / path) if path else None


@lru_cache(maxsize=2)
def read_copies(path: Path) -> dict[tuple[str, str], float]:
    """(reaction, gene) to copies of the subunit, of a table with these columns; InputError where it is none."""
    found = {}
    for number, row in _lines(path, ("reaction", "gene", "copies")):
        try:
            copies = float(row["copies"])
        except ValueError:
            copies = 0.0
        if not 0.0 < copies < np.inf:
            raise InputError(f"{path}, line {number}: copies {row['copies']!r}; expected a number above 0")
        found[row["reaction"] or "*", row["gene"]] = copies
    return found


def _measured_growth(task: Task) -> float | None:
    """Growth rate of the genome on its first medium, from the sheet's column or the config's table."""
    medium = task.row["medium"].split(";")[0]
    path = task.parameters["kinetics.growth_rates"]
    rates = read_growth_rates(task.context.project / path) if path else {}
    return _growth_in_sheet(task.row) or rates.get((task.genome_id, medium), rates.get((task.genome_id, "")))


def _growth_in_sheet(row: Mapping[str, str]) -> float | None:
    text = json.loads(row.get("tags") or "{}").get(GROWTH_COLUMN, "")
    return _rate(text, f"genome {row['genome_id']}, column {GROWTH_COLUMN} of the sheet") if text else None


@lru_cache(maxsize=2)
def read_growth_rates(path: Path) -> dict[tuple[str, str], float]:
    """(genome_id, medium) to growth, h^-1, of a table with these columns; InputError where it is none."""
    return {
        (row["genome_id"], row["medium"] or ""): _rate(row[GROWTH_COLUMN], f"{path}, line {number}")
        for number, row in _lines(path, ("genome_id", "medium", GROWTH_COLUMN))
    }


def _rate(text: str, where: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.0 < rate < 20.0:
        raise InputError(f"{where}: growth {text!r}; expected 1/h, above 0 and below 20, or nothing")
    return rate


def _lines(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    reader = csv.DictReader(text.splitlines(), delimiter="\t")
    if not set(columns) <= set(reader.fieldnames or ()):
        raise InputError(f"{path}: expected the columns {', '.join(columns)}, tab-separated; found {reader.fieldnames}")
    for row in reader:
        yield reader.line_num, {name: (row[name] or "").strip() for name in columns}


# -- what comes out ----------------------------------------------------------------------------------------------------


def _notes(network: Network, enzymes: Enzymes, kcats: Kcats, costs: Costs) -> dict[str, dict[str, str]]:
    """Reaction id of the model file to where its cost is from."""
    notes = {}
    for ending, cost, cheapest in (
        ("", costs.forward, costs.cheapest_forward),
        (BACKWARD, costs.reverse, costs.cheapest_reverse),
    ):
        for j in np.flatnonzero(cheapest >= 0):
            e = cheapest[j]
            notes[network.reactions[j] + ending] = {
                "KCAT_PER_S": f"{10.0 ** kcats.log10[e]:.6g}",
                "KCAT_LOG10_SD": f"{kcats.sd[e]:.4g}",
                "KCAT_TIER": kcats.tier[e],
                "KCAT_SOURCE": kcats.source[e],
                "ENZYME": " ".join(enzymes.genes[e]),
                "ENZYME_COST_MG_H_PER_MMOL": f"{cost[j]:.6g}",
            }
    return notes


def _kcat_rows(genome_id: str, found: _Found) -> Iterator[dict[str, Any]]:
    enzymes, kcats = found.enzymes, found.kcats
    for e, genes in enumerate(enzymes.genes):
        yield {
            "genome_id": genome_id,
            "reaction": found.network.reactions[enzymes.reaction[e]],
            "direction": FORWARD if enzymes.forward[e] else REVERSE,
            "genes": list(genes),
            "log10_kcat": float(kcats.log10[e]),
            "log10_sd": float(kcats.sd[e]),
            "kcat_per_s": float(10.0 ** kcats.log10[e]),
            "tier": kcats.tier[e],
            "source": kcats.source[e],
            "source_version": kcats.version[e],
            "substrate": kcats.substrate[e],
        }


def _cost_rows(genome_id: str, found: _Found) -> Iterator[dict[str, Any]]:
    costs = found.costs
    ends = ((FORWARD, costs.forward, costs.cheapest_forward), (REVERSE, costs.reverse, costs.cheapest_reverse))
    for j, reaction in enumerate(found.network.reactions):
        for direction, cost, cheapest in ends:
            if cheapest[j] >= 0:
                yield {
                    "genome_id": genome_id,
                    "reaction": reaction,
                    "direction": direction,
                    "cost": float(cost[j]),
                    "genes": list(found.enzymes.genes[cheapest[j]]),
                    "mass_g_per_mol": float(found.enzymes.mass[cheapest[j]]),
                }


def _flux_rows(
    genome_id: str, place: Mapping[str, str], network: Network, state: PoolState, draws: Draws | None
) -> Iterator[dict[str, Any]]:
    """The biomass reaction always; the others where they carry flux, in the optimum or over the draws."""
    quantiles = draws.flux_quantiles() if draws is not None and draws.solved else None
    shown = np.abs(np.nan_to_num(state.fluxes)) > SMALLEST_FLUX
    if quantiles is not None:
        shown |= (np.abs(quantiles) > SMALLEST_FLUX).any(axis=0)
    shown[network.biomass] = True
    optimal = state.status is Status.OPTIMAL
    for j in np.flatnonzero(shown):
        low, middle, high = (None,) * 3 if quantiles is None else (float(q) for q in quantiles[:, j])
        yield {
            "genome_id": genome_id,
            **place,
            "status": str(state.status),
            "reaction": network.reactions[j],
            "flux": float(state.fluxes[j]) if optimal else None,
            "flux_p05": low,
            "flux_median": middle,
            "flux_p95": high,
            "draws": None if draws is None else draws.solved,
        }


def _elsewhere(task: Task, network: Network, media: Media, found: _Found) -> Iterator[dict[str, Any]]:
    """Fluxes of the point estimate on the genome's other media."""
    if not len(found.enzymes):
        return
    for medium in task.row["medium"].split(";")[1:]:
        there = _on_medium(task, network, media, medium)
        try:
            program = PoolProgram(there)
            program.set_costs(found.costs, found.pool)
            state = program.grow()
            if state.status is Status.OPTIMAL:
                state = program.least_flux(state.growth)
        except ValueError:  # nothing flows here, not even maintenance
            nothing = np.full(len(network.reactions), np.nan)
            state = PoolState(Status.INFEASIBLE, np.nan, nothing, np.nan, np.nan)
        yield from _flux_rows(task.genome_id, _place(there, medium), there, state, None)


def _range_rows(task: Task, place: Mapping[str, str], found: _Found) -> Iterator[dict[str, Any]]:
    if found.ranges is None:
        return
    for j, reaction in enumerate(found.network.reactions):
        low, high = found.ranges.minimum[j], found.ranges.maximum[j]
        yield {
            "genome_id": task.genome_id,
            **place,
            "status": str(found.ranges.status[j]),
            "reaction": reaction,
            "fraction": task.parameters["kinetics.fva_fraction"],
            "minimum": None if np.isnan(low) else float(low),
            "maximum": None if np.isnan(high) else float(high),
        }


def _tuning_rows(genome_id: str, medium: str, found: _Found) -> Iterator[dict[str, Any]]:
    for change in found.tuned.changes if found.tuned else ():
        of_pool = change.enzyme < 0
        e = change.enzyme
        yield {
            "genome_id": genome_id,
            "medium": medium,
            "what": "pool" if of_pool else "kcat",
            "reaction": "" if of_pool else found.network.reactions[found.enzymes.reaction[e]],
            "direction": "" if of_pool else FORWARD if found.enzymes.forward[e] else REVERSE,
            "genes": [] if of_pool else list(found.enzymes.genes[e]),
            "before": change.before,
            "after": change.after,
            "method": change.method,
            "reason": change.reason,
        }


@dataclass(frozen=True)
class _Figure:
    measure: str
    value: float
    unit: str = ""
    flagged: bool = False
    detail: str = ""


def _summary_rows(task: Task, medium: str, found: _Found, structures: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for figure in (*_figures(found), *_structured_shares(found, structures)):
        yield {
            "genome_id": task.genome_id,
            "medium": medium,
            "measure": figure.measure,
            "value": None if np.isnan(figure.value) else float(figure.value),
            "unit": figure.unit,
            "flagged": figure.flagged,
            "detail": figure.detail,
        }


def _figures(found: _Found) -> Iterator[_Figure]:
    absent = found.absent
    says = "" if absent is None else f"{absent.reason}: {absent.detail}"
    yield _Figure("ec_model", float(absent is None), flagged=absent is not None, detail=says)
    yield _Figure("growth", found.state.growth, "h^-1")
    yield _Figure("growth_without_enzyme_costs", found.plain_growth, "h^-1")
    yield _Figure("pool", found.pool, "mg gDW^-1")
    if absent is not None:
        yield _Figure("protein_needed", absent.needed, "mg gDW^-1")
    else:
        yield _Figure("protein_used", found.fluxes.used, "mg gDW^-1")
        limited = found.state.shadow_price > 0.0
        says = "" if limited else "more protein would not raise growth: uptake or another bound limits this model"
        yield _Figure("enzyme_limited", float(limited), flagged=not limited, detail=says)
    for factor, rate in found.sweep.items():
        yield _Figure(f"growth_at_pool_x{factor:g}", rate, "h^-1")
    if found.draws is not None:
        for name, value in zip(("p05", "median", "p95"), found.draws.growth_quantiles(), strict=True):
            yield _Figure(f"growth_draws_{name}", float(value), "h^-1")
        count, solved = len(found.draws.growth), found.draws.solved
        lost = "" if solved == count else f"{count - solved} of {count} draws cannot even keep the cell alive"
        yield _Figure("draws_solved", solved, flagged=solved < count, detail=lost)
    yield from _shares(found)
    yield from _tier_figures(found)
    for sentence in in_words(found.enzymes, found.network):
        yield _Figure("genes_with_median_mass", len(found.enzymes.lacking), flagged=True, detail=sentence)
    if found.tuned is not None:
        yield _Figure("growth_tuned", found.tuned.growth, "h^-1", not found.tuned.changes, found.tuned.verdict)


def _shares(found: _Found) -> Iterator[_Figure]:
    """How much of the model the constraint sees."""
    network = found.network
    inner = ~boundary(network)
    inner[network.biomass] = False
    costed = found.costs.costed
    flux = np.abs(np.nan_to_num(found.fluxes.fluxes))
    yield _Figure("costed_share_of_reactions", float(costed[inner].mean()))
    yield _Figure("costed_share_of_flux", float(flux[inner & costed].sum() / max(flux[inner].sum(), 1e-300)))
    used = used_protein(found.costs, found.fluxes.fluxes, len(found.enzymes))
    largest = [e for e in np.argsort(-used)[:10] if used[e] > 0.0]
    listed = ", ".join(f"{network.reactions[found.enzymes.reaction[e]]} {used[e]:.3g}" for e in largest)
    yield _Figure("largest_consumer", float(used.max(initial=0.0)), "mg gDW^-1", detail=listed)


def _structured_shares(found: _Found, structures: Mapping[str, str]) -> Iterator[_Figure]:
    """How much of the model substrate structures cover."""
    network = found.network
    inner = ~boundary(network)
    inner[network.biomass] = False
    metabolites, reactions = structured(network, structures)
    flux = np.abs(np.nan_to_num(found.fluxes.fluxes))
    yield _Figure("structures_share_of_metabolites", float(metabolites.mean()))
    says = "with a compound of known structure that is no currency"
    yield _Figure("structures_share_of_reactions", float(reactions[inner].mean()), detail=says)
    share = float(flux[inner & reactions].sum() / max(flux[inner].sum(), 1e-300))
    yield _Figure("structures_share_of_flux", share, detail=says)


def _tier_figures(found: _Found) -> Iterator[_Figure]:
    """Where the kcats are from, by count and by protein used."""
    used = used_protein(found.costs, found.fluxes.fluxes, len(found.enzymes))
    tiers = np.array(found.kcats.tier)
    total = max(float(used.sum()), 1e-300)
    known = found.kcats.counts()
    for tier in TIERS:
        share = float(used[tiers == tier].sum() / total)
        yield _Figure(f"kcats_{tier}", known.get(tier, 0), detail=f"{share:.1%} of the protein used")
    if found.kcats.unused:
        says = "lines of user tables that name genes or reactions of this model, with a substrate that they do not take"
        yield _Figure("user_kcats_unused", found.kcats.unused, flagged=True, detail=says)
    if len(tiers) and not BETTER_THAN_CLASS & set(known):
        says = "no kcat is better than the mean of a class: growth and ranges say what enzymes weigh, little more"
        yield _Figure("class_means_only", 1.0, flagged=True, detail=says)


# -- the stage ---------------------------------------------------------------------------------------------------------


def _resources(context: Context) -> dict[str, str]:
    """Digests of all tables; they are read here too, so that what is wrong with them stops the job before it starts."""
    config = context.config
    if not parameter(config, "kinetics.enabled"):
        return {}
    found = {"reaction_ecs": file_sha256(reaction_ecs_path()), "structures": file_sha256(COMPOUND_STRUCTURES)}
    found |= {f"kcat/{path.name}": file_sha256(path) for path in sorted(RESOURCE.iterdir()) if path.is_file()}
    for key, read in (
        ("kinetics.kcat_tables", read_kcats),
        ("kinetics.measured_tables", read_measurements),
        ("kinetics.structure_tables", lambda path: read_structures([path])),
    ):
        for path in parameter(config, key):
            read(context.project / path)
            found[path] = file_sha256(context.project / path)
    if path := parameter(config, "kinetics.subunit_table"):
        read_copies(context.project / path)
        found[path] = file_sha256(context.project / path)
    return found


def _row_resources(context: Context, row: Mapping[str, str]) -> dict[str, str]:
    """The row's media, and its measured growth."""
    if not parameter(context.config, "kinetics.enabled"):
        return {}
    found = media_digests(context, row)
    found[GROWTH_COLUMN] = str(_growth_in_sheet(row))
    if path := parameter(context.config, "kinetics.growth_rates"):
        rates = read_growth_rates(context.project / path)
        found["rates"] = str(sorted((m, rate) for (genome, m), rate in rates.items() if genome == row["genome_id"]))
    return found


def _versions(_context: Context) -> dict[str, str]:
    from importlib import metadata

    return {"highspy": metadata.version("highspy")}


STAGE = Stage(
    name="kinetics",
    version=4,
    reads=("model_reactions", "drafts", "proteins", "gene_reactions"),
    writes=TABLES_WRITTEN,
    parameters=(
        "growth.threshold_per_h",
        "growth.uptake",
        "kinetics.enabled",
        "kinetics.protein_g_per_gdw",
        "kinetics.enzyme_share",
        "kinetics.saturation",
        "kinetics.pool_factors",
        "kinetics.kcat_tables",
        "kinetics.measured_tables",
        "kinetics.structure_tables",
        "kinetics.subunit_table",
        "kinetics.growth_rates",
        "kinetics.tuning",
        "kinetics.draws",
        "kinetics.fva",
        "kinetics.fva_fraction",
    ),
    row_fields=("medium",),
    process=process,
    folders=("ec_models",),
    resources=_resources,
    row_resources=_row_resources,
    versions=_versions,
    switch="kinetics.enabled",
)
__all__ = ["GROWTH_COLUMN", "POOL_EXCHANGE", "STAGE", "constrain", "process"]
