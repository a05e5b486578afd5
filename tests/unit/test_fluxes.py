import logging
from dataclasses import replace
from importlib import util
from pathlib import Path

import cobra
import numpy as np
import pytest
from cobra.flux_analysis import flux_variability_analysis, pfba
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import csc_array
from toy_networks import toy_network

from gemforest.fluxes import (
    GrowthProgram,
    exchange_fluxes,
    fba,
    flux_program,
    fva,
    growth,
    medium_bounds,
    with_bounds,
)
from gemforest.lp import Status
from gemforest.models import Network, read_sbml
from gemforest.reduction import reduce_network

logging.getLogger("cobra").setLevel(logging.CRITICAL)


def cobra_file(name: str) -> Path:
    return Path(util.find_spec("cobra").origin).parent / "data" / f"{name}.xml.gz"


def branched() -> Network:
    """a comes in (at most 10), goes to biomass by either of two ways, one of which loses half."""
    return toy_network(
        {
            "EX_a_e": ("a_e -> ", -10, 1000),
            "good": ("a_e -> b_c", 0, 6),
            "poor": ("a_e -> 0.5 b_c", 0, 1000),
            "bio": ("b_c ->", 0, 1000),
            "dead": ("b_c -> c_c", 0, 1000),
            "loop1": ("d_c -> e_c", -1000, 1000),
            "loop2": ("e_c -> d_c", -1000, 1000),
        },
        "bio",
    )


def random_network(seed: int) -> Network:
    """A small network with chains, loops, dead ends and mixed reversibility."""
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(3, 9)), int(rng.integers(5, 16))
    equations = {}
    for j in range(n):
        parts = rng.choice(m, size=int(rng.integers(1, min(4, m + 1))), replace=False)
        terms = {f"m{i}_c": int(rng.choice([-2, -1, 1, 2])) for i in parts}
        left = " + ".join(f"{-v} {k}" for k, v in terms.items() if v < 0)
        right = " + ".join(f"{v} {k}" for k, v in terms.items() if v > 0)
        low = float(rng.choice([-10, -3, 0, 0, 0]))
        equations[f"{'EX_' if len(terms) == 1 else 'R'}{j}"] = (
            f"{left} -> {right}",
            low,
            float(rng.choice([0, 5, 10])),
        )
    return toy_network(equations, "R0" if "R0" in equations else "EX_0")


# -- growth and fluxes -------------------------------------------------------------------------------------------------


def test_growth_of_a_branched_network_is_what_the_branches_allow():
    # 6 by the good way, the other 4 of a by the poor one: 6 + 2
    state = fba(branched())
    assert state.status is Status.OPTIMAL
    assert state.growth == pytest.approx(8.0, abs=1e-9)
    assert exchange_fluxes(branched(), state) == pytest.approx({"EX_a_e": -10.0})


def test_shadow_prices_are_the_growth_that_one_more_unit_brings():
    state = fba(branched())
    prices = dict(zip(branched().metabolites, state.shadow_prices, strict=True))
    assert prices["b_c"] == pytest.approx(1.0)
    assert prices["a_e"] == pytest.approx(0.5)


def test_least_total_flux_leaves_idle_loops_alone():
    state = fba(branched(), parsimonious=True)
    fluxes = dict(zip(branched().reactions, state.fluxes, strict=True))
    assert fluxes == pytest.approx(
        {"EX_a_e": -10, "good": 6, "poor": 4, "bio": 8, "dead": 0, "loop1": 0, "loop2": 0}, abs=1e-6
    )


def test_growth_and_least_total_flux_are_those_of_cobrapy():
    network, model = read_sbml(cobra_file("textbook")), cobra.io.read_sbml_model(str(cobra_file("textbook")))
    state = fba(network, parsimonious=True)
    expected = pfba(model)
    assert state.growth == pytest.approx(model.slim_optimize(), abs=1e-6)
    assert np.abs(state.fluxes).sum() == pytest.approx(expected.fluxes.abs().sum(), rel=1e-5)
    assert np.abs(network.stoichiometry @ state.fluxes).max() < 1e-6


