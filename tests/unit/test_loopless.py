"""Flux without circles: closed forms, cobrapy's loop law, and what circles must not change."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import cobra
import numpy as np
import pytest
from cobra.flux_analysis import find_blocked_reactions
from cobra.flux_analysis.loopless import add_loopless
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fluxes import random_network
from toy_networks import toy_network

from gemforest.fluxes import boundary, fva
from gemforest.loopless import blocked_reactions, carriers, loopless_fva
from gemforest.lp import Status
from gemforest.models import Network, read_sbml


def cobra_file(name: str) -> Path:
    return Path(util.find_spec("cobra").origin).parent / "data" / f"{name}.xml.gz"


def with_circles() -> Network:
    """a comes in (at most 10) and leaves as d; a -> b -> a runs in a circle, x and y too, on their own."""
    return toy_network(
        {
            "EX_a_e": ("a_e -> ", -10, 1000),
            "there": ("a_e -> b_e", -1000, 1000),
            "back": ("b_e -> a_e", -1000, 1000),
            "third": ("a_e -> b_e", 0, 1000),
            "use": ("b_e -> d_e", 0, 1000),
            "x": ("p_c -> q_c", -1000, 1000),
            "y": ("q_c -> p_c", -1000, 1000),
            "bio": ("d_e -> ", 0, 1000),
        },
        "bio",
    )


def ends(ranges, network: Network, reaction: str) -> tuple[float, float]:
    j = network.reactions.index(reaction)
    return pytest.approx(ranges.minimum[j], abs=1e-6), pytest.approx(ranges.maximum[j], abs=1e-6)


def test_ranges_without_circles_are_those_of_the_flux_that_passes_through() -> None:
    network = with_circles()
    plain, free = fva(network, 1.0), loopless_fva(network, 1.0)
    assert ends(plain, network, "there")[1] == 1000.0
    # Ten pass from a to b by any of three ways, none against the others.
    assert ends(free, network, "there") == (0.0, 10.0)
    assert ends(free, network, "back") == (-10.0, 0.0)
    assert ends(free, network, "third") == (0.0, 10.0)
    assert ends(free, network, "x") == (0.0, 0.0)
    assert ends(free, network, "use") == (10.0, 10.0)


def test_a_network_without_circles_keeps_its_ranges() -> None:
    network = toy_network({"EX_a_e": ("a_e -> ", -10, 0), "bio": ("a_e -> ", 0, 1000)}, "bio")
    plain, free = fva(network, 0.5), loopless_fva(network, 0.5)
    assert np.array_equal(plain.minimum, free.minimum)
    assert np.array_equal(plain.maximum, free.maximum)


def test_a_network_without_growth_program_has_no_ranges() -> None:
    network = toy_network({"EX_a_e": ("a_e -> ", 1, 10), "bio": ("a_e -> ", 0, 1000)}, "bio")
    assert loopless_fva(network).status is Status.INFEASIBLE


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_ranges_without_circles_lie_within_those_with(seed: int) -> None:
    network = random_network(seed)
    plain, free = fva(network, 0.5), loopless_fva(network, 0.5)
    assert plain.status is free.status
    ends = boundary(network)
    closed = carriers(network.stoichiometry, np.where(ends, 0, network.lower), np.where(ends, 0, network.upper))
    if plain.status is Status.OPTIMAL and not closed[network.biomass]:
        assert set(free.minimum_status) | set(free.maximum_status) == {Status.OPTIMAL}
        assert (free.minimum >= plain.minimum - 1e-6).all()
        assert (free.maximum <= plain.maximum + 1e-6).all()
        assert (free.minimum <= free.maximum + 1e-6).all()


def test_the_ends_are_those_of_cobrapys_loop_law() -> None:
    model = cobra.io.read_sbml_model(str(cobra_file("textbook")))
    network = read_sbml(cobra_file("textbook"))
    free = loopless_fva(network, 0.9)
    asked = [network.reactions.index(r) for r in ("FRD7", "SUCDi", "PFK", "PYK", "AKGDH", "THD2", "ME2", "SUCOAS")]
    growth = model.slim_optimize()
    model.reactions.get_by_id("Biomass_Ecoli_core").lower_bound = 0.9 * growth
    add_loopless(model)
    for j in asked:
        for sense, values in (("min", free.minimum), ("max", free.maximum)):
            model.objective = model.reactions.get_by_id(network.reactions[j])
            model.objective_direction = sense
            assert values[j] == pytest.approx(model.slim_optimize(), abs=1e-5)


def test_blocked_reactions_are_those_of_cobrapy() -> None:
    for name, every in (("textbook", 1), ("salmonella", 120)):
        model = cobra.io.read_sbml_model(str(cobra_file(name)))
        network = read_sbml(cobra_file(name))
        asked = network.reactions[::every]
        listed = [model.reactions.get_by_id(reaction) for reaction in asked]
        expected = set(find_blocked_reactions(model, reaction_list=listed, open_exchanges=True, processes=1))
        blocked = dict(zip(network.reactions, blocked_reactions(network), strict=True))
        assert {reaction for reaction in asked if blocked[reaction]} == expected


def test_reversible_reactions_that_need_each_other_turned_are_found() -> None:
    # `one` runs forward only where `two` runs backward, so no sum of all forward fluxes shows both.
    network = toy_network(
        {"one": ("a_c -> b_c", -10, 10), "two": ("a_c -> b_c", -10, 10), "end": ("c_c -> ", -10, 10)}, "end"
    )
    assert carriers(network.stoichiometry, network.lower, network.upper).tolist() == [True, True, False]
