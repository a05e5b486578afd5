import logging
from importlib import util
from pathlib import Path

import cobra
import numpy as np
import pytest
from cobra.flux_analysis import flux_variability_analysis
from toy_networks import toy_network

from gemforest.fluxes import fba, fva
from gemforest.gprs import parse_gpr
from gemforest.kinetics.costs import (
    MOST_ENZYMES,
    Costs,
    clauses,
    enzyme_costs,
    find_enzymes,
    free_reactions,
    in_words,
    reaction_costs,
)
from gemforest.kinetics.ecmodel import PoolProgram, constrained_network
from gemforest.lp import Status
from gemforest.models import Network, read_sbml, write_sbml

logging.getLogger("cobra").setLevel(logging.CRITICAL)
MASSES = {"a": 36_000.0, "b": 72_000.0, "c": 18_000.0}


def two_ways() -> Network:
    """Two routes from s to p, one by a complex that is written backwards; p is biomass."""
    return toy_network(
        {
            "EX_s_e": ("s_e ->", -10, 0),
            "T": ("s_e -> s_c", 0, 1000),
            "FAST": ("s_c -> p_c", 0, 1000),
            "SLOW": ("p_c -> s_c", -1000, 1000),
            "GROWTH": ("p_c ->", 0, 1000),
        },
        "GROWTH",
        {"T": "a", "FAST": "b or (a and c)", "SLOW": "c"},
    )


def costs_at(network: Network, kcat: float) -> Costs:
    enzymes = find_enzymes(network, MASSES)
    log10 = np.full(len(enzymes), np.log10(kcat))
    return reaction_costs(enzymes, enzyme_costs(enzymes.mass, log10), len(network.reactions))


def core_model() -> tuple[Network, Costs]:
    network = read_sbml(Path(util.find_spec("cobra").origin).parent / "data" / "textbook.xml.gz")
    genes = {g for rule in network.gprs for clause in clauses(parse_gpr(rule)) for g in clause}
    enzymes = find_enzymes(network, dict.fromkeys(genes, 40_000.0))
    log10 = np.random.default_rng(7).normal(1.1, 0.7, len(enzymes))
    return network, reaction_costs(enzymes, enzyme_costs(enzymes.mass, log10), len(network.reactions))


def test_rule_in_disjunctive_form_lists_each_enzyme_once() -> None:
    rule = parse_gpr("(a and (b or c)) or (c and a) or d")
    assert clauses(rule) == [frozenset("ab"), frozenset("ac"), frozenset("d")]


def test_a_rule_that_multiplies_out_too_far_is_cut_at_the_smallest_enzymes() -> None:
    rule = parse_gpr(" and ".join(f"(g{k} or h{k})" for k in range(20)))
    assert len(clauses(rule)) == MOST_ENZYMES


def test_cost_is_mass_over_3600_kcat_complex_summed_cheapest_isozyme() -> None:
    network = two_ways()
    enzymes = find_enzymes(network, MASSES)
    kcats = {("a",): 10.0, ("b",): 100.0, ("a", "c"): 10.0, ("c",): 5.0}
    log10 = np.log10([kcats[genes] for genes in enzymes.genes])
    costs = reaction_costs(enzymes, enzyme_costs(enzymes.mass, log10), len(network.reactions))
    fast = network.reactions.index("FAST")
    # b: 72,000/(3600*100) = 0.2; a and c: 54,000/(3600*10) = 1.5
    assert costs.forward[fast] == pytest.approx(0.2)
    assert enzymes.genes[costs.cheapest_forward[fast]] == ("b",)
    assert costs.reverse[fast] == 0.0 and costs.cheapest_reverse[fast] == -1
    slow = network.reactions.index("SLOW")
    assert costs.forward[slow] == costs.reverse[slow] == pytest.approx(18_000 / 18_000)


def test_subunit_copies_multiply_the_mass() -> None:
    enzymes = find_enzymes(two_ways(), MASSES, {("FAST", "a"): 2.0, ("*", "c"): 4.0})
    mass = dict(zip(enzymes.genes, enzymes.mass, strict=True))
    assert mass["a", "c"] == pytest.approx(2 * 36_000 + 4 * 18_000)
    assert mass["c",] == pytest.approx(4 * 18_000)


def test_growth_under_the_pool_is_its_closed_form() -> None:
    network = two_ways()
    costs = costs_at(network, 10.0)
    # T 1 mg h/mmol; FAST by a and c 1.5; SLOW backwards 0.5: the cheapest way costs 1.5 in all
    program = PoolProgram(network)
    program.set_costs(costs, pool=6.0)
    state = program.grow()
    assert state.growth == pytest.approx(4.0)
    assert state.used == pytest.approx(6.0)
    assert state.shadow_price == pytest.approx(1 / 1.5)
    assert state.fluxes[network.reactions.index("SLOW")] == pytest.approx(-4.0)
    program.set_pool(1000.0)
    free = program.grow()
    assert free.growth == pytest.approx(10.0) and free.shadow_price == 0.0
    assert program.least_protein(8.0).used == pytest.approx(12.0)
    program.set_pool(6.0)
    program.change_costs(costs_at(network, 20.0))
    assert program.grow().growth == pytest.approx(8.0)
    program.change_costs(costs)
    assert program.grow().growth == pytest.approx(4.0)
    program.set_pool(1000.0)
    assert program.grow().growth == pytest.approx(10.0)


