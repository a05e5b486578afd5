"""Genes called on nucleotides with pyrodigal, or read off where each record already is one gene.

Prodigal (Hyatt et al. 2010) trains on the genome itself (single mode) or takes the best of 50 trained models per
contig (metagenome mode, Hyatt et al. 2012). On fragments cut from finished genomes single mode finds as many known
stops as metagenome mode from 100 kb in all, however short the contigs, and runs two to five times faster, so the mode
follows the total length. The genetic code is found by trial: read with code 11, a genome of code 4 (Mycoplasma: TGA is
tryptophan) breaks into short genes and loses coding density.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gemforest.errors import RefusedError
from gemforest.ledger import Reason
from gemforest.sequences import Contig, Gene

if TYPE_CHECKING:
    import pyrodigal

SINGLE_MODE_FROM_BP = 100_000
SHORTEST_TRAINABLE_BP = 20_000
# Read with code 11, finished genomes of code 11 have 0.85 to 0.95 of their bases in genes, M. genitalium 0.775;
# read with code 4, it gains 0.18, while genomes of code 11 move by less than 0.01.
SUSPICIOUS_DENSITY = 0.85
DENSITY_GAIN_OF_CODE_4 = 0.05

START_CODONS = (b"ATG", b"GTG", b"TTG", b"CTG", b"ATT", b"ATC", b"ATA")
STOP_CODONS = {"11": (b"TAA", b"TAG", b"TGA"), "4": (b"TAA", b"TAG")}
UNAMBIGUOUS = bytes({ord("U"): ord("T"), **{ord(b): ord(b) for b in "ACGT"}}.get(c & ~32, ord("N")) for c in range(256))
LEAST_RECORDS_THAT_ARE_GENES = 20
LONGEST_GENE_BP = 120_000


@dataclass(frozen=True)
class Calling:
    """Genes of one genome and how they were found.

    Attributes
    ----------
    genes
        In the order of the contigs and of their starts.
    mode
        single | meta | genes (every record was one gene).
    genetic_code
        "11" or "4"; of metagenome mode the code that most genes were read with.
    coding_density
        Bases in genes over all bases; NaN where every record was one gene.
    """

    genes: tuple[Gene, ...]
    mode: str
    genetic_code: str
    coding_density: float


def call_genes(contigs: Sequence[Contig], genetic_code: str = "auto", mode: str = "auto") -> Calling:
    """Protein-coding genes of a nucleotide file.

    Parameters
    ----------
    contigs
        Sequences in any case; letters other than A, C, G, T are unknown; no gene runs over 50 of them.
    genetic_code
        "auto", "11" or "4".
    mode
        "auto", "single" or "meta".

    Raises
    ------
    RefusedError
        `no_proteins`: nothing in the file is long enough to hold a gene.
    """
    total = sum(len(contig.bases) for contig in contigs)
    if _are_genes(contigs):
        code = _code_of_genes(contigs) if genetic_code == "auto" else genetic_code
        return Calling(tuple(_translate(contig, code) for contig in contigs), "genes", code, float("nan"))
    if mode == "auto":
        mode = "single" if total >= SINGLE_MODE_FROM_BP else "meta"
    if mode == "meta" or total < SHORTEST_TRAINABLE_BP:
        calling = _call_meta(contigs, genetic_code)
    else:
        calling = _call_single(contigs, genetic_code)
    if not calling.genes:
        raise RefusedError(
            Reason.NO_PROTEINS,
            f"no gene was found on {len(contigs):,} sequences of {total:,} bases; is it an assembly?",
        )
    return calling


def _call_single(contigs: Sequence[Contig], genetic_code: str) -> Calling:
    first = _trained(contigs, "11" if genetic_code == "auto" else genetic_code)
    if genetic_code != "auto" or first.coding_density >= SUSPICIOUS_DENSITY:
        return first
    second = _trained(contigs, "4")
    return second if second.coding_density >= first.coding_density + DENSITY_GAIN_OF_CODE_4 else first


def _trained(contigs: Sequence[Contig], genetic_code: str) -> Calling:
    import pyrodigal

    finder = pyrodigal.GeneFinder(meta=False, mask=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        first, *others = (contig.bases for contig in contigs)
        finder.train(first, *others, translation_table=4 if genetic_code == "4" else 11)
    return _call(finder, contigs, "single", genetic_code)


def _call_meta(contigs: Sequence[Contig], genetic_code: str) -> Calling:
    import pyrodigal

    models = [
        model
        for model in pyrodigal.METAGENOMIC_BINS
        if genetic_code in ("auto", str(model.training_info.translation_table))
    ]
    finder = pyrodigal.GeneFinder(meta=True, mask=True, metagenomic_bins=pyrodigal.MetagenomicBins(models))
    return _call(finder, contigs, "meta", "11" if genetic_code == "auto" else genetic_code)


def _call(finder: pyrodigal.GeneFinder, contigs: Sequence[Contig], mode: str, genetic_code: str) -> Calling:
    genes: list[Gene] = []
    coding = 0
    codes: list[int] = []
    for contig in contigs:
        for number, found in enumerate(finder.find_genes(contig.bases), start=1):
            coding += found.end - found.begin + 1
            codes.append(found.translation_table)
            genes.append(
                Gene(
                    source_id=f"{contig.name}_{number}",
                    description="",
                    protein=found.translate(include_stop=False).encode("ascii"),
                    contig=contig.name,
                    start=found.begin,
                    end=found.end,
                    strand=found.strand,
                    partial=found.partial_begin or found.partial_end,
                )
            )
    if mode == "meta" and codes:
        values, counts = np.unique(codes, return_counts=True)
        genetic_code = str(values[counts.argmax()])
    total = sum(len(contig.bases) for contig in contigs)
    return Calling(tuple(genes), mode, genetic_code, coding / max(total, 1))


def _are_genes(contigs: Sequence[Contig]) -> bool:
    """Whether the records are coding sequences: nine in ten are whole codons from a start to the only stop."""
    if len(contigs) < LEAST_RECORDS_THAT_ARE_GENES or max(len(contig.bases) for contig in contigs) > LONGEST_GENE_BP:
        return False
    step = max(1, len(contigs) // 200)
    looked_at = contigs[::step]
    return sum(_is_gene(contig.bases.upper()) for contig in looked_at) >= 0.9 * len(looked_at)


def _is_gene(bases: bytes) -> bool:
    """A start codon, whole codons, and a stop of code 11 as the last; inner TGA is left open for code 4."""
    if len(bases) % 3 or len(bases) < 60 or bases[:3] not in START_CODONS or bases[-3:] not in STOP_CODONS["11"]:
        return False
    return not any(bases[at : at + 3] in STOP_CODONS["4"] for at in range(0, len(bases) - 3, 3))


def _code_of_genes(contigs: Sequence[Contig]) -> str:
    """Code 4 where TGA stands inside one gene in five or more; selenocysteine is far rarer."""
    with_tga = 0
    for contig in contigs:
        bases = contig.bases.upper()
        with_tga += any(bases[at : at + 3] == b"TGA" for at in range(0, len(bases) - 3, 3))
    return "4" if with_tga >= 0.2 * len(contigs) else "11"


def _translate(contig: Contig, genetic_code: str) -> Gene:
    from Bio.Seq import translate

    bases = contig.bases[: len(contig.bases) // 3 * 3].translate(UNAMBIGUOUS)
    protein = str(translate(bases.decode("ascii"), table=int(genetic_code)))
    if bases[:3] in START_CODONS:
        protein = "M" + protein[1:]
    return Gene(contig.name, contig.description, protein.encode("ascii"), flags=("translated_here",))
