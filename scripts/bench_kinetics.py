"""What enzyme costs do for curated models of E. coli, beside models without them, and what they cost.

    python scripts/bench_kinetics.py --data SHARED [--project FOLDER] [--quick] [--only NAME] [--json FILE]

NAME is one of those that `--list` prints; a prefix chooses several. `--data` is the shared data folder (its `kinetics`
is used), `--project` a finished project, whose models give the cost per genome. iJO1366 and the core model are those
inside cobra, the proteome is the one inside carveme. Run it on a quiet machine with OMP_NUM_THREADS=1.

growth    24 carbon sources (Adadi et al., PLoS Comput. Biol. 8, e1002575, 2012): the pool is fitted on glucose (0.66
          1/h), uptake is unlimited, and the root mean square error is over the other 23; `tuned` is the same with what
          the stage does with a measured rate: pool and kcats moved together, on glucose alone; `pool_first` with the
          pool as far as it is plausible, then kcats.
ranges    median width of the flux ranges of all reactions on glucose (10 mmol/gDW/h), growth at 80 % of the plain
          model's, the pool fitted so that the constrained model reaches 90 % of it.
fluxes    share of 46 flux intervals of 13C analysis that the ranges overlap, the pool fitted to the measured growth
          and at least 90 % of it kept, 58 % (as in kinGEMs' ranges), or none; `turned` reads three reactions in the
          direction that was measured.
knockouts lethal genes of RB-TnSeq (log2 fitness <= -2) by growth ratio, gene by gene and carbon source by source.
          `predicted_without_ecoli` is a predictor trained without E. coli's proteins (`train_kcat.py --without`),
          of the folder that `--without-ecoli` names.
core      e_coli_core with the kcats of CPI-Pred: isozymes all paid for, by kinGEMs' rules, and the cheapest one.
files     each model file of the project in cobrapy: growth and ranges beside the tables'.
cost      CPU seconds per genome of the stage, one after another in one process, nothing kept of earlier runs but
          what RDKit worked out; the last run brings growth to 99 % of the plain model's.
batch     a shard of 16 made-up strains of E. coli, each with a tenth of its genes changed by one residue.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
from Bio import SeqIO

from gemforest.config import complete
from gemforest.evaluation.metrics import auc
from gemforest.fluxes import fva, growth, with_bounds
from gemforest.gprs import genes_of, parse_gpr, works
from gemforest.kinetics import GROWTH_COLUMN, STAGE, knowledge, process, reaction_ecs, reaction_ecs_path
from gemforest.kinetics.costs import Costs, Enzymes, clauses, enzyme_costs, find_enzymes, reaction_costs
from gemforest.kinetics.draws import draw_log10_kcats, gene_clusters
from gemforest.kinetics.ecmodel import PoolProgram
from gemforest.kinetics.predictor import ec_means, load_predictor
from gemforest.kinetics.readers import read_kcats
from gemforest.kinetics.sources import Genome, Kcats, Knowledge, find_kcats
from gemforest.kinetics.structures import read_structures
from gemforest.kinetics.tuning import JOINT, MAP, tune
from gemforest.lp import Status
from gemforest.models import Network, read_sbml
from gemforest.sequences import molecular_masses, normalise, seq_key
from gemforest.stage import Context, Task
from gemforest.store import Store

GLUCOSE = "EX_glc__D_e"
SEED = 20240
# The table of 13C intervals gives these as synthesis (of aspartate, ribose 5-phosphate, glutamate), which BiGG writes
# from right to left: positive there is negative here.
TURNED = frozenset({"ASPTA", "RPI", "GLUDy"})
# Share of the measured growth that is kept. kinGEMs' ranges are for 0.436 1/h and more (its ammonia uptake over the
# biomass's nitrogen), 0.58 of the rate measured beside the intervals.
SHARES = {0.9: "", 0.58: "/kingems_growth", 0.0: "/any_growth"}
Record = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """Where the data lie and how much is asked."""

    data: Path
    project: Path | None
    quick: bool
    without_ecoli: Path | None
    draws: int
    permutations: int = 3
    sets: tuple[str, ...] = ()

    @property
    def kinetics(self) -> Path:
        """Its part that is used here."""
        return self.data / "kinetics"


def package_file(package: str, *parts: str) -> Path:
    """A file inside an installed package."""
    found = util.find_spec(package)
    assert found is not None and found.origin is not None, f"{package} is not installed"
    return Path(found.origin).parent.joinpath(*parts)


# -- the model and its kcats -------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def proteome() -> dict[str, str]:
    """Gene of E. coli K-12 to its protein."""
    path = package_file("carveme", "data", "benchmark", "fasta", "Ecoli_K12_MG1655.faa")
    return {record.id: normalise(str(record.seq).encode()).decode() for record in SeqIO.parse(path, "fasta")}


@lru_cache(maxsize=1)
def ijo1366() -> tuple[Network, Enzymes]:
    """The curated model and its enzymes."""
    network = read_sbml(package_file("cobra", "data", "iJO1366.xml.gz"))
    sequences = proteome()
    masses = dict(zip(sequences, molecular_masses([s.encode() for s in sequences.values()]), strict=True))
    return network, find_enzymes(network, masses)


def genome() -> Genome:
    """What the tiers ask of E. coli."""
    sequences = proteome()
    keys = {gene: seq_key(sequence.encode()) for gene, sequence in sequences.items()}
    ecs = {("", reaction): numbers for reaction, numbers in reaction_ecs(reaction_ecs_path()).items()}
    return Genome("Ecoli_K12_MG1655", keys, sequences, ecs, "bacteria")


def costs_of(enzymes: Enzymes, log10_kcat: np.ndarray, network: Network) -> Costs:
    """Costs of all reactions; a kcat that is NaN makes the enzyme free."""
    log10 = np.where(np.isnan(log10_kcat), 30.0, log10_kcat)
    return reaction_costs(enzymes, enzyme_costs(enzymes.mass, log10), len(network.reactions))


def autopacmen(setting: Setting, network: Network, enzymes: Enzymes) -> np.ndarray:
    """log10 of the measured kcats that AutoPACMEN chose for iJO1366 (e); NaN where it has none."""
    path = setting.kinetics / "autopacmen" / "iJO1366_psb_orth_reactions_kcat_mapping_combined.json"
    table = json.loads(path.read_text())
    values = [
        table.get(network.reactions[j], {}).get("forward" if forward else "reverse", np.nan)
        for j, forward in zip(enzymes.reaction, enzymes.forward, strict=True)
    ]
    return np.log10(np.array(values, dtype=float))


@lru_cache(maxsize=2)
def predicted(folder: Path | None = None) -> Kcats:
    """Kcats of the shipped predictor (or another folder's) for iJO1366."""
    network, enzymes = ijo1366()
    structures = {metabolite: found.smiles for metabolite, found in read_structures().items()}
    known = Knowledge(classes=ec_means(folder), predictor=load_predictor(folder), structures=structures)
    return find_kcats(network, enzymes, genome(), known)


def sources(setting: Setting) -> dict[str, np.ndarray]:
    """Name of a set of kcats to log10 kcat (e)."""
    network, enzymes = ijo1366()
    kcats = predicted()
    means = find_kcats(network, enzymes, genome(), Knowledge(classes=ec_means()))
    random = np.random.default_rng(SEED)
    found = {
        "constant": np.full(len(enzymes), 1.137),
        "autopacmen": autopacmen(setting, network, enzymes),
        "class_means": means.log10,
        "predicted": kcats.log10,
    }
    if setting.without_ecoli:
        found["predicted_without_ecoli"] = predicted(setting.without_ecoli).log10
    for k in range(1 if setting.quick else setting.permutations):
        found[f"predicted_permuted_{k}"] = random.permutation(kcats.log10)
    return {name: log10 for name, log10 in found.items() if not setting.sets or name in setting.sets}


# -- growth on carbon sources ------------------------------------------------------------------------------------------


class CarbonSources:
    """Growth of iJO1366 on each source, the pool fitted on glucose."""

    def __init__(self, setting: Setting) -> None:
        self.network, self.enzymes = ijo1366()
        path = setting.kinetics / "growth_rates" / "ecoli_24_carbon_growth_exp.csv"
        with path.open(encoding="utf-8") as handle:
            self.measured = {row[""]: float(row["EXP"]) for row in csv.DictReader(handle)}
        self.index = {reaction: j for j, reaction in enumerate(self.network.reactions)}
        self.open = with_bounds(self.network, dict.fromkeys(self.measured, (-1000.0, 1000.0)))
        self.program = PoolProgram(self.open)

    def rates(self, log10_kcat: np.ndarray) -> tuple[dict[str, float], float]:
        """Source to growth, and the pool."""
        self.program.set_costs(costs_of(self.enzymes, log10_kcat, self.network))
        self._offer(GLUCOSE)
        pool = self.program.least_protein(self.measured[GLUCOSE]).used
        self.program.set_pool(pool)
        return self._each(), pool

    def tuned_rates(self, kcats: Kcats, method: str = JOINT) -> dict[str, float]:
        """Source to growth, pool and kcats brought to growth on glucose; `joint` is what the stage does by default."""
        config = complete({})["kinetics"]
        pool = 1000.0 * config["protein_g_per_gdw"] * config["enzyme_share"] * config["saturation"]
        limits = pool * min(config["pool_factors"]), pool * max(config["pool_factors"])
        self.program.set_costs(costs_of(self.enzymes, kcats.log10, self.network))
        self._offer(GLUCOSE)
        tuned = tune(self.program, self.enzymes, kcats, pool, limits, self.measured[GLUCOSE], method)
        self.program.set_costs(costs_of(self.enzymes, tuned.kcats.log10, self.network), tuned.pool)
        return self._each()

    def _each(self) -> dict[str, float]:
        found = {}
        for source in self.measured:
            self._offer(source)
            state = self.program.grow()
            found[source] = state.growth if state.status is Status.OPTIMAL else 0.0
        return found

    def error(self, rates: Mapping[str, float]) -> float:
        """Root mean square over all but glucose, h^-1."""
        differences = [rates[s] - self.measured[s] for s in self.measured if s != GLUCOSE]
        return float(np.sqrt(np.mean(np.square(differences))))

    def _offer(self, source: str) -> None:
        lower = self.open.lower.copy()
        for other in self.measured:
            lower[self.index[other]] = -1000.0 if other == source else 0.0
        self.program.set_bounds(lower, self.open.upper)


def bench_growth(setting: Setting) -> Iterator[Record]:
    """Error of growth on 23 carbon sources, per set of kcats and over draws."""
    screen = CarbonSources(setting)
    for name, log10 in sources(setting).items():
        rates, pool = screen.rates(log10)
        correlation = float(np.corrcoef([rates[s] for s in rates], [screen.measured[s] for s in rates])[0, 1])
        yield {
            "what": f"growth/rmse/{name}",
            "value": screen.error(rates),
            "unit": "1/h",
            "peer": "AutoPACMEN's kcats and masses, as published",
            "peer_value": 0.170,
            "pool_mg_per_gdw": pool,
            "correlation": correlation,
            "sources": len(rates) - 1,
        }
    for name, kcats in tunable(setting).items():
        for what, method in (("tuned", JOINT), ("pool_first", MAP)):
            rates = screen.tuned_rates(kcats, method)
            truth = [screen.measured[s] for s in rates]
            yield {
                "what": f"growth/{what}/{name}",
                "value": screen.error(rates),
                "unit": "1/h",
                "correlation": float(np.corrcoef([rates[s] for s in rates], truth)[0, 1]),
                "mean_growth": float(np.mean(list(rates.values()))),
            }
    for name, kcats in predictions(setting).items():
        draws = draw_log10_kcats(kcats, gene_clusters(screen.enzymes.genes), setting.draws, SEED)
        yield over_draws(screen, f"growth/rmse/{name}_draws", [screen.rates(draw)[0] for draw in draws])
        tuned = [screen.tuned_rates(replace(kcats, log10=draw)) for draw in draws]
        yield over_draws(screen, f"growth/tuned/{name}_draws", tuned)


def predictions(setting: Setting) -> dict[str, Kcats]:
    """Kcats of the shipped predictor, and of the one that has not seen E. coli."""
    folders = {"predicted": None, "predicted_without_ecoli": setting.without_ecoli}
    return {name: predicted(folder) for name, folder in folders.items() if folder or name == "predicted"}


def tunable(setting: Setting) -> dict[str, Kcats]:
    """The sets of kcats with the errors that tuning weighs changes by."""
    _, enzymes = ijo1366()
    kcats, known = predicted(), predictions(setting)
    sd = {"constant": 1.2, "autopacmen": 0.5}
    found = {}
    for name, log10 in sources(setting).items():
        free = np.isnan(log10)
        own = known[name].sd if name in known else np.full(len(enzymes), sd.get(name, 1.2))
        found[name] = replace(kcats, log10=np.where(free, 30.0, log10), sd=np.where(free, 0.0, own))
    return found


def over_draws(screen: CarbonSources, what: str, rates_of: Sequence[Mapping[str, float]]) -> Record:
    """Error of each draw, and of their median."""
    errors = [screen.error(rates) for rates in rates_of]
    others = [s for s in screen.measured if s != GLUCOSE]
    table = np.array([[rates[s] for s in others] for rates in rates_of])
    low, middle, high = np.quantile(table, (0.05, 0.5, 0.95), axis=0)
    truth = np.array([screen.measured[s] for s in others])
    return {
        "what": what,
        "value": float(np.mean(errors)),
        "unit": "1/h",
        "draws": len(errors),
        "lowest": min(errors),
        "highest": max(errors),
        "rmse_of_median": screen.error(dict(zip(others, middle, strict=True))),
        "measured_within_5_to_95_percent": float(np.mean((low <= truth) & (truth <= high))),
    }


# -- flux ranges -------------------------------------------------------------------------------------------------------


def bench_ranges(setting: Setting) -> Iterator[Record]:
    """Median width at equal growth, with nulls."""
    network, enzymes = ijo1366()
    _, best = growth(network)
    plain = fva(network, 0.8)
    widths = {"plain": plain.maximum - plain.minimum}
    program = PoolProgram(network)
    for name, log10 in sources(setting).items():
        program.set_costs(costs_of(enzymes, log10, network))
        program.set_pool(program.least_protein(0.9 * best).used)
        ranges = program.ranges(0.8 * best)
        widths[name] = ranges.maximum - ranges.minimum
    for name, width in widths.items():
        yield {
            "what": f"ranges/median_width/{name}",
            "value": float(np.median(width)),
            "unit": "mmol/gDW/h",
            "peer": "plain model",
            "peer_value": float(np.median(widths["plain"])),
            "median_width_of_unblocked": float(np.median(width[widths["plain"] > 1e-9])),
        }


def bench_fluxes(setting: Setting) -> Iterator[Record]:
    """Overlap with 13C flux intervals."""
    network, enzymes = ijo1366()
    index = {reaction: j for j, reaction in enumerate(network.reactions)}
    with (setting.kinetics / "ecoli" / "iML1515_13C_MFA_46_intervals.csv").open(encoding="utf-8") as handle:
        rows = [(row["rxn_id"], float(row["mfa_lb"]), float(row["mfa_ub"])) for row in csv.DictReader(handle)]
    rate = next((low + high) / 2 for name, low, high in rows if name.startswith("BIOMASS"))
    named = [(network.biomass if r.startswith("BIOMASS") else index.get(r, -1), low, high) for r, low, high in rows]
    known = [(j, low, high) for j, low, high in named if j >= 0]
    asked = np.unique([j for j, _, _ in known])
    ends = {}
    program = PoolProgram(network)
    for share in SHARES:
        plain = fva(network, share * rate / growth(network)[1], reactions=asked)
        ends["plain", share] = plain.minimum, plain.maximum
        for name, log10 in sources(setting).items():
            program.set_costs(costs_of(enzymes, log10, network))
            program.set_pool(program.least_protein(rate).used)
            ranges = program.ranges(share * rate, asked)
            ends[name, share] = ranges.minimum, ranges.maximum
    for (name, share), (minimum, maximum) in ends.items():
        overlap = [minimum[j] <= high + 1e-9 and maximum[j] >= low - 1e-9 for j, low, high in known]
        missed = [network.reactions[j] for (j, _, _), inside in zip(known, overlap, strict=True) if not inside]
        turned = [
            minimum[j] <= -low + 1e-9 and maximum[j] >= -high - 1e-9 if network.reactions[j] in TURNED else inside
            for (j, low, high), inside in zip(known, overlap, strict=True)
        ]
        yield {
            "what": f"fluxes/overlap/{name}{SHARES[share]}",
            "value": float(np.mean(overlap)),
            "unit": "share",
            "peer": "kinGEMs on iML1515, from its own intervals",
            "peer_value": kingems_overlap(setting),
            "turned": float(np.mean(turned)),
            "intervals": len(known),
            "not_in_model": [r for (r, _, _), (j, _, _) in zip(rows, named, strict=True) if j < 0],
            "missed": missed,
        }


def kingems_overlap(setting: Setting) -> float:
    """Share of intervals that kinGEMs' published ranges overlap."""
    with (setting.kinetics / "ecoli" / "iML1515_13C_MFA_46_intervals.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    inside = [
        float(r["fva_lb_kingems"]) <= float(r["mfa_ub"]) and float(r["fva_ub_kingems"]) >= float(r["mfa_lb"])
        for r in rows
    ]
    return float(np.mean(inside))


# -- knock-outs --------------------------------------------------------------------------------------------------------


def bench_knockouts(setting: Setting) -> Iterator[Record]:
    """Lethality by RB-TnSeq: area under the ROC curve and average precision, with and without enzyme costs."""
    network, enzymes = ijo1366()
    with (setting.kinetics / "ecoli" / "ecoli_rbtnseq_fitness_1326x25.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    carbon = [name for name in rows[0] if name != "gene" and f"EX_{name}_e" in network.reactions]
    carbon = carbon[:3] if setting.quick else carbon
    in_model = {gene for rule in network.gprs for gene in genes_of(parse_gpr(rule))}
    rows = [row for row in rows if row["gene"] in in_model]
    genes = [row["gene"] for row in rows]
    lethal = np.array([[float(row[c]) <= -2.0 for c in carbon] for row in rows])
    known = np.array([[row[c] not in ("", "nan") for c in carbon] for row in rows])
    wanted = ("autopacmen", "predicted")
    sets: dict[str, np.ndarray | None] = {"plain": None}
    sets |= {name: log10 for name, log10 in sources(setting).items() if name in wanted}
    for name, log10 in sets.items():
        started = time.process_time()
        ratios = np.stack([growth_ratios(network, enzymes, log10, c, genes) for c in carbon], axis=1)
        labels, scores = lethal[known], -ratios[known]
        yield {
            "what": f"knockouts/auc/{name}",
            "value": auc(labels, scores),
            "average_precision": average_precision(labels, scores),
            "unit": "",
            "genes": len(genes),
            "carbon_sources": len(carbon),
            "lethal_share": float(labels.mean()),
            "seconds": time.process_time() - started,
        }


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Mean over the lethal of the precision at their rank; ties are shared (thresholds, not rows, are walked)."""
    order = np.argsort(-scores, kind="stable")
    found, ranked = np.cumsum(labels[order]), scores[order]
    (ends,) = np.nonzero(np.append(np.diff(ranked) != 0.0, True))
    recalled = np.diff(np.append(0, found[ends])) / labels.sum()
    return float((recalled * found[ends] / (ends + 1.0)).sum())


def growth_ratios(
    network: Network, enzymes: Enzymes, log10: np.ndarray | None, carbon: str, genes: Sequence[str]
) -> np.ndarray:
    """Growth without each gene over growth with it; the pool is that of 0.66 1/h on unlimited glucose."""
    n = len(network.reactions)
    there = with_bounds(network, {GLUCOSE: (0.0, 1000.0)} | {f"EX_{carbon}_e": (-10.0, 1000.0)})
    program = PoolProgram(there)
    costs = Costs(np.zeros(n), np.zeros(n), np.full(n, -1), np.full(n, -1))
    if log10 is not None:
        costs = costs_of(enzymes, log10, network)
    program.set_costs(costs, np.inf if log10 is None else fitted_pool(log10))
    intact = program.grow()
    if intact.status is not Status.OPTIMAL or intact.growth < 1e-6:
        return np.ones(len(genes))
    carrying = np.abs(program.least_flux(intact.growth).fluxes) > 1e-9
    members = [(frozenset(g), int(j)) for g, j in zip(enzymes.genes, enzymes.reaction, strict=True)]
    using: dict[str, set[int]] = {}
    for j, rule in enumerate(network.gprs):
        for gene in genes_of(parse_gpr(rule)):
            using.setdefault(gene, set()).add(j)
    ratios = np.ones(len(genes))
    for k, gene in enumerate(genes):
        touched = using.get(gene, set())
        if not any(carrying[j] for j in touched):
            continue
        dead = [j for j in touched if not still_works(network, j, gene)]
        lower, upper = there.lower.copy(), there.upper.copy()
        lower[dead] = upper[dead] = 0.0
        if log10 is not None:
            without = np.array([gene in group for group, _ in members])
            program.change_costs(costs_without(enzymes, log10, network, without))
        try:
            program.set_bounds(lower, upper)
            state = program.grow()
            ratios[k] = state.growth / intact.growth if state.status is Status.OPTIMAL else 0.0
        except ValueError:
            ratios[k] = 0.0
    return ratios


def still_works(network: Network, reaction: int, gene: str) -> bool:
    """Whether a reaction's rule holds without a gene."""
    rule = parse_gpr(network.gprs[reaction])
    return rule is None or works(rule, lambda lost: lost == gene)


def costs_without(enzymes: Enzymes, log10: np.ndarray, network: Network, without: np.ndarray) -> Costs:
    """Costs when some enzymes (e, bool) are gone."""
    kept = np.flatnonzero(~without)
    fewer = replace(
        enzymes,
        reaction=enzymes.reaction[kept],
        forward=enzymes.forward[kept],
        genes=tuple(enzymes.genes[e] for e in kept),
        mass=enzymes.mass[kept],
    )
    return costs_of(fewer, log10[kept], network)


_POOLS: dict[bytes, float] = {}


def fitted_pool(log10: np.ndarray) -> float:
    """Pool at which growth on unlimited glucose is 0.66 1/h."""
    key = log10.tobytes()
    if key not in _POOLS:
        network, enzymes = ijo1366()
        program = PoolProgram(with_bounds(network, {GLUCOSE: (-1000.0, 1000.0)}))
        program.set_costs(costs_of(enzymes, log10, network))
        _POOLS[key] = program.least_protein(0.66).used
    return _POOLS[key]


# -- the core model, and the cost of it all ----------------------------------------------------------------------------


def bench_core(setting: Setting) -> Iterator[Record]:
    """Growth of the core model with CPI-Pred's kcats, at kinGEMs' pool of 250 mg/gDW."""
    network = read_sbml(package_file("cobra", "data", "textbook.xml.gz"))
    table = setting.kinetics / "ecoli" / "e_coli_core_cpipred_kcats_541.csv"
    program = PoolProgram(network)
    program.set_costs(all_isozymes_paid(network, table), 250.0)
    yield {
        "what": "core/growth/all_isozymes_paid",
        "value": program.grow().growth,
        "unit": "1/h",
        "peer": "kinGEMs, bigg93_scalability_metrics.csv",
        "peer_value": 0.013277,
    }
    entries = read_kcats(table)
    sequences = proteome()
    masses = dict(zip(sequences, molecular_masses([s.encode() for s in sequences.values()]), strict=True))
    enzymes = find_enzymes(network, masses)
    kcats = find_kcats(network, enzymes, genome(), Knowledge(entries=entries, shrink=False))
    program.set_costs(costs_of(enzymes, kcats.log10, network), 250.0)
    yield {
        "what": "core/growth/cheapest_isozyme",
        "value": program.grow().growth,
        "unit": "1/h",
        "peer": "without enzyme costs",
        "peer_value": growth(network)[1],
        "kcats": kcats.counts(),
    }


def all_isozymes_paid(network: Network, table: Path) -> Costs:
    """Costs of CPI-Pred's table as kinGEMs' public code counts them.

    Of a reaction and direction the substrate with the highest mean kcat stands for all genes. Each gene is paid for
    once per clause of the rule's disjunctive form that it stands in, isozymes together. Masses are those of the table's
    sequences; genes without one (`s0001`) are free.
    """
    with table.open(encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if row["kcat_mean"] and row["SEQ"]]
    index = {reaction: j for j, reaction in enumerate(network.reactions)}
    known: dict[str, dict[str, list[tuple[str, float]]]] = {}
    for row in rows:
        by_substrate = known.setdefault(row["Reactions"], {}).setdefault(row["Reaction_partners"], [])
        by_substrate.append((row["Single_gene"], float(row["kcat_mean"])))
    genes = {row["Single_gene"]: row["SEQ"] for row in rows}
    mass = dict(zip(genes, molecular_masses([s.encode() for s in genes.values()]), strict=True))
    costs = {"": np.zeros(len(network.reactions)), "_reverse": np.zeros(len(network.reactions))}
    for named, substrates in known.items():
        reaction, ending = named.removesuffix("_reverse"), "_reverse" if named.endswith("_reverse") else ""
        if reaction == "FORt":  # written the other way round in this copy of the model
            reaction, ending = "FORti", "" if ending else "_reverse"
        if reaction not in index:
            continue
        paid = clauses(parse_gpr(network.gprs[index[reaction]]))
        best = max(substrates.values(), key=lambda found: float(np.mean([kcat for _, kcat in found])))
        for gene in {gene for gene, _ in best}:
            kcat = float(np.mean([value for other, value in best if other == gene]))
            costs[ending][index[reaction]] += sum(gene in clause for clause in paid) * mass[gene] / (3600.0 * kcat)
    none = np.full(len(network.reactions), -1)
    return Costs(costs[""], costs["_reverse"], none, none)


def bench_cost(setting: Setting) -> Iterator[Record]:
    """CPU seconds of the stage for each genome of a finished project, and of its parts."""
    if setting.project is None:
        yield {"what": "cost", "skipped": "needs --project"}
        return
    store = Store(setting.project / "results")
    config = complete({})
    context = Context(setting.project, config, store)
    for path in sorted((store.root / "model_reactions").glob("shard=*/*.parquet")):
        shard, genome_id = path.parent.name.removeprefix("shard="), path.stem
        summary = store.read("summary", shard, genome_id, ["medium", "growth_per_h"])
        row = {"genome_id": genome_id, "medium": summary["medium"][0].as_py(), "tags": "{}"}
        few = {"kinetics.fva": "off", "kinetics.draws": 0}
        for name, changes, tags in (
            ("with ranges", {}, "{}"),
            ("without ranges", {"kinetics.fva": "off"}, "{}"),
            ("neither ranges nor draws", few, "{}"),
            ("neither, tuned", few, json.dumps({GROWTH_COLUMN: f"{0.99 * summary['growth_per_h'][0].as_py():.6f}"})),
        ):
            task = Task(genome_id, shard, row | {"tags": tags}, STAGE.settings(config) | changes, context, "", "")
            knowledge.cache_clear()
            cpu, wall = time.process_time(), time.perf_counter()
            process(task)
            yield {
                "what": f"cost/{genome_id}/{name}",
                "value": time.process_time() - cpu,
                "unit": "CPU s",
                "wall_s": time.perf_counter() - wall,
            }
        if setting.quick:
            return


def bench_batch(setting: Setting) -> Iterator[Record]:
    """Pairs of protein and substrate of a shard of strains, each worked out once: a tenth of the genes differ."""
    network, enzymes = ijo1366()
    species = genome()
    known = Knowledge(
        classes=ec_means(),
        predictor=load_predictor(),
        structures={metabolite: found.smiles for metabolite, found in read_structures().items()},
    )
    assert known.predictor is not None
    random = np.random.default_rng(SEED)
    seconds = []
    for _ in range(4 if setting.quick else 16):
        sequences = dict(species.sequences)
        for gene in random.choice(sorted(sequences), len(sequences) // 10, replace=False):
            at = int(random.integers(1, len(sequences[gene])))
            sequences[gene] = f"{sequences[gene][:at]}{'GA'[sequences[gene][at] == 'G']}{sequences[gene][at + 1 :]}"
        started = time.process_time()
        find_kcats(network, enzymes, replace(species, sequences=sequences), known)
        seconds.append(time.process_time() - started)
    asked, made = known.predictor.asked, known.predictor.worked_out
    yield {
        "what": "batch/strains",
        "value": asked / made,
        "unit": "pairs asked for per pair worked out",
        "strains": len(seconds),
        "pairs_asked": asked,
        "pairs_worked_out": made,
        "cpu_s_first": seconds[0],
        "cpu_s_each_later": float(np.mean(seconds[1:])),
    }


def bench_files(setting: Setting) -> Iterator[Record]:
    """Model files of a finished project, read by cobrapy."""
    import cobra
    from cobra.flux_analysis import flux_variability_analysis

    if setting.project is None:
        yield {"what": "files", "skipped": "needs --project"}
        return
    store = Store(setting.project / "results")
    for path in sorted((store.root / "ec_models").glob("shard=*/*.xml.gz")):
        shard, genome_id = path.parent.name.removeprefix("shard="), path.name.removesuffix(".xml.gz")
        model = cobra.io.read_sbml_model(str(path))
        told = {row["measure"]: row["value"] for row in store.read("ec_summary", shard, genome_id).to_pylist()}
        rows = store.read("ec_fva", shard, genome_id).to_pylist()
        whole = [row for row in rows if f"{row['reaction']}_REV" not in model.reactions]
        chosen = whole[:: max(1, len(whole) // (20 if setting.quick else 200))]
        names = [row["reaction"] for row in chosen]
        theirs = flux_variability_analysis(model, names, fraction_of_optimum=0.9, processes=1).loc[names]
        ends = np.array([[row["minimum"], row["maximum"]] for row in chosen])
        yield {
            "what": f"files/{genome_id}",
            "value": abs(model.slim_optimize() - told["growth"]),
            "unit": "1/h",
            "growth_per_h": told["growth"],
            "ranges_compared": len(chosen),
            "max_difference": float(np.abs(ends - theirs[["minimum", "maximum"]].to_numpy()).max()),
        }


BENCHES: dict[str, Callable[[Setting], Iterator[Record]]] = {
    "core": bench_core,
    "growth": bench_growth,
    "ranges": bench_ranges,
    "fluxes": bench_fluxes,
    "knockouts": bench_knockouts,
    "files": bench_files,
    "cost": bench_cost,
    "batch": bench_batch,
}


def machine() -> dict[str, str]:
    """Where this ran."""
    versions = {name: metadata.version(name) for name in ("highspy", "numpy")}
    return {"platform": platform.platform(), "python": platform.python_version(), **versions}


def main() -> None:
    """Run the benchmarks and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the shared data folder")
    parser.add_argument("--project", type=Path, help="a finished project")
    parser.add_argument("--without-ecoli", type=Path, help="folder of a predictor trained without E. coli")
    parser.add_argument("--draws", type=int, default=32, help="draws of the predictor's error (growth)")
    parser.add_argument("--permutations", type=int, default=3, help="permutations of the predicted kcats")
    parser.add_argument("--sets", default="", help="sets of kcats, separated by commas; all by default")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(BENCHES))
        return
    sets = tuple(arguments.sets.split(",")) if arguments.sets else ()
    draws = min(8, arguments.draws) if arguments.quick else arguments.draws
    permutations = arguments.permutations
    setting = Setting(
        arguments.data, arguments.project, arguments.quick, arguments.without_ecoli, draws, permutations, sets
    )
    records = []
    for name, bench in BENCHES.items():
        if name.startswith(arguments.only):
            for record in bench(setting):
                records.append(record)
                print(json.dumps(record), flush=True)
    if arguments.json:
        kept = []
        if arguments.json.exists():
            ran = {record["what"] for record in records}
            old = json.loads(arguments.json.read_text())["records"]
            kept = [record for record in old if record["what"] not in ran]
        text = json.dumps({"machine": machine(), "records": kept + records}, indent=1)
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
