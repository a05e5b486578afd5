"""Source E: EC numbers of proteins from the nearest reviewed enzymes (a clustered set of UniProtKB, CC BY 4.0).

Stands beside the stage: `predict_ecs` answers for any FASTA file, which is how it is judged on published test sets,
whose own proteins `excluded` takes out of the reference by accession and by sequence.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from gemforest.errors import InfrastructureError
from gemforest.evidence.ec import current_ecs
from gemforest.reviewed import enzymes


@dataclass(frozen=True)
class EcPrediction:
    """One EC number of a query by its nearest enzyme; a query without a hit has no row."""

    query: str
    ec: str
    weight: float
    enzyme: str
    identity_percent: float
    query_coverage: float
    target_coverage: float
    bitscore: float


def predict_ecs(
    fasta: Path, diamond: str, folder: Path, excluded: Collection[str] = (), threads: int = 1
) -> list[EcPrediction]:
    """EC numbers of the best hit of each protein, superseded ones brought to today's.

    Parameters
    ----------
    fasta
        Proteins; ids end at the first blank.
    diamond
        The program.
    folder
        For the database and the hits.
    excluded
        UniProt accessions and whole sequences that the reference is to do without.

    Raises
    ------
    InfrastructureError
        DIAMOND failed; what it said.
    """
    without = frozenset(excluded)
    numbers: dict[str, tuple[str, ...]] = {}
    reference = folder / "enzymes.faa"
    with reference.open("w", encoding="utf-8") as out:
        for name, ecs, sequence in enzymes():
            if name not in without and sequence not in without:
                numbers[name] = ecs
                out.write(f">{name}\n{sequence}\n")
    hits = folder / "enzymes.tsv"
    _call([diamond, "makedb", "--in", str(reference), "--db", str(folder / "enzymes"), "--quiet"])
    command = [diamond, "blastp", "--db", str(folder / "enzymes"), "--query", str(fasta), "--out", str(hits)]
    command += ["--very-sensitive", "--max-target-seqs", "1", "--threads", str(threads), "--quiet", "--outfmt", "6"]
    _call([*command, "qseqid", "sseqid", "pident", "qcovhsp", "scovhsp", "bitscore"])
    rows = {line.split("\t", 1)[0]: line.split("\t") for line in reversed(hits.read_text().splitlines())}
    found = []
    for query, target, identity, query_cover, target_cover, bits in rows.values():
        weights: dict[str, float] = {}
        for number in numbers[target]:
            for ec, weight in current_ecs(number).items():
                weights[ec] = max(weights.get(ec, 0.0), weight)
        shares = (float(identity), float(query_cover) / 100, float(target_cover) / 100, float(bits))
        found += [EcPrediction(query, ec, weight, target, *shares) for ec, weight in weights.items()]
    return sorted(found, key=lambda one: (one.query, one.ec))


def _call(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise InfrastructureError(f"DIAMOND ({command[1]}) failed: {ended.stderr.strip()}")
