"""Pooled DIAMOND gives each genome the hits of CarveMe's own call."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from projects import make_project

from gemforest import fetch, genes, homology
from gemforest.carveme_files import carveme_data
from gemforest.errors import InfrastructureError
from gemforest.ledger import Outcome, Reason, read_ledger
from gemforest.loop import run_shard
from gemforest.plan import make_plan, write_plan
from gemforest.reviewed import enzyme_ecs
from gemforest.sequences import normalise
from gemforest.stage import Context

FASTA = carveme_data("benchmark/fasta")


def some_proteins(name: str, count: int) -> str:
    """The first proteins of a shipped proteome, normalised: identical input for both calls."""
    records = (FASTA / f"{name}.faa").read_text().split("\n>")[:count]
    lines = []
    for record in records:
        header, _, sequence = record.lstrip(">").partition("\n")
        lines.append(f">{header.split()[0]}\n{normalise(sequence.encode()).decode()}\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """Three genomes through fetch, genes and homology; the third is the first under another name."""
    sheet = "genome_id\tsource\necoli\tecoli.faa\nbsub\tbsub.faa\ntwin\tecoli.faa\nnothing\tnothing.faa\n"
    context = make_project(tmp_path_factory.mktemp("pooled") / "project", sheet, genes={"min_proteins": 1})
    folder = context.project / "config"
    (folder / "ecoli.faa").write_text(some_proteins("Ecoli_K12_MG1655", 150))
    (folder / "bsub.faa").write_text(some_proteins("Bsubtilis_168", 150))
    (folder / "nothing.faa").write_text(">random\nMWWWWCWWWWCWWWWCHHHHWCMWWC\n")
    write_plan(make_plan(context), context)
    for stage in (fetch.STAGE, genes.STAGE, homology.STAGE):
        run_shard(stage, context, "0000", cores=2)
    return context


def test_hits_are_those_of_carvemes_own_call(pooled: Context, tmp_path: Path) -> None:
    from carveme.reconstruction.diamond import run_blast

    for name in ("ecoli", "bsub"):
        out = tmp_path / f"{name}.tsv"
        query = pooled.project / "config" / f"{name}.faa"
        database = str(carveme_data("generated/bigg_proteins.dmnd"))
        assert run_blast(str(query), "protein", str(out), database, None, verbose=False) == 0
        # CarveMe reads this file with pandas, whose quick parser is off by a last digit in some e-values.
        expected = pd.read_csv(out, sep="\t", header=None, float_precision="round_trip")
        found = pooled.store.read("hits", "0000", name).to_pandas()
        assert len(expected) > 50
        names = ["gene_id", "target", "identity_percent", "alignment_length", "mismatches", "gap_openings"]
        names += ["query_start", "query_end", "target_start", "target_end", "evalue", "bitscore"]
        assert sorted(found[names].itertuples(index=False, name=None)) == sorted(
            expected.itertuples(index=False, name=None)
        )


def test_a_protein_shared_by_genomes_is_searched_once_and_handed_to_both(pooled: Context) -> None:
    one, two = (pooled.store.read("hits", "0000", name).drop(["genome_id"]) for name in ("ecoli", "twin"))
    assert one.equals(two)


def test_reviewed_enzymes_are_kept_down_to_half_of_a_genes_best_bit_score(pooled: Context) -> None:
    rows = pooled.store.read("enzyme_hits", "0000", "ecoli").to_pylist()
    best: dict[str, float] = {}
    for row in rows:
        best[row["gene_id"]] = max(best.get(row["gene_id"], 0.0), row["bitscore"])
    assert len(best) > 20
    assert all(row["bitscore"] >= 0.5 * best[row["gene_id"]] and row["target"] in enzyme_ecs() for row in rows)
    # thrA, b0002, is aspartate kinase and homoserine dehydrogenase; its nearest reviewed relative is, too.
    nearest = max((row for row in rows if row["gene_id"] == "b0002"), key=lambda row: row["bitscore"])
    assert set(enzyme_ecs()[nearest["target"]]) & {"1.1.1.3", "2.7.2.4"}


def test_a_genome_without_any_hit_has_an_empty_table_and_is_fine(pooled: Context) -> None:
    assert pooled.store.read("hits", "0000", "nothing").num_rows == 0
    rows = {row.genome_id: row for row in read_ledger(pooled.store.ledger_path("homology", "0000"))}
    assert rows["nothing"].outcome is Outcome.OK
    assert set(rows) == {"ecoli", "bsub", "twin", "nothing"}


@pytest.fixture
def one_genome(project: Callable[..., Context]) -> Context:
    quick = {"homology": {"enzymes": False}, "genes": {"min_proteins": 1}}
    context = project("genome_id\tsource\nx\tx.faa\ny\ty.faa\n", **quick)
    (context.project / "config" / "x.faa").write_text(">a\nMKVLAAGIVGLCAKELLQRHNPQ\n")
    (context.project / "config" / "y.faa").write_text(">a\nMWWPOISONWWKVLAAGIVGLCA\n")
    write_plan(make_plan(context), context)
    run_shard(fetch.STAGE, context, "0000", cores=1)
    run_shard(genes.STAGE, context, "0000", cores=1)
    return context


def test_a_search_that_crashes_is_narrowed_down_to_the_genome(
    one_genome: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # DIAMOND has no known protein that crashes it: a stand-in that dies on one sequence and else calls the real one.
    fake = tmp_path / "bin" / "diamond"
    fake.parent.mkdir()
    crash = 'case "$*" in *--query*) grep -q POISON "$5" && kill -SEGV $$;; esac'
    fake.write_text(f'#!/bin/sh\n{crash}\nexec {homology.diamond()} "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    run_shard(homology.STAGE, one_genome, "0000", cores=1)
    rows = {row.genome_id: row for row in read_ledger(one_genome.store.ledger_path("homology", "0000"))}
    assert rows["x"].outcome is Outcome.OK
    assert (rows["y"].outcome, rows["y"].reason) == (Outcome.FAILED, Reason.SEARCH_CRASHED)
    assert "DIAMOND" in rows["y"].detail


def test_what_is_temporary_stays_on_the_nodes_own_disk(
    one_genome: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other_file_system = Path("/dev/shm")
    if not other_file_system.is_dir() or other_file_system.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    # A stand-in that notes its options and finds nothing: where files go is what counts here.
    fake, said = tmp_path / "bin" / "diamond", tmp_path / "said.txt"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\n[ "$1" = blastp ] || exec {homology.diamond()} "$@"\necho "$@" >> {said}\n'
        'while [ "$1" != --out ]; do shift; done\ntouch "$2"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    monkeypatch.setattr(tempfile, "tempdir", None)
    with tempfile.TemporaryDirectory(dir=other_file_system) as scratch:
        monkeypatch.setenv("TMPDIR", scratch)
        run_shard(homology.STAGE, one_genome, "0000", cores=1)
        words = said.read_text().split()
        for option in ("--query", "--out", "--tmpdir"):
            assert {words[n + 1].startswith(scratch) for n, word in enumerate(words) if word == option} == {True}
        assert list(Path(scratch).iterdir()) == []
    rows = read_ledger(one_genome.store.ledger_path("homology", "0000"))
    assert {row.outcome for row in rows} == {Outcome.OK}
    assert not list(one_genome.store.root.rglob("*.tmp"))


def test_an_unreadable_database_stops_the_job_and_is_booked_on_nobody(
    one_genome: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "bigg.dmnd"
    broken.write_bytes(b"this is no database")
    monkeypatch.setattr(homology, "database", lambda: broken)
    with pytest.raises(InfrastructureError, match=r"bigg\.dmnd"):
        run_shard(homology.STAGE, one_genome, "0000", cores=1)
    assert not one_genome.store.ledger_path("homology", "0000").exists()
