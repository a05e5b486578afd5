"""Carve CarveMe's six proteomes with both engines on the same hits, then judge the models by CarveMe's own benchmarks.

    python scripts/bench_draft.py [--quick] [--only NAME] [--hits FOLDER] [--work FOLDER] [--json FILE]

Engines: `highs` with the biomass that fits the lineage, `highs_universe` with CarveMe's biomass, `carveme` with SCIP at
its own limits (B. subtilis takes its 600 s). Each carving runs in a process of its own, so that seconds and memory are
its own. All models get the same gap-fill, CarveMe's, for the benchmark's media at 0.1 1/h. Biolog (growth of at least
0.1 1/h on a compound) and essentiality (less than 10 % of growth without the gene) are those of CarveMe 1.6; genes that
a model does not hold count as not essential wherever two models are compared. --hits takes NAME.tsv or NAME.faa.tsv of
an earlier DIAMOND; without it DIAMOND runs. --quick: M. genitalium and E. coli. With --work, carvings there are kept.
--rules FOLDER: nothing of that, but the models of a finished project of the six with CarveMe's rules, without isozymes
that the evidence finds weak, and with all paralogs that it accepts: how many genes, and what becomes of essentiality;
with --fitness FILE (RB-TnSeq of E. coli: gene, log2 fitness on each carbon source) also of what is lethal (-2 and less)
there.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from gemforest.biomass import is_biomass_pool
from gemforest.carveme_files import carveme_data
from gemforest.config import complete
from gemforest.draft import (
    STAGE,
    carving_options,
    fits_lineage,
    make_draft,
    with_rules_by_evidence,
    with_shared_enzymes,
)
from gemforest.draft.carving import score_sum
from gemforest.draft.same_enzyme import shared_enzymes
from gemforest.evaluation.carveme_benchmark import (
    ESSENTIAL_BELOW,
    ORGANISMS,
    UPTAKE,
    Labels,
    Organism,
    benchmark_media,
    biolog,
    compared,
    essentiality,
    growth_rate,
    on_medium,
)
from gemforest.evaluation.metrics import auc, confusion
from gemforest.evidence import rules_of, scored_beside
from gemforest.evidence.scores import ReactionScore, score_reactions
from gemforest.fluxes import medium_bounds
from gemforest.gapfill import fill
from gemforest.gprs import genes_of, parse_gpr
from gemforest.homology import database, diamond
from gemforest.models import Network, read_sbml
from gemforest.simulate.knockouts import gene_losses, knock_out
from gemforest.universe import load_universe, subnetwork, universe_sbml

PROJECT = Path(__file__).resolve().parents[1]
CACHE = PROJECT / "resources" / "cache"
SEARCH = ("--more-sensitive", "--top", "10", "--index-chunks", "1", "--threads", "1", "--quiet")
ENGINES: dict[str, dict[str, str]] = {
    "highs": {"draft.engine": "highs", "draft.biomass": "auto"},
    "highs_universe": {"draft.engine": "highs", "draft.biomass": "universe"},
    "carveme": {"draft.engine": "carveme", "draft.biomass": "universe"},
}
MIN_GROWTH = 0.1
Record = dict[str, Any]


# -- evidence ----------------------------------------------------------------------------------------------------------


def hits_of(organism: Organism, folder: Path | None, work: Path) -> Path:
    """DIAMOND's hits, tabular format 6."""
    for name in (f"{organism.proteome}.tsv", f"{organism.proteome}.faa.tsv"):
        if folder is not None and (folder / name).exists():
            return folder / name
    out = work / f"{organism.proteome}.tsv"
    if not out.exists():
        query = carveme_data(f"benchmark/fasta/{organism.proteome}.faa")
        command = [diamond(), "blastp", "--db", str(database()), "--query", str(query), "--out", str(out)]
        subprocess.run([*command, *SEARCH], check=True)
    return out


def scores_of(organism: Organism, hits: Path) -> list[ReactionScore]:
    """Reaction scores, the same for all engines; those outside the universe are for `shared_enzymes`."""
    read = pacsv.ReadOptions(autogenerate_column_names=True)
    table = pacsv.read_csv(hits, read, pacsv.ParseOptions(delimiter="\t", quote_char=False))
    genes, targets = np.array(table["f0"].to_pylist(), dtype=object), np.array(table["f1"].to_pylist(), dtype=str)
    columns = genes, targets, table["f11"].to_numpy().astype(float)
    scored = score_reactions(rules_of(organism.universe, CACHE), *columns)
    return scored + scored_beside(organism.universe, scored, columns, CACHE)


