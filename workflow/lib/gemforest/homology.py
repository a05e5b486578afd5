"""Homology: DIAMOND for all genomes of a shard at once: tables `hits`, `homologs`, `enzyme_hits`.

Most of a DIAMOND call is fixed cost, so the proteins of the shard are pooled and de-duplicated by `seq_key`. They are
searched in CarveMe's database with its options (`hits`) and deeper (`homologs`, which the evidence weighs), and among
reviewed enzymes (`enzyme_hits`); the hits are handed back to every genome that carries the protein. A query's hits do
not depend on the other queries, so `hits` are those of CarveMe's own call per genome (Machado et al. 2018; Buchfink et
al. 2021).
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from gemforest.carveme_files import carveme_data
from gemforest.errors import InfrastructureError
from gemforest.ledger import Reason
from gemforest.reviewed import SEQUENCES, ec_resource
from gemforest.stage import Context, PoolCrashed, Products, Stage, Task
from gemforest.store import file_sha256
from gemforest.tables import TABLES

# DIAMOND's twelve default columns, as CarveMe reads them, and the target's length.
COLUMNS = (
    ("qseqid", "query"),
    ("sseqid", "target"),
    ("pident", "identity_percent"),
    ("length", "alignment_length"),
    ("mismatch", "mismatches"),
    ("gapopen", "gap_openings"),
    ("qstart", "query_start"),
    ("qend", "query_end"),
    ("sstart", "target_start"),
    ("send", "target_end"),
    ("evalue", "evalue"),
    ("bitscore", "bitscore"),
    ("slen", "target_length"),
)
# Hits down to half of the gene's best bit score, as the evidence was calibrated. A search of its own: DIAMOND's hits
# within a tenth of the best are not quite the same when it is asked for more, and CarveMe's scores hang on them.
DEEP_PERCENT = 50
# As the evidence was fitted: reviewed enzymes down to half of the best bit score, at most fifty.
ENZYME_HITS, ENZYME_EVALUE = 50, 1e-5
DISK_FULL_WORDS = ("No space left", "Disk quota", "Read-only file system")


def pooled(tasks: Sequence[Task], cores: int) -> dict[str, Products]:
    """Search the proteins of many genomes in one call and hand the hits back."""
    proteins = {task.genome_id: task.read("proteins", ["gene_id", "seq_key", "sequence", "length"]) for task in tasks}
    pool = pa.concat_tables(proteins.values())
    keys, first = np.unique(np.array(pool["seq_key"].to_pylist(), dtype=object), return_index=True)
    queries = {key: number for number, key in enumerate(keys)}
    with tempfile.TemporaryDirectory(prefix="gemforest-homology-") as folder:
        fasta = Path(folder) / "pool.faa"
        sequences = pool["sequence"].take(pa.array(first)).to_pylist()
        fasta.write_text("".join(f">{number}\n{sequence}\n" for number, sequence in enumerate(sequences)))
        hits = search(fasta, Path(folder), tasks[0], cores)
        deep = search(fasta, Path(folder), tasks[0], cores, DEEP_PERCENT)
        enzymes = search_enzymes(fasta, Path(folder), tasks[0], cores)
    by_query, deep_by_query = _rows_by_query(hits, len(keys)), _rows_by_query(deep, len(keys))
    enzymes_by_query = _rows_by_query(enzymes, len(keys))
    return {
        genome_id: Products(
            {
                "hits": _hand_back(genome_id, rows, queries, hits, by_query),
                "homologs": _aligned("homologs", _hand_back(genome_id, rows, queries, deep, deep_by_query)),
                "enzyme_hits": _aligned("enzyme_hits", _hand_back(genome_id, rows, queries, enzymes, enzymes_by_query)),
            }
        )
        for genome_id, rows in proteins.items()
    }


def search(fasta: Path, folder: Path, task: Task, cores: int, top_percent: float | None = None) -> pa.Table:
    """Run DIAMOND over a FASTA file; a table with the columns of `COLUMNS`, in DIAMOND's order.

    `top_percent` is the config's where none is given.
    """
    top = task.parameters["homology.top_percent"] if top_percent is None else top_percent
    return _run(fasta, folder, task, cores, database(), ["--top", str(top)])


def search_enzymes(fasta: Path, folder: Path, task: Task, cores: int) -> pa.Table:
    """Hits among the reviewed enzymes, as `search`; none where the config does without them."""
    if not task.parameters["homology.enzymes"]:
        return _no_hits()
    enzymes, built = folder / "enzymes.faa", folder / "enzymes.dmnd"
    with gzip.open(ec_resource(SEQUENCES), "rb") as packed:
        enzymes.write_bytes(packed.read())
    made = subprocess.run(
        [diamond(), "makedb", "--in", str(enzymes), "--db", str(built), "--threads", str(cores), "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise InfrastructureError(f"DIAMOND cannot make a database in {folder}: {made.stderr.strip()}")
    limits = ["--max-target-seqs", str(ENZYME_HITS), "--evalue", str(ENZYME_EVALUE)]
    found = _run(fasta, folder, task, cores, built, limits)
    best = found.group_by("query").aggregate([("bitscore", "max")])
    place = pc.index_in(found["query"], best["query"])
    near = pc.greater_equal(found["bitscore"], pc.multiply(best["bitscore_max"].take(place), 1 - DEEP_PERCENT / 100))
    return found.filter(near)


def _no_hits() -> pa.Table:
    return pa.table({name: pa.array([], kind) for name, kind in _types().items()})


def _types() -> dict[str, pa.DataType]:
    fields = TABLES["hits"].schema
    return {name: pa.int32() if name == "query" else fields.field(name).type for _, name in COLUMNS}


def _run(fasta: Path, folder: Path, task: Task, cores: int, reference: Path, limits: list[str]) -> pa.Table:
    out = folder / "hits.tsv"
    names = [name for name, _ in COLUMNS]
    command = [diamond(), "blastp", "--db", str(reference), "--query", str(fasta), "--out", str(out)]
    command += [f"--{task.parameters['homology.sensitivity']}", *limits]
    # One index chunk: faster by a third, and the order of hits does not depend on the memory of the machine.
    command += ["--index-chunks", "1", "--threads", str(cores), "--tmpdir", str(folder), "--quiet"]
    command += ["--outfmt", "6", *names]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        said = ended.stderr.strip() or f"exit status {ended.returncode}"
        if any(word in said for word in DISK_FULL_WORDS):
            raise InfrastructureError(f"DIAMOND cannot write in {folder}: {said}")
        if subprocess.run([diamond(), "dbinfo", "--db", str(reference)], capture_output=True, check=False).returncode:
            raise InfrastructureError(f"DIAMOND cannot read {reference}: install carveme again; it says: {said}")
        raise PoolCrashed(Reason.SEARCH_CRASHED, f"DIAMOND: {said}")
    if out.stat().st_size == 0:
        return _no_hits()
    return pacsv.read_csv(
        out,
        read_options=pacsv.ReadOptions(column_names=[name for _, name in COLUMNS], use_threads=False),
        parse_options=pacsv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=pacsv.ConvertOptions(column_types=_types()),
    )


def diamond() -> str:
    """Path of the DIAMOND program."""
    found = shutil.which("diamond")
    if not found:
        raise InfrastructureError(
            "DIAMOND is not on the PATH; install it: `apt-get install diamond-aligner` as root, "
            "or `conda install -c bioconda diamond`"
        )
    return found


def database() -> Path:
    """CarveMe's DIAMOND database, as its package ships it."""
    return carveme_data("generated/bigg_proteins.dmnd")


