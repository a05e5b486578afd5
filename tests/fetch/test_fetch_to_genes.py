"""From the archive to proteins: each kind of file that NCBI keeps is fetched whole and read by the stage after."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from Bio import SeqIO
from Bio.Seq import Seq
from Bio.SeqFeature import SeqFeature, SimpleLocation
from Bio.SeqRecord import SeqRecord
from loopback import PROTEINS
from replay import Archive, Assembly, ReplayServer, demonstration, fasta, squeeze

from gemforest import fetch, genes
from gemforest.check import check
from gemforest.config import complete
from gemforest.ledger import LedgerRow, read_ledger
from gemforest.loop import run_shard
from gemforest.plan import ROW_FIELDS, plan_folder, rows_path
from gemforest.stage import Context
from gemforest.store import Store, digest

GENBANK, NUCLEOTIDE, PROTEIN = "_genomic.gbff.gz", "_genomic.fna.gz", "_protein.faa.gz"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return demonstration(tmp_path / "archive")


@pytest.fixture
def context(tmp_path: Path, server: ReplayServer) -> Iterator[Context]:
    config = complete({"fetch": {"datasets_url": server.datasets_url, "genomes_url": server.genomes_url}})
    config["fetch"] |= {"requests_per_second": 5000.0, "backoff_s": 0.01, "cache": str(tmp_path / "shared")}
    yield Context(tmp_path / "project", config, Store(tmp_path / "project" / "results"))


def run(context: Context, *accessions: str) -> dict[str, LedgerRow]:
    """Fetch and genes of a shard of these accessions; the rows of the later stage."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ROW_FIELDS, delimiter="\t", lineterminator="\n", restval="")
    writer.writeheader()
    for accession in accessions:
        writer.writerow({"genome_id": accession, "source": accession})
    path = rows_path(context.store.root, "0000")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue())
    members = "genome_id\tshard\tstate\n" + "".join(f"{name}\t0000\tactive\n" for name in accessions)
    folder = plan_folder(context.store.root)
    (folder / "members.tsv").write_text(members)
    summary = {"shards": {"0000": digest(text.getvalue())}, "members": digest(members)}
    (folder / "plan.json").write_text(json.dumps(summary))
    for stage in (fetch.STAGE, genes.STAGE):
        run_shard(stage, context, "0000", 1)
    return {row.genome_id: row for row in read_ledger(context.store.ledger_path("genes", "0000"))}


def genbank(proteins: list[tuple[str, str]]) -> bytes:
    """A GenBank file that states these translations, one CDS each, on a contig of Ns."""
    record = SeqRecord(Seq("N" * 9000), id="contig_1", name="contig_1", annotations={"molecule_type": "DNA"})
    for number, (header, sequence) in enumerate(proteins):
        qualifiers = {"locus_tag": [header.split()[0]], "translation": [sequence], "EC_number": ["2.7.1.11"]}
        record.features.append(SeqFeature(SimpleLocation(number, number + 30, 1), "CDS", qualifiers=qualifiers))
    text = io.StringIO()
    SeqIO.write([record], text, "genbank")
    return squeeze(text.getvalue().encode())


def proteins(context: Context, genome_id: str) -> list[dict[str, Any]]:
    return context.store.read("proteins", "0000", genome_id).to_pylist()


def test_an_assembly_without_protein_file_comes_as_genbank_with_its_annotation(
    context: Context, server: ReplayServer
) -> None:
    stated = PROTEINS[:120]
    files = {GENBANK: genbank(stated), NUCLEOTIDE: squeeze(b">contig_1\n" + b"N" * 9000)}
    server.archive.add(Assembly("GCA_000000070.1", "annotated", files=files))
    assert run(context, "GCA_000000070.1")["GCA_000000070.1"].outcome == "ok"
    found = proteins(context, "GCA_000000070.1")
    assert [row["sequence"] for row in found] == [sequence.upper() for _, sequence in stated]
    assert {tuple(row["ec"]) for row in found} == {("2.7.1.11",)}
    assert not server.asked(NUCLEOTIDE)


