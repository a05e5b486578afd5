"""Calls and probabilities of a whole proteome, on the hits that the carveme package carries."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from projects import CACHE
from test_golden import given_tables

from gemforest.evidence.calibration import load_calibration
from gemforest.evidence.calls import Calls, call_reactions, reaction_probabilities
from gemforest.evidence.claims import Claim, Heard
from gemforest.evidence.dark import Encoded
from gemforest.evidence.ecreactions import reaction_ecs
from gemforest.evidence.homologs import bigg_reference
from gemforest.evidence.neighbours import Neighbours
from gemforest.evidence.verdicts import gene_reactions_table
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
    universe = set(calls.reactions.tolist())
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


def said(gene: int, target: str, source: str, probability: float | None = None, **more: float) -> Heard:
    claim = Claim(gene, target, source, f"tool-{source}", "1", probability=probability, **more)
    return Heard(source, claim.origin, "1", (claim,))


def row_of(calls: Calls, gene_id: str, reaction: str) -> dict:
    found = gene_reactions_table("g", calls, 0.0)
    keep = pc.and_(pc.equal(found["gene_id"], gene_id), pc.equal(found["reaction"], reaction))
    return found.filter(keep).to_pylist()[0]


@pytest.fixture(scope="module")
def called(tables: dict[str, pa.Table]):
    """Calls with what is heard, and the number of a gene."""
    ecs = reaction_ecs("gramneg", Path("none"), CACHE)
    genes = tables["proteins"]["gene_id"].to_pylist()

    def call(*heard: Heard, **options: object) -> Calls:
        return call_reactions(tables["proteins"], tables["homologs"], heard, ecs, **options)

    call.number = genes.index
    return call


ENZYME = {"value": 500.0, "identity_percent": 60.0, "query_coverage": 0.95, "target_coverage": 0.95}


def test_a_source_that_agrees_raises_a_call_and_one_that_contradicts_lowers_it(called) -> None:
    eno = called.number("b2779")
    alone = row_of(called(), "b2779", "ENO")
    agreed = row_of(called(said(eno, "4.2.1.11", "E", **ENZYME)), "b2779", "ENO")
    against = row_of(called(said(eno, "2.7.1.40", "E", **ENZYME)), "b2779", "ENO")
    assert against["probability"] < agreed["probability"]
    assert [alone["conflict"], agreed["conflict"], against["conflict"]] == ["single_source", "agree", "contradiction"]
    by_source = {item["source"]: item["log_likelihood_ratio"] for item in agreed["evidence"]}
    assert by_source["E"] > 0
    assert sum(by_source.values()) == pytest.approx(agreed["log_odds"] - load_calibration("homologs").prior_log_odds)


def test_a_number_of_the_same_subclass_is_told_apart_from_agreement(called) -> None:
    eno = called.number("b2779")
    assert row_of(called(said(eno, "4.2.1.2", "E", **ENZYME)), "b2779", "ENO")["conflict"] == "same_ec3"


def test_what_annotation_alone_proposes_is_only_unreviewed(called) -> None:
    gene = called.number("b0001")
    row = row_of(called(said(gene, "4.2.1.11", "A")), "b0001", "ENO")
    assert row["conflict"] == "only_unreviewed"
    assert [item["source"] for item in row["evidence"]] == ["A"]
    assert row["ec"] == ["4.2.1.11"]


def test_a_users_probability_stands_where_nothing_else_speaks_and_adds_up_with_what_does(called) -> None:
    gene = called.number("b0001")
    assert row_of(called(said(gene, "ENO", "U", 0.9)), "b0001", "ENO")["probability"] == pytest.approx(0.9)
    eno = called.number("b2779")
    alone, with_user = row_of(called(), "b2779", "ENO"), row_of(called(said(eno, "ENO", "U", 0.9)), "b2779", "ENO")
    prior = load_calibration("homologs").prior_log_odds
    assert with_user["log_odds"] - alone["log_odds"] == pytest.approx(math.log(9) - prior)
    assert with_user["independent_groups"] == 2 == alone["independent_groups"] + 1


def test_a_weight_of_zero_silences_a_source(called) -> None:
    eno = called.number("b2779")
    heard = (said(eno, "4.2.1.11", "E", **ENZYME), said(eno, "ENO", "U", 0.9))
    silent = called(*heard, weights={"E": 0.0, "U": 0.0}, presence=False)
    assert silent.log_odds.tolist() == called().log_odds.tolist()


def test_other_subunits_speak_for_complexes_alone(called) -> None:
    calls = called(presence=True)
    # ATP synthase (b3731 to b3738) is a complex, enolase is none.
    atp = row_of(calls, "b3732", "ATPS4rpp")
    assert {item["source"] for item in atp["evidence"]} == {"D", "P"}
    assert {item["source"] for item in row_of(calls, "b2779", "ENO")["evidence"]} == {"D"}


def encoded(tables: dict[str, pa.Table], gene: int, neighbour: str, **options: object) -> Encoded:
    """All genes near a protein that does nothing of theirs, one gene near `neighbour`; that one alone is dark."""
    place = {name: i for i, name in enumerate(bigg_reference().genes.tolist())}
    n = tables["proteins"].num_rows
    target = np.full((n, 2), place["iYO844.BSU33900"])
    target[:, 1] = place["iYO844.BSU33910"]
    cosine = np.tile(np.array([0.3, 0.2], dtype=np.float32), (n, 1))
    target[gene, 0], cosine[gene, 0] = place[neighbour], 0.9
    return Encoded(Neighbours(target, cosine), **({"dark": None, "listened": True} | options))


def test_neighbours_that_do_the_reaction_speak_for_it_and_others_against(called, tables) -> None:
    eno = called.number("b2779")
    near = row_of(called(encoded=encoded(tables, eno, "iML1515.b2779")), "b2779", "ENO")
    far = row_of(called(encoded=encoded(tables, eno, "iML1515.b1723")), "b2779", "ENO")
    assert near["probability"] > far["probability"]
    item = next(one for one in near["evidence"] if one["source"] == "N")
    assert (item["target"], round(item["value"], 3)) == ("iML1515.b2779", 0.9)
    total = sum(one["log_likelihood_ratio"] for one in near["evidence"])
    assert total == pytest.approx(near["log_odds"] - load_calibration("homologs").prior_log_odds)


def test_a_weight_of_zero_silences_the_neighbours(called, tables) -> None:
    silent = called(encoded=encoded(tables, 0, "iML1515.b2779"), weights={"N": 0.0})
    assert silent.log_odds.tolist() == called().log_odds.tolist()


def test_dark_enzymes_are_proposed_and_counted_only_where_asked(called, tables) -> None:
    dark = called.number("b0001")
    mask = np.arange(tables["proteins"].num_rows) == dark
    proposed, used = (
        called(encoded=encoded(tables, dark, "iML1515.b2779", listened=False, dark=mask, use_dark=use))
        for use in (False, True)
    )
    assert proposed.log_odds.tolist() == called().log_odds.tolist()
    assert proposed.dark is not None
    assert set(proposed.dark.query.tolist()) == {dark}
    row = row_of(used, "b0001", "ENO")
    assert [one["source"] for one in row["evidence"]] == ["N"]
    place = proposed.reactions[proposed.dark.reaction].tolist().index("ENO")
    assert row["log_odds"] == pytest.approx(proposed.dark.log_odds[place])
    assert row["decision"] == "rejected: below threshold"
    assert row["conflict"] == "single_source"
