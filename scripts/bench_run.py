"""Time the workflow on the six proteomes of the carveme package, stage by stage.

Each stage is run as its shard job is: once with all to do, once with nothing to do. Overhead is what a job costs beyond
its genomes: cores x wall minus the seconds of the genomes in the ledger, over cores x wall. `--copies N` puts every
proteome in N times under other names (DIAMOND searches each protein once), to see how the fixed costs dilute.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gemforest.carveme_files import carveme_data
from gemforest.config import load_config, to_text
from gemforest.evidence import rules_of
from gemforest.evidence.scores import score_reactions
from gemforest.ledger import read_ledger
from gemforest.stages import STAGE_NAMES
from gemforest.store import Store

REPOSITORY = Path(__file__).resolve().parents[1]
GEMFOREST = [sys.executable, "-m", "gemforest.cli"]


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of a command and all its children."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def make_project(folder: Path, copies: int, quick: bool) -> int:
    """A project with the shipped sheet, each row `copies` times; the number of genomes."""
    for name in ("Snakefile", "workflow", "envs"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "resources").mkdir()
    (REPOSITORY / "resources" / "cache").mkdir(parents=True, exist_ok=True)
    (folder / "resources" / "cache").symlink_to(REPOSITORY / "resources" / "cache")
    shutil.copytree(REPOSITORY / "config", folder / "config")
    header, *rows = (REPOSITORY / "config" / "genomes.tsv").read_text().splitlines()
    rows = rows[:1] if quick else rows
    copied = [row.replace("\t", f"_{copy}\t", 1) for copy in range(copies) for row in rows]
    (folder / "config" / "genomes.tsv").write_text("\n".join([header, *copied]) + "\n")
    return len(copied)


def bench_stages(folder: Path, genomes: int, cores: int) -> list[dict[str, object]]:
    """Every stage as a job: wall, CPU, genomes' own seconds, overhead, and the cost of a job with nothing to do."""
    records: list[dict[str, object]] = []
    subprocess.run([*GEMFOREST, "plan"], cwd=folder, check=True, capture_output=True)
    effective = to_text(load_config(folder / "config" / "config.yaml"))
    (folder / "results" / "plan" / "config.json").write_text(effective)
    store = Store(folder / "results")
    total_wall = total_inside = 0.0
    for name in STAGE_NAMES:
        command = [*GEMFOREST, name, "--shard", "0000", "--cores", str(cores), "--config", "results/plan/config.json"]
        wall, cpu = timed(command, folder)
        inside = sum(row.seconds for row in read_ledger(store.ledger_path(name, "0000")))
        # A pooled stage books its one call in shares, which already use all cores.
        inside = inside * cores if name in ("homology", "fetch") else inside
        idle, _ = timed(command, folder)
        total_wall += wall
        total_inside += inside
        records += [
            {"what": f"{name}: wall", "value": round(wall, 2), "unit": "s", "genomes": genomes, "cores": cores},
            {"what": f"{name}: CPU", "value": round(cpu, 2), "unit": "s", "genomes": genomes, "cores": cores},
            {"what": f"{name}: job with nothing to do", "value": round(idle, 2), "unit": "s", "genomes": genomes},
        ]
    overhead = max(0.0, cores * total_wall - total_inside) / (cores * total_wall)
    records += [
        {"what": "all stages: wall", "value": round(total_wall, 2), "unit": "s", "genomes": genomes, "cores": cores},
        {"what": "all stages: overhead beyond the genomes", "value": round(overhead, 4), "unit": "share"},
    ]
    return records


def bench_snakemake(folder: Path, genomes: int, cores: int) -> list[dict[str, object]]:
    """`gemforest run` from nothing, and once more with nothing to do."""
    shutil.rmtree(folder / "results", ignore_errors=True)
    command = [*GEMFOREST, "run", "--cores", str(cores)]
    wall, cpu = timed(command, folder)
    idle, _ = timed(command, folder)
    return [
        {"what": "gemforest run: wall", "value": round(wall, 2), "unit": "s", "genomes": genomes, "cores": cores},
        {"what": "gemforest run: CPU", "value": round(cpu, 2), "unit": "s", "genomes": genomes, "cores": cores},
        {"what": "gemforest run again: wall", "value": round(idle, 2), "unit": "s", "genomes": genomes},
    ]


def bench_evidence(quick: bool) -> list[dict[str, object]]:
    """Reaction scores of the shipped hit files: CPU seconds here and in CarveMe, and whether they are equal."""
    import pandas as pd
    from carveme.reconstruction.diamond import load_diamond_results
    from carveme.reconstruction.scoring import reaction_scoring

    records: list[dict[str, object]] = []
    rules = rules_of("gramneg", REPOSITORY / "resources" / "cache")
    gprs = pd.read_csv(carveme_data("generated/bigg_gprs.csv.gz"))
    gprs = gprs[gprs.reaction.str[2:].isin(rules.reactions)]
    for path in sorted(carveme_data("benchmark/fasta").glob("*.tsv"))[: 1 if quick else None]:
        hits = load_diamond_results(str(path)).dropna()
        columns = hits.query_gene.to_numpy(object), hits.BiGG_gene.to_numpy(str), hits.score.to_numpy(float)
        started = time.process_time()
        ours = score_reactions(rules, *columns)
        between = time.process_time()
        theirs, _ = reaction_scoring(hits, gprs.copy())
        ended = time.process_time()
        equal = [(f"R_{s.reaction}", s.score, s.normalized_score) for s in ours] == [
            tuple(row) for row in theirs[["reaction", "score", "normalized_score"]].itertuples(index=False)
        ]
        value, peer = between - started, ended - between
        records.append(
            {"what": f"evidence {path.stem}: CPU", "value": round(value, 3), "unit": "s", "peer": "CarveMe 1.6.6"}
            | {"peer_value": round(peer, 3), "ratio": round(peer / value, 1), "equal_to_the_last_digit": equal}
        )
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one genome")
    parser.add_argument("--only", choices=["evidence", "stages", "run"])
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    parsed = parser.parse_args()
    records: list[dict[str, object]] = []
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if parsed.only in (None, "evidence"):
        records += bench_evidence(parsed.quick)
    for name, bench in (("stages", bench_stages), ("run", bench_snakemake)):
        if parsed.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                genomes = make_project(Path(folder), parsed.copies, parsed.quick)
                records += bench(Path(folder), genomes, parsed.cores)
    for record in records:
        beside = f"  ({record['peer']}: {record['peer_value']}, {record['ratio']}x)" if "peer" in record else ""
        print(f"{record['what']:45} {record['value']} {record['unit']}{beside}")
    if parsed.json:
        machine = {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}
        parsed.json.write_text(json.dumps({"machine": machine, "records": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
