"""How many cores, how much memory and how much time the job of a shard asks for.

The coefficients are in `resources/job_costs.json`, fitted by `scripts/fit_resources.py` to what jobs took, with the
jobs beside them. Work (CPU seconds) grows with the genomes of a shard and their protein, estimated from the size of
their files, which the plan knows; memory with the cores and, where a stage pools a shard, with its protein. Every
coefficient is 0 or more, so a larger shard never asks for less.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from gemforest.config import WORKFLOW

# A job asks for so many times what is expected: nodes differ, and so do genomes.
TIME_MARGIN, MEMORY_MARGIN = 2.0, 1.5
# Cores are added until a job is expected to end within this time; shorter jobs are a burden on the scheduler.
LONGEST_EXPECTED_S = 40 * 60
CORES = (1, 2, 4, 8, 16)
LEAST_MINUTES, LEAST_MB = 10, 1000
# Snakemake itself, which starts the stage inside the job and waits for it.
SNAKEMAKE_MB = 300
# A genome whose size is not known before it is fetched: 4,000 proteins of 320 residues.
MEAN_MEGARESIDUES = 1.28
# Residues of protein per byte of a plain file, and bytes of a plain file per byte of a packed one, by the end of its
# name: median of some thirty NCBI files, where nine tenths of a genome code.
PROTEIN, NUCLEOTIDE, GENBANK = (0.83, 1.9), (0.29, 3.5), (0.13, 3.6)
FACTORS = {".faa": PROTEIN, ".fna": NUCLEOTIDE, ".gbff": GENBANK, ".gbk": GENBANK, ".gb": GENBANK}
EMBED_ON = "embed:on"
PACKED = (".gz", ".bz2", ".xz")


@dataclass(frozen=True)
class Load:
    """What a job works on: genomes, and millions of residues of their proteins."""

    genomes: int
    megaresidues: float


@dataclass(frozen=True)
class Cost:
    """What a stage takes: CPU seconds and MB of resident memory.

    Attributes
    ----------
    job_s, genome_s, megaresidue_s
        CPU seconds of any job, of each genome, of each million residues.
    job_mb, core_mb, megaresidue_mb
        Memory of any job, for each core, for each million residues of the shard.
    """

    job_s: float
    genome_s: float
    megaresidue_s: float
    job_mb: float
    core_mb: float
    megaresidue_mb: float

    def work_s(self, load: Load) -> float:
        """CPU seconds that can be spread over cores."""
        return self.genome_s * load.genomes + self.megaresidue_s * load.megaresidues

    def wall_s(self, load: Load, cores: int) -> float:
        """Expected wall clock, s."""
        return self.job_s + self.work_s(load) / min(cores, max(load.genomes, 1))

    def peak_mb(self, load: Load, cores: int) -> float:
        """Expected peak of memory, MB."""
        return self.job_mb + self.core_mb * min(cores, max(load.genomes, 1)) + self.megaresidue_mb * load.megaresidues


@cache
def costs() -> dict[str, Cost]:
    """Cost of each stage; `embed` is the stage switched off, `embed:on` with the shipped encoder on a CPU."""
    found = json.loads((WORKFLOW.parent / "resources" / "job_costs.json").read_text(encoding="utf-8"))
    names = [field.name for field in fields(Cost)]
    return {stage: Cost(**{name: entry[name] for name in names}) for stage, entry in found["stages"].items()}


def cost_of(stage: str) -> Cost:
    """Cost of a stage; of one that was never measured, the largest of every coefficient."""
    known = costs()
    if stage in known:
        return known[stage]
    always = [cost for name, cost in known.items() if name != EMBED_ON]
    return Cost(*(max(getattr(cost, field.name) for cost in always) for field in fields(Cost)))


def cores(cost: Cost, load: Load) -> int:
    """Fewest cores with which a job is expected to end within `LONGEST_EXPECTED_S`."""
    return next((n for n in CORES if cost.wall_s(load, n) <= LONGEST_EXPECTED_S), CORES[-1])


def memory_mb(cost: Cost, load: Load, cores: int, attempt: int) -> int:
    """MB that a job asks for at its n-th attempt, in steps of 100."""
    return attempt * max(LEAST_MB, 100 * math.ceil((SNAKEMAKE_MB + MEMORY_MARGIN * cost.peak_mb(load, cores)) / 100))


def minutes(cost: Cost, load: Load, cores: int, attempt: int, genome_limit_s: float) -> int:
    """Minutes that a job asks for at its n-th attempt.

    One genome may take its whole time limit beside the rest, and twice that at its second try, which a job broken off
    for it makes at its own second attempt.
    """
    expected = TIME_MARGIN * cost.wall_s(load, cores)
    return attempt * max(LEAST_MINUTES, math.ceil((expected + genome_limit_s) / 60))


def load_of(rows: str) -> Load:
    """Load of a shard from the text of its rows file (header, then one genome a line; the fingerprint is last)."""
    genomes = [line.split("\t") for line in rows.splitlines()[1:]]
    return Load(len(genomes), sum(_megaresidues(line[1], line[-1]) for line in genomes))


def _megaresidues(source: str, fingerprint: str) -> float:
    size = fingerprint.split("-", 1)[0]
    return megaresidues_of(source, int(size)) if size.isdigit() else MEAN_MEGARESIDUES


def megaresidues_of(name: str, size: int) -> float:
    """Millions of residues of protein in a genome file of `size` bytes; of a name that tells nothing, as protein."""
    path = Path(name)
    packed = path.suffix in PACKED
    residues, unpacked = FACTORS.get(Path(path.stem).suffix if packed else path.suffix, PROTEIN)
    return size * residues * (unpacked if packed else 1.0) / 1e6
