"""Judge variants of the pipeline by what laboratories measured (plates, essential genes, growth), and time them.

    python scripts/bench_evaluation.py [--quick] [--only PART] [--variants NAME...] [--cores N] [--work FOLDER]
        [--data FOLDER] [--json FILE]

Parts: `benchmark` (CarveMe's six: Biolog and essentiality), `growth` (six organisms of Price et al. 2018; needs --data,
the folder with `phenotypes/` and `genomes/`), `throughput` (ledgers of both, and of eight more genomes). Variants run
the product's own stages in project folders under --work, which are taken up again; stages that a variant shares with
the default are copied from it. The peer is `carveme`: CarveMe 1.6.6's carving and gap-fill (to its 0.1 1/h) with SCIP
on the same hits, from the same run; *E. coli* also has a curated model beside it. --quick: two organisms of each.
Differences carry the 95 % interval of a paired bootstrap, over labels on the benchmark and over organisms on growth. In
`growth`, FBA and the growth score know no label; the default call was fitted on these organisms, so what it says of
organisms that it has not seen is its leave-one-organism-out mean
(`scripts/fit_growth_calls.py`).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np

from gemforest.carveme_files import carveme_data
from gemforest.evaluation.answers import NOTHING
from gemforest.evaluation.carveme_benchmark import ORGANISMS, Labels, Organism, biolog, compared, essentiality
from gemforest.evaluation.growth import evaluate_growth
from gemforest.evaluation.metrics import bootstrap_interval, confusion, macro
from gemforest.evaluation.project import Finished, Genome, needed_stages, run_project
from gemforest.ledger import read_ledger
from gemforest.models import Network, read_sbml

PROJECT = Path(__file__).resolve().parents[1]
CACHE = PROJECT / "resources" / "cache"
PEER = "carveme"
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "diamond_only": {"evidence": {"sources": ["D"]}},
    "evidence_in_carving": {"evidence": {"scores": "fill"}},
    "unfilled": {"gapfill": {"enabled": False}},
    "all_isozymes": {"draft": {"isozymes_within": None}},
    PEER: {
        "draft": {"engine": "carveme", "biomass": "universe", "isozymes_within": None},
        "gapfill": {"engine": "carveme", "min_growth_per_h": 0.1},
    },
}
ENZYMES = "enzyme_constrained"
"""The default's models under their enzyme pool; on CarveMe's six only, for yes and no hardly change with it."""
THRESHOLD = 0.01
CARVEME_THRESHOLD = 0.1
"""Growth from which CarveMe's paper calls growth on plates."""
FURTHER = "further"
MORE_GENOMES = 8
CURATED = {"ecol": "iJO1366"}
"""Models that come inside cobra."""
QUICK = {"M_genitalium_G37", "Ecoli_K12_MG1655", "Koxy", "psRCH2"}
Record = dict[str, Any]


def project_folder(work: Path, variant: str, part: str) -> Path:
    """A variant's folder; a new one begins as a copy of the default's, so that shared stages are not run twice."""
    folder, default = work / part / variant, work / part / "default"
    if variant != "default" and not folder.exists() and default.exists():
        shutil.copytree(default, folder)
    return folder


# -- CarveMe's six -----------------------------------------------------------------------------------------------------


def run_six(work: Path, variant: str, organisms: list[Organism], cores: int) -> Finished:
    """The six through the stages up to the filled model."""
    genomes = [
        Genome(
            organism.proteome,
            carveme_data(f"benchmark/fasta/{organism.proteome}.faa"),
            organism.universe,
            ";".join(organism.media) or "complete",
        )
        for organism in organisms
    ]
    settings = {"simulate": dict(NOTHING)} | VARIANTS.get(variant, {})
    folder = project_folder(work, variant, "benchmark") / "project"
    last = "kinetics" if variant == ENZYMES else "gapfill"
    return run_project(folder, genomes, settings, last, cores=cores, cache=CACHE)


