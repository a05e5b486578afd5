"""Where wrong answers of FBA come from: on networks small enough to see it."""

from __future__ import annotations

import numpy as np
from toy_networks import toy_network

from gemforest.evaluation.attribution import CAUSES, Sources, missed, wrongly_called
from gemforest.models import Network

UNIVERSE = {
    "EX_a_e": ("a_e -> ", 0.0, 1000.0),
    "EX_b_e": ("b_e -> ", 0.0, 1000.0),
    "EX_c_e": ("c_e -> ", 0.0, 1000.0),
    "EX_d_e": ("d_e -> ", 0.0, 1000.0),
    "At": ("a_e -> a_c", 0.0, 1000.0),
    "Bt": ("b_e -> b_c", 0.0, 1000.0),
    "Ct": ("c_e -> c_c", 0.0, 1000.0),
    "AtoP": ("a_c -> p_c", 0.0, 1000.0),
    "BtoA": ("b_c -> a_c", 0.0, 1000.0),
    "BtoX": ("b_c -> x_c", 0.0, 1000.0),
    "XtoA": ("x_c -> a_c", 0.0, 1000.0),
    "CtoA": ("c_c -> a_c", 0.0, 1000.0),
    "Growth": ("p_c -> ", 0.0, 1000.0),
}
GENES = {"At": "g1", "AtoP": "g2", "Bt": "g3", "BtoA": "g4", "Ct": "g5", "CtoA": ""}


def of(names: list[str]) -> Network:
    return toy_network({name: UNIVERSE[name] for name in names}, "Growth", GENES)


def sources(network: Network) -> Sources:
    return Sources(network, {}, 10.0, 0.1)


def test_a_missed_growth_gets_the_fewest_reactions_that_mend_it() -> None:
    model = ["EX_a_e", "EX_b_e", "EX_c_e", "At", "AtoP", "CtoA", "Growth"]
    faults = {f.compound: f for f in missed(sources(of(list(UNIVERSE))), model, ["b", "c", "d", "zz"], True)}
    assert (faults["b"].cause, faults["b"].reactions) == ("pathway", ("Bt", "BtoA"))
    assert (faults["c"].cause, faults["c"].reactions) == ("transport", ("Ct",))
    # d has an exchange and nothing that takes it further; zz is not in the universe at all
    assert (faults["d"].cause, faults["zz"].cause) == ("universe", "universe")


def test_a_model_that_grows_on_nothing_blames_its_biomass() -> None:
    model = ["EX_a_e", "At", "Growth"]
    (fault,) = missed(sources(of(list(UNIVERSE))), model, ["a"], False)
    assert (fault.cause, fault.reactions) == ("biomass", ("AtoP",))


def test_a_wrong_growth_names_the_reactions_without_a_gene_that_it_needs() -> None:
    names = [name for name in UNIVERSE if name not in ("BtoX", "XtoA")]
    found = wrongly_called(sources(of(names)), ["b", "c"], ["a", "b", "c", "a2", "a3"])
    by_compound = {f.compound: f for f in found}
    assert (by_compound["b"].cause, by_compound["b"].reactions) == ("all_genes", ())
    # one of three growing sources uses it: at a share of 0.3 that is common, and no matter of this compound
    assert by_compound["c"].cause == "all_genes"
    alone = wrongly_called(sources(of(names)), ["c"], ["a", "a", "b", "c"])
    assert {f.cause for f in alone} == {"all_genes"}


def test_a_step_without_a_gene_that_few_sources_use_is_named() -> None:
    many = {f"s{k}": (f"s{k}_e -> a_c", 0.0, 1000.0) for k in range(9)}
    exchanges = {f"EX_s{k}_e": (f"s{k}_e -> ", 0.0, 1000.0) for k in range(9)}
    genes = {**GENES, **dict.fromkeys(many, "g9")}
    network = toy_network({**UNIVERSE, **many, **exchanges}, "Growth", genes)
    growing = ["a", "b", "c", *(f"s{k}" for k in range(9))]
    (fault,) = wrongly_called(sources(network), ["c"], growing)
    assert (fault.cause, fault.reactions) == ("without_genes", ("CtoA",))


def test_the_least_flux_is_held_at_the_growth_asked_for() -> None:
    network = of(list(UNIVERSE))
    flux = sources(network).flux("a", np.ones(len(network.reactions)))
    assert flux is not None
    at = dict(zip(network.reactions, flux, strict=True))
    assert at["At"] == at["AtoP"] == at["Growth"] == 0.1
    assert at["BtoA"] == 0.0
    assert sources(network).flux("d", np.ones(len(network.reactions))) is None


def test_every_cause_is_explained() -> None:
    assert set(CAUSES) == {"transport", "pathway", "universe", "biomass", "without_genes", "all_genes"}
