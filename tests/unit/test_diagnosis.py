"""What a genome cannot make, and what would mend it: networks small enough to see the answer."""

from __future__ import annotations

import math

import pytest
from toy_networks import toy_network

from gemforest.gapfill.costs import LEAST_PROBABILITY, Evidence, Prices, addition_costs
from gemforest.gapfill.diagnosis import in_words, mending, unmakeable
from gemforest.models import Network


def starving(**changed: tuple[str, float, float]) -> Network:
    """Biomass needs x, y and z: x comes from sugar, y from a vitamin that is not offered, z from nowhere."""
    equations = {
        "EX_sugar_e": ("sugar_e -> ", -10, 1000),
        "EX_vitamin_e": ("vitamin_e -> ", 0, 1000),
        "EX_salt_e": ("salt_e -> ", 0, 1000),
        "make_x": ("sugar_e -> x_c", 0, 1000),
        "make_y": ("vitamin_e -> y_c", 0, 1000),
        "Growth": ("x_c + y_c + z_c -> ", 0, 1000),
    }
    return toy_network(equations | changed, "Growth")


def test_precursors_that_nothing_makes_are_named() -> None:
    assert unmakeable(starving()) == ["y_c", "z_c"]


def test_a_network_that_grows_misses_nothing() -> None:
    whole = starving(EX_vitamin_e=("vitamin_e -> ", -1, 1000), make_z=("sugar_e -> z_c", 0, 1000))
    assert unmakeable(whole) == []


def test_the_compound_that_would_mend_it_is_named_and_no_other() -> None:
    network = starving(make_z=("sugar_e -> z_c", 0, 1000))
    assert mending(network, 0.05) == ["vitamin"]
    assert (
        in_words(unmakeable(network), mending(network, 0.05)) == "cannot make y_c; vitamin in the medium would mend it"
    )


def test_what_no_compound_mends_is_said_to_be_so() -> None:
    assert mending(starving(), 0.05) == []
    assert in_words(unmakeable(starving()), []) == "cannot make y_c, z_c; no compound in the medium would mend it"


def test_forced_flux_that_cannot_be_leaves_no_precursor() -> None:
    # Maintenance that nothing can pay: no steady state at all.
    network = starving(ATPM=("atp_c -> ", 1, 1000))
    assert unmakeable(network) == ["x_c", "y_c", "z_c"]


def test_the_better_the_evidence_the_cheaper_the_addition() -> None:
    probabilities = {"sure": 1.0, "likely": 0.5, "hardly": LEAST_PROBABILITY, "least": 0.001}
    evidence = Evidence({"scored": 3.0, "bad": -1.0}, probabilities)
    costs = addition_costs(["sure", "likely", "hardly", "least", "scored", "none", "bad"], evidence, {}, Prices())
    assert costs["likely"] == pytest.approx(math.log(0.5) / math.log(LEAST_PROBABILITY))
    assert 0.0 < costs["sure"] < costs["likely"] < costs["hardly"]
    assert (costs["hardly"], costs["least"], costs["scored"], costs["none"], costs["bad"]) == (1.0, 1.0, 0.25, 1.0, 1.0)


def test_transport_exchanges_and_spontaneous_reactions_have_prices_of_their_own() -> None:
    evidence = Evidence({}, {"transport_with_gene": 0.5}, frozenset({"by_itself"}))
    kinds = {"transport": "transport", "transport_with_gene": "transport", "EX_a_e": "exchange"}
    costs = addition_costs(["any", "by_itself", *kinds], evidence, kinds, Prices(1.0, 0.7, 0.02, 0.03))
    assert (costs["any"], costs["transport"], costs["EX_a_e"], costs["by_itself"]) == (1.0, 0.7, 0.02, 0.03)
    assert costs["transport_with_gene"] == pytest.approx(0.7 * math.log(0.5) / math.log(LEAST_PROBABILITY))
