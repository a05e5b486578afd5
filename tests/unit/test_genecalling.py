"""Genes called on nucleotides: made-up genomes with known genes, and four real ones that exist as proteins too."""

from __future__ import annotations

import os
import random
from importlib.resources import files
from pathlib import Path

import pytest
from Bio.Data import CodonTable

from gemforest.content import read_unpacked
from gemforest.errors import RefusedError
from gemforest.genecalling import call_genes
from gemforest.ledger import Reason
from gemforest.sequences import Contig, fasta_sequences, read_proteins, tabulate

SHIPPED = Path(str(files("carveme") / "data" / "benchmark" / "fasta"))
SHARED = Path(os.environ.get("GEMFOREST_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
needs_shared_data = pytest.mark.needs_shared_data
without_shared_data = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no shared data at {SHARED}")


def codons_of(genetic_code: int) -> dict[str, list[str]]:
    codons: dict[str, list[str]] = {}
    for codon, residue in sorted(CodonTable.unambiguous_dna_by_id[genetic_code].forward_table.items()):
        codons.setdefault(residue, []).append(codon)
    return codons


def coding_sequence(protein: str, genetic_code: int, chance: random.Random) -> str:
    codons = codons_of(genetic_code)
    # One favourite codon per residue, as genomes have; code 4 prefers TGA for tryptophan.
    body = "".join((codons[r][0] if chance.random() < 0.7 else chance.choice(codons[r])) for r in protein[1:])
    return "ATG" + body + "TAA"


def made_up_genome(genetic_code: int, bases: int, seed: int = 1) -> tuple[list[str], str]:
    """Proteins of M. genitalium behind ribosome binding sites on one contig."""
    chance = random.Random(seed)
    proteins = [p for p in read_proteins(SHIPPED / "M_genitalium_G37.faa")["sequence"].to_pylist() if len(p) > 80]
    contig, used = "", []
    for protein in proteins:
        if len(contig) > bases:
            break
        spacer = "".join(chance.choice("ACGT") for _ in range(chance.randint(20, 60)))
        contig += spacer + "TAAGGAGGTAACA" + coding_sequence(protein, genetic_code, chance)
        used.append(protein)
    return used, contig


@pytest.mark.parametrize("genetic_code", [11, 4])
def test_the_genetic_code_is_found_and_the_genes_with_it(genetic_code):
    proteins, contig = made_up_genome(genetic_code, 150_000)
    calling = call_genes([Contig("c", contig.encode())])
    assert (calling.mode, calling.genetic_code) == ("single", str(genetic_code))
    found = {gene.protein.decode() for gene in calling.genes}
    assert len(found & set(proteins)) > 0.9 * len(proteins)


def test_a_small_assembly_is_read_in_metagenome_mode():
    proteins, contig = made_up_genome(11, 15_000)
    calling = call_genes([Contig("c", contig.encode())])
    assert calling.mode == "meta"
    assert len({gene.protein.decode()[-30:] for gene in calling.genes} & {p[-30:] for p in proteins}) >= 5


def test_called_genes_lie_where_they_are_said_to_lie():
    _, contig = made_up_genome(11, 120_000)
    for gene in call_genes([Contig("c", contig.encode())]).genes[:50]:
        stretch = contig[gene.start - 1 : gene.end]
        assert (gene.end - gene.start + 1) == len(stretch) == 3 * (len(gene.protein) + (not gene.partial))


def test_lower_case_and_runs_of_n_do_not_matter():
    _, contig = made_up_genome(11, 120_000)
    upper = call_genes([Contig("c", contig.encode())])
    assert call_genes([Contig("c", contig.lower().encode())]) == upper
    padded = call_genes([Contig("c", contig.encode() + b"N" * 5000)])
    assert not any(b"XXXXXXXXXXXXXXXXX" in gene.protein for gene in padded.genes)
    assert [gene.protein for gene in padded.genes[:-3]] == [
        gene.protein for gene in upper.genes[: len(padded.genes) - 3]
    ]


@pytest.mark.parametrize("genetic_code", [11, 4])
def test_records_that_are_genes_are_translated_and_keep_their_ids(genetic_code):
    chance = random.Random(3)
    rows = read_proteins(SHIPPED / "M_genitalium_G37.faa").slice(0, 60).to_pylist()
    records = [Contig(r["gene_id"], coding_sequence(r["sequence"], genetic_code, chance).encode()) for r in rows]
    calling = call_genes(records)
    assert (calling.mode, calling.genetic_code) == ("genes", str(genetic_code))
    table = tabulate(calling.genes)
    assert table["gene_id"].to_pylist() == [row["gene_id"] for row in rows]
    assert table["sequence"].to_pylist() == [row["sequence"] for row in rows]


def test_sequences_without_genes_are_refused():
    with pytest.raises(RefusedError) as refusal:
        call_genes([Contig("a", b"ACGT" * 10), Contig("b", b"N" * 200)])
    assert refusal.value.reason is Reason.NO_PROTEINS


@needs_shared_data
@without_shared_data
@pytest.mark.parametrize(
    ("nucleotides", "proteome", "genetic_code"),
    [("mgen", "M_genitalium_G37", "4"), ("bsub", "Bsubtilis_168", "11")],
)
def test_genes_of_real_genomes_end_where_their_proteomes_say(nucleotides, proteome, genetic_code):
    path = SHARED / "genomes" / "carveme_six_nucleotide" / f"{nucleotides}.fna.gz"
    calling = call_genes(fasta_sequences(read_unpacked(path)))
    assert calling.genetic_code == genetic_code
    known = {sequence[-30:] for sequence in read_proteins(SHIPPED / f"{proteome}.faa")["sequence"].to_pylist()}
    found = {sequence[-30:] for sequence in tabulate(calling.genes)["sequence"].to_pylist()}
    assert len(known & found) > 0.97 * len(known)
