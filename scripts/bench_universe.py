"""How often `universe: auto` is right, by group, on genomes whose taxonomy is known.

Genomes: `genomes/index.tsv` of the data folder (`GEMFOREST_SHARED_DATA`) and the proteomes that carveme ships. Genes
are called as the genes stage does, all proteins go through one DIAMOND call with the homology stage's options, and the
decision is made on each genome's hits. The true group is the genus's by taxonomy; metagenome-assembled genomes without
a stated taxonomy are decided but not judged. No constant of the rule was set on any of these genomes (`lineage.py`).

    python scripts/bench_universe.py --work FOLDER --json tests/bench/universe_auto.json

`--work` keeps proteins and hits, so that a second run judges in seconds.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from gemforest.carveme_files import carveme_data
from gemforest.content import Limits
from gemforest.errors import RefusedError
from gemforest.genes import read_genes
from gemforest.lineage import decide

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("GEMFOREST_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
TARGET = 0.97
GROUP_OF_GENUS = {
    "archaea": "Methanobrevibacter Methanosarcina Methanococcus",
    "cyanobacteria": "Synechococcus",
    "grampos": "Cutibacterium Clostridium Lactobacillus Bifidobacterium Eubacterium Olsenella Faecalibacterium "
    "Anaerobutyricum Enterococcus Anaerotignum Bacillus Mycoplasma",
    "gramneg": "Escherichia Thermotoga Bacteroides Aminobacterium Prevotella Zymomonas Pseudomonas Shewanella "
    "Ralstonia Brevundimonas Caulobacter Desulfovibrio Kangiella Dechlorosoma Rhodanobacter Chlamydia",
}
SHIPPED = {
    "Ecoli_K12_MG1655": "Escherichia",
    "Bsubtilis_168": "Bacillus",
    "M_genitalium_G37": "Mycoplasma",
    "Paeruginosa_PAO1": "Pseudomonas",
    "Rsolanacearum_GMI1000": "Ralstonia",
    "Soneidensis_MR1": "Shewanella",
}
COLUMNS = ("qseqid", "sseqid", "pident", "length", "evalue", "bitscore", "qlen", "slen")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the shipped proteomes alone")
    parser.add_argument("--only", help="genomes whose name contains this text")
    parser.add_argument("--work", type=Path, help="keep proteins and hits here")
    parser.add_argument("--json", type=Path, help="write the records here")
    parsed = parser.parse_args()
    chosen = {n: g for n, g in genomes(parsed.quick).items() if (parsed.only or "") in n}
    with tempfile.TemporaryDirectory() as scratch:
        work = parsed.work or Path(scratch)
        proteins = {name: proteins_of(name, path, work) for name, (path, _) in chosen.items()}
        hits = search(proteins, work)
        records = [judge(name, chosen[name][1], table, hits) for name, table in proteins.items()]
    records = summary(records) + records
    for record in records:
        print("{what}: {value} (expected {peer_value})".format(**record))
    if parsed.json:
        machine = {"python": platform.python_version(), "system": platform.platform(), "cpus": os.cpu_count()}
        parsed.json.write_text(json.dumps({"machine": machine, "records": records}, indent=1) + "\n")
    return 0


def genomes(quick: bool) -> dict[str, tuple[Path, str | None]]:
    """Name to file and true group; None where the taxonomy is not stated."""
    shipped = Path(str(files("carveme") / "data" / "benchmark" / "fasta"))
    found = {f"carveme__{name}": (shipped / f"{name}.faa", group_of(genus)) for name, genus in SHIPPED.items()}
    if not quick:
        with (SHARED / "genomes" / "index.tsv").open(newline="") as handle:
            for row in csv.DictReader(handle, delimiter="\t"):
                # One strain's taxon is left blank; its folder names the species.
                taxon = "Chlamydia" if row["subdir"] == "chlamydia_strains" else row["taxon"]
                path = SHARED / "genomes" / row["subdir"] / row["file"]
                found[f"{row['subdir']}__{row['file']}"] = (path, group_of(taxon))
    return found


def group_of(taxon: str) -> str | None:
    words = set(taxon.replace("[", "").replace("]", "").split())
    groups = [group for group, genera in GROUP_OF_GENUS.items() if words & set(genera.split())]
    if len(groups) > 1 or not (groups or "MAG" in words):
        raise ValueError(f"no group is known for {taxon!r}")
    return groups[0] if groups else None


def proteins_of(name: str, path: Path, work: Path) -> pa.Table:
    kept = work / "prot" / f"{name}.parquet"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(read_genes(path, Limits()).proteins, kept)
    return pq.read_table(kept, columns=["gene_id", "seq_key", "sequence"])


def search(proteins: dict[str, pa.Table], work: Path) -> pa.Table:
    """Hits of all distinct proteins; queries are named by their seq_key."""
    hits = work / "pool.tsv"
    if not hits.exists():
        pool = {k: s for t in proteins.values() for k, s in zip(*t.select([1, 2]).to_pydict().values(), strict=True)}
        fasta = work / "pool.faa"
        fasta.write_text("".join(f">{key.hex()[:32]}\n{sequence}\n" for key, sequence in sorted(pool.items())))
        command = [
            "diamond",
            "blastp",
            "--db",
            str(carveme_data("generated/bigg_proteins.dmnd")),
            "--query",
            str(fasta),
        ]
        command += ["--more-sensitive", "--top", "10", "--index-chunks", "1", "--threads", "1", "--quiet"]
        subprocess.run([*command, "--outfmt", "6", *COLUMNS, "--out", str(hits)], check=True)
    options = pacsv.ReadOptions(column_names=list(COLUMNS))
    table = pacsv.read_csv(hits, read_options=options, parse_options=pacsv.ParseOptions(delimiter="\t"))
    names = ["query", "target", "identity", "alignment_length", "evalue", "bitscore", "query_length", "target_length"]
    return table.rename_columns(names)


def judge(name: str, truth: str | None, proteins: pa.Table, hits: pa.Table) -> dict[str, object]:
    """Decide one genome and compare with its group."""
    queries = pa.array([key.hex()[:32] for key in proteins["seq_key"].to_pylist()])
    genes = pa.table({"query": queries, "gene_id": proteins["gene_id"]})
    own = genes.join(hits, "query", join_type="inner")
    record: dict[str, object] = {"what": name, "unit": "universe", "peer": "group by taxonomy", "peer_value": truth}
    try:
        found = decide(own, proteins.num_rows)
    except RefusedError as refusal:
        return record | {"value": "refused", "score": None, "detail": refusal.detail}
    return record | {"value": found.universe, "score": round(found.score, 3), "detail": str(found)}


def summary(records: list[dict[str, object]]) -> list[dict[str, object]]:
    """Share of right decisions, in all and by group; genomes without a stated taxonomy are left out."""
    known = [record for record in records if record["peer_value"]]
    counts, right = Counter(r["peer_value"] for r in known), Counter()
    right.update(r["peer_value"] for r in known if r["value"] == r["peer_value"])
    rows: list[dict[str, object]] = [
        {
            "what": "share of genomes with the right universe",
            "value": round(sum(right.values()) / len(known), 4),
            "unit": "share",
            "genomes": len(known),
            "right": sum(right.values()),
            "peer": "target",
            "peer_value": TARGET,
        }
    ]
    for group in sorted(counts):
        what = {"what": f"right universe, {group}", "value": right[group] / counts[group], "unit": "share"}
        rows.append({**what, "genomes": counts[group], "right": right[group], "peer": "target", "peer_value": TARGET})
    return rows


if __name__ == "__main__":
    sys.exit(main())