@pytest.mark.needs_shared_data
@pytest.mark.parametrize(("suffix", "mode"), [(GENBANK, "given"), (NUCLEOTIDE, "single")])
def test_a_real_genome_is_fetched_and_its_genes_are_read_or_called(
    context: Context, server: ReplayServer, shared_data: Path, suffix: str, mode: str
) -> None:
    file = sorted((shared_data / "genomes" / "chlamydia_strains").glob(f"*{suffix}"))[0]
    accession, _, name = file.name.removesuffix(suffix).partition("_ASM")
    content = file.read_bytes()
    server.archive.add(Assembly(accession, f"ASM{name}", files={suffix: content}))
    server.faults.add(suffix, "truncate")
    assert run(context, accession)[accession].outcome == "ok"
    (genome,) = context.store.read("genomes", "0000", accession).to_pylist()
    assert genome["file_sha256"] == hashlib.sha256(content).hexdigest()
    (gene_set,) = context.store.read("gene_sets", "0000", accession).to_pylist()
    assert gene_set["mode"] == mode
    # Chlamydia trachomatis has about 900 genes on 1.04 Mb (Stephens et al. 1998, Science 282, 754).
    assert 850 <= gene_set["proteins"] <= 1000
    assert 1.0e6 <= gene_set["genome_bp"] <= 1.1e6


def test_another_choice_of_the_same_file_leaves_the_later_stages_alone(context: Context) -> None:
    before = run(context, "GCF_000005845.2", "GCF_000000060.1")
    written = context.store.table_path("proteins", "0000", "GCF_000005845.2").stat().st_mtime_ns
    context.config["fetch"]["quality"] |= {"max_contamination_percent": 10.0}
    after = run(context, "GCF_000005845.2", "GCF_000000060.1")
    assert after["GCF_000005845.2"] == before["GCF_000005845.2"]
    assert context.store.table_path("proteins", "0000", "GCF_000005845.2").stat().st_mtime_ns == written
    assert after["GCF_000000060.1"].outcome == "skipped_upstream"


def test_another_content_under_the_same_accession_runs_the_later_stages(context: Context, server: ReplayServer) -> None:
    before = run(context, "GCF_000005845.2")
    server.archive.add(Assembly("GCF_000005845.2", "ASM584v2", files={PROTEIN: squeeze(fasta(PROTEINS[:200]))}))
    context.config["fetch"] |= {"cache": f"{context.config['fetch']['cache']}2", "on_replaced": "keep"}
    after = run(context, "GCF_000005845.2")
    assert after["GCF_000005845.2"].key != before["GCF_000005845.2"].key
    assert len(proteins(context, "GCF_000005845.2")) == 200


def test_an_emptied_cache_is_told_and_filled_again(context: Context, server: ReplayServer) -> None:
    run(context, "GCF_000005845.2")
    (genome,) = context.store.read("genomes", "0000", "GCF_000005845.2").to_pylist()
    Path(genome["file"]).unlink()
    # Nothing has to be read again, so nothing is missed.
    assert run(context, "GCF_000005845.2")["GCF_000005845.2"].outcome == "ok"
    context.config["genes"]["min_proteins"] = 99
    row = run(context, "GCF_000005845.2")["GCF_000005845.2"]
    assert (row.outcome, row.reason) == ("failed", "file_not_found")
    assert "gemforest check --repair" in row.detail
    assert {(damage.stage, damage.genome_id) for damage in check(context, repair=True)} == {
        ("fetch", "GCF_000005845.2"),
        ("genes", "GCF_000005845.2"),
    }
    assert run(context, "GCF_000005845.2")["GCF_000005845.2"].outcome == "ok"
    assert len(server.asked(PROTEIN)) == 2
