"""The grammar of the source column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemforest.errors import InputError
from gemforest.sources import (
    Accession,
    Checksum,
    GtdbQuery,
    LocalFile,
    LocalGlob,
    RemoteFile,
    Sample,
    TaxonQuery,
    parse_source,
    read_checksum,
    without_secrets,
)

SHA = "a" * 64


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("GCF_000005845.2", Accession("GCF_000005845", 2)),
        (" GCA_000005845 ", Accession("GCA_000005845", None)),
        ("carveme:Ecoli_K12_MG1655", Sample("Ecoli_K12_MG1655")),
        ("data/a.faa", LocalFile("data/a.faa")),
        ("file:///data/a%20b.faa", LocalFile("/data/a b.faa")),
        ("GCF_000005845.2_ASM584v2_protein.faa.gz", LocalFile("GCF_000005845.2_ASM584v2_protein.faa.gz")),
        ("mags/*.fna.gz", LocalGlob("mags/*.fna.gz")),
        (f"https://host/a.faa.gz#sha256={SHA}", RemoteFile("https://host/a.faa.gz", Checksum("sha256", SHA))),
        (f"http://host/a?x=1#md5={'0' * 32}", RemoteFile("http://host/a?x=1", Checksum("md5", "0" * 32))),
        ("https://host/a.faa.gz", RemoteFile("https://host/a.faa.gz", None)),
        ("taxon:562", TaxonQuery("562", ())),
        (
            "taxon:562?reference=true&level=complete,chromosome",
            TaxonQuery("562", (("level", "complete,chromosome"), ("reference", "true"))),
        ),
        ("taxon:Escherichia%20coli", TaxonQuery("Escherichia coli", ())),
        (
            "gtdb:tables/bac120_metadata.tsv.gz?representative=true&taxon=g__Bacillus",
            GtdbQuery("tables/bac120_metadata.tsv.gz", (("representative", "true"), ("taxon", "g__Bacillus"))),
        ),
    ],
)
def test_each_form_is_read(text: str, source: object) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("GCF_5845.2", "nine digits"),
        ("GCF_000005845.0", "nine digits"),
        ("ftp://host/a.faa", "ftp:"),
        ("javascript:alert(1)", "javascript:"),
        ("taxon:562?colour=red", "unknown filter 'colour'"),
        ("taxon:562?reference=yes", "reference=yes"),
        ("taxon:562?limit=1&limit=2", "twice"),
        ("taxon:562?released_after=2024-02-31", "2024-02-31"),
        ("taxon:?reference=true", "nothing stands"),
        ("file://server/share/a.faa", "absolute path"),
        ("carveme:../../etc/passwd", "carveme:NAME"),
        ("https://host/a#sha256=abc", "no checksum"),
        (f"https://host/a#md5={SHA}", "no checksum"),
        ("https://user:hunter2@host/a", "password"),
        ("https://host:99999/a", "mend the URL"),
        ("https://[host/a", "mend the URL"),
        ("file://[host/a", "mend the URL"),
    ],
)
def test_what_is_wrong_is_told(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told.replace("?", r"\?")) as caught:
        parse_source(text)
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_source(text)
    except InputError as error:
        assert str(error)


@pytest.mark.parametrize("text", [SHA, f"sha256:{SHA}", f"sha256={SHA.upper()}"])
def test_a_checksum_is_read_with_either_mark_or_none(text: str) -> None:
    assert read_checksum(text, "row") == Checksum("sha256", SHA)


def test_a_url_for_the_log_holds_no_secret() -> None:
    assert without_secrets("https://me:pw@host:8443/a/b?token=t#md5=0") == "https://host:8443/a/b"
