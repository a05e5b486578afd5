import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemforest.gprs import Gate, gate, genes_of, gpr_text, parse_gpr, works

GENES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
RULES = st.recursive(
    GENES,
    lambda rules: st.builds(gate, st.sampled_from(["and", "or"]), st.lists(rules, min_size=1, max_size=4)),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "genes"),
    [
        ("b0001", {"b0001"}),
        ("(b0001 and b0002) or b0003", {"b0001", "b0002", "b0003"}),
        ("1 or NP_001.1 or gene-b0001 or a b|c", {"1", "NP_001.1", "gene-b0001", "a b|c"}),
        ('"and" AND "(p)"', {"and", "(p)"}),
        ("orf1 or sandy", {"orf1", "sandy"}),
        ("", set()),
    ],
)
def test_gene_ids_are_what_stands_between_operators(text, genes):
    assert genes_of(parse_gpr(text)) == genes


def test_and_binds_more_tightly_than_or():
    assert parse_gpr("a or b and c") == Gate("or", ("a", Gate("and", ("b", "c"))))


@pytest.mark.parametrize(
    "text", ["(a", "a)", "a and", "or a", "a and or b", "()", "(a) b", "(" * 200 + "a" + ")" * 200]
)
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(ValueError, match=r"rule|parenthesis|alternate"):
        parse_gpr(text)


@given(RULES)
def test_text_and_tree_are_each_other(rule):
    assert parse_gpr(gpr_text(rule)) == rule


@pytest.mark.parametrize(
    ("lost", "holds"), [({"a"}, True), ({"c"}, True), ({"a", "c"}, False), ({"b", "c"}, False), (set(), True)]
)
def test_a_complex_needs_all_its_genes_and_isozymes_stand_in(lost, holds):
    rule = parse_gpr("(a and b) or c")
    assert rule is not None
    assert works(rule, lost.__contains__) is holds
