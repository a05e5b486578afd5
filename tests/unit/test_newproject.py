"""A sheet from a folder of files, and a fresh project folder."""

from __future__ import annotations

import gzip

import pytest

from gemforest.errors import InputError
from gemforest.newproject import sheet_of_folder
from gemforest.sheet import read_sheet

PROTEINS = b">a\nMKVLAEDTRWHHKLPQSTVY\n>b\nMSTNPKPQRKTKRNTNRRPQ\n"
CONTIGS = b">c1\n" + b"ACGTTGCANN" * 50 + b"\n"


@pytest.fixture
def genomes(tmp_path):
    folder = tmp_path / "genomes"
    (folder / "sub").mkdir(parents=True)
    (folder / "GCF_000005845.2_ASM584v2_protein.faa.gz").write_bytes(gzip.compress(PROTEINS))
    (folder / "GCF_000005845.2_ASM584v2_genomic.fna").write_bytes(CONTIGS)
    (folder / "bin 7.fa").write_bytes(CONTIGS)
    (folder / "sub" / "bin 7.fa").write_bytes(CONTIGS)
    (folder / "GCF_000000001.1").write_bytes(PROTEINS)
    (folder / "README.md").write_text("hello")
    (folder / "empty.faa").touch()
    (folder / ".hidden.faa").write_bytes(PROTEINS)
    return folder


def test_a_folder_becomes_a_valid_sheet_with_one_row_per_genome(tmp_path, genomes):
    path = tmp_path / "config" / "genomes.tsv"
    path.parent.mkdir()
    text, notes = sheet_of_folder(genomes, path)
    path.write_text(text)
    rows = {row["genome_id"]: row["source"] for row in read_sheet(path).genomes.to_pylist()}
    assert rows == {
        "GCF_000005845.2_ASM584v2": "../genomes/GCF_000005845.2_ASM584v2_protein.faa.gz",
        "GCF_000000001.1": "../genomes/GCF_000000001.1",
        "bin_7": "../genomes/bin 7.fa",
        "bin_7_2": "../genomes/sub/bin 7.fa",
    }
    said = "\n".join(notes)
    assert "README.md: left out" in said and "empty.faa: left out" in said
    assert "GCF_000005845.2_ASM584v2_genomic.fna: left out" in said and "same genome" in said


def test_a_sheet_beside_the_files_does_not_take_a_file_for_an_accession(genomes):
    text, _ = sheet_of_folder(genomes, genomes / "genomes.tsv")
    (genomes / "genomes.tsv").write_text(text)
    assert set(read_sheet(genomes / "genomes.tsv").genomes["source_kind"].to_pylist()) == {"file"}


def test_a_folder_without_genomes_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="none of its files"):
        sheet_of_folder(tmp_path, tmp_path / "genomes.tsv")
    with pytest.raises(InputError, match="no folder"):
        sheet_of_folder(tmp_path / "nowhere", tmp_path / "genomes.tsv")