def model_of(finished: Finished, variant: str, organism: Organism) -> Network | None:
    """A variant's model of an organism; None where there is none, and then the reason is printed."""
    name = organism.proteome
    if name not in finished.places:
        print(f"no model\t{variant}\t{name}\t{finished.reasons[name]}")
        return None
    if variant != ENZYMES:
        return finished.network(name)
    path = finished.context.store.model_path("ec_models", *finished.places[name])
    if not path.exists():
        print(f"no enzyme-constrained model\t{name}\tsee its ec_summary")
        return None
    return read_sbml(path)


def benchmark(work: Path, organisms: list[Organism], variants: list[str], cores: int) -> Iterator[Record]:
    """Each task, organism and variant against the default; the default against the peer."""
    labels: dict[tuple[str, str], dict[str, Labels]] = {}
    for variant in variants:
        finished = run_six(work, variant, organisms, cores)
        for organism in organisms:
            found: dict[str, Labels] = {}
            if network := model_of(finished, variant, organism):
                found["Biolog"] = biolog(organism, network, THRESHOLD)
                found["Biolog at 0.1 1/h"] = biolog(organism, network, CARVEME_THRESHOLD)
                found["essentiality"] = essentiality(organism, network) if organism.has_essentiality else {}
            for task, answers in found.items():
                if answers:
                    labels.setdefault((task, variant), {})[organism.short] = answers
    for task, variant in list(labels):
        if variant != "default":
            yield from beside(task, variant, labels[task, "default"], labels[task, variant])
    for organism in organisms:
        if organism.short in CURATED:
            yield from beside_curated(organism, {task: found for (task, v), found in labels.items() if v == "default"})


def beside_curated(organism: Organism, ours: Mapping[str, Mapping[str, Labels]]) -> Iterator[Record]:
    """The default beside a model that people curated, on the same labels: what is within reach."""
    name, package = CURATED[organism.short], util.find_spec("cobra")
    assert package is not None and package.origin is not None, "cobra is not installed"
    network = read_sbml(Path(package.origin).parent / "data" / f"{name}.xml.gz")
    theirs = {
        "Biolog": biolog(organism, network, THRESHOLD),
        "Biolog at 0.1 1/h": biolog(organism, network, CARVEME_THRESHOLD),
        "essentiality": essentiality(organism, network),
    }
    for task, answers in theirs.items():
        what = f"{task} {organism.short} MCC, default against {name}, curated"
        yield {"what": what, "peer": name} | compared(ours[task][organism.short], answers)


def beside(task: str, peer: str, ours: Mapping[str, Labels], theirs: Mapping[str, Labels]) -> Iterator[Record]:
    """The default beside a variant, for each organism and pooled."""
    pooled: tuple[Labels, Labels] = ({}, {})
    for name in sorted({*ours, *theirs}):
        pair = ours.get(name, {}), theirs.get(name, {})
        yield {"what": f"{task} {name} MCC, default against {peer}", "peer": peer} | compared(*pair)
        for whole, part in zip(pooled, pair, strict=True):
            whole.update({f"{name} {key}": answer for key, answer in part.items()})
    yield {"what": f"{task} pooled MCC, default against {peer}", "peer": peer} | compared(*pooled)


# -- growth in tubes ---------------------------------------------------------------------------------------------------


