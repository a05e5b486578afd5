"""What the sources A, E and U say of a genome of a project, and what its key depends on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from gemforest.content import recognise
from gemforest.errors import RefusedError
from gemforest.evidence import STAGE, score_of
from gemforest.evidence.listening import annotation_files, from_enzymes, hear, heard_digests, sources_table
from gemforest.ledger import Reason
from gemforest.plan import make_plan
from gemforest.reviewed import enzyme_ecs
from gemforest.stage import Context
from gemforest.tables import TABLES

GFF = "##gff-version 3\nc\tx\tCDS\t1\t90\t.\t+\t0\tID=g1;eC_number=2.7.1.11\n"
TABLE = "genome_id\tgene_id\ttarget\tprobability\tsource\none\tg2\tENO\t0.8\tCLEAN\ntwo\tg1\tPFK\t0.4\tCLEAN\n"
SHEET = "genome_id\tsource\tannotation\none\tone.faa\tone.gff3\ntwo\ttwo.faa\t\n"
NOTHING = TABLES["enzyme_hits"].empty()


@pytest.fixture
def annotated(project: Callable[..., Context]) -> Context:
    context = project(SHEET, evidence={"tables": ["table.tsv"], "annotation": "notes/{genome_id}.gff3"})
    (context.project / "config" / "one.gff3").write_text(GFF)
    (context.project / "notes").mkdir()
    (context.project / "notes" / "two.gff3").write_text(GFF.replace("2.7.1.11", "4.2.1.11"))
    (context.project / "table.tsv").write_text(TABLE)
    return context


def row(genome_id: str, annotation: str = "") -> dict[str, str]:
    return {"genome_id": genome_id, "tags": json.dumps({"annotation": annotation} if annotation else {})}


def proteins() -> pa.Table:
    genes = [{"gene_id": name, "ec": [], "description": ""} for name in ("g1", "g2")]
    return pa.Table.from_pylist(genes, schema=TABLES["proteins"].schema)


def heard(context: Context, genome: dict[str, str]) -> set[tuple[str, int, str]]:
    said = hear(context, genome, proteins(), lambda: NOTHING, Path("none"))
    return {(claim.source, claim.gene, claim.target) for one in said for claim in one.claims}


def test_files_of_the_sheet_and_of_the_pattern_and_tables_are_heard(annotated: Context) -> None:
    assert heard(annotated, row("one", "one.gff3")) == {("A", 0, "2.7.1.11"), ("U", 1, "ENO")}
    assert heard(annotated, row("two")) == {("A", 0, "4.2.1.11"), ("U", 0, "PFK")}


def test_a_source_that_is_switched_off_is_not_heard(project: Callable[..., Context], annotated: Context) -> None:
    context = project(SHEET, evidence={"sources": ["D", "A"], "tables": ["table.tsv"]})
    assert heard(context, row("one", "one.gff3")) == {("A", 0, "2.7.1.11")}
    assert not any("table" in name for name in heard_digests(context, row("one")))


def test_a_new_row_of_a_table_wakes_its_genome_alone(annotated: Context) -> None:
    before = [heard_digests(annotated, row(name)) for name in ("one", "two")]
    (annotated.project / "table.tsv").write_text(TABLE + "one\tg1\tPGK\t0.5\tCLEAN\n")
    after = [heard_digests(annotated, row(name)) for name in ("one", "two")]
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_an_edited_annotation_wakes_the_shard(annotated: Context) -> None:
    for name in ("one.faa", "two.faa"):
        (annotated.project / "config" / name).write_text(">g1\nMKV\n")
    before = make_plan(annotated).shards
    (annotated.project / "config" / "one.gff3").write_text(GFF + "\n")
    assert make_plan(annotated).shards != before


def test_a_file_that_is_not_there_is_refused_with_the_mend(annotated: Context) -> None:
    with pytest.raises(RefusedError, match=r"names 'none.gff3' for one.*mend the path") as error:
        annotation_files(annotated, row("one", "none.gff3"))
    assert error.value.reason is Reason.BAD_ANNOTATION
    assert heard_digests(annotated, row("one", "none.gff3")), "the key can be made all the same"


def test_a_gff3_as_the_genome_itself_is_refused() -> None:
    with pytest.raises(RefusedError) as error:
        recognise(GFF.encode() * 20)
    assert error.value.reason is Reason.NOT_A_GENOME


def test_reviewed_enzymes_speak_by_their_numbers() -> None:
    accession, numbers = next(iter(enzyme_ecs().items()))
    hit = {"gene_id": "g2", "target": accession, "identity_percent": 61.0, "bitscore": 400.0}
    hits = pa.Table.from_pylist([hit | {"query_coverage": 0.9, "target_coverage": 0.8}], TABLES["enzyme_hits"].schema)
    said = from_enzymes(proteins(), hits)
    assert {(claim.gene, claim.target) for claim in said.claims} == {(1, ec) for ec in numbers}
    assert all(claim.weight == 1.0 and claim.entry == accession for claim in said.claims)


def test_what_each_source_said_is_a_row_of_a_table(annotated: Context) -> None:
    said = hear(annotated, row("one", "one.gff3"), proteins(), lambda: NOTHING, Path("none"))
    rows = sources_table("one", said, "x").to_pylist()
    assert [(r["source"], r["origin"], r["claims"]) for r in rows] == [
        ("E", "reviewed", 0),
        ("A", "prokka", 1),
        ("U", "CLEAN", 1),
    ]


def test_a_score_made_of_a_probability_is_zero_at_break_even_and_minus_one_at_the_floor() -> None:
    assert score_of(0.2, 0.2, 0.02) == 0.0
    assert score_of(0.02, 0.2, 0.02) == -1.0
    assert score_of(0.9, 0.2, 0.02) > 1.0


def test_the_sources_are_part_of_the_key() -> None:
    assert {"evidence.sources", "evidence.weights.E", "evidence.scores"} <= set(STAGE.parameters)
