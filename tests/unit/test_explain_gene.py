"""`gemforest explain GENOME GENE`: what the sources say, the verdict, where it leads."""

from __future__ import annotations

import pytest
from test_explain import context as context  # the same project
from test_explain import put

from gemforest.errors import InputError
from gemforest.explain_gene import explain_any

HIT = {"source": "D", "version": "1", "target": "iML1515.b3916", "value": 650.0, "identity_percent": 98.7,
       "query_coverage": 1.0, "target_coverage": 0.95, "log_likelihood_ratio": 4.2}  # fmt: skip


@pytest.fixture
def project(context):
    put(context, "proteins", *({"gene_id": g, "length": 320, "description": "6-phosphofructokinase", "ec": ["2.7.1.11"]}
                               for g in ("b3916", "b0001")))  # fmt: skip
    put(
        context,
        "gene_reactions",
        {"gene_id": "b3916", "reaction": "PFK_2", "probability": 0.1, "decision": "rejected: below threshold",
         "none_of_these": 0.08, "conflict": "single_source", "evidence": [HIT]},
        {"gene_id": "b3916", "reaction": "PFK", "probability": 0.9, "decision": "accepted",
         "none_of_these": 0.08, "conflict": "single_source", "evidence": [HIT]},
    )  # fmt: skip
    return context


def test_the_case_of_a_gene_lists_its_calls_best_first_with_evidence_and_whether_the_model_holds_them(project) -> None:
    told = explain_any(project, "ecoli", "b3916").splitlines()
    assert "6-phosphofructokinase" in told[0] and "2.7.1.11" in told[0]
    assert "1 of 2 calls accepted" in told[1] and "none of these 0.08" in told[1]
    calls = [line.split()[0] for line in told if "probability" in line]
    assert calls == ["PFK", "PFK_2"]
    assert "in the model" in told[2] and "99 % identity" in told[3] and "iML1515.b3916" in told[3]
    assert "not in the model" in told[4] and "rejected: below threshold" in told[4]


def test_a_gene_that_the_models_rule_does_without_is_told_so(project) -> None:
    put(project, "model_reactions", {"reaction": "PFK", "origin": "draft", "gpr": "b1723"})
    assert "accepted, single_source, in the model without this gene" in explain_any(project, "ecoli", "b3916")


def test_a_gene_of_which_nothing_is_known_is_said_to_be_none_of_these(project) -> None:
    assert "none of the reactions" in explain_any(project, "ecoli", "b0001")


def test_a_dark_enzyme_is_told_with_its_neighbour_and_that_it_is_not_in_the_draft(project) -> None:
    put(project, "dark_enzymes", {"gene_id": "b0001", "neighbour": "iYO844.BSU1", "distance": 0.25, "reaction": "PFK",
                                  "ec": ["2.7.1.11"], "probability": 0.0123})  # fmt: skip
    told = explain_any(project, "ecoli", "b0001")
    assert "PFK (EC 2.7.1.11) probability 0.0123, near iYO844.BSU1, cosine distance 0.25; no database hit" in told
    assert "proposed" not in explain_any(project, "ecoli", "b3916")


def test_a_reaction_is_explained_as_before(project) -> None:
    assert explain_any(project, "ecoli", "PFK").startswith("PFK in ecoli: in the model")


def test_neither_gene_nor_reaction_is_told_with_an_example_of_a_gene(project) -> None:
    with pytest.raises(InputError, match=r"genes of ecoli look like 'b3916'.*did you mean 'b3916'"):
        explain_any(project, "ecoli", "b3917")