def growth(work: Path, data: Path, variants: list[str], quick: bool, cores: int) -> Iterator[Record]:
    """Macro averages of each variant, and of the two baselines that see no model; `default` is always among them."""
    labels = work / "growth_labels.tsv"
    rows = own_labels(data / "phenotypes" / "carbon_growth_dev.tsv", labels, quick)
    records = {}
    for variant in variants:
        records[variant] = evaluate_growth(
            data / "phenotypes" / "proteomes",
            labels,
            project_folder(work, variant, "growth"),
            cores=cores,
            cache=CACHE,
            changes=VARIANTS[variant],
            faults=variant == "default",
        )
    yield from baselines(rows)
    peer = PEER if PEER in records else "default"
    for variant, record in records.items():
        for measure in ("macro_mcc_fba", "macro_mcc_score", "auc_score", "macro_mcc", "auc", "brier"):
            yield {
                "what": f"growth, {measure}, {variant}",
                "value": record[measure],
                "unit": measure,
                "peer": peer,
                "peer_value": records[peer][measure],
                "organisms": record["organisms_total"],
                "without_model": record["organisms_without_model"],
                "in_sample": measure in ("macro_mcc", "auc", "brier"),
            }
        if variant != peer:
            yield difference(variant, record, peer, records[peer])
    causes: dict[str, int] = {}
    for own in records["default"]["faults"].values():
        for cause, count in own.items():
            causes[cause] = causes.get(cause, 0) + count
    yield {
        "what": "growth, wrong answers of FBA by cause, default",
        "value": sum(causes.values()),
        "unit": "answers",
    } | {"causes": causes}


def own_labels(path: Path, out: Path, quick: bool) -> list[dict[str, str]]:
    """The labels; with `quick` of two organisms."""
    with path.open(encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle, delimiter="\t") if not quick or row["org_id"] in QUICK]
    names = ("org_id", "proteome", "bigg_id", "growth")
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(names), *("\t".join(row[name] for name in names) for row in rows)]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return rows


def baselines(rows: list[dict[str, str]]) -> Iterator[Record]:
    """Always no growth, and the majority of the other organisms for the compound."""
    grew: dict[str, list[tuple[str, bool]]] = {}
    for row in rows:
        grew.setdefault(row["compound"], []).append((row["org_id"], row["growth"] == "1"))
    called: dict[str, tuple[list[bool], list[bool]]] = {}
    for row in rows:
        others = [growth for org_id, growth in grew[row["compound"]] if org_id != row["org_id"]]
        truth, said = called.setdefault(row["org_id"], ([], []))
        truth.append(row["growth"] == "1")
        said.append(bool(others) and 2 * sum(others) >= len(others))
    majority = {org_id: confusion(truth, said).mcc for org_id, (truth, said) in called.items()}
    yield {"what": "growth, macro_mcc, always no growth", "value": 0.0, "unit": "macro_mcc", "organisms": len(called)}
    yield {
        "what": "growth, macro_mcc, majority of the other organisms",
        "value": round(macro(list(majority.values())), 3),
        "unit": "macro_mcc",
        "organisms": len(called),
        "by_organism": {org_id: round(value, 3) for org_id, value in majority.items()},
    }


def difference(variant: str, record: Record, peer_name: str, peer: Record) -> Record:
    """FBA's Matthews correlation of a variant less the peer's, with the interval over organisms."""
    gap = {
        org_id: found["fba"]["mcc"] - peer["organisms"][org_id]["fba"]["mcc"]
        for org_id, found in record["organisms"].items()
    }
    low, high = bootstrap_interval(sorted(gap), lambda chosen: float(np.mean([gap[name] for name in chosen])))
    return {
        "what": f"growth, macro_mcc_fba, {variant} less {peer_name}",
        "value": round(float(np.mean(list(gap.values()))), 3),
        "unit": "macro_mcc",
        "difference_95": [round(low, 3), round(high, 3)],
        "by_organism": {org_id: record["organisms"][org_id]["fba"]["mcc"] for org_id in sorted(gap)},
    }


# -- throughput --------------------------------------------------------------------------------------------------------


def run_further(work: Path, data: Path, variant: str, count: int, cores: int) -> None:
    """Proteomes that nothing is known of, on M9, up to the filled model."""
    proteomes = sorted((data / "genomes" / "fermentation26").glob("*_protein.faa.gz"))[:count]
    genomes = [Genome(path.name.split("_ASM")[0], path, "auto", "M9") for path in proteomes]
    settings = {"simulate": dict(NOTHING)} | VARIANTS[variant]
    run_project(project_folder(work, variant, FURTHER) / "project", genomes, settings, "gapfill", cores, cache=CACHE)


