"""What reactions of a draft are for, which way they run, and what options mean, on networks small enough to see it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_networks import Equation, toy_network

from gemforest.draft.constraints import read_hard, read_reference, read_soft
from gemforest.draft.highs_engine import carve
from gemforest.draft.problem import CarvingOptions, build_problem
from gemforest.draft.purpose import directions, purposes, unprofitable
from gemforest.errors import InputError
from gemforest.fluxes import fva
from gemforest.universe import Universe, compile_universe

FREE = (-1000.0, 1000.0)
BASE: dict[str, Equation] = {
    "EX_s_e": ("s_e ->", *FREE),
    "EX_t_e": ("t_e ->", *FREE),
    "EX_w_e": ("w_e ->", *FREE),
    "St": ("s_e -> s_c", *FREE),
    "MAKE": ("s_c -> x_c", 0.0, 1000.0),
    "ATPS": ("s_c -> atp_c", 0.0, 1000.0),
    "ATPM": ("atp_c ->", 0.0, 1000.0),
    "Growth": ("x_c ->", 0.0, 1000.0),
    # a scored reaction that needs two others to come to life, and one that nothing needs
    "Tt": ("t_e -> t_c", 0.0, 1000.0),
    "SCORED": ("t_c -> u_c", 0.0, 1000.0),
    "OUT": ("u_c -> w_e", 0.0, 1000.0),
    "IDLE": ("t_c -> w_e", 0.0, 1000.0),
}


def universe_of(equations: dict[str, Equation]) -> Universe:
    return compile_universe(toy_network(equations, "Growth"), "toy")


def test_a_reaction_without_evidence_names_the_scored_reactions_that_stop_without_it() -> None:
    universe = universe_of(BASE)
    scores = {"SCORED": 3.0}
    carving = carve(universe, scores)
    assert carving.reactions == set(BASE) - {"IDLE"}
    kept = np.array([r in carving.reactions for r in universe.network.reactions])
    found = purposes(universe, build_problem(universe, scores, CarvingOptions()), kept, scores)
    assert {r: p.serves for r, p in found.items() if p.serves} == {"Tt": ("SCORED",), "OUT": ("SCORED",)}
    assert {r for r, p in found.items() if p.growth} == {"St", "MAKE", "ATPS"}


def test_a_scored_reaction_that_costs_more_than_it_brings_is_left_out() -> None:
    universe = universe_of(BASE)
    assert "SCORED" not in carve(universe, {"SCORED": 1.9}).reactions
    assert "SCORED" in carve(universe, {"SCORED": 2.1}).reactions


def test_what_does_not_pay_for_itself_is_pruned_from_any_set_and_growth_never() -> None:
    universe = universe_of(BASE)
    problem = build_problem(universe, {"SCORED": 1.9}, CarvingOptions())
    gone = {universe.network.reactions[j] for j in unprofitable(problem, problem.columns)}
    assert gone == {"Tt", "SCORED", "OUT", "IDLE"}


def test_the_default_score_prices_reactions_without_evidence() -> None:
    universe = universe_of(BASE)
    assert "SCORED" in carve(universe, {"SCORED": 1.9}, CarvingOptions(default_score=-0.5)).reactions
    free = carve(universe, {"SCORED": 0.1}, CarvingOptions(default_score=0.0)).reactions
    assert "SCORED" in free


def test_the_uptake_score_prices_what_is_taken_up_and_not_what_is_secreted() -> None:
    universe = universe_of(BASE)
    options = CarvingOptions(uptake_score=-0.5)
    # Tt and OUT cost 2, taking up t another half, secreting w nothing.
    assert "SCORED" not in carve(universe, {"SCORED": 2.4}, options).reactions
    assert "SCORED" in carve(universe, {"SCORED": 2.6}, options).reactions


def test_a_hard_lower_bound_forces_and_a_soft_direction_rewards() -> None:
    universe = universe_of(BASE)
    forced = CarvingOptions(hard_constraints={"IDLE": (0.1, 1000.0)})
    assert {"IDLE", "Tt"} <= carve(universe, {}, forced).reactions
    wanted = CarvingOptions(soft_constraints={"SCORED": 1}, soft_score=2.1)
    assert "SCORED" in carve(universe, {}, wanted).reactions
    wrong_way = CarvingOptions(soft_constraints={"SCORED": -1}, soft_score=2.1)
    # Nothing is earned for a direction that the reaction does not have.
    assert "SCORED" not in carve(universe, {}, wrong_way).reactions


def test_reactions_of_a_reference_model_gain_as_in_carveme() -> None:
    universe = universe_of(BASE)
    # A scored reaction of the reference gains 2 * score + bonus, one without score 3 * bonus.
    assert "SCORED" in carve(universe, {"SCORED": 1.0}, _reference("SCORED", bonus=0.1)).reactions
    assert "SCORED" not in carve(universe, {"SCORED": 0.9}, _reference("SCORED", bonus=0.1)).reactions
    assert "SCORED" in carve(universe, {}, _reference("SCORED", bonus=0.7)).reactions
    assert "SCORED" not in carve(universe, {}, _reference("SCORED", bonus=0.6)).reactions


def _reference(*reactions: str, bonus: float) -> CarvingOptions:
    return CarvingOptions(reference_reactions=frozenset(reactions), reference_score=bonus)


@pytest.mark.parametrize("seed", range(8))
def test_directions_are_those_of_flux_variability(seed: int) -> None:
    rng = np.random.default_rng(seed)
    equations: dict[str, Equation] = {f"EX_m{i}_e": (f"m{i}_c ->", *FREE) for i in range(3)}
    for k in range(14):
        a, b, c = rng.choice(8, 3, replace=False)
        low = -1000.0 if rng.random() < 0.6 else 0.0
        equations[f"R{k}"] = (f"m{a}_c -> m{b}_c" + (f" + m{c}_c" if k % 3 else ""), low, 1000.0)
    network = toy_network(equations)
    ranges = fva(network, 0.0)
    forward, reverse = directions(network)
    assert forward.tolist() == (ranges.maximum > 1e-6).tolist()
    assert reverse.tolist() == (ranges.minimum < -1e-6).tolist()


# -- files -------------------------------------------------------------------------------------------------------------


def test_constraint_files_are_read_as_carveme_reads_them(tmp_path: Path) -> None:
    (tmp_path / "soft.tsv").write_text("# direction\nR_PFK\t1\nPGI\t-1\nFBP\t0\n")
    (tmp_path / "hard.tsv").write_text("R_PFK\t0\t10\nEX_o2_e\t-5\tinf\n")
    assert read_soft(tmp_path / "soft.tsv") == {"PFK": 1, "PGI": -1, "FBP": 0}
    assert read_hard(tmp_path / "hard.tsv") == {"PFK": (0.0, 10.0), "EX_o2_e": (-5.0, float("inf"))}


def test_every_fault_of_a_constraint_file_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "soft.tsv"
    path.write_text("PFK\t2\nPGI\nPGI\t1\nPGI\t0\nFBP\tup\n")
    with pytest.raises(InputError) as error:
        read_soft(path)
    said = str(error.value)
    assert all(f"line {number}:" in said for number in (1, 2, 4, 5)) and "line 3" not in said
    assert "stands here twice" in said and "-1, 0 or 1" in said


@pytest.mark.parametrize("line", ["PFK\t1\t0", "PFK\tnan\t1", "PFK\t0", "PFK\ta\tb"])
def test_bounds_that_are_none_are_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "hard.tsv"
    path.write_text(f"{line}\n")
    with pytest.raises(InputError, match="line 1"):
        read_hard(path)


def test_a_reference_model_that_is_no_sbml_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.xml"
    path.write_text("not a model")
    with pytest.raises(InputError, match=r"model\.xml"):
        read_reference(path)