def _rows_by_query(hits: pa.Table, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """First row and number of rows of each query; DIAMOND writes a query's hits together, best first."""
    query = hits["query"].to_numpy()
    order = np.argsort(query, kind="stable")
    counts = np.bincount(query, minlength=queries)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return order, np.stack([starts, counts])


def _hand_back(
    genome_id: str,
    proteins: pa.Table,
    queries: dict[bytes, int],
    hits: pa.Table,
    by_query: tuple[np.ndarray, np.ndarray],
) -> pa.Table:
    """The hits of one genome, genes in the order of its file."""
    order, (starts, counts) = by_query
    query = np.array([queries[key] for key in proteins["seq_key"].to_pylist()], dtype=np.int64)
    per_gene = counts[query]
    within = np.arange(per_gene.sum()) - np.repeat(np.cumsum(per_gene) - per_gene, per_gene)
    rows = order[np.repeat(starts[query], per_gene) + within]
    genes = pa.array(np.repeat(np.arange(proteins.num_rows), per_gene))
    taken = hits.take(pa.array(rows))
    columns = {
        "genome_id": pa.array([genome_id] * len(rows), pa.string()),
        "gene_id": pc.take(proteins["gene_id"].combine_chunks(), genes),
        "query_length": pc.take(proteins["length"].combine_chunks(), genes),
    }
    return pa.table(
        {name: columns[name] if name in columns else taken[name] for name in TABLES["hits"].schema.names}
    ).cast(TABLES["hits"].schema)


def _aligned(table: str, hits: pa.Table) -> pa.Table:
    """The columns of table `homologs` or `enzyme_hits`."""
    columns = {name: hits[name] for name in ("genome_id", "gene_id", "target", "identity_percent", "bitscore")}
    for side in ("query", "target"):
        span = pc.add(pc.subtract(hits[f"{side}_end"], hits[f"{side}_start"]), 1)
        columns[f"{side}_coverage"] = pc.divide(pc.cast(span, pa.float64()), hits[f"{side}_length"])
    return pa.table(columns).cast(TABLES[table].schema)


def _resources(_context: Context) -> dict[str, str]:
    return {"diamond_database": file_sha256(database()), "enzymes": file_sha256(ec_resource(SEQUENCES))}


def _versions(_context: Context) -> dict[str, str]:
    said = subprocess.run([diamond(), "version"], capture_output=True, text=True, check=True, env=dict(os.environ))
    return {"diamond": said.stdout.split()[-1]}


STAGE = Stage(
    name="homology",
    version=3,
    reads=("proteins",),
    writes=("hits", "homologs", "enzyme_hits"),
    parameters=("homology.sensitivity", "homology.top_percent", "homology.enzymes"),
    pooled=pooled,
    resources=_resources,
    versions=_versions,
)
