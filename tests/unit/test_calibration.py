"""Calibrations are plain logistic regressions over what their JSON says; reactions gather their genes' calls."""

from __future__ import annotations

import numpy as np
import pytest

from gemforest.evidence.calibration import Calibration, Term, load_calibration, probability
from gemforest.evidence.homologs import FEATURES
from gemforest.evidence.reactions import GENE_FEATURES, REACTION_FEATURES, gene_features, reaction_features


def test_log_odds_are_the_sum_of_standardised_terms() -> None:
    terms = (Term("a", None, 1.0, 2.0, 3.0), Term("b", 0.5, 0.0, 1.0, -1.0))
    calibration = Calibration("1", terms, 0.25, 0.2, 0.0)
    found = calibration.log_odds({"a": np.array([5.0]), "b": np.array([1.5])})
    assert found == pytest.approx(0.25 + (5 - 1) / 2 * 3 - np.log(2.0))


@pytest.mark.parametrize(
    ("name", "known"), [("homologs", FEATURES), ("reactions", REACTION_FEATURES), ("genes", GENE_FEATURES)]
)
def test_shipped_parameters_name_features_that_exist(name: str, known: tuple[str, ...]) -> None:
    calibration = load_calibration(name)
    assert {term.feature for term in calibration.terms} <= set(known)
    assert 0 < calibration.threshold < 1


def test_two_calls_of_a_reaction_combine_as_noisy_or() -> None:
    log_odds = np.array([0.0, np.log(3.0)])
    rows = reaction_features(np.array([0, 1]), np.array([7, 7]), log_odds, np.array([0.2, 0.2]))
    p = probability(rows.features[0, REACTION_FEATURES.index("noisy_or_log_odds")])
    assert p == pytest.approx(1 - 0.5 * 0.25)
    assert rows.features[0, REACTION_FEATURES.index("best_log_odds")] == pytest.approx(np.log(3.0))


def test_noisy_or_stays_finite_for_certain_and_hopeless_calls() -> None:
    rows = reaction_features(np.array([0, 1]), np.array([1, 2]), np.array([60.0, -60.0]), np.array([0.0, 0.0]))
    assert np.isfinite(rows.features).all()


def test_a_genes_calls_are_gathered_as_those_of_a_reaction_are() -> None:
    genes, features = gene_features(np.array([4, 9, 4]), np.array([0.0, 1.5, np.log(3.0)]))
    assert genes.tolist() == [4, 9]
    assert features[1] == pytest.approx([1.5, 1.5, 0.0])
    assert features[0] == pytest.approx([np.log(3.0), np.log(0.875 / 0.125), np.log(2.0)])


def test_none_of_these_is_less_likely_the_surer_a_genes_best_call_is() -> None:
    log_odds = np.linspace(-5.0, 5.0, 41)
    _, features = gene_features(np.arange(41), log_odds)
    columns = {name: features[:, i] for i, name in enumerate(GENE_FEATURES)}
    some = probability(load_calibration("genes").log_odds(columns))
    assert (np.diff(some) > 0).all()
    assert some[0] < 0.1 and some[-1] > 0.9