def throughput(work: Path) -> Iterator[Record]:
    """Genomes per core-hour by the ledgers, stage by stage and in all, default beside the peer."""
    seconds: dict[str, dict[str, float]] = {"default": {}, PEER: {}}
    peaks = dict.fromkeys(seconds, 0.0)
    genomes = 0
    for part in ("benchmark", "growth", FURTHER):
        ledgers = {v: work / part / v / "project" / "results" / "ledger" for v in seconds}
        if not all((folder / "gapfill" / "shard=0000.parquet").exists() for folder in ledgers.values()):
            print(f"throughput: {part} left out, not run by both", file=sys.stderr)
            continue
        for variant, folder in ledgers.items():
            for stage in needed_stages("gapfill"):
                rows = read_ledger(folder / stage / "shard=0000.parquet")
                seconds[variant][stage] = seconds[variant].get(stage, 0.0) + sum(row.seconds for row in rows)
                peaks[variant] = max(peaks[variant], *(row.peak_mb for row in rows))
        genomes += len(rows)
    for stage in [*seconds["default"], "all stages"]:
        ours, theirs = (
            sum(own.values()) if stage == "all stages" else own[stage] for own in (seconds["default"], seconds[PEER])
        )
        if ours and theirs:
            yield {
                "what": f"throughput, {stage}",
                "value": round(3600.0 * genomes / ours, 1),
                "unit": "genomes per core-hour",
                "peer": PEER,
                "peer_value": round(3600.0 * genomes / theirs, 1),
                "ratio": round(theirs / ours, 2),
                "genomes": genomes,
            }
    yield {
        "what": "throughput, highest memory of a genome",
        "value": round(peaks["default"]),
        "unit": "MB",
        "peer": PEER,
        "peer_value": round(peaks[PEER]),
        "ratio": round(peaks["default"] / max(1.0, peaks[PEER]), 2),
        "genomes": genomes,
    }


# -- the run -----------------------------------------------------------------------------------------------------------


def bench(parsed: argparse.Namespace, work: Path) -> Iterator[Record]:
    """All records that were asked for."""
    organisms = [o for o in ORGANISMS if not parsed.quick or o.proteome in QUICK]

    def wanted(variant: str) -> bool:
        return variant == "default" or not parsed.variants or variant in parsed.variants

    if parsed.only in ("", "benchmark"):
        yield from benchmark(work, organisms, [v for v in (*VARIANTS, ENZYMES) if wanted(v)], parsed.cores)
    if parsed.only in ("", "growth"):
        if parsed.data is None:
            print("growth: left out, no --data", file=sys.stderr)
        else:
            yield from growth(work, parsed.data, [v for v in VARIANTS if wanted(v)], parsed.quick, parsed.cores)
    if parsed.only in ("", "throughput"):
        if parsed.data is not None:
            for variant in filter(wanted, ("default", PEER)):
                run_further(work, parsed.data, variant, 2 if parsed.quick else MORE_GENOMES, parsed.cores)
        yield from throughput(work)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two organisms of each")
    parser.add_argument("--only", default="", choices=("", "benchmark", "growth", "throughput"))
    parser.add_argument(
        "--variants",
        nargs="+",
        default=[],
        choices=(*VARIANTS, ENZYMES),
        help="these beside the default; all by default (SCIP may use up ten minutes for each organism of `carveme`)",
    )
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path, help="folder that keeps the projects")
    parser.add_argument("--data", type=Path, help="folder with phenotypes/ (growth labels, proteomes) and genomes/")
    parser.add_argument("--json", type=Path, help="file for the records")
    parsed = parser.parse_args()
    records = []
    with tempfile.TemporaryDirectory() as scratch:
        for found in bench(parsed, parsed.work or Path(scratch)):
            print(json.dumps(found), flush=True)
            records.append(found)
    if parsed.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": str(os.cpu_count())}
        machine |= {package: metadata.version(package) for package in ("highspy", "carveme", "pyscipopt")}
        parsed.json.parent.mkdir(parents=True, exist_ok=True)
        parsed.json.write_text(json.dumps({"machine": machine, "records": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
