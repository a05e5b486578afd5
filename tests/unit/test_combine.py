"""All sources together: what agrees, what contradicts, what is silent."""

from __future__ import annotations

import numpy as np
import pytest

from gemforest.evidence.calibration import Calibration, Term
from gemforest.evidence.combine import (
    OTHER_SOURCES,
    EcWord,
    combination,
    ec_candidates,
    ec_support,
    ec_terms,
    logit,
    options_of,
    weigh,
)

ECS = [("2.7.1.11",), ("2.7.1.56",), ("4.2.1.11",), ()]
"""Of four reactions; the last has no number."""


def support(*words: EcWord):
    gene = np.zeros(4, dtype=int)
    return ec_support(gene, np.arange(4), words, ECS)


def test_a_number_agrees_with_a_reaction_by_as_many_fields_as_they_share() -> None:
    found = support(EcWord(0, "2.7.1.11", 0.6))
    assert found.level.tolist() == [4, 3, 0, 0]
    assert found.annotated.tolist() == [True, True, True, False]


def test_a_source_that_says_nothing_of_a_gene_is_neutral() -> None:
    terms = ec_terms("E", support(EcWord(7, "2.7.1.11", 0.6)))
    assert all(not values.any() for values in terms.values())


def test_a_source_that_names_another_function_has_a_term_of_its_own() -> None:
    terms = ec_terms("E", support(EcWord(0, "2.7.1.11", 0.6)))
    assert terms["E_same"].tolist() == [1, 0, 0, 0]
    assert terms["E_same_ec3"].tolist() == [0, 1, 0, 0]
    assert terms["E_other"].tolist() == [0, 0, 1, 0]
    assert terms["E_blank"].tolist() == [0, 0, 0, 1], "nothing to compare with"


def test_a_word_that_names_a_reaction_agrees_with_it_alone() -> None:
    found = support(EcWord(0, "", 0.5, reaction=3))
    assert found.level.tolist() == [0, 0, 0, 4] and found.annotated.all()


def test_of_several_numbers_the_nearest_counts() -> None:
    found = support(EcWord(0, "4.2.1.11", 0.9), EcWord(0, "2.7.1.11", 0.4))
    assert found.level[0] == 4 and found.strength[0] == 0.4 and found.top[0] == 0.9


def test_numbers_propose_what_no_homolog_does() -> None:
    words = [EcWord(0, "2.7.1.11", 0.6), EcWord(2, "4.2.1.11", 0.6), EcWord(1, "", 0.5, reaction=3)]
    pairs = ec_candidates(words, {"2.7.1.11": [0], "4.2.1.11": [1, 2]}, known=np.array([0]), reactions=4)
    assert pairs.tolist() == [1 * 4 + 3, 2 * 4 + 1, 2 * 4 + 2]
    assert options_of(pairs, 4).tolist() == [1, 2, 2]


def test_weights_scale_what_a_source_adds_and_nothing_else() -> None:
    terms = (Term("homologs", None, 1.0, 2.0, 3.0), Term("E_same", None, 0.0, 1.0, 2.0))
    fit = Calibration("1", terms, 0.5, 0.2, -2.0)
    columns = {"homologs": np.array([3.0]), "E_same": np.array([1.0])}
    full, half, none = (weigh(fit, columns, {"E": w}) for w in (1.0, 0.5, 0.0))
    assert full.log_odds[0] == pytest.approx(0.5 + 3.0 + 2.0)
    assert half.log_odds[0] == pytest.approx(0.5 + 3.0 + 1.0)
    assert none.log_odds[0] == pytest.approx(0.5 + 3.0)
    assert full.by_source["E"].tolist() == [2.0]


@pytest.mark.parametrize("sources", ["", "E", "P", "A", "AE", "AP", "EP", "AEP"])
def test_every_set_of_sources_has_a_fit_whose_silent_sources_are_neutral(sources: str) -> None:
    fits = combination(sources)
    assert (fits.without_homolog is None) == (not set(sources) - {"P"})
    for fit in (fits.with_homolog, fits.without_homolog or fits.with_homolog):
        assert all(term.mean == 0 for term in fit.terms if term.feature.split("_")[0] in OTHER_SOURCES)
        assert 0 < fit.threshold < 0.5


@pytest.mark.parametrize("sources", ["E", "A", "AE", "AEP"])
def test_a_source_that_agrees_says_more_for_a_call_than_one_that_contradicts(sources: str) -> None:
    fit = combination(sources).with_homolog
    weight = {term.feature: term.weight / term.scale for term in fit.terms}
    assert weight["homologs"] > 0
    for letter in set(sources) & {"A", "E"}:
        assert weight[f"{letter}_same"] > weight[f"{letter}_same_ec3"] >= weight[f"{letter}_other"] - 0.2
        assert weight[f"{letter}_other"] < 0


def test_no_table_is_surer_than_one_in_a_thousand() -> None:
    assert logit(1.0) == pytest.approx(np.log(999)) and logit(0.0) == pytest.approx(-np.log(999))
