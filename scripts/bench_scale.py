"""How a run scales and what it costs beyond its genomes: strong scaling over cores, overhead of shard jobs.

    python scripts/bench_scale.py --json tests/bench/scale.json

Runs every stage of one shard over two shipped proteomes (`--copies N` of each, under other names) with one core and
with `--cores` of them, on a machine that does nothing else: some eight minutes. Strong scaling is the ratio of the
two wall clocks; what it comes to at the default shard size follows from the genomes' own seconds in each of the two
runs, so that cores which hinder each other count. Overhead is what of cores x wall clock is not the genomes' own
time, by the jobs' own notes: a fixed part of any job and a part per genome, told apart by a shard of one small genome
on one core, and what they come to at the default shard size.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import bench_run

from gemforest.config import load_config, to_text
from gemforest.stages import STAGE_NAMES, stage
from gemforest.usage import Usage, read_usage

DEFAULT_SHARD = 100
PROTEOMES, SMALL = ("Ecoli_K12_MG1655", "Bsubtilis_168"), ("M_genitalium_G37",)
TARGET_SCALING, TARGET_OVERHEAD = 1.8, 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small genome: only to see that it runs")
    parser.add_argument("--only", choices=["scaling", "overhead"])
    parser.add_argument("--copies", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument(
        "--stages", nargs="+", default=list(STAGE_NAMES), choices=STAGE_NAMES, help="earlier ones run too"
    )
    parser.add_argument("--json", type=Path)
    parsed = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"this machine is not quiet: load {load:.1f}; the figures will not hold", file=sys.stderr)
    large = (SMALL, 2) if parsed.quick else (PROTEOMES, parsed.copies)
    one = run_stages(*large, 1, parsed)
    records: list[dict[str, object]] = []
    if parsed.only in (None, "scaling"):
        records += scaling(one, run_stages(*large, parsed.cores, parsed), parsed.cores)
    if parsed.only in (None, "overhead"):
        records += overhead(run_stages(SMALL, 1, 1, parsed), one)
    for record in records:
        full = record.get(f"at_{DEFAULT_SHARD}_genomes")
        more = f" ({full} at {DEFAULT_SHARD} genomes a shard)" if full else ""
        print(f"{record['what']:60} {record['value']} {record['unit']}{more}")
    if parsed.json:
        machine: dict[str, object] = {
            "system": platform.platform(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "load_before": round(load, 2),
        }
        parsed.json.write_text(json.dumps({"machine": machine, "records": records}, indent=1) + "\n")


def run_stages(proteomes: Sequence[str], copies: int, cores: int, parsed: argparse.Namespace) -> dict[str, Usage]:
    """The note of each stage's job over one shard."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench_run.make_project(folder, copies, quick=False)
        sheet = folder / "config" / "genomes.tsv"
        header, *rows = sheet.read_text().splitlines()
        chosen = [row for row in rows if row.split("\t")[1].removeprefix("carveme:") in proteomes]
        sheet.write_text("\n".join([header, *chosen]) + "\n")
        subprocess.run([*bench_run.GEMFOREST, "plan"], cwd=folder, check=True, capture_output=True)
        effective = to_text(load_config(folder / "config" / "config.yaml"))
        (folder / "results" / "plan" / "config.json").write_text(effective)
        last = max(STAGE_NAMES.index(name) for name in parsed.stages)
        for stage_name in STAGE_NAMES[: last + 1]:
            command = [*bench_run.GEMFOREST, stage_name, "--shard", "0000", "--cores", str(cores)]
            command += ["--config", "results/plan/config.json"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            print(f"{cores} core(s), {len(chosen)} genomes: {stage_name} done", file=sys.stderr, flush=True)
        return {usage.stage: usage for usage in read_usage(folder) if usage.stage in parsed.stages}


def scaling(one: dict[str, Usage], many: dict[str, Usage], cores: int) -> Iterator[dict[str, object]]:
    """Wall clock with one core over wall clock with many, by stage and in all."""
    for name in [*one, "all stages"]:
        chosen = list(one) if name == "all stages" else [name]
        before, after = (sum(found[stage].wall_seconds for stage in chosen) for found in (one, many))
        full = [sum(at_default_shard(found[stage]) for stage in chosen) for found in (one, many)]
        yield {
            "what": f"{name}: {cores} cores against one",
            "value": round(before / after, 3),
            "unit": "times",
            "target": TARGET_SCALING,
            f"at_{DEFAULT_SHARD}_genomes": round(full[0] / full[1], 3),
            "wall_s": [round(before, 2), round(after, 2)],
            "cpu_s": [round(sum(found[stage].cpu_seconds for stage in chosen), 2) for found in (one, many)],
            "genomes": one[chosen[0]].genomes,
        }


def at_default_shard(usage: Usage) -> float:
    """Wall clock of a job with so many genomes, s: each further one takes its own seconds on one of the cores."""
    return usage.wall_seconds + (DEFAULT_SHARD - usage.genomes) * own(usage) / usage.genomes / usage.cores


def overhead(small: dict[str, Usage], large: dict[str, Usage]) -> Iterator[dict[str, object]]:
    """Share that is not the genomes' own, measured on both shards, and what it comes to at the default size."""
    # On one core the genomes' own seconds add up to wall clock, pooled or not.
    for name in [*large, "all stages"]:
        chosen = list(large) if name == "all stages" else [name]
        beyond = [
            sum(found[stage].cores * found[stage].wall_seconds - own(found[stage]) for stage in chosen)
            for found in (small, large)
        ]
        inside = sum(own(large[stage]) for stage in chosen)
        genomes = [found[chosen[0]].genomes for found in (small, large)]
        per_genome = max(0.0, (beyond[1] - beyond[0]) / max(genomes[1] - genomes[0], 1))
        fixed = max(0.0, beyond[1] - per_genome * genomes[1])
        at_default = fixed + per_genome * DEFAULT_SHARD
        whole = at_default + inside / genomes[1] * DEFAULT_SHARD
        yield {
            "what": f"{name}: overhead at {DEFAULT_SHARD} genomes a shard",
            "value": round(at_default / whole, 4),
            "unit": "share",
            "target": TARGET_OVERHEAD,
            "fixed_s_per_job": round(fixed, 2),
            "per_genome_s": round(per_genome, 3),
            "measured_s": [round(value, 2) for value in beyond],
            "genomes": genomes,
            "share_measured": round(beyond[1] / (beyond[1] + inside), 4),
        }


def own(usage: Usage) -> float:
    """Core seconds of the genomes themselves."""
    return usage.genome_seconds * (usage.cores if stage(usage.stage).pooled else 1)


if __name__ == "__main__":
    main()
