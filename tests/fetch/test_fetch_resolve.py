"""Queries become pinned lists; new answers are shown before they count. GTDB tables choose."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from datetime import date
from pathlib import Path

import pytest
from loopback import Bench
from replay import Archive, Assembly

from gemforest.errors import InputError, RefusedError
from gemforest.fetch.datasets import AssemblyReport
from gemforest.fetch.quality import QualityLimits, require_quality, shortcomings
from gemforest.fetch.resolve import Changes, Found, changes, find, list_text, name_of, pin, read_list
from gemforest.ledger import Reason
from gemforest.pinned import stale_queries
from gemforest.sources import Source, parse_source

DAY = date(2026, 11, 21)
GTDB_HEADER = (
    "accession\tcheckm2_completeness\tcheckm2_contamination\tgtdb_representative\tgtdb_taxonomy\t"
    "ncbi_assembly_level\tncbi_genome_category\n"
)
GTDB = f"""{GTDB_HEADER}\
RS_GCF_000005845.2\t99.9\t0.1\tt\td__Bacteria;g__Escherichia;s__Escherichia coli\tComplete Genome\tnone
RS_GCF_000009045.1\t99.0\t0.5\tt\td__Bacteria;g__Bacillus;s__Bacillus subtilis\tComplete Genome\tnone
GB_GCA_000000010.1\t91.0\t4.0\tf\td__Bacteria;g__Bacillus;s__Bacillus subtilis\tContig\tderived from metagenome
GB_GCA_000000020.1\t60.0\t9.0\tf\td__Bacteria;g__Bacillus_A;s__Bacillus_A cereus\tScaffold\tnone
XX_../../etc/passwd\t100\t0\tt\td__Bacteria;g__Bacillus;s__x\tContig\tnone
GB_GCA_000000030.1\tnone\tnone\tf\td__Bacteria;g__Bacillus;s__Bacillus subtilis\tContig\tnone
"""


@pytest.fixture
def archive(archive: Archive) -> Archive:
    archive.add(Assembly("GCF_000000020.3", organism="Escherichia coli O157"))
    return archive


def found_by(bench: Bench, text: str, folder: Path = Path()) -> list[str]:
    return [one.source for one in find(parse_source(text), folder, lambda: bench.client, bench.server.datasets_url)]


def test_a_taxon_query_is_ordered_and_limited(bench: Bench) -> None:
    assert found_by(bench, "taxon:562") == ["GCF_000000020.3", "GCF_000005845.2"]
    assert found_by(bench, "taxon:562?limit=1") == ["GCF_000000020.3"]
    with pytest.raises(InputError, match="finds no genome"):
        found_by(bench, "taxon:562?reference=true")


def test_a_glob_lists_files_beside_the_sheet(bench: Bench, tmp_path: Path) -> None:
    for name in ("b.faa", "a.faa.gz", "c.txt"):
        (tmp_path / name).touch()
    (tmp_path / "d.faa").mkdir()
    assert found_by(bench, "*.faa*", tmp_path) == ["a.faa.gz", "b.faa"]
    assert bench.server.requests == []


@pytest.mark.parametrize(
    ("filters", "accessions"),
    [
        ("representative=true", ["GCF_000005845.2", "GCF_000009045.1"]),
        ("min_completeness=90&max_contamination=5&representative=false", ["GCA_000000010.1"]),
        ("taxon=g__Bacillus", ["GCA_000000010.1", "GCA_000000030.1", "GCF_000009045.1"]),
        ("taxon=s__Escherichia coli", ["GCF_000005845.2"]),
        ("level=complete", ["GCF_000005845.2", "GCF_000009045.1"]),
        ("isolates=false", ["GCA_000000010.1"]),
        ("isolates=true&limit=2", ["GCA_000000020.1", "GCA_000000030.1"]),
    ],
)
def test_gtdb_filters_choose(bench: Bench, tmp_path: Path, filters: str, accessions: list[str]) -> None:
    (tmp_path / "bac.tsv.gz").write_bytes(gzip.compress(GTDB.encode()))
    assert found_by(bench, f"gtdb:bac.tsv.gz?{filters}", tmp_path) == accessions


def archived(folder: Path, name: str, members: dict[str, bytes]) -> None:
    with tarfile.open(folder / name, "w:gz") as archive:
        for member, content in members.items():
            told = tarfile.TarInfo(member)
            told.size = len(content)
            archive.addfile(told, io.BytesIO(content))


def test_tables_of_older_releases_are_read_from_their_tar_archive(bench: Bench, tmp_path: Path) -> None:
    archived(tmp_path, "bac.tar.gz", {"../README": b"not this", "bac_r207.tsv": GTDB.encode()})
    assert found_by(bench, "gtdb:bac.tar.gz?taxon=s__Escherichia coli", tmp_path) == ["GCF_000005845.2"]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["bac.tar.gz"]


def test_a_torn_or_empty_tar_archive_is_told(bench: Bench, tmp_path: Path) -> None:
    archived(tmp_path, "none.tar.gz", {"README": b"nothing"})
    archived(tmp_path, "whole.tar.gz", {"bac.tsv": random.Random(1).randbytes(300_000)})
    (tmp_path / "torn.tar.gz").write_bytes((tmp_path / "whole.tar.gz").read_bytes()[:1000])
    for name, word in (("none.tar.gz", "holds no .tsv"), ("torn.tar.gz", "torn.tar.gz")):
        with pytest.raises(InputError, match=word):
            found_by(bench, f"gtdb:{name}?representative=true", tmp_path)


def test_older_gtdb_tables_have_checkm_1(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "bac.tsv").write_text(GTDB.replace("checkm2_", "checkm_"))
    assert found_by(bench, "gtdb:bac.tsv?min_completeness=99.5", tmp_path) == ["GCF_000005845.2"]


@pytest.mark.parametrize("content", ["a\tb\n1\t2\n", "", None])
def test_what_is_no_gtdb_table_is_told(bench: Bench, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "bac.tsv").write_text(content)
    with pytest.raises(InputError, match=r"bac\.tsv"):
        found_by(bench, "gtdb:bac.tsv?representative=true", tmp_path)


def pinned(rows: list[dict[str, str]], answers: dict[str, list[Found]]) -> list[dict[str, str]]:
    texts = {parse_source(text): found for text, found in answers.items()}

    def look_up(source: Source) -> list[Found]:
        return texts[source]

    return pin(rows, DAY, look_up)


def test_a_pinned_list_survives_being_written_and_read(tmp_path: Path) -> None:
    query = {"genome_id": "", "source": "taxon:562?reference=true", "medium": "M9", "site": "gut"}
    rows = pinned([query], {query["source"]: [Found("GCF_000005845.2", "Escherichia coli"), Found("GCF_000000020.3")]})
    path = tmp_path / "pinned.tsv"
    path.write_text(list_text(rows, "genomes.tsv"))
    back = read_list(path)
    assert [row["genome_id"] for row in back] == ["GCF_000005845.2", "GCF_000000020.3"]
    assert back[0] == {
        "genome_id": "GCF_000005845.2",
        "source": "GCF_000005845.2",
        "query": "taxon:562?reference=true",
        "resolved_on": "2026-11-21",
        "organism": "Escherichia coli",
        "medium": "M9",
        "site": "gut",
    }
    assert read_list(tmp_path / "none.tsv") == []


def test_a_genome_of_two_queries_is_listed_once() -> None:
    rows = [{"source": "taxon:562"}, {"source": "taxon:561"}]
    found = pinned(rows, {"taxon:562": [Found("GCF_000005845.2")], "taxon:561": [Found("GCF_000005845.2")]})
    assert [(row["genome_id"], row["query"]) for row in found] == [("GCF_000005845.2", "taxon:562")]


def test_two_files_of_one_name_are_told() -> None:
    with pytest.raises(InputError, match=r"a/x\.faa and b/x\.fna"):
        pinned([{"source": "*/x.*"}], {"*/x.*": [Found("a/x.faa"), Found("b/x.fna")]})


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("GCF_000005845.2", "GCF_000005845.2"),
        ("mags/bin 1.fna.gz", "bin_1"),
        ("mags/..hidden..ec.faa", "hidden_ec"),
        ("x/.gz", "genome"),
    ],
)
def test_names_made_of_files_are_valid(source: str, name: str) -> None:
    assert name_of(source) == name


def test_re_resolving_shows_what_would_change() -> None:
    old = [{"genome_id": name} for name in ("GCF_000000001.1", "GCF_000000002.1", "GCF_000000003.1")]
    new = [{"genome_id": name} for name in ("GCF_000000001.1", "GCF_000000002.2", "GCF_000000004.1")]
    found = changes(old, new)
    assert found == Changes(("GCF_000000004.1",), ("GCF_000000003.1",), {"GCF_000000002.1": "GCF_000000002.2"})
    assert found.lines() == ["+ GCF_000000004.1", "- GCF_000000003.1", "~ GCF_000000002.1 is now GCF_000000002.2"]
    assert not changes(old, old).any


def test_a_list_of_other_queries_is_stale() -> None:
    assert stale_queries(["taxon:1", "taxon:2"], ["taxon:2", "taxon:3"]) == (
        ["taxon:3"],
        ["taxon:1"],
    )


GOOD = AssemblyReport(
    "GCF_000000001.1",
    "GCF_000000001.1",
    "current",
    "x",
    level="contig",
    completeness_percent=95.0,
    contamination_percent=5.0,
    ani_status="Inconclusive",
    contigs=200,
    n50_bp=50_000,
)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (QualityLimits(), None),
        (QualityLimits(95.0, 5.0, 200, 50_000, ("contig",), "not_failed", "refuse"), None),
        (QualityLimits(min_completeness_percent=95.1), "completeness 95% is below 95.1%"),
        (QualityLimits(max_contamination_percent=4.9), "contamination 5% is above 4.9%"),
        (QualityLimits(max_contigs=199), "contigs 200 is above 199"),
        (QualityLimits(min_n50_bp=50_001), "contig N50 50000 bp is below 50001 bp"),
        (QualityLimits(levels=("complete", "chromosome")), "assembly level contig is none of complete, chromosome"),
        (QualityLimits(ani="ok"), "NCBI's ANI check of the species says Inconclusive"),
    ],
)
def test_each_limit_is_inclusive_and_told(limits: QualityLimits, told: str | None) -> None:
    assert shortcomings(GOOD, limits) == ([told] if told else [])


def test_the_unknown_passes_or_not_as_the_config_says() -> None:
    blank = AssemblyReport("GCF_000000001.1", "GCF_000000001.1", "current", "x")
    require_quality(blank, QualityLimits(90.0, 5.0, 10, 10, ("complete",), "ok", "accept"))
    with pytest.raises(RefusedError, match="completeness is not known; contamination is not known") as caught:
        require_quality(blank, QualityLimits(90.0, 5.0, 10, 10, ("complete",), "ok", "refuse"))
    assert caught.value.reason is Reason.QUALITY_FILTER
