"""Proteins: what is normalised, keyed, renamed, flagged; the two defects of the files that carveme ships."""

from __future__ import annotations

import hashlib
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from Bio import SeqIO
from Bio.SeqUtils.ProtParam import ProteinAnalysis
from hypothesis import given
from hypothesis import strategies as st

from gemforest.errors import RefusedError
from gemforest.ledger import Reason
from gemforest.sequences import (
    fasta_genes,
    molecular_masses,
    normalise,
    read_proteins,
    seq_key,
    tabulate,
    unique_gene_ids,
)

SHIPPED = Path(str(files("carveme") / "data" / "benchmark" / "fasta"))


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "input"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def flags_of(table) -> Counter:
    return Counter(flag for flags in table["flags"].to_pylist() for flag in flags)


def test_the_48_inner_stops_of_the_shipped_e_coli_become_x_and_are_flagged():
    table = read_proteins(SHIPPED / "Ecoli_K12_MG1655.faa")
    assert table.num_rows == 4321
    assert flags_of(table) == {"inner_stop": 48}
    assert not any("*" in sequence for sequence in table["sequence"].to_pylist())


def test_the_45_blank_ids_of_the_shipped_m_genitalium_are_found():
    text = (SHIPPED / "M_genitalium_G37.faa").read_text()
    table = read_proteins(SHIPPED / "M_genitalium_G37.faa")
    gene_ids = table["gene_id"].to_pylist()
    blank = [line.split()[1] for line in text.splitlines() if line.startswith("> ")]
    assert len(blank) == 45
    assert set(blank) <= set(gene_ids)
    assert len(set(gene_ids)) == table.num_rows == text.count(">")


@pytest.mark.parametrize("name", sorted(path.name for path in SHIPPED.glob("*.faa")))
def test_shipped_proteomes_read_as_biopython_reads_them(name):
    peer = list(SeqIO.parse(SHIPPED / name, "fasta"))
    table = read_proteins(SHIPPED / name)
    assert table["sequence"].to_pylist() == [str(r.seq).rstrip("*").replace("*", "X") for r in peer]
    assert [i for i, r in zip(table["gene_id"].to_pylist(), peer, strict=True) if r.id] == [r.id for r in peer if r.id]


def test_normalising_is_upper_case_25_letters_and_no_trailing_stop():
    assert normalise(b"mk*lj-OUbzx 1\n**") == b"MKXLXXOUBZXX"


@given(st.binary(max_size=200))
def test_normalising_twice_is_normalising_once(raw):
    once = normalise(raw)
    assert normalise(once) == once
    assert set(once) <= set(b"ACDEFGHIKLMNPQRSTVWYBZXUO")


def test_the_key_is_the_sha256_of_the_text():
    table = tabulate(fasta_genes(b">a\nmkv*\n"))
    assert table["seq_key"][0].as_py() == hashlib.sha256(b"MKV").digest() == seq_key(b"MKV")


def test_case_stops_and_line_breaks_do_not_change_the_key():
    one = tabulate(fasta_genes(b">a\nMKVLAA\n"))
    other = tabulate(fasta_genes(b">a\r\nmkv\r\nlaa*\r\n"))
    assert one["seq_key"] == other["seq_key"]


def test_j_and_other_letters_become_x_and_are_flagged():
    table = tabulate(fasta_genes(b">a\nMKJV\n>b\nMKUO\n"))
    assert table["sequence"].to_pylist() == ["MKXV", "MKUO"]
    assert table["flags"].to_pylist() == [["odd_letters"], []]


def test_a_protein_of_40000_residues_is_kept_whole(tmp_path):
    titin_like = "MKVLAEDTRW" * 4000
    table = read_proteins(write(tmp_path, f">big\n{titin_like}\n>small\nMKVLAEDTRWMKVLAEDTRW\n"))
    assert table["length"].to_pylist() == [40_000, 20]
    assert table["sequence"][0].as_py() == titin_like


def test_duplicate_ids_are_numbered_around_ids_that_are_taken():
    assert unique_gene_ids(["a", "a", "a_2", "a", "b"]) == ["a", "a_3", "a_2", "a_4", "b"]


@given(st.lists(st.text(max_size=8), max_size=40))
def test_gene_ids_are_unique_and_safe_whatever_the_source_says(source_ids):
    gene_ids = unique_gene_ids(source_ids)
    assert len(set(gene_ids)) == len(gene_ids) == len(source_ids)
    assert all(name and not set(name) & set(" ()\t\n\"',;&<>") for name in gene_ids)
    assert not {name.lower() for name in gene_ids} & {"and", "or", "not"}


