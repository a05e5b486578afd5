"""From the sheet's queries to fetched genomes through the command line: resolve, plan, fetch."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from replay import Archive, Assembly, ReplayServer, demonstration

from gemforest.cli import main
from gemforest.ledger import read_ledger
from gemforest.store import Store

REPOSITORY = Path(__file__).resolve().parents[2]
SHEET = (
    "genome_id\tsource\tmedium\tsite\nmine\tcarveme:M_genitalium_G37\tcomplete\t\n\ttaxon:562?level=complete\tM9\tgut\n"
)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return demonstration(tmp_path / "archive")


@pytest.fixture
def project(tmp_path: Path, server: ReplayServer) -> Path:
    project = tmp_path / "project"
    (project / "config").mkdir(parents=True)
    (project / "config" / "media.tsv").write_bytes((REPOSITORY / "config" / "media.tsv").read_bytes())
    (project / "config" / "genomes.tsv").write_text(SHEET)
    fetch = {"datasets_url": server.datasets_url, "genomes_url": server.genomes_url, "requests_per_second": 5000}
    (project / "config" / "config.yaml").write_text(yaml.safe_dump({"fetch": fetch}))
    return project


def call(project: Path, *words: str) -> int:
    return main([words[0], "--project", str(project), *words[1:]])


def test_queries_are_planned_only_after_they_are_resolved(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(project, "plan") == 2
    assert "run `gemforest resolve`" in capsys.readouterr().err
    assert call(project, "resolve") == 0
    assert call(project, "plan") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("8 genomes in 1 shard(s)")
    assert call(project, "fetch", "--shard", _first_shard(project)) == 0
    store = Store(project / "results")
    shard = _first_shard(project)
    rows = {row.genome_id: row for row in read_ledger(store.ledger_path("fetch", shard))}
    assert {name: str(row.outcome) for name, row in rows.items()} == {
        "mine": "ok",
        "GCF_000005845.2": "ok",
        "GCF_000009045.1": "ok",
        "GCF_000027325.1": "ok",
        "GCF_000000020.2": "ok",
        "GCF_000000060.1": "ok",
        "GCF_000000040.1": "refused",
        "GCF_000000050.1": "refused",
    }
    (genome,) = store.read("genomes", shard, "GCF_000005845.2").to_pylist()
    tags = dict(genome["tags"])
    assert (tags["query"], tags["site"]) == ("taxon:562?level=complete", "gut")
    assert set(tags) == {"query", "resolved_on", "organism", "site"}


def test_a_new_answer_is_shown_and_written_only_on_demand(
    project: Path, server: ReplayServer, capsys: pytest.CaptureFixture[str]
) -> None:
    call(project, "resolve")
    pinned = project / "config" / "genomes.pinned.tsv"
    before = pinned.read_text()
    server.archive.add(Assembly("GCF_000000099.1", "fresh"))
    server.archive.assemblies["GCF_000005845.2"].status = "previous"
    server.archive.add(Assembly("GCF_000005845.3", "ASM584v3"))
    capsys.readouterr()
    assert call(project, "resolve") == 0
    told = capsys.readouterr().out
    assert "+ GCF_000000099.1" in told
    assert "~ GCF_000005845.2 is now GCF_000005845.3" in told
    assert pinned.read_text() == before
    assert call(project, "resolve", "--update") == 0
    assert "GCF_000005845.3" in pinned.read_text()


def test_a_list_of_other_queries_stops_the_plan(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(project, "resolve")
    (project / "config" / "genomes.tsv").write_text(SHEET.replace("level=complete", "level=contig"))
    assert call(project, "plan") == 2
    assert "'taxon:562?level=contig' is new" in capsys.readouterr().err


def test_the_sheets_own_row_comes_before_the_lists(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "config" / "genomes.tsv").write_text(SHEET + "GCF_000005845.2\tGCF_000005845.2\tcomplete\tlab\n")
    call(project, "resolve")
    call(project, "plan")
    assert "8 genomes" in capsys.readouterr().out
    (rows,) = (project / "results" / "plan" / "shards").glob("*.tsv")
    (mine,) = (line for line in rows.read_text().splitlines() if line.startswith("GCF_000005845.2\t"))
    assert "complete" in mine and "lab" in mine and "query" not in mine


def test_tables_of_gtdb_and_globs_are_queries_too(project: Path, server: ReplayServer) -> None:
    config = project / "config"
    (config / "bac120.tsv").write_text(
        "accession\tcheckm2_completeness\tcheckm2_contamination\tgtdb_representative\tgtdb_taxonomy\n"
        "RS_GCF_000005845.2\t99.9\t0.1\tt\td__Bacteria;g__Escherichia;s__Escherichia coli\n"
        "RS_GCF_000009045.1\t99.9\t0.1\tf\td__Bacteria;g__Bacillus;s__Bacillus subtilis\n"
    )
    (config / "mags").mkdir()
    for name in ("bin.1.faa", "bin.2.faa"):
        (config / "mags" / name).write_text(">a\nMKV\n")
    (config / "genomes.tsv").write_text(
        "genome_id\tsource\tmedium\n\tgtdb:bac120.tsv?representative=true\tM9\n\tmags/*.faa\tcomplete\n"
    )
    assert call(project, "resolve") == 0
    assert call(project, "plan") == 0
    (rows,) = (project / "results" / "plan" / "shards").glob("*.tsv")
    sources = [line.split("\t")[:2] for line in rows.read_text().splitlines()[1:]]
    assert sources == [
        ["GCF_000005845.2", "GCF_000005845.2"],
        ["bin.1", "mags/bin.1.faa"],
        ["bin.2", "mags/bin.2.faa"],
    ]
    assert server.requests == []


def test_a_sheet_without_queries_has_nothing_to_resolve(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "config" / "genomes.tsv").write_text("".join(SHEET.splitlines(keepends=True)[:2]))
    assert call(project, "resolve") == 2
    assert "nothing to resolve" in capsys.readouterr().err


def _first_shard(project: Path) -> str:
    (rows,) = (project / "results" / "plan" / "shards").glob("*.tsv")
    return rows.stem.removeprefix("shard=")
