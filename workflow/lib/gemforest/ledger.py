"""What became of each genome at each stage: the outcomes, the reasons, and the shard ledgers that Snakemake tracks.

Every genome that enters a stage leaves one ledger row, whatever happened to it. The row lives in the metadata of the
genome's file in the stage's main table (Snakemake deletes a job's declared output before a rerun, so a ledger alone
would forget); the shard's ledger is rebuilt from these files and is byte-identical when nothing changed. This module
holds the vocabulary and the reading and writing of rows; `loop.py` runs the genomes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gemforest.store import write_parquet
from gemforest.tables import LEDGER


class Outcome(StrEnum):
    """How a genome left a stage. `ok` alone lets the next stage start."""

    OK = "ok"
    SKIPPED_UPSTREAM = "skipped_upstream"
    REFUSED = "refused"
    FAILED = "failed"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"


class Reason(StrEnum):
    """Why a genome did not leave a stage as `ok`; `REASON_TEXT` says it in a biologist's words."""

    NONE = ""
    UPSTREAM = "upstream"
    # fetch
    FILE_NOT_FOUND = "file_not_found"
    FILE_UNREADABLE = "file_unreadable"
    UNKNOWN_SAMPLE = "unknown_sample"
    HTTP_404 = "http_404"
    HTTP_ERROR = "http_error"
    HOST_NOT_ALLOWED = "host_not_allowed"
    TIMEOUT = "timeout"
    NO_CHECKSUM = "no_checksum"
    MD5_MISMATCH = "md5_mismatch"
    REPLACED = "replaced"
    SUPPRESSED = "suppressed"
    NOT_FOUND = "not_found"
    NO_PROTEIN = "no_protein"
    TOO_LARGE = "too_large"
    QUALITY_FILTER = "quality_filter"
    # genes
    EMPTY_FILE = "empty_file"
    TRUNCATED_ARCHIVE = "truncated_archive"
    TRUNCATED_FILE = "truncated_file"
    DAMAGED_ARCHIVE = "damaged_archive"
    DECOMPRESSION_LIMIT = "decompression_limit"
    NOT_A_GENOME = "not_a_genome"
    LOOKS_LIKE_CONTIGS = "looks_like_contigs"
    LOOKS_LIKE_PROTEINS = "looks_like_proteins"
    MIXED_SEQUENCES = "mixed_sequences"
    NOT_AS_DECLARED = "not_as_declared"
    NO_PROTEINS = "no_proteins"
    TOO_FEW_PROTEINS = "too_few_proteins"
    # homology, evidence
    SEARCH_CRASHED = "search_crashed"
    OUTSIDE_UNIVERSES = "outside_universes"
    TOO_FEW_REACTIONS = "too_few_reactions"
    BAD_ANNOTATION = "bad_annotation"
    # embed
    ENCODER_CRASHED = "encoder_crashed"
    # draft, gapfill, kinetics, simulate
    SOLVER_LIMIT = "solver_limit"
    SOLVER_FAILED = "solver_failed"
    BIOMASS_INFEASIBLE = "biomass_infeasible"
    INFEASIBLE_MEDIUM = "infeasible_medium"
    FILL_TOO_LARGE = "fill_too_large"
    NO_GROWTH = "no_growth"
    UNBOUNDED = "unbounded"
    BAD_MODEL = "bad_model"
    POOL_TOO_SMALL = "pool_too_small"
    NO_ENZYMES = "no_enzymes"
    # any stage
    WALL_CLOCK = "wall_clock"
    MEMORY_LIMIT = "memory_limit"
    KILLED_ITS_JOB = "killed_its_job"
    WORKER_DIED = "worker_died"
    UNEXPECTED = "unexpected"


