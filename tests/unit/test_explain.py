"""`gemforest explain`: the story of a reaction, read from tables that tell it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from gemforest.config import complete
from gemforest.errors import InputError
from gemforest.explain import explain
from gemforest.stage import Context
from gemforest.store import Store, write_table
from gemforest.tables import TABLES


def put(context: Context, table: str, *rows: dict[str, object]) -> None:
    path = context.store.table_path(table, "0000", "ecoli")
    rows_of = [{"genome_id": "ecoli", **row} for row in rows]
    write_table(path, table, pa.Table.from_pylist(rows_of, schema=TABLES[table].schema), {})


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """PFK kept for its evidence, TKT1 filled in, ACKr scored but not kept, PGI without any gene."""
    found = Context(tmp_path, complete({}), Store(tmp_path / "results"))
    # Compiled universes are shared with the other tests: compiling one takes half a minute.
    (tmp_path / "resources").symlink_to(Path(__file__).resolve().parents[2] / "resources")
    plan = tmp_path / "results" / "plan"
    plan.mkdir(parents=True)
    (plan / "members.tsv").write_text("genome_id\tshard\tstate\necoli\t0000\tactive\n")
    put(found, "hits", {"gene_id": "b3916", "target": "iML1515.b3916", "bitscore": 650.0, "identity_percent": 99.0,
                        "evalue": 1e-200})  # fmt: skip
    put(
        found,
        "reaction_scores",
        {"reaction": "PFK", "score": 650.0, "normalized_score": 2.1, "gpr": "b3916"},
        {"reaction": "ACKr", "score": 80.0, "normalized_score": 0.3, "gpr": "b2296"},
    )
    put(
        found,
        "draft_reactions",
        {"reaction": "PFK", "in_draft": True, "why": "evidence", "direction": "forward", "genes": ["b3916"]},
        {"reaction": "ACKr", "in_draft": False},
    )
    put(found, "gapfills", {"reaction": "TKT1", "medium": "M9", "cost": 1.5, "unblocks": ["r5p"]})
    put(
        found,
        "model_reactions",
        {"reaction": "PFK", "origin": "draft", "lower_bound": 0.0, "upper_bound": 1000.0, "gpr": "b3916"},
        {"reaction": "TKT1", "origin": "gapfill", "lower_bound": -1000.0, "upper_bound": 1000.0, "gpr": ""},
    )
    return found


def test_a_reaction_with_evidence_is_explained_by_gene_hit_score_and_rule(context):
    told = explain(context, "ecoli", "R_PFK")
    assert told.in_model is True and "evidence" in told.verdict
    text = str(told)
    assert "b3916 -> iML1515.b3916" in text and "650 bits" in text and "rule b3916" in text
    assert [stage for stage, _ in told.steps] == ["homology", "evidence", "draft", "gapfill", "model"]


def test_genes_that_the_draft_left_out_of_the_rule_are_named(context):
    put(context, "reaction_scores", {"reaction": "PFK", "score": 650.0, "gpr": "(b3916 or b1723)"})
    put(context, "draft_reactions", {"reaction": "PFK", "in_draft": True, "why": "evidence", "gpr": "b3916"})
    assert "rule without b1723: others fit better" in str(explain(context, "ecoli", "PFK"))


def test_a_filled_reaction_is_explained_by_its_medium_and_what_it_unblocks(context):
    told = explain(context, "ecoli", "TKT1")
    assert told.in_model is True and "M9" in told.verdict
    assert "unblocks r5p" in str(told)


def test_a_reaction_that_was_scored_and_left_out_is_told_apart_from_one_without_genes(context):
    assert "has evidence" in explain(context, "ecoli", "ACKr").verdict
    missing = explain(context, "ecoli", "PGI")
    assert missing.in_model is False and "no gene resembles" in missing.verdict


def test_a_genome_without_a_model_is_told_so(context):
    context.store.table_path("model_reactions", "0000", "ecoli").unlink()
    told = explain(context, "ecoli", "PFK")
    assert told.in_model is None and "no final model" in told.verdict


def test_unknown_names_are_refused_with_the_nearest_known(context):
    with pytest.raises(InputError, match="'ecoli'"):
        explain(context, "Ecoly", "PFK")
    with pytest.raises(InputError, match="'PFK'"):
        explain(context, "ecoli", "PFKK")


def test_a_reaction_that_the_universe_lacks_is_told_so(context):
    # The universe of archaea has no methylthiol:coenzyme M methyltransferase, the database has its proteins.
    put(context, "lineages", {"universe": "archaea", "decided_by": "auto"})
    assert "the universe archaea does not hold" in explain(context, "ecoli", "MTCMMT").verdict
