"""Source A: GenBank's qualifiers, GFF3 of Prokka and Bakta, eggNOG-mapper's tables; and what cannot be used."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from gemforest.content import DEFAULT_LIMITS
from gemforest.errors import RefusedError
from gemforest.evidence.annotation import Dictionary, from_proteins, read_annotation
from gemforest.evidence.claims import Heard
from gemforest.ledger import Reason
from gemforest.tables import TABLES

WORDS = Dictionary(frozenset({"PFK", "ENO"}), {"iML1515.b2779": ("ENO",)}, {"K00850": ("2.7.1.11",)})
WITHOUT_ORTHOLOGS = Dictionary(WORDS.reactions, WORDS.database_genes, {})

PROKKA = """##gff-version 3
##sequence-region contig_1 1 9000
contig_1\tProdigal:002006\tCDS\t100\t1062\t.\t+\t0\tID=g1;eC_number=2.7.1.11;gene=pfkA;inference=x;product=kinase
contig_1\tProdigal:002006\tCDS\t2000\t3298\t.\t-\t0\tID=g2;eC_number=4.2.1.11;product=enolase
contig_1\tprokka\ttRNA\t4000\t4070\t.\t+\t0\tID=t1;product=tRNA
"""
BAKTA = """##gff-version 3
# organism x, annotated with Bakta
contig_1\tProdigal\tCDS\t100\t1062\t.\t+\t0\tID=g1;locus_tag=g1;product=kinase;Dbxref=EC:2.7.1.11,KEGG:K00850,UniRef:UniRef50_A
##FASTA
>contig_1
ACGT
"""
EGGNOG = """## emapper-2.1.9
#query\tseed_ortholog\tevalue\tDescription\tEC\tKEGG_ko\tBiGG_Reaction
g1\t1.x\t1e-9\tkinase\t2.7.1.11\tko:K00850\t-
g2\t1.y\t1e-9\tenolase\t-\t-\tiML1515.b2779
## 2 queries scanned
"""


def proteins(**columns: list[object]) -> pa.Table:
    n = 3
    rows = {field.name: [None] * n for field in TABLES["proteins"].schema} | {"gene_id": ["g1", "g2", "g3"]} | columns
    return pa.table(rows, schema=TABLES["proteins"].schema)


def read(folder: Path, text: str, words: Dictionary = WORDS, **columns: list[object]) -> Heard:
    path = folder / "annotation.txt"
    path.write_text(text)
    return read_annotation(path, proteins(**columns), words, DEFAULT_LIMITS)


def targets(heard: Heard) -> set[tuple[int, str]]:
    return {(claim.gene, claim.target) for claim in heard.claims}


def test_prokkas_numbers_are_read_from_its_own_attribute(tmp_path: Path) -> None:
    heard = read(tmp_path, PROKKA)
    assert heard.origin == "prokka"
    assert targets(heard) == {(0, "2.7.1.11"), (1, "4.2.1.11")}


def test_baktas_numbers_stand_among_the_cross_references(tmp_path: Path) -> None:
    heard = read(tmp_path, BAKTA)
    assert heard.origin == "bakta"
    assert targets(heard) == {(0, "2.7.1.11")}, "number and ortholog say the same"


def test_a_gff3_without_fasta_is_fine_for_annotation(tmp_path: Path) -> None:
    assert len(read(tmp_path, BAKTA.split("##FASTA")[0]).claims) == 1


def test_eggnog_mapper_gives_numbers_and_bigg_genes(tmp_path: Path) -> None:
    heard = read(tmp_path, EGGNOG)
    assert heard.origin == "eggnog-mapper"
    assert targets(heard) == {(0, "2.7.1.11"), (1, "ENO")}


def test_without_a_table_of_orthologs_the_loss_is_told(tmp_path: Path) -> None:
    assert "1 genes have KEGG orthologs" in read(tmp_path, EGGNOG, WITHOUT_ORTHOLOGS).note
    assert not read(tmp_path, EGGNOG).note


def test_genes_of_other_names_are_found_by_where_they_end(tmp_path: Path) -> None:
    places = {"contig": ["contig_1"] * 3, "start": [130, 2000, 5000], "end": [1062, 3250, 6000], "strand": [1, -1, 1]}
    heard = read(tmp_path, PROKKA.replace("ID=g", "ID=prokka_"), **places)
    assert targets(heard) == {(0, "2.7.1.11"), (1, "4.2.1.11")}


def test_genes_that_match_no_protein_are_refused_with_an_example_of_either_side(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"there a gene is called 'other_1', here 'g1'") as error:
        read(tmp_path, PROKKA.replace("ID=g", "ID=other_"))
    assert error.value.reason is Reason.BAD_ANNOTATION


def test_prose_in_an_ec_field_is_told_and_left_out(tmp_path: Path) -> None:
    heard = read(tmp_path, PROKKA.replace("4.2.1.11;product", "enolase (see 4.2.1.11);product"))
    assert (1, "4.2.1.11") not in targets(heard)
    assert any("not an EC number" in what for what in heard.rejected)


def test_mixed_lists_keep_what_is_a_number(tmp_path: Path) -> None:
    heard = read(tmp_path, EGGNOG.replace("kinase\t2.7.1.11", "kinase\t2.7.1.11,2.7.1.-,kinase"))
    assert {(0, "2.7.1.11"), (0, "2.7.1.-")} <= targets(heard)
    assert sum(heard.rejected.values()) == 1


def test_a_repeated_row_counts_once(tmp_path: Path) -> None:
    line = "g1\t1.x\t1e-9\tkinase\t2.7.1.11\tko:K00850\t-\n"
    assert len(read(tmp_path, EGGNOG.replace(line, line * 3)).claims) == 2


def test_a_bigg_word_that_is_not_known_is_counted(tmp_path: Path) -> None:
    assert read(tmp_path, EGGNOG.replace("iML1515.b2779", "iXX000.b1")).rejected == {"BiGG id that is not known": 1}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gene,ec\ng1,2.7.1.11\n", "neither GFF3 nor a table of eggNOG-mapper"),
        (PROKKA.replace("\t100\t", "\tabc\t", 1), "line 3"),
        (EGGNOG.replace("\t-\tiML1515.b2779", ""), "line 4"),
        ("##gff-version 3\n", "no coding sequence"),
        ("#query\tseed\ng1\tx\n", "none of the columns EC"),
    ],
)
def test_files_that_cannot_be_used_are_refused_with_the_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(RefusedError, match=told) as error:
        read(tmp_path, text)
    assert error.value.reason is Reason.BAD_ANNOTATION


def test_numbers_of_the_genomes_own_file_are_claims_also_from_the_product() -> None:
    (heard,) = from_proteins(
        proteins(ec=[["1.10.3.-"], [], ["see paper"]], description=["oxidase", "enolase (EC 4.2.1.11)", "?"])
    )
    assert targets(heard) == {(0, "1.10.3.-"), (1, "4.2.1.11")}
    assert heard.rejected == {"not an EC number: 'see paper'": 1}


def test_a_genome_without_numbers_says_nothing() -> None:
    assert from_proteins(proteins()) == []