def test_shadow_prices_of_precursors_are_those_of_cobrapy():
    # in cobrapy's sign a price is what growth loses per unit that is taken out of the balance
    network, model = read_sbml(cobra_file("textbook")), cobra.io.read_sbml_model(str(cobra_file("textbook")))
    theirs = model.optimize().shadow_prices
    ours = dict(zip(network.metabolites, fba(network).shadow_prices, strict=True))
    precursors = [m.id for m in model.reactions.get_by_id("Biomass_Ecoli_core").reactants]
    assert len(precursors) > 10
    assert {m: -ours[m] for m in precursors} == pytest.approx({m: theirs[m] for m in precursors}, abs=1e-6)


def test_a_network_that_cannot_be_in_steady_state_has_a_status_and_no_numbers():
    forced = with_bounds(branched(), {"dead": (1.0, 2.0)})
    status, value = growth(forced)
    state = fba(forced)
    assert status is Status.INFEASIBLE
    assert np.isnan(value) and np.isnan(state.growth) and np.isnan(state.fluxes).all()


def test_a_missing_bound_shows_as_unbounded():
    endless = with_bounds(branched(), {"EX_a_e": (-np.inf, 1000), "poor": (0, np.inf), "bio": (0, np.inf)})
    assert growth(endless)[0] is Status.UNBOUNDED


def test_a_network_without_objective_grows_not_at_all():
    assert growth(replace(branched(), objective=np.zeros(7))) == (Status.OPTIMAL, 0.0)


@pytest.mark.parametrize("change", [{"lower": np.full(7, np.nan)}, {"lower": np.full(7, 2000.0)}])
def test_nan_and_crossed_bounds_are_refused(change):
    with pytest.raises(ValueError, match="bound"):
        growth(replace(branched(), **change))


def test_nan_in_the_stoichiometry_is_refused():
    matrix = branched().stoichiometry.toarray()
    matrix[0, 0] = np.nan
    with pytest.raises(ValueError, match="matrix"):
        growth(replace(branched(), stoichiometry=csc_array(matrix)))


def test_a_medium_opens_what_it_names_and_closes_the_rest():
    network = toy_network(
        {
            "EX_a_e": ("a_e -> ", -5, 9),
            "EX_b_e": (" -> b_e", -9, 5),
            "EX_c_e": ("c_e -> ", -5, 9),
            "x": ("a_e -> b_e", 0, 1),
        }
    )
    # b's exchange is written the other way round: uptake is its forward direction
    assert medium_bounds(network, {"EX_a_e": 3, "EX_b_e": 2, "EX_absent_e": 1}) == {
        "EX_a_e": (-3, 9),
        "EX_b_e": (-9, 2),
        "EX_c_e": (0, 9),
    }


# -- reduction ---------------------------------------------------------------------------------------------------------


def test_reduction_merges_chains_and_blocks_dead_ends():
    network = toy_network(
        {
            "EX_a_e": ("a_e -> ", -10, 10),
            "r1": ("a_e -> 2 b_c", 0, 9),
            "r2": ("b_c -> c_c", 0, 9),
            "r3": ("c_c ->", 0, 9),
            "dead": ("c_c -> d_c", 0, 9),
        },
        "r3",
    )
    reduction = reduce_network(network)
    assert reduction.blocked.tolist() == [False, False, False, False, True]
    assert len(reduction.kept) == 1
    # r2 carries twice r1, so r1 is held at 4.5
    low, high = reduction.fluxes(reduction.lower), reduction.fluxes(reduction.upper)
    assert sorted([low[1], high[1]]) == pytest.approx([0, 4.5])
    assert sorted([low[0], high[0]]) == pytest.approx([-4.5, 0])


def test_a_forced_reaction_that_is_blocked_is_refused():
    with pytest.raises(ValueError, match="forced"):
        reduce_network(with_bounds(branched(), {"dead": (1.0, 2.0)}))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 100_000))
def test_reduction_changes_no_optimum(seed):
    network = random_network(seed)
    rng = np.random.default_rng(seed)
    program, reduced = flux_program(network), GrowthProgram(network)
    for _ in range(4):
        lower = np.where(rng.random(len(network.lower)) < 0.3, 0.0, network.lower)
        upper = np.where(rng.random(len(network.upper)) < 0.3, np.maximum(lower, 1.0), network.upper)
        upper = np.minimum(upper, network.upper)
        program.set_bounds(np.arange(len(lower)), lower, upper)
        expected = program.solve()
        status, value = reduced.growth(lower, upper)
        assert status is expected.status
        assert value == pytest.approx(expected.objective, abs=1e-6)
        assert np.abs(network.stoichiometry @ reduced.fluxes()).max(initial=0.0) < 1e-6