REASON_TEXT: dict[Reason, str] = {
    Reason.NONE: "",
    Reason.UPSTREAM: "an earlier stage did not finish this genome; see its row there",
    Reason.FILE_NOT_FOUND: "the sheet names a file that does not exist",
    Reason.FILE_UNREADABLE: "the file exists but cannot be read",
    Reason.UNKNOWN_SAMPLE: "the sheet names a sample that the installed carveme package does not carry",
    Reason.HTTP_404: "the server has no such file",
    Reason.HTTP_ERROR: "the server could not be asked, after all tries",
    Reason.HOST_NOT_ALLOWED: "the server sent us on to a host that the config does not allow",
    Reason.TIMEOUT: "the server did not answer in time, after all tries",
    Reason.NO_CHECKSUM: "the sheet names a web file without its checksum",
    Reason.MD5_MISMATCH: "the download differs from the checksum that the server publishes",
    Reason.REPLACED: "the accession was replaced by a newer one",
    Reason.SUPPRESSED: "the accession was withdrawn by its archive",
    Reason.NOT_FOUND: "the archive does not know the accession",
    Reason.NO_PROTEIN: "the archive holds neither proteins nor a sequence for the accession",
    Reason.TOO_LARGE: "the file is larger than the limit in the config",
    Reason.QUALITY_FILTER: "the assembly does not pass the quality limits in the config",
    Reason.EMPTY_FILE: "the file is empty",
    Reason.TRUNCATED_ARCHIVE: "the compressed file ends before its end: copy or download it again",
    Reason.TRUNCATED_FILE: "the file ends before its last record does: copy or download it again",
    Reason.DAMAGED_ARCHIVE: "the compressed file is damaged: copy or download it again",
    Reason.DECOMPRESSION_LIMIT: "the compressed file unpacks to more than the limit in the config",
    Reason.NOT_A_GENOME: "the file is neither FASTA nor GenBank",
    Reason.LOOKS_LIKE_CONTIGS: "nucleotide sequences where proteins were declared",
    Reason.LOOKS_LIKE_PROTEINS: "protein sequences where nucleotides were declared",
    Reason.MIXED_SEQUENCES: "the file mixes nucleotide and protein sequences",
    Reason.NOT_AS_DECLARED: "the file holds another kind of data than the sheet declares",
    Reason.NO_PROTEINS: "no usable protein sequence was found",
    Reason.TOO_FEW_PROTEINS: "fewer proteins than any living cell has: a fragment, not a genome",
    Reason.SEARCH_CRASHED: "the homology search ends abnormally on this genome's proteins",
    Reason.OUTSIDE_UNIVERSES: "neither bacterium nor archaeon: no reaction universe fits",
    Reason.TOO_FEW_REACTIONS: "too few proteins resemble known metabolic enzymes to draft a model",
    Reason.BAD_ANNOTATION: "the annotation file that belongs to this genome cannot be used",
    Reason.ENCODER_CRASHED: "the protein encoder ends abnormally on this genome's proteins",
    Reason.SOLVER_LIMIT: "the solver reached its limit before it had any model",
    Reason.SOLVER_FAILED: "the solver ended with an error",
    Reason.BIOMASS_INFEASIBLE: "some biomass components cannot be made under the given constraints",
    Reason.INFEASIBLE_MEDIUM: "no set of known reactions lets this genome grow on its medium",
    Reason.FILL_TOO_LARGE: "growth would need more gap-filled reactions than the config allows",
    Reason.NO_GROWTH: "the model does not grow on its medium",
    Reason.UNBOUNDED: "the model can carry infinite flux: a bound is missing",
    Reason.BAD_MODEL: "the model file cannot be used",
    Reason.POOL_TOO_SMALL: "the enzyme pool is too small for any growth",
    Reason.NO_ENZYMES: "no reaction of the model has a gene rule, so nothing has an enzyme cost",
    Reason.WALL_CLOCK: "took longer than the time limit per genome, twice",
    Reason.MEMORY_LIMIT: "needed more memory than the limit per genome, twice",
    Reason.KILLED_ITS_JOB: "was being worked on when its job died, twice",
    Reason.WORKER_DIED: "the worker process that held this genome ended abnormally",
    Reason.UNEXPECTED: "an error that the program did not foresee; please report it with the detail",
}


@dataclass(frozen=True)
class LedgerRow:
    """What became of one genome at one stage. Fields are those of `tables.LEDGER`."""

    genome_id: str
    stage: str
    outcome: Outcome
    reason: Reason
    detail: str
    seconds: float
    peak_mb: float
    key: str
    versions: str
    output: str = ""

    def to_json(self) -> str:
        """Text for the metadata of the genome's file."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> LedgerRow:
        """The row that `to_json` wrote."""
        fields = json.loads(text)
        return cls(**fields | {"outcome": Outcome(fields["outcome"]), "reason": Reason(fields["reason"])})


def write_ledger(path: Path, rows: Iterable[LedgerRow]) -> None:
    """Write a shard's ledger, sorted by genome_id; the same rows give the same bytes."""
    ordered = sorted((asdict(row) for row in rows), key=lambda row: row["genome_id"])
    write_parquet(path, pa.Table.from_pylist(ordered, schema=LEDGER))


def read_ledger(path: Path) -> list[LedgerRow]:
    """Rows of a shard's ledger."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        rows = file.read(use_threads=False).to_pylist()
    return [LedgerRow(**row | {"outcome": Outcome(row["outcome"]), "reason": Reason(row["reason"])}) for row in rows]


def read_genome_ids(path: Path) -> list[str]:
    """The genomes that a shard's ledger names; none where it cannot be read."""
    try:
        with pq.ParquetFile(path) as file:
            names: list[str] = file.read(["genome_id"], use_threads=False)["genome_id"].to_pylist()
            return names
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return []
