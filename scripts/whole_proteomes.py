"""What two whole proteomes have beside their BiGG models, for `fit_evidence.py`: proteins that no model names.

A model names metabolic genes only; of a whole proteome many more proteins have a homolog, and do no reaction. carveme
ships the proteomes of two of the 21 models under the models' own names of genes.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from gemforest.carveme_files import carveme_data
from gemforest.sequences import fasta_genes, normalise

PROTEOMES = {"iML1515": "Ecoli_K12_MG1655", "iYO844": "Bsubtilis_168"}

# DIAMOND's name of each column, and ours.
COLUMNS = {
    "qseqid": "query",
    "sseqid": "target",
    "pident": "identity",
    "length": "length",
    "mismatch": "mismatch",
    "gapopen": "gaps",
    "qstart": "qstart",
    "qend": "qend",
    "sstart": "sstart",
    "send": "send",
    "evalue": "evalue",
    "bitscore": "bits",
    "qlen": "qlen",
    "slen": "slen",
}


def beside(model: str, named: Collection[str], cache: Path) -> tuple[dict[str, bytes], pa.Table]:
    """Proteins by name of the model's proteome that are not among `named` (`model.gene`), and their hits.

    The hits are kept in the cache, for the next time.
    """
    name = PROTEOMES[model]
    genes = {gene.split(".", 1)[1] for gene in named}
    whole = fasta_genes(carveme_data(f"benchmark/fasta/{name}.faa").read_bytes())
    proteins = {g.source_id: normalise(g.protein) for g in whole if g.source_id not in genes}
    query = cache / f"beside_{name}.faa"
    query.write_text("".join(f">{key}\n{residues.decode()}\n" for key, residues in proteins.items()))
    return proteins, bigg_hits(query, cache / f"hits_beside_{name}.tsv")


def bigg_hits(query: Path, found: Path) -> pa.Table:
    """Hits of a FASTA file in CarveMe's database, at most 150 a protein, e-value 1e-5 at most; kept in `found`."""
    if not found.exists():
        command = ["diamond", "blastp", "--db", str(carveme_data("generated/bigg_proteins.dmnd"))]
        command += ["--query", str(query), "--out", str(found), "--more-sensitive", "-k", "150"]
        subprocess.run([*command, "-e", "1e-5", "--quiet", "--outfmt", "6", *COLUMNS], check=True)
    return pacsv.read_csv(
        found,
        read_options=pacsv.ReadOptions(column_names=list(COLUMNS.values())),
        parse_options=pacsv.ParseOptions(delimiter="\t", quote_char=False),
    )
