"""Routes and growth scores on networks small enough to be solved by hand."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from toy_networks import toy_network

from gemforest.bigg_rules import group_rules
from gemforest.evaluation import kinship
from gemforest.routes import RouteFinder
from gemforest.simulate.growth_score import (
    LEAST,
    TRANSPORTER_WITHOUT_EVIDENCE,
    WITHOUT_EVIDENCE,
    ReactionEvidence,
    best_identities,
    reaction_probabilities,
    scores_of_routes,
    transporters,
)
from gemforest.universe import Universe, compile_universe

# Glucose reaches pyruvate by one enzyme or by two; lactate by its own; nothing makes pyruvate of xylose.
EQUATIONS = {
    "EX_glc_e": ("glc_e ->", -1000, 1000),
    "EX_lac_e": ("lac_e ->", -1000, 1000),
    "EX_xyl_e": ("xyl_e ->", -1000, 1000),
    "GLCt": ("glc_e -> glc_c", -1000, 1000),
    "LACt": ("lac_e -> lac_c", -1000, 1000),
    "ONE": ("glc_c -> 2 pyr_c", 0, 1000),
    "TWOa": ("glc_c -> mid_c", 0, 1000),
    "TWOb": ("mid_c -> 2 pyr_c", 0, 1000),
    "LDH": ("lac_c -> pyr_c", 0, 1000),
    "ATPM": ("pyr_c -> co2_c", 0, 1000),
    "CO2t": ("co2_c -> co2_e", 0, 1000),
    "EX_co2_e": ("co2_e ->", 0, 1000),
    "GROW": ("10 pyr_c ->", 0, 1000),
}
RULES = pa.table(
    {
        "gene": ["G_g1", "G_g2", "G_g3", "G_g4", "G_s0001"],
        "protein": ["P_one", "P_two", "P_two", "P_other", "P_free"],
        "reaction": ["R_ONE", "R_TWOa", "R_TWOa", "R_TWOa", "R_LDH"],
        "model": ["m"] * 5,
    }
)


@pytest.fixture(scope="module")
def universe() -> Universe:
    return compile_universe(toy_network(EQUATIONS, "GROW"), "toy")


def priced(universe: Universe, **prices: float) -> np.ndarray:
    return np.array([prices.get(reaction, 0.01) for reaction in universe.network.reactions])


def names(universe: Universe, reactions: np.ndarray) -> set[str]:
    return {universe.network.reactions[j] for j in reactions}


def test_the_cheaper_way_is_taken_and_changes_with_the_prices(universe: Universe) -> None:
    finder = RouteFinder(universe, ["co2"], {}, ["glc", "lac", "xyl"])
    finder.price(priced(universe, ONE=1.0, TWOa=0.1, TWOb=0.1))
    first = finder.route("glc")
    assert first is not None
    assert {"TWOa", "TWOb"} <= names(universe, first.reactions)
    assert "ONE" not in names(universe, first.reactions)
    finder.price(priced(universe, ONE=0.1, TWOa=0.1, TWOb=0.1))
    second = finder.route("glc")
    assert second is not None
    assert names(universe, second.reactions) == {"EX_glc_e", "GLCt", "ONE", "GROW"}
    assert dict(zip(second.reactions.tolist(), second.relative_flux, strict=True))[
        universe.network.reactions.index("ONE")
    ] == pytest.approx(1.0)


def test_each_compound_stands_alone_and_there_may_be_no_way(universe: Universe) -> None:
    finder = RouteFinder(universe, [], {}, ["glc", "lac", "xyl"])
    finder.price(priced(universe))
    assert finder.route("xyl") is None
    assert finder.route("never_seen") is None
    lactate = finder.route("lac")
    assert lactate is not None
    assert "EX_glc_e" not in names(universe, lactate.reactions)
    again = finder.route("glc")
    assert again is not None
    assert "EX_lac_e" not in names(universe, again.reactions)


def test_a_score_is_the_sum_of_minus_log_p_over_the_steps_of_its_own(universe: Universe) -> None:
    network = universe.network
    chance = {"GLCt": 0.5, "ONE": 0.25, "LACt": 0.05, "LDH": 0.9, "TWOa": 0.01}
    probability = np.array([chance.get(r, 1.0) for r in network.reactions])
    evidence = ReactionEvidence(probability, np.where(probability < 1.0, 33.0, np.nan))
    finder = RouteFinder(universe, [], {}, ["glc", "lac"])
    price = -np.log(probability)
    finder.price(price + 1e-3)
    routes = {c: route for c in ("glc", "lac") if (route := finder.route(c)) is not None}
    scores = scores_of_routes(network, routes, price, evidence)
    assert scores["glc"].score == pytest.approx(math.log(0.5) + math.log(0.25))
    assert scores["lac"].score == pytest.approx(math.log(0.05) + math.log(0.9))
    assert scores["lac"].weakest_links[0] == "LACt (best hit 33 %, P 0.05)"
    assert scores["glc"].weakest_links[0].startswith("ONE")


def test_probabilities_rise_with_identity_and_a_complex_is_held_back_by_its_weakest_part() -> None:
    rules = group_rules(RULES, ["ONE", "TWOa", "LDH"])

    def hits(**identities: float) -> pa.Table:
        return pa.table(
            {
                "target": [f"m.{gene}" for gene in identities],
                "identity_percent": list(identities.values()),
                "alignment_length": [300] * len(identities),
            }
        )

    def of(reaction: str, table: pa.Table) -> float:
        genes = kinship.gene_probabilities(rules, table)
        return float(kinship.reaction_probabilities(rules, genes)[rules.reactions.index(reaction)])

    assert of("ONE", hits(g1=38.0)) == pytest.approx(0.5)
    assert of("ONE", hits(g1=30.0)) < of("ONE", hits(g1=45.0)) < of("ONE", hits(g1=90.0)) < 1.0
    assert of("ONE", hits(g2=90.0)) == pytest.approx(kinship.WITHOUT_HIT)
    whole, half = of("TWOa", hits(g2=90.0, g3=90.0)), of("TWOa", hits(g2=90.0))
    assert kinship.WITHOUT_HIT <= half < whole
    # The other protein of the reaction is enough.
    assert of("TWOa", hits(g4=90.0)) == pytest.approx(of("ONE", hits(g1=90.0)))
    assert of("LDH", hits()) == pytest.approx(0.99)


def test_the_evidence_decides_and_transporters_without_any_keep_a_chance(universe: Universe) -> None:
    network = universe.network
    known = {"ONE": 0.7, "GLCt": 0.2, "TWOa": 0.0001, "LDH": 1.0}
    by_name = dict(zip(network.reactions, reaction_probabilities(network, known), strict=True))
    assert (by_name["ONE"], by_name["GLCt"], by_name["TWOa"]) == (0.7, 0.2, LEAST)
    assert by_name["LDH"] < 1.0
    assert by_name["LACt"] == TRANSPORTER_WITHOUT_EVIDENCE > by_name["TWOb"] == WITHOUT_EVIDENCE
    assert by_name["EX_glc_e"] == 1.0
    crossing = {r for r, t in zip(network.reactions, transporters(network), strict=True) if t}
    assert crossing == {"GLCt", "LACt", "CO2t"}


def test_the_best_hit_behind_a_reaction_is_told_and_hits_without_identity_are_none(universe: Universe) -> None:
    rules = group_rules(RULES, universe.network.reactions)
    hits = pa.table(
        {
            "target": ["m.g1", "m.g1", "m.g3", "m.g4", "x.unknown"],
            "identity_percent": pa.array([40.0, 60.0, 35.0, None, 99.0], pa.float64()),
        }
    )
    best = dict(zip(universe.network.reactions, best_identities(universe.network, rules, hits), strict=True))
    assert (best["ONE"], best["TWOa"]) == (60.0, 35.0)
    assert math.isnan(best["TWOb"])
    assert math.isnan(best["LDH"])
    nothing = pa.table({"target": pa.array([], pa.string()), "identity_percent": pa.array([], pa.float64())})
    assert np.isnan(best_identities(universe.network, rules, nothing)).all()
