"""What sources of evidence cost: CPU per genome beyond DIAMOND, DIAMOND's third search, a table of many rows.

    python scripts/bench_sources.py --json tests/bench/sources.json

The genome is CarveMe's E. coli K-12 proteome. Source N is timed on random vectors of the shipped encoder's width: only
the number of them counts. `--only` leaves the other part's records in the JSON file as they are. `--rows` sets the size
of the users' table (10,000,000 unless `--quick`).
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from gemforest.carveme_files import carveme_data
from gemforest.config import complete, parameter
from gemforest.evidence.calls import call_reactions
from gemforest.evidence.ecreactions import reaction_ecs
from gemforest.evidence.homologs import bigg_reference
from gemforest.evidence.listening import from_enzymes
from gemforest.evidence.neighbours import make_index, nearest, neighbour_support
from gemforest.evidence.verdicts import gene_reactions_table
from gemforest.homology import DEEP_PERCENT, search, search_enzymes
from gemforest.sequences import fasta_genes, tabulate
from gemforest.stage import Context, Task
from gemforest.store import Store
from gemforest.tables import TABLES

GENOME = "Ecoli_K12_MG1655"
BENCHES = ("genome", "table")
GENOMES = 10
WIDTH = 200

TABLE = """
import json, resource, sys, time
from pathlib import Path
from gemforest.evidence.usertables import indexed
started = time.process_time()
table = indexed(Path(sys.argv[1]), Path(sys.argv[2]), lambda: frozenset({"PFK"}))
laid_out = time.process_time() - started
started = time.process_time()
rows = table.rows("genome7").num_rows
print(json.dumps({"cpu_s": laid_out, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                  "rows": rows, "read_s": time.process_time() - started}))
"""


def cpu() -> float:
    """CPU seconds of this process and its children."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def aligned(hits: pa.Table, proteins: pa.Table, table: str) -> pa.Table:
    """DIAMOND's hits, queries numbered, in the columns of `homologs` or `enzyme_hits`."""
    query = hits["query"].to_numpy()
    length = proteins["length"].to_numpy()[query]
    span = (hits["query_end"].to_numpy() - hits["query_start"].to_numpy() + 1) / length
    columns = {
        "genome_id": pa.array([GENOME] * hits.num_rows),
        "gene_id": proteins["gene_id"].take(pa.array(query)),
        "target": hits["target"],
        "identity_percent": hits["identity_percent"],
        "bitscore": hits["bitscore"],
        "query_coverage": pa.array(span),
        "target_coverage": pa.array(
            (hits["target_end"].to_numpy() - hits["target_start"].to_numpy() + 1) / hits["target_length"].to_numpy()
        ),
    }
    return pa.table(columns).cast(TABLES[table].schema)


