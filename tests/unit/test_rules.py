"""Gene rules with paralogs."""

from __future__ import annotations

import pytest
from cobra.core.gene import GPR
from hypothesis import given
from hypothesis import strategies as st

from gemforest.draft.rules import accepted_calls, call_log_odds, with_paralogs, without_weak_isozymes
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


ODDS = {"strong": 2.0, "near": 1.5, "weak": -1.0, "a": 1.0, "b": 3.0, "a2": -2.0}


@pytest.mark.parametrize(
    ("gpr", "kept"),
    [
        ("strong or weak or near", {"strong", "near"}),
        ("weak", {"weak"}),
        ("weak or unknown", {"weak"}),
        ("(a and b) or strong", {"a", "b", "strong"}),  # the mean of the complex is 2
        ("(a2 and b) or strong", {"strong"}),
        ("(a or a2) and b", {"a", "b"}),  # one subunit's alternatives are judged among themselves
        ("unknown1 or unknown2", {"unknown1", "unknown2"}),
        ("a or (a and b)", {"a", "b"}),
        ("spontaneous or weak", {"spontaneous", "weak"}),
        ("", set()),
    ],
)
def test_isozymes_that_fall_short_of_the_best_one_are_left_out(gpr: str, kept: set[str]) -> None:
    assert genes_of(parse_gpr(without_weak_isozymes(gpr, ODDS, 0.75))) == kept


@given(st.lists(st.floats(-7, 7), min_size=1, max_size=6), st.floats(0, 5), st.floats(0, 5))
def test_the_best_isozyme_stays_and_a_wider_limit_leaves_out_no_more(odds: list[float], one: float, two: float) -> None:
    known = {f"g{k}": value for k, value in enumerate(odds)}
    narrow, wide = (
        genes_of(parse_gpr(without_weak_isozymes(" or ".join(known), known, within))) for within in sorted((one, two))
    )
    assert max(known, key=lambda gene: known[gene]) in narrow
    assert narrow <= wide


@pytest.mark.parametrize(
    ("gpr", "whole"),
    [
        ("g1 or (g1 and g2)", "g1 and g2"),
        ("(g1 and g2) or (g1 and g2 and g3) or g4", "(g1 and g2 and g3) or g4"),
        ("(g1 and g2) or (g2 and g3)", "(g1 and g2) or (g2 and g3)"),
        ("g5 and (g1 or (g1 and g2))", "g5 and g1 and g2"),
        ("g1 or ((g1 or g3) and g2)", "g1 or ((g1 or g3) and g2)"),  # not one complex, left as it is
    ],
)
def test_of_a_complex_and_a_part_of_it_the_whole_stays(gpr: str, whole: str) -> None:
    found, expected = parse_gpr(without_weak_isozymes(gpr, {}, 1.0)), parse_gpr(whole)
    genes = sorted(genes_of(parse_gpr(gpr)))
    for lost in genes:
        assert works(found, lambda gene, lost=lost: gene != lost) == works(
            expected, lambda gene, lost=lost: gene != lost
        )
    assert genes_of(found) == genes_of(expected)


def test_log_odds_are_told_by_reaction_and_gene() -> None:
    rows = [{"gene_id": "g", "reaction": "R", "log_odds": 1.0}, {"gene_id": "h", "reaction": "R", "log_odds": -1.0}]
    assert call_log_odds(rows) == {"R": {"g": 1.0, "h": -1.0}}