# -- flux variability --------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from([0.0, 0.5, 0.9, 1.0]))
def test_ranges_are_those_of_one_program_per_end(seed, fraction):
    network = random_network(seed)
    ranges = fva(network, fraction)
    n = len(network.reactions)
    lower = network.lower.copy()
    lower[network.biomass] = max(lower[network.biomass], fraction * ranges.growth)
    for j in range(n):
        for sign, found in ((1.0, ranges.minimum[j]), (-1.0, ranges.maximum[j])):
            expected = linprog(
                sign * np.eye(n)[j],
                A_eq=network.stoichiometry.toarray(),
                b_eq=np.zeros(len(network.metabolites)),
                bounds=np.column_stack([lower, network.upper]),
            )
            assert found == pytest.approx(sign * expected.fun, abs=1e-6)


@pytest.mark.parametrize(("name", "asked"), [("textbook", None), ("iJO1366", 60)])
def test_ranges_are_those_of_cobrapy(name, asked):
    network, model = read_sbml(cobra_file(name)), cobra.io.read_sbml_model(str(cobra_file(name)))
    n = len(network.reactions)
    chosen = np.arange(n) if asked is None else np.sort(np.random.default_rng(0).choice(n, asked, replace=False))
    names = [network.reactions[j] for j in chosen]
    expected = flux_variability_analysis(model, reaction_list=names, fraction_of_optimum=0.9, processes=1)
    ranges = fva(network, 0.9, reactions=chosen)
    np.testing.assert_allclose(ranges.minimum[chosen], expected.loc[names, "minimum"], atol=1e-6)
    np.testing.assert_allclose(ranges.maximum[chosen], expected.loc[names, "maximum"], atol=1e-6)
    assert np.isnan(np.delete(ranges.minimum, chosen)).all()


@pytest.mark.parametrize("name", ["textbook", "iJO1366"])
def test_ranges_contain_the_optimal_fluxes(name):
    network = read_sbml(cobra_file(name))
    fluxes, ranges = fba(network).fluxes, fva(network, 0.9)
    assert (fluxes >= ranges.minimum - 1e-6).all()
    assert (fluxes <= ranges.maximum + 1e-6).all()


def test_ranges_scale_with_the_bounds():
    network = branched()
    once, thrice = fva(network), fva(replace(network, lower=network.lower * 3, upper=network.upper * 3))
    np.testing.assert_allclose(thrice.maximum, once.maximum * 3, atol=1e-6)
    np.testing.assert_allclose(thrice.minimum, once.minimum * 3, atol=1e-6)


def test_ranges_without_a_steady_state_are_not_numbers():
    ranges = fva(with_bounds(branched(), {"dead": (1.0, 2.0)}))
    assert ranges.status is Status.INFEASIBLE
    assert np.isnan(ranges.minimum).all() and np.isnan(ranges.maximum).all()


def test_an_end_without_bound_is_infinite_and_says_so():
    network = with_bounds(branched(), {"loop1": (-np.inf, np.inf), "loop2": (-np.inf, np.inf)})
    ranges = fva(network)
    j = network.reactions.index("loop1")
    assert (ranges.minimum[j], ranges.maximum[j]) == (-np.inf, np.inf)
    assert ranges.maximum_status[j] is Status.UNBOUNDED
    assert ranges.maximum_status[network.biomass] is Status.OPTIMAL
    assert ranges.maximum[network.biomass] == pytest.approx(8.0)


def test_closing_an_exchange_never_raises_growth():
    network = read_sbml(cobra_file("textbook"))
    full = growth(network)[1]
    for j in np.flatnonzero(network.exchanges & (network.lower < 0)):
        status, value = growth(network, {network.reactions[j]: (0.0, float(network.upper[j]))})
        assert status is Status.INFEASIBLE or value <= full + 1e-6