def test_numeric_ids_stay_as_they_are():
    assert unique_gene_ids(["1", "2", "10"]) == ["1", "2", "10"]


def test_an_id_that_a_gene_rule_cannot_hold_is_renamed_and_flagged():
    table = tabulate(fasta_genes(b">gene(1) kinase\nMKV\n>or\nMKV\n>\nMKV\n"))
    assert table["gene_id"].to_pylist() == ["gene_1_", "or_", "gene_3"]
    assert flags_of(table)["renamed"] == 3
    assert table["description"][0].as_py() == "kinase"


def test_empty_records_are_left_out_and_a_file_of_them_is_refused():
    assert tabulate(fasta_genes(b">a\n>b\nMKV\n>c\n**\n"))["gene_id"].to_pylist() == ["b"]
    with pytest.raises(RefusedError) as refusal:
        tabulate(fasta_genes(b">a\n>b\n"))
    assert refusal.value.reason is Reason.NO_PROTEINS


def test_headers_that_are_not_utf8_are_read():
    table = tabulate(fasta_genes(b">a \xe9nzyme\nMKV\n"))
    assert table["gene_id"].to_pylist() == ["a"]
    assert "nzyme" in table["description"][0].as_py()


def test_masses_agree_with_protparam():
    table = read_proteins(SHIPPED / "M_genitalium_G37.faa")
    sequences = table["sequence"].to_pylist()
    expected = [ProteinAnalysis(sequence).molecular_weight() for sequence in sequences]
    np.testing.assert_allclose(table["mass_g_per_mol"].to_numpy(), expected, rtol=1e-4)


def test_mass_is_unknown_above_five_percent_x():
    masses = molecular_masses([b"G" * 95 + b"X" * 5, b"G" * 94 + b"X" * 6, b"G"])
    assert np.isnan(masses).tolist() == [False, True, False]
    assert masses[2] == pytest.approx(75.07, abs=0.01)


def test_ambiguous_letters_weigh_the_mean_of_what_they_may_be():
    d, n, b = molecular_masses([b"D", b"N", b"B"])
    assert b == pytest.approx((d + n) / 2)


GENBANK = """LOCUS       TEST                      60 bp    DNA     linear   BCT 01-JAN-2020
DEFINITION  test.
ACCESSION   TEST
VERSION     TEST.1
FEATURES             Location/Qualifiers
     source          1..60
     CDS             1..15
                     /locus_tag="T_1"
                     /product="first
                     product"
                     /EC_number="1.1.1.1"
                     /EC_number="2.7.1.2"
                     /protein_id="P1.1"
                     /translation="MKVL"
     CDS             complement(<16..30)
                     /gene="abcD"
                     /translation="MAAA"
     CDS             31..45
                     /locus_tag="T_3"
                     /transl_table=4
     CDS             46..60
                     /locus_tag="T_4"
                     /pseudo
ORIGIN
        1 atgaaagttc tgtaattagc agcagccata gtgaaatgac tctaaatgaa agttctgtaa
//
"""


def test_genbank_keeps_locus_tags_products_ec_numbers_and_places(tmp_path):
    rows = read_proteins(write(tmp_path, GENBANK)).to_pylist()
    first, second, third = rows
    assert (first["gene_id"], first["locus_tag"], first["sequence"]) == ("T_1", "T_1", "MKVL")
    assert first["description"] == "first product"
    assert first["ec"] == ["1.1.1.1", "2.7.1.2"]
    assert (first["contig"], first["start"], first["end"], first["strand"]) == ("TEST.1", 1, 15, 1)
    assert (second["gene_id"], second["strand"], second["partial"], second["locus_tag"]) == ("abcD", -1, True, None)
    assert third["gene_id"] == "T_3"


def test_genbank_without_translations_is_translated_by_its_own_code(tmp_path):
    third = read_proteins(write(tmp_path, GENBANK)).to_pylist()[2]
    # gtg aaa tga ctc taa in code 4: the start is methionine, tga is tryptophan
    assert third["sequence"] == "MKWL"
    assert third["flags"] == ["translated_here"]


def test_a_genbank_file_cut_short_is_refused(tmp_path):
    with pytest.raises(RefusedError) as refusal:
        read_proteins(write(tmp_path, GENBANK[: GENBANK.index("ORIGIN") + 30]))
    assert refusal.value.reason is Reason.TRUNCATED_FILE
