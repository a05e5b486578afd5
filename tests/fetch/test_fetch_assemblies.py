"""The genomes server's layout: addresses, checksums, hostile names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import Bench
from replay import Assembly

from gemforest.errors import GenomeError
from gemforest.fetch.assemblies import Listing, choose, find_listing, folder_name, parent_url, read_checksums
from gemforest.ledger import Reason

MD5 = "0123456789abcdef0123456789abcdef"
FOLDER = "GCF_000005845.2_ASM584v2"


def test_addresses_as_the_server_has_them() -> None:
    # https://ftp.ncbi.nlm.nih.gov/genomes/all/GCF/000/005/845/GCF_000005845.2_ASM584v2/
    assert parent_url("https://host/genomes/", "GCF_000005845.2") == "https://host/genomes/all/GCF/000/005/845/"
    assert folder_name("GCF_000005845.2", "ASM584v2") == FOLDER
    # ftp.ncbi.nlm.nih.gov/genomes/all/GCF/001/735/525/GCF_001735525.1_ASM173552v1 and names with blanks
    assert folder_name("GCA_000297895.1", "oyster v9") == "GCA_000297895.1_oyster_v9"


def test_only_the_expected_names_are_read_from_the_list_of_checksums() -> None:
    text = "\n".join(
        [
            f"{MD5}  ./{FOLDER}_protein.faa.gz",
            f"{MD5}  ./../../../../etc/{FOLDER}_protein.faa.gz",
            f"{MD5}  /etc/passwd",
            f"{MD5}  ./{FOLDER}_assembly_structure/x.gz",
            "nonsense",
            f"short  ./{FOLDER}_genomic.fna.gz",
        ]
    )
    assert read_checksums(text, FOLDER) == {f"{FOLDER}_protein.faa.gz": MD5}


@given(st.text(max_size=200))
def test_no_list_of_checksums_names_a_path(text: str) -> None:
    assert all("/" not in name and ".." not in name for name in read_checksums(text, FOLDER))


def test_the_folder_is_found_by_the_assemblys_name_with_one_request(bench: Bench) -> None:
    listing = find_listing(bench.client, bench.server.genomes_url, "GCF_000005845.2", "ASM584v2")
    assert set(listing.md5) == {f"{FOLDER}_protein.faa.gz"}
    assert len(bench.server.requests) == 1


def test_a_folder_of_another_name_is_looked_up(bench: Bench) -> None:
    listing = find_listing(bench.client, bench.server.genomes_url, "GCF_000005845.2", "another name")
    assert listing.folder == FOLDER
    assert [request.path.rsplit("/", 2)[-2:] for request in bench.server.requests] == [
        ["GCF_000005845.2_another_name", "md5checksums.txt"],
        ["845", ""],
        [FOLDER, "md5checksums.txt"],
    ]


def test_a_hostile_folder_name_is_passed_over(bench: Bench) -> None:
    bench.server.archive.add(Assembly("GCF_000000070.1", "x", folder='GCF_000000070.1_..%2f..%2fetc "><'))
    with pytest.raises(GenomeError) as caught:
        find_listing(bench.client, bench.server.genomes_url, "GCF_000000070.1", "x")
    assert caught.value.reason is Reason.NOT_FOUND
    assert len(bench.server.requests) == 2


def test_the_first_preferred_kind_that_exists_is_chosen() -> None:
    listing = Listing("http://host/f/", "f", {"f_genomic.fna.gz": MD5, "f_genomic.gbff.gz": MD5})
    assert choose(listing, ["protein", "genbank", "nucleotide"]).url == "http://host/f/f_genomic.gbff.gz"
    assert choose(listing, ["nucleotide", "protein"]).kind == "nucleotide"
    with pytest.raises(GenomeError) as caught:
        choose(listing, ["protein"])
    assert caught.value.reason is Reason.NO_PROTEIN
