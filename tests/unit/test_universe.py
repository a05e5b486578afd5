"""The compiled universe: same content as CarveMe reads, same blocked reactions as cobrapy finds, honest refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cobra
import numpy as np
import pytest
from cobra.flux_analysis import find_blocked_reactions
from cobra.io import load_model, write_sbml_model
from scipy.sparse import csc_array, eye_array
from scipy.sparse.linalg import splu

from gemforest.energy import universe_closed_directions
from gemforest.errors import InputError
from gemforest.fluxes import fba, medium_bounds, with_bounds
from gemforest.gapfill import without_cycles
from gemforest.models import Network
from gemforest.universe import (
    Universe,
    coupled_sets,
    load_universe,
    read_sbml,
    subnetwork,
    universe_digest,
    universe_path,
    validate,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("universes")


@pytest.fixture(scope="module")
def gramneg(cache: Path) -> Universe:
    return load_universe("gramneg", cache)


@pytest.fixture(scope="module")
def textbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sbml") / "textbook.xml.gz"
    write_sbml_model(load_model("textbook"), str(path))
    return path


def test_a_universe_holds_what_carveme_reads(gramneg: Universe) -> None:
    reframed = pytest.importorskip("reframed")
    from reframed.core.transformation import apply_bounds

    peer = reframed.load_cbmodel(str(universe_path("gramneg")), flavor="bigg")
    apply_bounds(peer)
    network = gramneg.network
    assert [r.removeprefix("R_") for r in peer.reactions] == list(network.reactions)
    assert [m.removeprefix("M_") for m in peer.metabolites] == list(network.metabolites)
    rows = {m: i for i, m in enumerate(peer.metabolites)}
    for j, reaction in enumerate(peer.reactions.values()):
        assert (reaction.lb, reaction.ub) == (network.lower[j], network.upper[j])
        column = network.stoichiometry[:, [j]].toarray().ravel()
        expected = np.zeros(len(rows))
        for metabolite, value in reaction.stoichiometry.items():
            expected[rows[metabolite]] = value
        assert (column == expected).all(), reaction.id
    assert network.reactions[network.biomass] == peer.biomass_reaction.removeprefix("R_")
    atp = network.metabolites.index("atp_c")
    assert (network.formulas[atp], network.charges[atp], network.compartments[atp]) == ("C10H12N5O13P3", -4, "c")


def test_a_compiled_universe_is_loaded_without_reading_its_sbml(
    gramneg: Universe, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gemforest.universe.read_sbml", lambda *_: pytest.fail("parsed the SBML again"))
    again = load_universe("gramneg", cache)
    assert again.digest == gramneg.digest == universe_digest("gramneg")
    assert again.network.reactions == gramneg.network.reactions
    assert again.network.charges == gramneg.network.charges


def test_compiling_twice_gives_the_same_arrays_whatever_the_hash_seed(gramneg: Universe, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from gemforest.universe import load_universe;"
        "load_universe('gramneg', Path(sys.argv[1]))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, env=environment)
    other = load_universe("gramneg", tmp_path)
    assert (other.coupled == gramneg.coupled).all()
    assert (other.coupling == gramneg.coupling).all()
    assert (other.blocked == gramneg.blocked).all()


def test_blocked_reactions_are_those_that_cobrapy_finds(textbook: Path, tmp_path: Path) -> None:
    model = cobra.io.read_sbml_model(str(textbook))
    model.reactions.PFK.knock_out()
    model.reactions.SUCCt3.knock_out()
    model.reactions.FRD7.knock_out()
    model.reactions.NH4t.knock_out()
    path = tmp_path / "cut.xml"
    write_sbml_model(model, str(path))
    universe = load_universe(str(path), tmp_path)
    ours = {r for r, blocked in zip(universe.network.reactions, universe.blocked, strict=True) if blocked}
    for reaction in model.reactions:
        if reaction.id == "ATPM":
            reaction.lower_bound = 0.0
    for exchange in model.exchanges:
        exchange.upper_bound = 1000.0
    expected = {r.removeprefix("R_") for r in find_blocked_reactions(model)}
    assert {"NH4t", "EX_nh4_e"} <= ours
    assert ours == expected


def test_coupled_reactions_keep_their_ratio_in_every_steady_state(gramneg: Universe) -> None:
    matrix = gramneg.network.stoichiometry
    assert not gramneg.blocked.any()
    rng = np.random.default_rng(3)

    # Projection of a random vector on the null space, refined: w - S'(SS' + eps)^-1 S w.
    solver = splu((matrix @ matrix.T + 1e-9 * eye_array(matrix.shape[0])).tocsc())
    flux = rng.standard_normal(matrix.shape[1])
    for _ in range(30):
        flux -= matrix.T @ solver.solve(matrix @ flux)
    assert np.abs(matrix @ flux).max() < 1e-6
    first = {}
    for j, number in enumerate(gramneg.coupled):
        head = first.setdefault(int(number), j)
        assert abs(flux[j] - gramneg.coupling[j] * flux[head]) < 1e-5 * (1 + abs(gramneg.coupling[j])), (head, j)


def test_a_chain_is_one_set_and_a_branch_is_not() -> None:
    # -> A -> 2 B ->, and C <-> D beside it with two ways out.
    matrix = csc_array(
        np.array(
            [
                [1.0, -1.0, 0.0, 0.0, 0.0, 0.0],
                [0.0, 2.0, -1.0, 0.0, 0.0, 0.0],
                [0.0, 0.0, 0.0, 1.0, -1.0, -1.0],
            ]
        )
    )
    coupled, coupling = coupled_sets(matrix, np.ones(6, dtype=bool))
    assert coupled.tolist() == [0, 0, 0, 1, 2, 3]
    assert coupling.tolist() == [1.0, 1.0, 2.0, 1.0, 1.0, 1.0]


def test_a_subnetwork_keeps_only_used_metabolites_in_the_order_of_the_universe(gramneg: Universe) -> None:
    part = subnetwork(gramneg, ["PGI", "EX_glc__D_e", "Growth"], {"PGI": "b4025"}, "part")
    assert part.network_id == "part"
    assert set(part.reactions) == {"PGI", "EX_glc__D_e", "Growth"}
    assert part.gprs[part.reactions.index("PGI")] == "b4025"
    column = part.stoichiometry[:, [part.reactions.index("PGI")]].toarray().ravel()
    assert {part.metabolites[i]: column[i] for i in np.flatnonzero(column)} == {"g6p_c": -1.0, "f6p_c": 1.0}
    assert (np.diff(part.stoichiometry.tocsr().indptr) > 0).all()
    assert part.reactions[part.biomass] == "Growth"
    with pytest.raises(ValueError, match="NOSUCH"):
        subnetwork(gramneg, ["NOSUCH"], {}, "x")


def test_users_sbml_comes_in_by_the_same_door(textbook: Path, tmp_path: Path) -> None:
    universe = load_universe(str(textbook), tmp_path)
    assert len(universe.network.reactions) == 95
    assert universe.network.gprs[universe.network.reactions.index("ACKr")].count(" or ") == 2
    assert universe.network.lower[universe.network.reactions.index("PGI")] == -1000.0


def test_what_is_no_universe_is_refused_with_every_fault_named(textbook: Path, tmp_path: Path) -> None:
    network = read_sbml(textbook)
    ids = tuple("X" if r in ("ATPM", "PFK") else r for r in network.reactions)
    upper = network.upper.copy()
    upper[0] = -2000.0
    with pytest.raises(InputError) as error:
        validate(replace(network, reactions=ids, upper=upper, objective=np.zeros_like(network.objective)))
    for fault in ("more than once: X", "lower bound above upper bound: ACALD", "found 0", "no ATP maintenance"):
        assert fault in str(error.value)
    with pytest.raises(InputError, match="expected one of bacteria, gramneg"):
        load_universe("gramnegative", tmp_path)
    (tmp_path / "no.xml").write_text("<html/>")
    with pytest.raises(InputError, match="SBML"):
        load_universe(str(tmp_path / "no.xml"), tmp_path)


@pytest.fixture(scope="module")
def archaea(cache: Path) -> Universe:
    return load_universe("archaea", cache)


def test_the_archaea_have_the_way_to_methane_and_what_was_there_stays(archaea: Universe) -> None:
    from gemforest.universe import ADDITIONS

    plain = read_sbml(universe_path("archaea"))
    network = archaea.network
    with (Path(__file__).parents[2] / "resources" / ADDITIONS["archaea"]).open() as handle:
        named = [line.split("\t")[0] for line in handle][1:]
    assert network.reactions == (*plain.reactions, *named)
    assert network.metabolites[: len(plain.metabolites)] == plain.metabolites
    old = network.stoichiometry.tocsc()[: len(plain.metabolites), : len(plain.reactions)]
    assert abs(old - plain.stoichiometry).max() == 0
    added = np.array([network.reactions.index(reaction) for reaction in named])
    assert not archaea.blocked[added].any()
    # methyl-CoM + CoB -> CoM-S-S-CoB + CH4, one of each (Thauer et al., Nat. Rev. Microbiol. 6, 579-591, 2008)
    column = network.stoichiometry.tocsc()[:, [network.reactions.index("MCR")]].tocoo()
    said = {network.metabolites[i]: v for i, v in zip(column.row, column.data, strict=True)}
    assert said == {"mcom_c": -1.0, "cob_c": -1.0, "hsfd_c": 1.0, "ch4_c": 1.0}


@pytest.fixture(scope="module")
def without_free_energy(archaea: Universe, cache: Path) -> Network:
    return without_cycles(archaea.network, universe_closed_directions(archaea, cache))


@pytest.mark.parametrize("given", ["co2 h2", "meoh", "ac", "co2"])
def test_archaea_live_on_what_methanogens_live_on(without_free_energy: Network, given: str) -> None:
    minerals = "ca2 cl cobalt2 cu2 fe2 fe3 h2o h k mg2 mn2 mobd na1 nh4 ni2 pi so4 zn2 h2s"
    limits = {f"EX_{c}_e": 1000.0 for c in minerals.split()} | {f"EX_{c}_e": 20.0 for c in given.split()}
    network = with_bounds(without_free_energy, medium_bounds(without_free_energy, limits))
    state = fba(network)
    if given == "co2":
        assert state.growth < 1e-6
        return
    methane = state.fluxes[network.reactions.index("EX_ch4_e")]
    # Thauer et al. 2008: 4 H2, 4/3 methanol or 1 acetate to a methane; some carbon and hydrogen becomes biomass
    most = {"co2 h2": 5.0, "meoh": 15.0, "ac": 20.0}[given]
    assert 0.5 * most < methane < most
    assert state.growth > 0.01
    # the universe has other ways to live on these, none as good
    assert fba(with_bounds(network, {"MCR": (0.0, 0.0)})).growth < state.growth - 1e-3
