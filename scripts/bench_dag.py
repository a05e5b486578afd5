"""How long Snakemake needs to see what there is to do: plan and dry run over a sheet of many genomes.

Writes a sheet of N genomes into a fresh project folder, places them in shards (`gemforest plan`), and dry-runs the
workflow in a process of its own; the classic one-job-per-genome form is the same with `--shard-size 1`. Seconds are
wall clock, `cpu_seconds` and `peak_mb` are of the process and its children.

    python scripts/bench_dag.py --genomes 20000 --json tests/bench/dag.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
TARGET_GENOMES, TARGET_SECONDS, TARGET_MB = 100_000, 20.0, 400.0


@dataclass(frozen=True)
class Measured:
    """One process: its wall clock, its CPU time, the largest resident memory seen, what it printed."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    said: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genomes", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--shard-size", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="2,000 genomes")
    parser.add_argument("--only", choices=["plan", "dry_run"], help="measure one of the two")
    parser.add_argument("--json", type=Path, help="write the records here")
    parsed = parser.parse_args()
    records = []
    for genomes in [2_000] if parsed.quick else parsed.genomes:
        records += measure(genomes, parsed.shard_size, parsed.only)
    for record in records:
        print("{what}: {seconds:.1f} s, {cpu_seconds:.1f} s CPU, {peak_mb:.0f} MB, {jobs} jobs".format(**record))
    if parsed.json:
        parsed.json.write_text(json.dumps({"machine": machine(), "records": records}, indent=1) + "\n")
    return 0


def measure(genomes: int, shard_size: int, only: str | None) -> list[dict[str, object]]:
    """Records of plan and dry run for one number of genomes."""
    records = []
    with tempfile.TemporaryDirectory(prefix="gemforest-bench-dag-") as name:
        project = Path(name)
        write_project(project, genomes, shard_size)
        gemforest = [sys.executable, "-c", "import sys; from gemforest.cli import main; sys.exit(main())"]
        steps = {
            "plan": [*gemforest, "plan"],
            "dry_run": [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "--cores", "1"],
        }
        for step, command in steps.items():
            if step == "dry_run" or only in (None, step):
                found = run(command, project)
                if only in (None, step):
                    records.append(record(step, genomes, shard_size, found))
    return records


def record(step: str, genomes: int, shard_size: int, found: Measured) -> dict[str, object]:
    jobs = re.search(r"^total\s+(\d+)", found.said, re.MULTILINE)
    return {
        "what": f"{step} of {genomes} genomes in shards of {shard_size}",
        "value": round(found.seconds, 2),
        "unit": "s",
        "genomes": genomes,
        "seconds": round(found.seconds, 2),
        "cpu_seconds": round(found.cpu_seconds, 2),
        "peak_mb": round(found.peak_mb, 1),
        "jobs": int(jobs.group(1)) if jobs else 0,
        "target_seconds": TARGET_SECONDS if genomes == TARGET_GENOMES else None,
        "target_mb": TARGET_MB if genomes == TARGET_GENOMES else None,
    }


def write_project(project: Path, genomes: int, shard_size: int) -> None:
    """A project whose sheet names files that do not exist: planning must not read them."""
    (project / "config").mkdir(parents=True)
    (project / "Snakefile").write_text(
        (REPOSITORY / "Snakefile").read_text().replace('"workflow/Snakefile"', f'"{REPOSITORY}/workflow/Snakefile"')
    )
    (project / "config" / "config.yaml").write_text(f"shard_size: {shard_size}\n")
    (project / "config" / "media.tsv").write_bytes((REPOSITORY / "config" / "media.tsv").read_bytes())
    rows = (f"genome_{n:06d}\tgenomes/genome_{n:06d}.faa.gz\tgramneg\n" for n in range(genomes))
    (project / "config" / "genomes.tsv").write_text("genome_id\tsource\tuniverse\n" + "".join(rows))


def run(command: list[str], folder: Path) -> Measured:
    """Run a command; RuntimeError with its output where it fails."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow" / "lib")}
    before, begin = os.times(), time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    peak = [0.0]
    watcher = threading.Thread(target=watch_memory, args=(process, peak), daemon=True)
    watcher.start()
    said, _ = process.communicate()
    seconds, after = time.perf_counter() - begin, os.times()
    watcher.join(timeout=1)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{said[-3000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(seconds, cpu, peak[0], said)


def watch_memory(process: subprocess.Popen[str], peak: list[float]) -> None:
    """Keep the kernel's own high-water mark of the process, in MB."""
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            return
        if found := re.search(r"VmHWM:\s+(\d+) kB", status):
            peak[0] = max(peak[0], int(found.group(1)) / 1024)
        time.sleep(0.02)


def machine() -> dict[str, object]:
    return {"python": platform.python_version(), "system": platform.platform(), "cpus": os.cpu_count()}


if __name__ == "__main__":
    sys.exit(main())
