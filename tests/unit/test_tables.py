"""Every column says what it is and in which unit."""

from __future__ import annotations

import pyarrow as pa
import pytest

from gemforest.stages import STAGE_NAMES, all_stages
from gemforest.tables import EMBEDDING_STORE, LEDGER, TABLES

DESIGNED = {
    "fetch": {"genomes"},
    "genes": {"proteins"},
    "homology": {"hits"},
    "embed": {"embeddings"},
    "evidence": {"gene_reactions", "reaction_scores", "dark_enzymes"},
    "draft": {"draft_reactions"},
    "gapfill": {"gapfills", "fills", "model_reactions"},
    "kinetics": {"kcats", "enzyme_costs", "ec_fba", "ec_fva"},
    "simulate": {"fba", "fva", "knockouts", "screens", "quality", "summary"},
}


def test_every_table_of_the_design_is_declared() -> None:
    for stage, tables in DESIGNED.items():
        assert tables <= {table.name for table in TABLES.values() if table.stage == stage}


@pytest.mark.parametrize("name", TABLES)
def test_every_column_is_documented_and_the_genome_comes_first(name: str) -> None:
    schema = TABLES[name].schema
    assert schema.names[0] == "genome_id"
    assert all(field.metadata and field.metadata[b"doc"] for field in schema)


@pytest.mark.parametrize("schema", [EMBEDDING_STORE, LEDGER])
def test_the_other_files_are_documented_too(schema: pa.Schema) -> None:
    assert all(field.metadata and field.metadata[b"doc"] for field in schema)


@pytest.mark.parametrize(
    ("ending", "unit"),
    [("_per_h", b"h^-1"), ("_percent", b"percent"), ("_bp", b"base pair"), ("_g_per_mol", b"g mol^-1"), ("flux", None)],
)
def test_a_unit_in_a_name_is_in_the_metadata(ending: str, unit: bytes | None) -> None:
    fields = [f for table in TABLES.values() for f in table.schema if f.name.endswith(ending)]
    assert fields
    assert all(field.metadata.get(b"unit") == (unit or b"mmol gDW^-1 h^-1") for field in fields)


def test_stages_read_only_what_earlier_stages_write_and_no_two_write_the_same() -> None:
    written: set[str] = set()
    for stage in all_stages():
        assert set(stage.reads) <= written, stage.name
        assert not set(stage.writes) & written, stage.name
        assert {TABLES[table].stage for table in stage.writes} == {stage.name}
        written |= set(stage.writes)
    assert [stage.name for stage in all_stages()] == list(STAGE_NAMES)
