"""Calls and probabilities of a whole proteome, on the hits that the carveme package carries."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from test_golden import given_tables

from gemforest.evidence.calls import call_reactions, gene_reactions_table, reaction_probabilities
from gemforest.sequences import fasta_genes, tabulate
from gemforest.tables import TABLES

FLOOR = 0.02


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    given = given_tables()
    proteins = tabulate(fasta_genes(Path(given["genomes"]["file"][0].as_py()).read_bytes()))
    return given | {"proteins": proteins}


def test_every_call_says_what_it_rests_on_and_why_it_was_rejected(tables: dict[str, pa.Table]) -> None:
    calls = gene_reactions_table("g", call_reactions(tables["proteins"], tables["homologs"]), FLOOR)
    assert calls.schema.equals(TABLES["gene_reactions"].schema)
    rows = calls.to_pylist()
    assert {row["decision"].split(":")[0] for row in rows} == {"accepted", "rejected"}
    assert all(row["probability"] >= FLOOR and len(row["evidence"]) == 1 for row in rows)
    for row in rows[::97]:
        assert row["probability"] == pytest.approx(1 / (1 + math.exp(-row["log_odds"])))
        hit = tables["homologs"].filter(pc.equal(tables["homologs"]["gene_id"], row["gene_id"])).to_pylist()
        assert any(one["target"] == row["evidence"][0]["target"] for one in hit)


def test_a_textbook_enzyme_is_called_with_its_gene(tables: dict[str, pa.Table]) -> None:
    calls = gene_reactions_table("g", call_reactions(tables["proteins"], tables["homologs"]), FLOOR).to_pylist()
    accepted = {(row["gene_id"], row["reaction"]) for row in calls if row["decision"] == "accepted"}
    # Fraenkel 1986: pfkA (b3916) and pfkB (b1723) are E. coli's phosphofructokinases; eno is b2779.
    assert {("b3916", "PFK"), ("b1723", "PFK"), ("b2779", "ENO")} <= accepted


def test_reactions_below_the_floor_are_left_out_unless_they_are_scored(tables: dict[str, pa.Table]) -> None:
    calls = call_reactions(tables["proteins"], tables["homologs"])
    universe = set(calls.reference.reactions.tolist())
    everything = reaction_probabilities(calls, 0.0, universe, ())
    least = min(everything, key=lambda name: everything[name])
    assert 0 < everything[least] < 0.5 < everything["ENO"] < 1
    assert least not in reaction_probabilities(calls, 0.5, universe, ())
    assert reaction_probabilities(calls, 0.5, universe, [least])[least] == everything[least]
    assert "ENO" not in reaction_probabilities(calls, 0.0, universe - {"ENO"}, ())


def test_a_proteome_without_homologs_has_no_calls(tables: dict[str, pa.Table]) -> None:
    calls = call_reactions(tables["proteins"], tables["homologs"].slice(0, 0))
    assert gene_reactions_table("g", calls, FLOOR).num_rows == 0
    assert reaction_probabilities(calls, 0.0, {"ENO"}, ()) == {}
