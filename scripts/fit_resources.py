"""Fit what a stage's job takes to jobs that ran, and write `resources/job_costs.json`.

    python scripts/fit_resources.py PROJECT [PROJECT ...] --out resources/job_costs.json

Reads what the jobs of finished runs noted (`logs/<stage>/shard=NNNN.usage.jsonl`), the ledgers, and how much protein
the shards hold. CPU seconds count, not wall clock, so that a busy machine does no harm.

A stage that works genome by genome: seconds of a genome are the largest mean over the jobs, without the genomes that
were first in their worker (they wait for imports and universes) and scaled from wall clock to CPU; the job itself takes
what is left over in the worst of the jobs, the first use of a universe on this machine with it. A stage that pools its
shard: non-negative least squares over relative errors, raised until every job is covered. Memory likewise. So every
measured job is covered and a larger one never asks for less. Costs of `embed:on` are those of the encoder's benchmark
(`tests/bench/encoder.json`, 4,000 proteins of E. coli), one job.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.optimize import nnls

from gemforest.ledger import read_ledger
from gemforest.plan import read_shard
from gemforest.stages import STAGE_NAMES, stage
from gemforest.usage import Usage, read_usage

REPOSITORY = Path(__file__).resolve().parents[1]
TIME = ("job_s", "genome_s", "megaresidue_s")
MEMORY = ("job_mb", "core_mb", "megaresidue_mb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "resources" / "job_costs.json")
    parsed = parser.parse_args()
    jobs: dict[str, list[dict[str, float]]] = defaultdict(list)
    for project in parsed.projects:
        for usage in read_usage(project):
            if usage.ended == "ok" and usage.genomes:
                jobs[usage.stage].append(as_job(project, usage))
    stages = {name: fit(jobs[name], bool(stage(name).pooled)) for name in STAGE_NAMES if jobs[name]}
    stages["embed:on"] = embedding(stages["embed"])
    machine = {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}
    found = {"how": "python scripts/fit_resources.py PROJECT", "machine": machine, "stages": stages}
    found["storage"] = storage(parsed.projects)
    parsed.out.write_text(json.dumps(found, indent=1) + "\n")
    for name, entry in stages.items():
        told = ", ".join(f"{what} {entry[what]:g}" for what in (*TIME, *MEMORY))
        print(f"{name:10} {told}; {len(entry['jobs'])} jobs")


def storage(projects: list[Path]) -> dict[str, float]:
    """Mean size of the files of single genomes in each folder of the results, kB."""
    sizes: dict[str, list[float]] = defaultdict(list)
    for project in projects:
        for path in sorted((project / "results").glob("*/shard=*/*")):
            if path.is_file() and not path.name.startswith("shard="):
                sizes[path.parts[-3]].append(path.stat().st_size / 1e3)
    return {folder: round(sum(found) / len(found), 3) for folder, found in sorted(sizes.items())}


def as_job(project: Path, usage: Usage) -> dict[str, float]:
    """A job as numbers: what it worked on, and what it took."""
    return {
        "genomes": usage.worked,
        "megaresidues": round(megaresidues(project, usage.shard), 3) if usage.worked else 0.0,
        "cores": usage.cores,
        "cpu_s": usage.cpu_seconds,
        "wall_s": usage.wall_seconds,
        "peak_mb": usage.peak_mb,
        "warm_genome_s": warm_genome_s(project, usage),
    }


def megaresidues(project: Path, shard: str) -> float:
    """Millions of residues of protein in a shard."""
    rows = read_shard(project / "results", shard)
    files = [project / "results" / "proteins" / f"shard={shard}" / f"{row['genome_id']}.parquet" for row in rows]
    return sum(sum(pq.ParquetFile(path).read(["length"])["length"].to_pylist()) for path in files) / 1e6


def fit(jobs: list[dict[str, float]], pooled: bool) -> dict[str, object]:
    """Coefficients of one stage, and its jobs."""
    one = np.ones(len(jobs))
    genomes, protein, cores = (np.array([job[name] for job in jobs]) for name in ("genomes", "megaresidues", "cores"))
    cpu, peak = (np.array([job[name] for job in jobs]) for name in ("cpu_s", "peak_mb"))
    workers = np.minimum(cores, genomes)
    if pooled:
        # A search goes by its protein, whoever it belongs to: with few jobs a column of genomes would take its place.
        job_s, megaresidue_s = covering(np.column_stack([one, protein]), cpu)
        time = np.array([job_s, 0.0, megaresidue_s])
        memory = covering(np.column_stack([one, workers, protein]), peak)
    else:
        genome_s = max(job["warm_genome_s"] for job in jobs)
        time = np.array([max(cpu - genome_s * genomes), genome_s, 0.0])
        memory = np.append(covering(np.column_stack([one, workers]), peak), 0.0)
    # Rounded up: a coefficient rounded down would leave a job uncovered.
    rounded = {
        name: float(np.ceil(value * 100) / 100) for name, value in zip((*TIME, *MEMORY), (*time, *memory), strict=True)
    }
    return {**rounded, "jobs": jobs}


def warm_genome_s(project: Path, usage: Usage) -> float:
    """Mean CPU seconds of the genomes of a job that were not the first of their worker; 0 where there are none."""
    rows = read_ledger(project / "results" / "ledger" / usage.stage / f"shard={usage.shard}.parquet")
    seconds = sorted(row.seconds for row in rows)[: -usage.cores]
    if not seconds or usage.worked < usage.genomes:
        return 0.0
    busy = min(1.0, usage.cpu_seconds / max(usage.genome_seconds, 1e-9))
    return round(busy * sum(seconds) / len(seconds), 3)


def covering(columns: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Coefficients, 0 or more, of least relative error, raised until no job took more."""
    found, _ = nnls(columns / taken[:, None], np.ones(len(taken)))
    return found * max(1.0, float(np.max(taken / (columns @ found))))


def embedding(off: dict[str, object]) -> dict[str, object]:
    """The stage `embed` switched on, from the encoder's benchmark."""
    records = json.loads((REPOSITORY / "tests" / "bench" / "encoder.json").read_text())["records"]
    seconds = next(record["value"] for record in records if record["what"] == "4,000 proteins of E. coli")
    job = {"genomes": 1, "megaresidues": 1.28, "cores": 1, "cpu_s": seconds, "wall_s": seconds, "peak_mb": 2000.0}
    own = {"job_s": 5.0, "genome_s": 0.1, "megaresidue_s": round(seconds / 1.28, 2)}
    return {**off, **own, "job_mb": 2000.0, "core_mb": 500.0, "megaresidue_mb": 5.0, "jobs": [job]}


if __name__ == "__main__":
    main()
