"""Gene rules with paralogs."""

from __future__ import annotations

import pytest
from cobra.core.gene import GPR

from gemforest.draft.rules import accepted_calls, with_paralogs
from gemforest.gprs import genes_of, parse_gpr, works


def test_an_accepted_copy_becomes_an_isozyme_and_takes_over() -> None:
    text = with_paralogs("(g1 or g2)", {"g1": {"db.a"}, "g3": {"db.b"}})
    rule = parse_gpr(text)
    assert rule is not None and genes_of(rule) == {"g1", "g2", "g3"}
    assert works(rule, lambda gene: gene in {"g1", "g2"})


def test_in_a_complex_a_copy_stands_beside_its_subunit_only() -> None:
    calls = {"a": {"db.a"}, "b": {"db.b"}, "a2": {"db.a"}, "stranger": {"db.z"}}
    rule = parse_gpr(with_paralogs("a and b", calls))
    assert rule is not None and genes_of(rule) == {"a", "b", "a2"}
    assert works(rule, {"a"}.__contains__)
    assert not works(rule, {"b"}.__contains__)


@pytest.mark.parametrize("gpr", ["", "spontaneous", "(spontaneous or g1)"])
def test_rules_without_an_enzyme_stay_as_they_are(gpr: str) -> None:
    assert with_paralogs(gpr, {"g9": {"db.a"}}) == gpr


@pytest.mark.parametrize("gpr", ["g1", "(g1 and g2) or g3", "((g1 and g2) or (g4 and g2))"])
def test_cobrapy_reads_the_same_genes(gpr: str) -> None:
    text = with_paralogs(gpr, {"g1": {"db.a"}, "p1": {"db.a"}, "p2": {"db.a"}})
    assert GPR.from_string(text).genes == genes_of(parse_gpr(text))
    assert {"p1", "p2"} <= GPR.from_string(text).genes


def test_rejected_calls_do_not_count() -> None:
    item = {"target": "db.a"}
    rows = [
        {"gene_id": "g1", "reaction": "R", "decision": "accepted", "evidence": [item]},
        {"gene_id": "g2", "reaction": "R", "decision": "rejected: a better gene", "evidence": [item]},
        {"gene_id": "g3", "reaction": "R", "decision": "accepted", "evidence": None},
    ]
    assert accepted_calls(rows) == {"R": {"g1": {"db.a"}, "g3": set()}}
