"""What a run of so many genomes takes: jobs, core hours, storage, inodes, and the time that Snakemake needs to see it.

    python scripts/plan_run.py --genomes 500000

Multiplies what was measured per genome (`resources/job_costs.json`, made by `scripts/fit_resources.py`; dry runs:
`tests/bench/dag.json`, made by `scripts/bench_dag.py`). Core hours are those that jobs hold, from their expected
length; a run starts its own timers, so what a cluster's queue adds is not in it. GPU hours are told only where
`--gpu-residues-per-s` says how fast the GPU at hand embeds: nothing is assumed.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from gemforest import sizing
from gemforest.stages import STAGE_NAMES, all_stages

REPOSITORY = Path(__file__).resolve().parents[1]
# A shard leaves at each stage: ledger, log, note of use, progress, Snakemake's record; beside them a part of the atlas
# for each table.
LEDGERS_AND_NOTES = 5


@dataclass(frozen=True)
class StagePlan:
    """All jobs of one stage."""

    stage: str
    jobs: int
    cores: int
    minutes: float
    asked_minutes: int
    asked_mb: int
    on_head: bool

    @property
    def core_hours(self) -> float:
        """Core hours that the jobs hold."""
        return self.jobs * self.cores * self.minutes / 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genomes", type=int, required=True)
    parser.add_argument("--shard-size", type=int, default=100)
    parser.add_argument("--megaresidues", type=float, default=sizing.MEAN_MEGARESIDUES, help="protein of a genome")
    parser.add_argument("--storage", choices=["files", "packed"], default="files")
    parser.add_argument("--embed", action="store_true", help="with the encoder, on CPUs")
    parser.add_argument("--gpu-residues-per-s", type=float, help="speed of your GPU, for GPU hours")
    parser.add_argument("--jobs", type=int, help="jobs at a time (default: the SLURM profile's)")
    parser.add_argument("--json", type=Path)
    parsed = parser.parse_args()
    shards = math.ceil(parsed.genomes / parsed.shard_size)
    at_a_time = parsed.jobs or yaml.safe_load((REPOSITORY / "workflow/profiles/slurm/config.yaml").read_text())["jobs"]
    load = sizing.Load(parsed.shard_size, parsed.shard_size * parsed.megaresidues)
    # Without the encoder its stage has no jobs.
    names = [name for name in STAGE_NAMES if parsed.embed or name != "embed"]
    stages = [plan_stage(name, shards, load) for name in names]
    found = totals(stages, parsed, shards, at_a_time)
    print(f"{parsed.genomes:,} genomes in {shards:,} shards of {parsed.shard_size}\n")
    print("| stage | jobs | cores | minutes a job | asks for | core hours |\n|---|---|---|---|---|---|")
    for row in stages:
        where = " (head node)" if row.on_head else ""
        asks = f"{row.asked_minutes} min, {row.asked_mb:,} MB"
        print(
            f"| {row.stage}{where} | {row.jobs:,} | {row.cores} | {row.minutes:.1f} | {asks} | {row.core_hours:,.0f} |"
        )
    print()
    for name, value in found.items():
        print(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}")
    if parsed.json:
        parsed.json.write_text(json.dumps({"stages": [vars(row) for row in stages], "totals": found}, indent=1) + "\n")


def plan_stage(name: str, shards: int, load: sizing.Load) -> StagePlan:
    """The jobs of a stage, one a shard."""
    cost = sizing.cost_of(sizing.EMBED_ON if name == "embed" else name)
    cores = sizing.cores(cost, load)
    asked = sizing.minutes(cost, load, cores, 1, genome_limit_s=1800), sizing.memory_mb(cost, load, cores, 1)
    return StagePlan(name, shards, cores, cost.wall_s(load, cores) / 60, *asked, on_head=name == "fetch")


def totals(
    stages: list[StagePlan], parsed: argparse.Namespace, shards: int, at_a_time: int
) -> dict[str, int | float | str]:
    """The run as a whole."""
    measured = json.loads((REPOSITORY / "resources" / "job_costs.json").read_text())["storage"]
    tables = sum(len(stage.writes) for stage in all_stages())
    models = sum(len(stage.folders) for stage in all_stages())
    per_genome = models + (tables if parsed.storage == "files" else 0)
    # The atlas holds every table once more.
    names = {table for stage in all_stages() for table in stage.writes}
    kilobytes = sum(size * (2 if folder in names else 1) for folder, size in measured.items())
    per_shard = len(STAGE_NAMES) * LEDGERS_AND_NOTES + tables * (1 if parsed.storage == "files" else 2)
    submitted = [row for row in stages if not row.on_head]
    job_hours = sum(row.jobs * row.minutes / 60 for row in submitted)
    seconds, megabytes = dry_run(parsed.genomes)
    found: dict[str, int | float | str] = {
        "jobs in SLURM": sum(row.jobs for row in submitted),
        "core hours": round(sum(row.core_hours for row in stages)),
        f"days with {at_a_time} jobs at a time, without queueing": round(job_hours / at_a_time / 24, 1),
        "storage with the atlas, GB": round(parsed.genomes * kilobytes / 1e6),
        f"files of genomes, {per_genome} each": parsed.genomes * per_genome,
        f"files of shards, {per_shard} each": shards * per_shard,
        "dry run, s (from tests/bench/dag.json)": seconds,
        "dry run, MB": megabytes,
    }
    if parsed.gpu_residues_per_s:
        hours = parsed.genomes * parsed.megaresidues * 1e6 / parsed.gpu_residues_per_s / 3600
        found["GPU hours, every protein embedded once"] = round(hours)
    return found


def dry_run(genomes: int) -> tuple[float, float]:
    """Seconds and MB of a dry run, on the line through the measured ones, and beyond the last on its end."""
    records = json.loads((REPOSITORY / "tests" / "bench" / "dag.json").read_text())["records"]
    runs = sorted((r["genomes"], r["seconds"], r["peak_mb"]) for r in records if r["what"].startswith("dry_run"))
    known, seconds, megabytes = (np.array(column, dtype=float) for column in zip(*runs, strict=True))
    beyond = max(1.0, genomes / known[-1])
    return tuple(round(float(np.interp(genomes, known, values)) * beyond, 1) for values in (seconds, megabytes))


if __name__ == "__main__":
    main()
