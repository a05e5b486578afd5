"""Variants of a universe whose biomass fits the lineage."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from projects import REPOSITORY
from test_carving import evidence_of
from toy_networks import Equation, toy_network

from gemforest.bigg_rules import load_rules
from gemforest.biomass import OMIT, POOL, closed_name, described, open_name, split_name, variant
from gemforest.config import complete
from gemforest.draft import STAGE, carving_options, make_draft
from gemforest.draft.same_enzyme import shared_enzymes
from gemforest.energy import free_atp
from gemforest.fluxes import exchange_fluxes, fba, growth, medium_bounds, with_bounds
from gemforest.models import Network, read_sbml
from gemforest.universe import load_universe, universe_sbml

CACHE = REPOSITORY / "resources" / "cache"
FREE = (-1000.0, 1000.0)
CELL: dict[str, Equation] = {
    "EX_s_e": ("s_e ->", -10.0, 1000.0),
    "St": ("s_e -> s_c", *FREE),
    "ATPM": ("s_c ->", 0.0, 1000.0),
    "MQ": ("2 s_c -> mql8_c", 0.0, 1000.0),
    "LPS": ("5 s_c -> kdo2lipid4_p", 0.0, 1000.0),
    "Growth": ("s_c + mql8_c + kdo2lipid4_p ->", 0.0, 1000.0),
}


def test_names_of_variants_are_taken_apart_and_put_together() -> None:
    assert split_name("gramneg") == ("gramneg", ())
    assert split_name("a~b/my universe.xml~any_quinol~no_lps") == ("a~b/my universe.xml", ("any_quinol", "no_lps"))
    assert described(("any_quinol", "no_teichoic_acid")) == "any quinol, without teichoic acid"
    network = variant(toy_network(CELL, "Growth"), ["open"])
    assert closed_name("u", network, {f"{OMIT}lps"}) == "u~no_lps"


def test_what_is_left_out_costs_growth_nothing() -> None:
    network = toy_network(CELL, "Growth")
    # 10 units of substrate, 1 + 2 + 5 for each unit of biomass
    assert growth(network)[1] == pytest.approx(10 / 8)
    assert growth(variant(network, ["no_lps"]))[1] == pytest.approx(10 / 3)
    assert growth(variant(network, ["no_lps", "no_quinol"]))[1] == pytest.approx(10.0)


def test_a_change_that_the_biomass_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="no_wall"):
        variant(toy_network(CELL, "Growth"), ["no_wall"])


def test_a_pool_takes_any_alternative_in_the_same_amount() -> None:
    universe = load_universe("gramneg~any_quinol", CACHE)
    network = universe.network
    base = load_universe("gramneg", CACHE).network
    pools = [r for r in network.reactions if r.startswith(POOL)]
    assert {r.removeprefix(f"{POOL}quinol_") for r in pools} == {"mql8_c", "2dmmql8_c", "2ohph_c"}
    row, old = network.metabolites.index("quinol_pool_c"), base.metabolites.index("mql8_c")
    asked = network.stoichiometry[row, network.biomass], base.stoichiometry[old, base.biomass]
    assert asked[0] == asked[1] < 0
    assert network.stoichiometry[network.metabolites.index("mql8_c"), network.biomass] == 0
    assert growth(network)[1] >= growth(base)[1] - 1e-6
    assert not universe.blocked[network.biomass]
    read = read_sbml(universe_sbml("gramneg~any_quinol", CACHE))
    assert read.reaction_notes["Growth"] == {"BIOMASS": "any quinol"}
    assert np.array_equal(sorted(read.reactions), sorted(network.reactions))


def assert_ferments_glucose(network: Network) -> None:
    """E. coli grows on glucose without oxygen, slower than with it, and leaves acetate and formate (Clark 1989)."""
    minerals = "ca2 cl cobalt2 cu2 fe2 fe3 h2o h k mg2 mn2 mobd na1 nh4 ni2 pi so4 zn2"
    uptakes = {f"EX_{compound}_e": 1000.0 for compound in minerals.split()} | {"EX_glc__D_e": 10.0}
    without = with_bounds(network, medium_bounds(network, uptakes))
    with_oxygen = with_bounds(network, medium_bounds(network, uptakes | {"EX_o2_e": 20.0}))
    state = fba(without, parsimonious=True)
    assert 0.1 < state.growth < 0.5 * growth(with_oxygen)[1]
    given = exchange_fluxes(without, state)
    assert given["EX_ac_e"] > 5.0 and given["EX_for_e"] > 5.0
    assert given.get("EX_o2_e", 0.0) == 0.0


def assert_lives_on_glycolysis(network: Network) -> None:
    """A mycoplasma makes two ATP of glucose and leaves two lactate (Razin et al. 1998), and none of nothing."""
    assert free_atp(network) == (0.0, ())
    objective = np.array([float(r == "ATPM") for r in network.reactions])
    idle = replace(with_bounds(network, {"ATPM": (0.0, 1000.0)}), objective=objective)
    minerals = {f"EX_{compound}_e": 1000.0 for compound in ("h2o", "h", "pi", "nh4", "na1", "k")}
    fed = with_bounds(idle, medium_bounds(idle, minerals | {"EX_glc__D_e": 10.0}))
    state = fba(fed, parsimonious=True)
    assert state.growth == pytest.approx(20.0)
    given = exchange_fluxes(fed, state)
    assert given.get("EX_lac__D_e", 0.0) + given.get("EX_lac__L_e", 0.0) == pytest.approx(20.0)


def test_what_fermentation_takes_has_no_oxygen_in_it_and_leaves_the_universe_alone() -> None:
    plain, changed = (load_universe(name, CACHE).network for name in ("gramneg", "gramneg~any_quinol"))
    with (REPOSITORY / "resources" / "fermentation_reactions.tsv").open() as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    added = set(changed.reactions) - set(plain.reactions)
    assert {r for r in added if not r.startswith(POOL)} == {"AACPS4", "G3PAT161", "AGPAT161"}
    for row in rows:
        used = changed.stoichiometry[:, [changed.reactions.index(row["reaction"])]].tocoo().coords[0]
        assert not {"o2_c", "o2_p", "h2o2_c"} & {changed.metabolites[i] for i in used}
    other = [r for r in plain.reactions if r not in {row["reaction"] for row in rows}]
    for reaction in other:
        j, k = plain.reactions.index(reaction), changed.reactions.index(reaction)
        assert (plain.lower[j], plain.upper[j]) == (changed.lower[k], changed.upper[k])


def test_an_enzyme_counts_for_all_that_it_does() -> None:
    gprs = {"PDX5POi": "b1638", "DHORDi": "BSU15530 and BSU15540", "ASPO6": "a"}
    scores = {"PDX5POi": 2.0, "DHORDi": 1.0, "ASPO6": 1.0, "ASPO5": 1.5}
    assert shared_enzymes(gprs, scores) == {"PDX5PO2": "PDX5POi", "DHORD6": "DHORDi"}
    # The dihydroorotate dehydrogenase of one subunit does not use NAD.
    assert shared_enzymes({"DHORDi": "YKL216W or b"}, {"DHORDi": 1.0}) == {}


def test_the_atp_synthase_of_a_cell_without_an_outer_membrane_is_scored() -> None:
    # B. subtilis has one (Santana et al. 1994) and CarveMe's scores of its universe say nothing of it.
    rules = load_rules(load_universe("grampos", CACHE).network.reactions)
    scored = {s.reaction: s for s in evidence_of("Bsubtilis_168", rules)}
    assert "ATPS4rpp" not in scored
    beside = {s.reaction: s for s in evidence_of("Bsubtilis_168", load_rules(["ATPS4r", "ATPS3r"]))}
    subunits = [f"BSU368{number}0" for number in range(9)]
    assert any(set(subunits) <= set(complex_) for complex_ in beside["ATPS4r"].complexes)
    gprs = {reaction: s.gpr for reaction, s in beside.items()}
    assert shared_enzymes(gprs, {reaction: s.score for reaction, s in beside.items()}) == {"ATPS4rpp": "ATPS4r"}
    # A lone ATPase of flagella is no ATP synthase.
    assert shared_enzymes({"ATPS4r": "BSU16240"}, {"ATPS4r": 1.0}) == {}


@pytest.mark.parametrize(
    ("genome", "lacks"),
    [("Ecoli_K12_MG1655", set()), ("M_genitalium_G37", {"quinol", "lps", "wall"})],
)
def test_evidence_decides_what_a_cell_is_made_of(genome: str, lacks: set[str]) -> None:
    # A mycoplasma has neither a wall nor an outer membrane (Razin et al. 1998), nor quinones; E. coli has all.
    parameters = STAGE.settings(complete({}))
    scored = evidence_of(genome, load_rules(load_universe("gramneg", CACHE).network.reactions))
    scores = {s.reaction: s.normalized_score for s in scored}
    shared = shared_enzymes({s.reaction: s.gpr for s in scored}, scores)
    scores |= {reaction: scores[source] for reaction, source in shared.items()}
    draft = make_draft("gramneg", scores, {}, carving_options(parameters, Path()), parameters, CACHE)
    changes = split_name(draft.name)[1]
    assert lacks <= {change.removeprefix("no_") for change in changes if change.startswith("no_")}
    if not lacks:
        assert not any(change.startswith("no_") for change in changes)
        assert_ferments_glucose(draft.network)
    else:
        assert_lives_on_glycolysis(draft.network)
    status, rate = growth(draft.network)
    assert status == "optimal" and rate > 0.1
    assert not any(r.startswith(OMIT) for r in draft.network.reactions)
    assert set(draft.direction) == set(draft.network.reactions)
    assert open_name("gramneg") == "gramneg~open"
