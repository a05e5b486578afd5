"""Reactions without a gene that nothing needs: two sources, one of which comes in over such a reaction."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csc_array

from gemforest.closing import shut, unneeded, without_gene
from gemforest.fluxes import growth
from gemforest.models import Network

REACTIONS: dict[str, tuple[dict[str, float], float, str]] = {
    "EX_a_e": ({"a_e": -1.0}, -10.0, ""),
    "EX_b_e": ({"b_e": -1.0}, -10.0, ""),
    "A_WITH_GENE": ({"a_e": -1.0, "x_c": 1.0}, 0.0, "g1"),
    "A_WITHOUT": ({"a_e": -1.0, "x_c": 1.0}, 0.0, ""),
    "B_WITHOUT": ({"b_e": -1.0, "x_c": 1.0}, 0.0, ""),
    "LAST_STEP": ({"x_c": -1.0, "y_c": 1.0}, 0.0, ""),
    "ATPM": ({"x_c": -1.0, "y_c": 1.0}, 0.0, ""),
    "Growth": ({"y_c": -1.0}, 0.0, ""),
}
ON_A = {"EX_a_e": (-10.0, 1000.0), "EX_b_e": (0.0, 1000.0)}
ON_B = {"EX_a_e": (0.0, 1000.0), "EX_b_e": (-10.0, 1000.0)}


@pytest.fixture
def network() -> Network:
    names = ("a_e", "b_e", "x_c", "y_c")
    matrix = np.array([[formula.get(m, 0.0) for formula, *_ in REACTIONS.values()] for m in names])
    return Network(
        network_id="toy",
        metabolites=names,
        reactions=tuple(REACTIONS),
        stoichiometry=csc_array(matrix),
        lower=np.array([low for _, low, _ in REACTIONS.values()]),
        upper=np.full(len(REACTIONS), 1000.0),
        objective=np.array([float(r == "Growth") for r in REACTIONS]),
        gprs=tuple(gene for *_, gene in REACTIONS.values()),
        reaction_names=tuple(REACTIONS),
        metabolite_names=names,
        formulas=("",) * 4,
        charges=(None,) * 4,
        compartments=("e", "e", "c", "c"),
    )


def named(network: Network, mask: np.ndarray) -> set[str]:
    return {r for r, told in zip(network.reactions, mask, strict=True) if told}


def test_exchanges_maintenance_growth_and_what_is_spared_are_no_suspects(network: Network) -> None:
    assert named(network, without_gene(network)) == {"A_WITHOUT", "B_WITHOUT", "LAST_STEP"}
    assert named(network, without_gene(network, frozenset({"LAST_STEP"}))) == {"A_WITHOUT", "B_WITHOUT"}


def test_what_growth_needs_stays_and_a_way_in_without_gene_beside_one_with_gene_does_not(network: Network) -> None:
    # ATPM does what LAST_STEP does and costs nothing: nothing is needed until it is closed
    network = replace(network, upper=np.where(np.array(network.reactions) == "ATPM", 0.0, network.upper))
    spare = unneeded(network, without_gene(network), [ON_A], 0.99)
    assert named(network, spare) == {"A_WITHOUT", "B_WITHOUT"}
    closed = shut(network, spare)
    assert growth(closed, ON_A)[1] == pytest.approx(10.0)
    assert growth(closed, ON_B)[1] == pytest.approx(0.0)


def test_on_several_media_what_a_share_of_them_uses_stays(network: Network) -> None:
    suspects = without_gene(network)
    assert "B_WITHOUT" not in named(network, unneeded(network, suspects, [ON_A, ON_B], 0.99))
    assert "B_WITHOUT" in named(network, unneeded(network, suspects, [ON_A, ON_B], 0.99, shared_by=0.5))


def test_a_medium_without_growth_closes_nothing(network: Network) -> None:
    nothing = {"EX_a_e": (0.0, 1000.0), "EX_b_e": (0.0, 1000.0)}
    assert not unneeded(network, without_gene(network), [nothing], 0.99).any()
