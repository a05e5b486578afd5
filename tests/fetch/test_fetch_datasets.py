"""Every accession is accounted for; taxa are listed page by page."""

from __future__ import annotations

import random

import pytest
from loopback import Bench
from replay import Archive, Assembly

from gemforest.errors import GenomeError
from gemforest.fetch import datasets
from gemforest.fetch.datasets import Standing, accounts, lineages, taxon_reports
from gemforest.ledger import Reason
from gemforest.sources import TaxonQuery, parse_source


@pytest.fixture
def archive(archive: Archive) -> Archive:
    for assembly in (
        Assembly("GCF_000000020.1", status="previous", current="GCF_000000020.3"),
        Assembly("GCF_000000020.3", status="current"),
        Assembly("GCF_000000030.1", status="suppressed", suppression="many frameshifted proteins"),
        Assembly("GCA_000000040.1", level="Contig", completeness=None, ani="Inconclusive", reference=True),
    ):
        archive.add(assembly)
    return archive


def standings(bench: Bench, *accessions: str) -> dict[str, tuple[Standing, str | None, str]]:
    found = list(accounts(bench.client, bench.server.datasets_url, accessions))
    assert [account.requested for account in found] == list(accessions)
    return {
        account.requested: (account.standing, account.report and account.report.accession, account.note)
        for account in found
    }


def test_every_accession_is_accounted_for(bench: Bench) -> None:
    found = standings(
        bench,
        "GCF_000005845.2",
        "GCF_000005845",
        "GCF_000000020.1",
        "GCF_000000020.2",
        "GCF_000000020",
        "GCF_000000030.1",
        "GCF_999999999.1",
        "GCF_000000020.9",
    )
    assert found["GCF_000005845.2"] == (Standing.CURRENT, "GCF_000005845.2", "")
    assert found["GCF_000005845"] == (Standing.CURRENT, "GCF_000005845.2", "")
    assert found["GCF_000000020.1"] == (
        Standing.REPLACED,
        "GCF_000000020.1",
        "GCF_000000020.1 was replaced by GCF_000000020.3",
    )
    assert found["GCF_000000020.2"][:2] == (Standing.REPLACED, "GCF_000000020.3")
    assert found["GCF_000000020"][:2] == (Standing.CURRENT, "GCF_000000020.3")
    assert found["GCF_000000030.1"][0] is Standing.SUPPRESSED
    assert "many frameshifted proteins" in found["GCF_000000030.1"][2]
    assert found["GCF_999999999.1"][:2] == (Standing.NOT_FOUND, None)
    assert found["GCF_000000020.9"][0] is Standing.NOT_FOUND
    assert "its newest is GCF_000000020.3" in found["GCF_000000020.9"][2]
    # One question for all, one more for the versions that did not come back.
    assert len(bench.server.requests) == 2


def test_a_report_holds_what_the_archive_says(bench: Bench) -> None:
    (account,) = accounts(bench.client, bench.server.datasets_url, ["GCF_000005845.2"])
    report = account.report
    assert report is not None
    assert (report.organism, report.taxid, report.level) == ("Escherichia coli", 562, "complete")
    assert (report.completeness_percent, report.contamination_percent, report.ani_status) == (99.5, 0.4, "OK")
    assert (report.contigs, report.n50_bp, report.genome_bp) == (1, 4641652, 4641652)


def test_more_accessions_than_a_post_may_hold_are_asked_in_parts(bench: Bench) -> None:
    bench.server.report_for = lambda text: Assembly(text).report()
    wanted = [f"GCF_{number:09d}.1" for number in range(1201)]
    random.Random(1).shuffle(wanted)
    found = list(accounts(bench.client, bench.server.datasets_url, wanted))
    assert [account.requested for account in found] == wanted
    assert {account.standing for account in found} == {Standing.CURRENT}
    assert len(bench.server.requests) == 3


def test_pages_are_followed_to_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "PAGE_SIZE", 2)
    accessions = sorted(bench.server.archive.assemblies)
    assert len(accessions) == 5
    found = standings(bench, *accessions)
    assert all(found[text][1] == text for text in accessions)
    assert len(bench.server.requests) == 3


def test_a_failing_page_is_asked_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "PAGE_SIZE", 2)
    bench.server.faults.add("/dataset_report", "truncate", skip=1)
    bench.server.faults.add("/dataset_report", "status_429", skip=1, retry_after=0)
    accessions = sorted(bench.server.archive.assemblies)
    assert all(account.report for account in accounts(bench.client, bench.server.datasets_url, accessions))
    assert len(bench.server.requests) == 5


def taxon(bench: Bench, text: str) -> list[str]:
    query = parse_source(text)
    assert isinstance(query, TaxonQuery)
    return [report.accession for report in taxon_reports(bench.client, bench.server.datasets_url, query)]


def test_a_taxon_lists_its_current_assemblies(bench: Bench) -> None:
    assert taxon(bench, "taxon:562") == ["GCF_000005845.2", "GCF_000000020.3"]
    assert taxon(bench, "taxon:562?source=all&reference=true") == ["GCA_000000040.1"]
    assert taxon(bench, "taxon:562?source=genbank&level=contig,scaffold") == ["GCA_000000040.1"]
    assert taxon(bench, "taxon:562?source=genbank&level=complete") == []


def test_a_taxon_that_is_none_is_told(bench: Bench) -> None:
    with pytest.raises(GenomeError, match="not a recognized taxon") as caught:
        taxon(bench, "taxon:Eschericha")
    assert caught.value.reason is Reason.NOT_FOUND


def test_lineages_begin_with_the_domain(bench: Bench) -> None:
    found = lineages(bench.client, bench.server.datasets_url, [562, 562, 999])
    assert found == {
        562: "d__Bacteria;p__Pseudomonadota;c__Gammaproteobacteria;o__Enterobacterales;f__Enterobacteriaceae;"
        "g__Escherichia;s__Escherichia coli"
    }


def test_an_answer_with_a_path_for_an_accession_is_refused() -> None:
    with pytest.raises(GenomeError) as caught:
        datasets.read_report({"accession": "../../etc/passwd"})
    assert caught.value.reason is Reason.HTTP_ERROR
