"""Convert the CC BY 4.0 sources of enzymes into `resources/ec`: superseded EC numbers, a clustered set of sequences.

    python scripts/make_ec_resources.py --superseded e2p2_enzyme_superseded.tsv \
        --reviewed gapseq_reviewed_ec.parquet --out resources/ec

Sequences are clustered by DIAMOND (70 % identity over 80 % of the member); of each cluster one sequence is kept for
every set of EC numbers that occurs in it.
"""

from __future__ import annotations

import argparse
import gzip
import re
import subprocess
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from gemforest.evidence.ec import SUPERSEDED, parse_ecs
from gemforest.reviewed import SEQUENCES

# UniProt's own pattern of accessions.
ACCESSION = re.compile(r"[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2}")


def superseded(path: Path) -> str:
    """Old number to its successors, from lines `EC-new :TRANSFERRED-FROM EC-old`."""
    successors: dict[str, set[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        found = re.fullmatch(r"EC-(\S+)\t:TRANSFERRED-FROM\tEC-(\S+)", line.strip())
        if found and found[1] != found[2]:
            successors.setdefault(found[2], set()).add(found[1])
    rows = [f"{old}\t{';'.join(sorted(new))}" for old, new in sorted(successors.items())]
    head = "# Superseded EC numbers, from ENZYME (SIB Swiss Institute of Bioinformatics), CC BY 4.0; converted.\n"
    return head + "old\tcurrent\n" + "\n".join(rows) + "\n"


def clustered(path: Path) -> str:
    """FASTA of representatives: accession, then EC numbers as the source gives them."""
    rows = pq.read_table(path).to_pylist()
    with tempfile.TemporaryDirectory() as folder:
        fasta, out = Path(folder) / "all.faa", Path(folder) / "clusters.tsv"
        fasta.write_text("".join(f">{i}\n{row['sequence']}\n" for i, row in enumerate(rows)))
        command = ["diamond", "cluster", "-d", str(fasta), "-o", str(out), "--approx-id", "70", "--member-cover", "80"]
        subprocess.run([*command, "-M", "4G", "--quiet"], check=True)
        pairs = [tuple(map(int, line.split())) for line in out.read_text().splitlines()]
    kept: dict[tuple[int, tuple[str, ...]], int] = {}
    # Some rows of the source carry a piece of a name where the accession should be; whose number is theirs is unsure.
    names = [next(filter(ACCESSION.fullmatch, row["ids"].split(";")), "") for row in rows]
    for representative, member in sorted(pairs, key=lambda pair: (pair[0], pair[1] != pair[0], pair[1])):
        numbers = tuple(parse_ecs(rows[member]["ec"]).numbers)
        if numbers and names[member]:
            kept.setdefault((representative, numbers), member)
    chosen = sorted((names[m], numbers, rows[m]["sequence"]) for (_, numbers), m in kept.items())
    return "".join(f">{name} {';'.join(numbers)}\n{sequence}\n" for name, numbers, sequence in chosen)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--superseded", "--reviewed", "--out"):
        options.add_argument(name, type=Path, required=True)
    given = options.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / SUPERSEDED).write_text(superseded(given.superseded), encoding="utf-8")
    with gzip.GzipFile(given.out / SEQUENCES, "wb", mtime=0) as out:
        out.write(clustered(given.reviewed).encode())


if __name__ == "__main__":
    main()