def test_free_are_boundary_biomass_spontaneous_and_diffusion() -> None:
    network = toy_network(
        {
            "EX_s_e": ("s_e ->", -10, 0),
            "Stex": ("s_e -> s_p", -1000, 1000),
            "Spp": ("s_p -> s_c", 0, 1000),
            "SPON": ("s_c -> t_c", 0, 1000),
            "ENZ": ("t_c -> p_c", 0, 1000),
            "BIOMASS_x": ("p_c + s_c -> t_c", 0, 1000),
        },
        "BIOMASS_x",
        dict.fromkeys(("EX_s_e", "Stex", "Spp", "ENZ", "BIOMASS_x"), "a") | {"SPON": "a or s0001"},
    )
    assert free_reactions(network) == {0: "exchange", 1: "diffusion", 5: "biomass"}
    enzymes = find_enzymes(network, MASSES)
    assert enzymes.free[3] == "spontaneous"
    assert sorted({network.reactions[j] for j in enzymes.reaction}) == ["ENZ", "Spp"]


def test_a_gene_without_mass_counts_with_the_median_and_is_told() -> None:
    network = two_ways()
    enzymes = find_enzymes(network, {"a": 36_000.0, "b": None, "c": 18_000.0})
    mass = dict(zip(enzymes.genes, enzymes.mass, strict=True))
    assert mass["b",] == pytest.approx(27_000.0)
    assert list(in_words(enzymes, network)) == [
        "1 genes of toy's rules count with the median protein mass, no usable sequence: b"
    ]


def test_an_enzyme_with_a_gene_that_is_absent_gives_way_to_one_that_is_there() -> None:
    enzymes = find_enzymes(two_ways(), {"b": 72_000.0, "a": 36_000.0})
    assert ("b",) in enzymes.genes and ("a", "c") not in enzymes.genes
    assert enzymes.lacking == {"c": "not in the proteome"}  # SLOW has no other enzyme
    assert dict(zip(enzymes.genes, enzymes.mass, strict=True))["c",] == pytest.approx(54_000.0)


def test_split_network_grows_as_the_program_does_and_ranges_agree() -> None:
    network, costs = core_model()
    program = PoolProgram(network)
    program.set_costs(costs, 125.0)
    state = program.grow()
    split = constrained_network(network, costs, 125.0)
    plain = fba(split)
    assert state.growth == pytest.approx(plain.growth, rel=1e-9)
    assert 0.0 < state.growth < fba(network).growth
    of_split = fva(split, 0.9)
    net = program.ranges(0.9 * state.growth)
    whole = [j for j, r in enumerate(network.reactions) if f"{r}_REV" not in split.reactions]
    assert set(net.status) == {Status.OPTIMAL}
    np.testing.assert_allclose(net.maximum[whole], of_split.maximum[whole], atol=1e-7)
    np.testing.assert_allclose(net.minimum[whole], of_split.minimum[whole], atol=1e-7)
    for j, reaction in enumerate(network.reactions):
        if j not in whole:
            # a half can carry at least what the net flux does
            half = split.reactions.index(f"{reaction}_REV")
            assert of_split.maximum[half] >= -net.minimum[j] - 1e-7
            assert of_split.maximum[j] >= net.maximum[j] - 1e-7


def test_cobrapy_reads_the_file_back_with_the_same_growth_and_ranges(tmp_path: Path) -> None:
    network, costs = core_model()
    split = constrained_network(network, costs, 125.0, {"PGI_REV": {"KCAT_PER_S": "12.5", "KCAT_TIER": "global"}})
    path = tmp_path / "ec.xml.gz"
    write_sbml(split, path)
    model = cobra.io.read_sbml_model(str(path))
    assert model.slim_optimize() == pytest.approx(fba(split).growth, abs=1e-6)
    supply = model.reactions.get_by_id("prot_pool_exchange")
    assert supply.reaction.strip() == "--> prot_pool" and supply.bounds == (0.0, 125.0)
    assert model.reactions.get_by_id("PGI_REV").notes == {"KCAT_PER_S": "12.5", "KCAT_TIER": "global"}
    theirs = flux_variability_analysis(model, fraction_of_optimum=0.9, processes=1)
    ours = fva(split, 0.9)
    order = list(split.reactions)
    np.testing.assert_allclose(theirs.loc[order, "minimum"], ours.minimum, atol=1e-6)
    np.testing.assert_allclose(theirs.loc[order, "maximum"], ours.maximum, atol=1e-6)
    again = read_sbml(path)
    assert fba(again).growth == pytest.approx(fba(split).growth, abs=1e-12)


def test_a_model_that_is_constrained_already_is_not_constrained_twice() -> None:
    network, costs = core_model()
    once = constrained_network(network, costs, 125.0)
    zero = np.zeros(len(once.reactions))
    none = np.full(len(once.reactions), -1)
    with pytest.raises(ValueError, match="already has prot_pool, prot_pool_exchange"):
        constrained_network(once, Costs(zero, zero, none, none), 125.0)
