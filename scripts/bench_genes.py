"""Gene calling against published proteomes: the genomes that exist both as nucleotides and as proteins.

For each pair: CPU seconds per genome, and how many published proteins are found again, whole or by their last 30
residues (the stop is what gene callers agree on; starts differ). Published proteins come from the installed carveme
package; nucleotides from the data folder beside the repository (`GEMFOREST_SHARED_DATA`).

    python scripts/bench_genes.py --json tests/bench/genes.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

from gemforest.content import read_unpacked
from gemforest.genecalling import call_genes
from gemforest.sequences import fasta_sequences, read_proteins, tabulate
from gemforest.sheet import carveme_sample

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("GEMFOREST_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
PAIRS = {
    "mgen": "M_genitalium_G37",
    "bsub": "Bsubtilis_168",
    "sone": "Soneidensis_MR1",
    "paer": "Paeruginosa_PAO1",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest genome alone")
    parser.add_argument("--only", choices=PAIRS, help="one genome")
    parser.add_argument("--json", type=Path, help="write the records here")
    parsed = parser.parse_args()
    names = [parsed.only] if parsed.only else ["mgen"] if parsed.quick else list(PAIRS)
    records = [measure(name, PAIRS[name]) for name in names]
    for record in records:
        print(
            "{what}: {value} s CPU, code {genetic_code}, {called} genes; of {published} published proteins {same_stop} "
            "({same_stop_share:.1%}) by their end, {whole} ({whole_share:.1%}) whole".format(**record)
        )
    if parsed.json:
        machine = {"python": platform.python_version(), "system": platform.platform(), "cpus": os.cpu_count()}
        parsed.json.write_text(json.dumps({"machine": machine, "records": records}, indent=1) + "\n")
    return 0


def measure(nucleotides: str, proteome: str) -> dict[str, object]:
    """Call genes on one genome and compare with its published proteins."""
    contigs = fasta_sequences(read_unpacked(SHARED / "genomes" / "carveme_six_nucleotide" / f"{nucleotides}.fna.gz"))
    published = set(read_proteins(carveme_sample(f"carveme:{proteome}"))["sequence"].to_pylist())
    wall, cpu = time.perf_counter(), time.process_time()
    calling = call_genes(contigs)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    called = set(tabulate(calling.genes)["sequence"].to_pylist())
    ends = {sequence[-30:] for sequence in called}
    same_stop = sum(sequence[-30:] in ends for sequence in published)
    return {
        "what": f"gene calling of {proteome}",
        "value": round(cpu, 2),
        "unit": "s CPU per genome, one core",
        "seconds": round(wall, 2),
        "megabases": round(sum(len(contig.bases) for contig in contigs) / 1e6, 2),
        "genetic_code": calling.genetic_code,
        "mode": calling.mode,
        "called": len(calling.genes),
        "peer": "published proteome in the carveme package",
        "published": len(published),
        "same_stop": same_stop,
        "same_stop_share": round(same_stop / len(published), 4),
        "whole": len(published & called),
        "whole_share": round(len(published & called) / len(published), 4),
    }


if __name__ == "__main__":
    sys.exit(main())