def evidence_for(engine: str, scored: list[ReactionScore]) -> tuple[dict[str, float], dict[str, str]]:
    """Reaction to score and to rule, as the engine takes them."""
    scores = {s.reaction: s.normalized_score for s in scored}
    gprs = {s.reaction: s.gpr for s in scored}
    if fits_lineage(STAGE.settings(complete({})) | ENGINES[engine]):
        shared = shared_enzymes(gprs, scores)
        scores |= {reaction: scores[source] for reaction, source in shared.items()}
        gprs |= {reaction: gprs[source] for reaction, source in shared.items()}
    return scores, gprs


# -- one carving, in a process of its own ------------------------------------------------------------------------------


def carve_one(organism: Organism, engine: str, hits: Path, out: Path) -> None:
    """Carve, measure, and write a JSON file."""
    scored = scores_of(organism, hits)
    parameters = STAGE.settings(complete({})) | ENGINES[engine]
    scores, _ = evidence_for(engine, scored)
    load_universe(organism.universe, CACHE)
    load_universe(f"{organism.universe}~open", CACHE)
    cpu, wall = time.process_time(), time.perf_counter()
    draft = make_draft(organism.universe, scores, {}, carving_options(parameters, PROJECT), parameters, CACHE)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    network = draft.network
    free = {r for r in network.reactions if r.startswith("EX_") or is_biomass_pool(r)} | {"ATPM", "Growth"}
    result = {
        "reactions": sorted(draft.carving.reactions),
        "universe": draft.name,
        "sum": round(score_sum(network, scores, -1.0), 1),
        "bound": None if np.isnan(draft.carving.bound) else round(draft.carving.bound, 1),
        "without_evidence": sum(r not in scores and r not in free for r in network.reactions),
        "cannot_run": len(network.reactions) - len(draft.direction),
        "method": draft.carving.method,
        "limit_fired": draft.carving.limit_fired,
        "cpu_seconds": round(cpu, 2),
        "wall_seconds": round(wall, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    out.write_text(json.dumps(result))


def carved(organism: Organism, engine: str, hits: Path, work: Path) -> Record:
    """What `carve_one` wrote."""
    out = work / f"{organism.proteome}.{engine}.json"
    if not out.exists():
        command = [sys.executable, __file__, "--carve", organism.proteome, engine, str(hits), str(out)]
        subprocess.run(command, check=True)
        return dict(json.loads(out.read_text()))
    return json.loads(out.read_text()) | {"carved": "in an earlier run, kept in the folder of --work"}


# -- biology -----------------------------------------------------------------------------------------------------------


def filled(
    organism: Organism, draft: Record, scores: dict[str, float], rules: dict[str, str]
) -> tuple[Network, dict[str, bool], int]:
    """The draft filled for its media, whether it grew on each before, and how many reactions were added."""
    universe = load_universe(draft["universe"], CACHE)
    sbml = universe_sbml(draft["universe"], CACHE)
    gprs = {reaction: rule for reaction, rule in rules.items() if "spontaneous" not in rule}
    kept, grew = set(draft["reactions"]), {}
    before = len(kept)
    for medium in organism.media:
        network = subnetwork(universe, sorted(kept), gprs, organism.short)
        grew[medium] = growth_rate(on_medium(network, benchmark_media()[medium])) >= MIN_GROWTH
        if not grew[medium]:
            bounds = medium_bounds(universe.network, {f"EX_{c}_e": UPTAKE for c in benchmark_media()[medium]})
            kept |= fill(sbml, network.reactions, scores, bounds, MIN_GROWTH, medium)
    return subnetwork(universe, sorted(kept), gprs, organism.short), grew, len(kept) - before


# -- the run -----------------------------------------------------------------------------------------------------------


def bench(organisms: list[Organism], hits_folder: Path | None, work: Path) -> Iterator[Record]:
    """All records."""
    labels: dict[tuple[str, str], dict[str, Labels]] = {}
    for organism in organisms:
        hits = hits_of(organism, hits_folder, work)
        scored = scores_of(organism, hits)
        drafts = {engine: carved(organism, engine, hits, work) for engine in ENGINES}
        peer = set(drafts["carveme"]["reactions"])
        for engine, draft in drafts.items():
            network, grew, added = filled(organism, draft, *evidence_for(engine, scored))
            ours = set(draft["reactions"])
            facts = {k: v for k, v in draft.items() if k not in {"reactions", "sum"}}
            yield {
                "what": f"sum of scores, {organism.proteome}, {engine}",
                "value": draft["sum"],
                "unit": "score",
                "peer": "carveme",
                "peer_value": drafts["carveme"]["sum"],
                **facts,
                "reactions": len(ours),
                "overlap": round(len(ours & peer) / len(ours | peer), 3),
                "grew_before_fill": grew,
                "filled": added,
                "hits_sha256": sha256(hits.read_bytes()).hexdigest(),
            }
            if organism.biolog:
                labels.setdefault(("Biolog", engine), {})[organism.short] = biolog(organism, network, MIN_GROWTH)
            if organism.has_essentiality:
                labels.setdefault(("essentiality", engine), {})[organism.short] = essentiality(organism, network)
    yield from judged(labels)


WITHIN = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Values of `draft.isozymes_within` that are tried."""
AS_CARVEME, PARALOGS = "as_carveme", "with_paralogs"
LETHAL, LEAST_GROWTH = -2.0, 1e-3
"""log2 fitness; growth on a source, h^-1."""


def ways_of_rules() -> dict[str, dict[str, Any]]:
    """What the draft's rules may hold, by name: settings of the stage."""
    ways: dict[str, dict[str, Any]] = {AS_CARVEME: {"draft.isozymes_within": None, "draft.paralogs": False}}
    ways[PARALOGS] = {"draft.isozymes_within": None, "draft.paralogs": True}
    for within in WITHIN:
        ways[f"within_{within:g}"] = {"draft.isozymes_within": within, "draft.paralogs": False}
        ways[f"with_paralogs_within_{within:g}"] = {"draft.isozymes_within": within, "draft.paralogs": True}
    return ways


@dataclass(frozen=True)
class RuleChoice:
    """A model of a finished project whose rules can be made anew by each way."""

    organism: Organism
    network: Network
    scored: list[dict[str, Any]]
    calls: pq.ParquetFile

    def with_rules(self, settings: Mapping[str, Any]) -> Network:
        """The model with the rules that these settings leave; reactions without a score keep theirs."""
        rows = with_shared_enzymes(with_rules_by_evidence(self.scored, self.calls.read, settings))
        made = {row["reaction"]: row["gpr"] for row in rows}
        pairs = zip(self.network.reactions, self.network.gprs, strict=True)
        return replace(self.network, gprs=tuple(made.get(reaction, rule) if rule else rule for reaction, rule in pairs))


def rule_choice(organism: Organism, results: Path) -> RuleChoice:
    """Read what a finished project has of an organism."""
    name = organism.proteome
    scores, calls = (
        pq.ParquetFile(next((results / table).glob(f"shard=*/{name}.parquet")))
        for table in ("reaction_scores", "gene_reactions")
    )
    network = read_sbml(next((results / "models").glob(f"shard=*/{name}.xml.gz")))
    return RuleChoice(organism, network, [row for row in scores.read().to_pylist() if row["score"] is not None], calls)


def rules(organisms: list[Organism], results: Path, measured: Path | None) -> Iterator[Record]:
    """Genes in the rules of the models by what the evidence leaves of them, and essentiality with them."""
    labels: dict[tuple[str, str], dict[str, Labels]] = {}
    for organism in organisms:
        choice = rule_choice(organism, results)
        for way, settings in ways_of_rules().items():
            network = choice.with_rules(settings)
            genes = [genes_of(parse_gpr(rule)) for rule in network.gprs]
            yield {
                "what": f"rules {way}, {organism.proteome}",
                "value": sum(map(len, genes)),
                "unit": "genes in rules",
                "rules": sum(map(bool, genes)),
                "genes": len(set().union(*genes)),
            }
            if organism.has_essentiality:
                labels.setdefault(("essentiality", way), {})[organism.short] = essentiality(organism, network)
            if organism.short == "ecol" and measured:
                yield {"what": f"lethal in E. coli by RB-TnSeq, {way}"} | fitness(network, measured)
    yield from judged(labels, tuple((way, AS_CARVEME) for way in ways_of_rules() if way != AS_CARVEME))
    yield from chosen_on_the_others(labels)


def fitness(network: Network, measured: Path) -> Record:
    """Genes without which E. coli does not grow on M9 with a carbon source; one without a rule counts as not lethal."""
    with measured.open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    losses_of, minerals = gene_losses(network), benchmark_media()["M9"] - {"glc__D"}
    truth, ratios, sources = [], [], 0
    for compound in sorted({*rows[0]} - {"gene"}):
        fed = on_medium(network, minerals | {compound})
        if f"EX_{compound}_e" not in network.reactions or growth_rate(fed) < LEAST_GROWTH:
            continue
        sources += 1
        lost = knock_out(fed, losses_of)
        left = dict(zip(lost.targets, np.nan_to_num(lost.growths) / lost.intact_growth, strict=True))
        known = [row for row in rows if row[compound] not in ("", "nan")]
        truth += [float(row[compound]) <= LETHAL for row in known]
        ratios += [left.get(row["gene"], 1.0) for row in known]
    found = confusion(truth, [ratio < ESSENTIAL_BELOW for ratio in ratios])
    return {
        "value": round(found.mcc, 3),
        "unit": "MCC",
        "auc": round(auc(truth, [-ratio for ratio in ratios]), 3),
        "sensitivity": round(found.sensitivity, 3),
        "specificity": round(found.specificity, 3),
        "carbon_sources": sources,
        "n": len(truth),
    }


def chosen_on_the_others(labels: Mapping[tuple[str, str], Mapping[str, Labels]]) -> Iterator[Record]:
    """For each organism the value of `draft.isozymes_within` that is best, pooled, on the other ones; all pooled."""
    ways = [f"within_{within:g}" for within in WITHIN]
    names = list(labels["essentiality", AS_CARVEME])
    pooled: tuple[Labels, Labels] = ({}, {})
    best = {}
    for held in names:
        score = {way: mcc_of(labels, way, [name for name in names if name != held]) for way in ways}
        best[held] = max(ways, key=lambda way: score[way])
        for whole, way in zip(pooled, (best[held], AS_CARVEME), strict=True):
            whole.update({f"{held} {gene}": said for gene, said in labels["essentiality", way][held].items()})
    found = compared(*pooled) if len(names) > 1 else {}
    yield named("essentiality pooled", "chosen_on_the_others", AS_CARVEME, found) | {"chosen": best}


def mcc_of(labels: Mapping[tuple[str, str], Mapping[str, Labels]], way: str, names: Sequence[str]) -> float:
    """Pooled over all genes of CarveMe's rules; what a way leaves out counts as not essential."""
    measured, computed = [], []
    for name in names:
        said = labels["essentiality", way][name]
        for gene, (essential, _) in labels["essentiality", AS_CARVEME][name].items():
            measured.append(essential)
            computed.append(gene in said and said[gene][1])
    return confusion(measured, computed).mcc


PAIRS = (("highs", "carveme"), ("highs_universe", "carveme"), ("highs", "highs_universe"))


def judged(
    labels: Mapping[tuple[str, str], Mapping[str, Labels]], pairs: tuple[tuple[str, str], ...] = PAIRS
) -> Iterator[Record]:
    """Each organism and all pooled, our engines against CarveMe, and one biomass against the other."""
    for task in ("Biolog", "essentiality"):
        for ours, peer in pairs:
            pooled: tuple[Labels, Labels] = ({}, {})
            for name in labels.get((task, ours), {}):
                pair = labels[task, ours][name], labels[task, peer][name]
                yield named(f"{task} {name}", ours, peer, compared(*pair))
                for whole, part in zip(pooled, pair, strict=True):
                    whole.update({f"{name} {k}": v for k, v in part.items()})
            if pooled[0]:
                yield named(f"{task} pooled", ours, peer, compared(*pooled))


def named(what: str, ours: str, peer: str, found: Record) -> Record:
    """A record with what was compared."""
    return {"what": f"{what} MCC, {ours} against {peer}", **found, "peer": peer}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="M. genitalium and E. coli")
    parser.add_argument("--only", default="", help="a proteome's name, or its beginning")
    parser.add_argument("--hits", type=Path, help="folder of DIAMOND's hits")
    parser.add_argument("--work", type=Path, help="folder that keeps carvings")
    parser.add_argument("--json", type=Path, help="file for the records")
    parser.add_argument("--rules", type=Path, help="`results` of a finished project of the six")
    parser.add_argument("--fitness", type=Path, help="log2 fitness of E. coli's genes by carbon source, CSV")
    parser.add_argument("--carve", nargs=4, metavar=("NAME", "ENGINE", "HITS", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.carve:
        name, engine, hits, out = arguments.carve
        carve_one(next(o for o in ORGANISMS if o.proteome == name), engine, Path(hits), Path(out))
        return
    chosen = [o for o in ORGANISMS[: 2 if arguments.quick else None] if o.proteome.startswith(arguments.only)]
    records = []
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        if arguments.rules:
            made = rules(chosen, arguments.rules, arguments.fitness)
        else:
            made = bench(chosen, arguments.hits, work)
        for found in made:
            print(json.dumps(found), flush=True)
            records.append(found)
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
        machine |= {package: metadata.version(package) for package in ("highspy", "carveme", "pyscipopt")}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"machine": machine, "records": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