def bench_genome(folder: Path) -> list[dict[str, object]]:
    config = complete({})
    keys = ("homology.sensitivity", "homology.top_percent", "homology.enzymes")
    context = Context(folder, config, Store(folder / "results"))
    task = Task(GENOME, "0000", {}, {key: parameter(config, key) for key in keys}, context, "", "")
    proteins = tabulate(fasta_genes(carveme_data(f"benchmark/fasta/{GENOME}.faa").read_bytes()))
    fasta = folder / "query.faa"
    fasta.write_text("".join(f">{i}\n{s}\n" for i, s in enumerate(proteins["sequence"].to_pylist())))
    started = cpu()
    deep = search(fasta, folder, task, 1, DEEP_PERCENT)
    deep_s, started = cpu() - started, cpu()
    enzymes = search_enzymes(fasta, folder, task, 1)
    enzymes_s = cpu() - started
    homologs, hits = aligned(deep, proteins, "homologs"), aligned(enzymes, proteins, "enzyme_hits")
    ecs = reaction_ecs("gramneg", folder / "none", folder / "cache")
    records: list[dict[str, object]] = [
        {"what": "DIAMOND, reviewed enzymes", "value": round(enzymes_s, 2), "unit": "s CPU", "peer": "homologs",
         "peer_value": round(deep_s, 2), "ratio": round(enzymes_s / deep_s, 2)}
    ]  # fmt: skip
    call_reactions(proteins, homologs, [from_enzymes(proteins, hits)], ecs, True)
    for name, with_enzymes, presence in (("D", False, False), ("DE", True, False), ("DEP", True, True)):
        started = cpu()
        heard = [from_enzymes(proteins, hits)] if with_enzymes else []
        calls = gene_reactions_table(GENOME, call_reactions(proteins, homologs, heard, ecs, presence), 0.02)
        seconds = round(cpu() - started, 2)
        records.append({"what": f"calls of a genome, sources {name}", "value": seconds, "unit": "s CPU",
                        "calls": calls.num_rows})  # fmt: skip
    before = peak_mb()
    for _ in range(GENOMES):
        heard = [from_enzymes(proteins, hits)]
        gene_reactions_table(GENOME, call_reactions(proteins, homologs, heard, ecs), 0.02)
    records.append({"what": f"peak memory after {GENOMES} more genomes, sources DE", "value": round(peak_mb()),
                    "unit": "MB", "peer": "after the first", "peer_value": round(before)})  # fmt: skip
    return [*records, *bench_neighbours(proteins.num_rows)]


def bench_neighbours(proteins: int) -> list[dict[str, object]]:
    reference, rng = bigg_reference(), np.random.default_rng(0)
    n = len(reference.genes)
    index = make_index(rng.normal(size=(n, WIDTH)).astype(np.float32), np.arange(n))
    asked = rng.normal(size=(proteins, WIDTH)).astype(np.float32)
    started = cpu()
    near = nearest(index, asked)
    searched, started = cpu() - started, cpu()
    pairs = rng.integers(0, proteins, 30_000), rng.integers(0, len(reference.reactions), 30_000)
    neighbour_support(*pairs, near, reference)
    return [
        {"what": f"source N, {proteins} proteins against {n}", "value": round(searched, 2), "unit": "s CPU"},
        {"what": "source N, what neighbours say of 30,000 candidates", "value": round(cpu() - started, 2),
         "unit": "s CPU"},
    ]  # fmt: skip


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bench_table(folder: Path, rows: int) -> list[dict[str, object]]:
    path = folder / "table.tsv"
    with path.open("w") as out:
        out.write("genome_id\tgene_id\ttarget\tprobability\tsource\n")
        for start in range(0, rows, 100_000):
            out.writelines(f"genome{i % 5000}\tgene{i}\tPFK\t0.5\tCLEAN\n" for i in range(start, start + 100_000))
    command = [sys.executable, "-c", TABLE, str(path), str(folder / "cache")]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    what = f"users' table of {rows:,} rows"
    return [
        {"what": f"{what}, read and laid out once", "value": round(said["cpu_s"], 1), "unit": "s CPU"},
        {"what": f"{what}, peak memory", "value": round(said["peak_mb"]), "unit": "MB"},
        {"what": f"{what}, one genome's {said['rows']} rows", "value": round(said["read_s"], 3), "unit": "s CPU"},
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="a users' table of 200,000 rows")
    options.add_argument("--only", choices=BENCHES)
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    records: list[dict[str, object]] = []
    started = time.perf_counter()
    for name in [given.only] if given.only else BENCHES:
        with tempfile.TemporaryDirectory() as folder:
            if name == "genome":
                found = bench_genome(Path(folder))
            else:
                found = bench_table(Path(folder), 200_000 if given.quick else given.rows)
            records += [{"bench": name} | record for record in found]
    for record in records:
        print(record)
    if given.json:
        if given.only and given.json.exists():
            kept = json.loads(given.json.read_text())["records"]
            records = [record for record in kept if record.get("bench") != given.only] + records
        machine = {"platform": platform.platform(), "wall_s": round(time.perf_counter() - started)}
        given.json.write_text(json.dumps({"machine": machine, "records": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
