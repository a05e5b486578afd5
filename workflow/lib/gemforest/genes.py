"""Genes: the proteins of a genome, normalised and keyed by sequence, in the table `proteins`.

What the file is decides what happens, not its name: protein FASTA and GenBank translations are read as they are, genes
are called on nucleotides (`genecalling.py`), and coding sequences are translated. The table `gene_sets` says how the
genes of each genome were found.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pyarrow as pa

from gemforest.content import Content, Limits, read_unpacked, recognise
from gemforest.errors import GenomeError, RefusedError
from gemforest.genecalling import Calling, call_genes
from gemforest.ledger import Reason
from gemforest.sequences import Contig, fasta_genes, fasta_sequences, n50, read_genbank, tabulate
from gemforest.stage import Context, Products, Stage, Task
from gemforest.tables import TABLES


@dataclass(frozen=True)
class GeneSet:
    """Proteins of one file and how they came about; `calling` is None where the file states them."""

    content: Content
    proteins: pa.Table
    contigs: tuple[Contig, ...] = ()
    calling: Calling | None = None


def process(task: Task) -> Products:
    """Read the genome's file; refuse what is not a genome's worth of proteins."""
    path = task.context.project / task.read("genomes", ["file"])["file"][0].as_py()
    if not path.exists():
        raise GenomeError(
            Reason.FILE_NOT_FOUND,
            f"{path} is gone since it was fetched; `gemforest check --repair`, which every run begins with, brings it "
            "back",
        )
    limits = Limits(max_bytes=int(task.context.config["limits"]["unpacked_mb"] * 1e6))
    genes = read_genes(
        path,
        limits,
        declared=task.row.get("content") or "auto",
        genetic_code=task.row.get("genetic_code") or "auto",
        mode=task.parameters["genes.mode"],
        most_bases=int(task.parameters["genes.max_genome_mb"] * 1e6),
    )
    least = task.parameters["genes.min_proteins"]
    if genes.proteins.num_rows < least:
        raise RefusedError(
            Reason.TOO_FEW_PROTEINS,
            f"{path.name}: {genes.proteins.num_rows} proteins, expected at least {least} (genes.min_proteins)",
        )
    return Products(
        {"proteins": _with_genome_id(genes.proteins, task.genome_id), "gene_sets": _summary(genes, task.genome_id)}
    )


def read_genes(
    path: Path,
    limits: Limits,
    declared: str = "auto",
    genetic_code: str = "auto",
    mode: str = "auto",
    most_bases: int = 50_000_000,
) -> GeneSet:
    """Proteins of a genome file of any kind.

    Parameters
    ----------
    declared
        What the sheet says that the file holds: auto | proteins | nucleotides | genbank.
    genetic_code, mode
        For `call_genes`.
    most_bases
        Genes are not called on more: no bacterium or archaeon has a genome of such a size.

    Raises
    ------
    RefusedError
        The file is not what was declared, or the reasons of `content`, `sequences` and `genecalling`.
    """
    data = read_unpacked(path, limits)
    content = recognise(data)
    _check_declared(path, content, declared)
    if content is Content.PROTEIN_FASTA:
        return GeneSet(content, tabulate(fasta_genes(data)))
    if content is Content.GENBANK:
        genes, contigs = read_genbank(data)
        if genes:
            return GeneSet(content, tabulate(genes), tuple(contigs))
    else:
        contigs = fasta_sequences(data)
    if not contigs:
        raise RefusedError(
            Reason.NO_PROTEINS, f"{path.name} holds neither translations nor a sequence to call genes on"
        )
    total = sum(len(contig.bases) for contig in contigs)
    if total > most_bases:
        raise RefusedError(
            Reason.OUTSIDE_UNIVERSES,
            f"{path.name} has {total / 1e6:,.0f} Mb; above {most_bases / 1e6:,.0f} Mb (genes.max_genome_mb) it is no "
            "single bacterium or archaeon: give a bin, or the proteins",
        )
    calling = call_genes(contigs, genetic_code, mode)
    return GeneSet(content, tabulate(calling.genes), tuple(contigs), calling)


def _check_declared(path: Path, content: Content, declared: str) -> None:
    expected = {
        "proteins": Content.PROTEIN_FASTA,
        "nucleotides": Content.NUCLEOTIDE_FASTA,
        "genbank": Content.GENBANK,
    }.get(declared, content)
    if content is expected:
        return
    reasons = {
        Content.NUCLEOTIDE_FASTA: Reason.LOOKS_LIKE_CONTIGS,
        Content.PROTEIN_FASTA: Reason.LOOKS_LIKE_PROTEINS,
        Content.GENBANK: Reason.NOT_AS_DECLARED,
    }
    raise RefusedError(
        reasons[content],
        f"{path.name} is declared as {declared} and holds {content.replace('_', ' ')}; mend the file, or write auto "
        "in the sheet's column content",
    )


def _summary(genes: GeneSet, genome_id: str) -> pa.Table:
    lengths = [len(contig.bases) for contig in genes.contigs]
    calling = genes.calling
    row = {
        "genome_id": genome_id,
        "content": str(genes.content),
        "mode": calling.mode if calling else "given",
        "genetic_code": calling.genetic_code if calling else None,
        "coding_density": None if calling is None or calling.mode == "genes" else calling.coding_density,
        "contigs": len(lengths) if lengths else None,
        "genome_bp": sum(lengths) if lengths else None,
        "n50_bp": n50(lengths) if lengths else None,
        "proteins": genes.proteins.num_rows,
        "distinct_proteins": len(set(genes.proteins["seq_key"].to_pylist())),
        "residues": sum(genes.proteins["length"].to_pylist()),
    }
    return pa.Table.from_pylist([row], schema=TABLES["gene_sets"].schema)


def _with_genome_id(proteins: pa.Table, genome_id: str) -> pa.Table:
    """Complete the reader's columns to those of the table; what the source does not tell is null."""
    n = proteins.num_rows
    columns = {"genome_id": pa.array([genome_id] * n, pa.string())}
    for field in TABLES["proteins"].schema:
        if field.name in proteins.column_names:
            columns[field.name] = proteins[field.name]
        elif field.name not in columns:
            columns[field.name] = pa.nulls(n, field.type)
    return pa.table({field.name: columns[field.name] for field in TABLES["proteins"].schema}).cast(
        TABLES["proteins"].schema
    )


def _versions(_context: Context) -> dict[str, str]:
    return {"pyrodigal": metadata.version("pyrodigal"), "biopython": metadata.version("biopython")}


STAGE = Stage(
    name="genes",
    version=1,
    reads=("genomes",),
    writes=("proteins", "gene_sets"),
    parameters=("genes.min_proteins", "genes.mode", "genes.max_genome_mb"),
    row_fields=("content", "genetic_code"),
    process=process,
    versions=_versions,
)
