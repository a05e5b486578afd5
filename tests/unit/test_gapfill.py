"""Gap-filling on networks whose cheapest fill is known by construction; cycles that make energy from nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from projects import REPOSITORY
from scipy.sparse import csc_array

from gemforest.energy import DISSIPATION, closed_directions, free_atp
from gemforest.gapfill.filling import Infeasible, Problem, cheapest_fill, cheapest_fills
from gemforest.media import read_media
from gemforest.models import Network

Formula = dict[str, float]


def problem(
    reactions: Sequence[tuple[Formula, float, float, float | None]], media: Sequence[dict[int, float]] = ({},)
) -> Problem:
    """Reactions as (formula, lower, upper, cost or None where the draft has it); the last is biomass.

    `media` replace lower bounds by index.
    """
    names = sorted({m for formula, *_ in reactions for m in formula})
    matrix = np.zeros((len(names), len(reactions)))
    for j, (formula, *_) in enumerate(reactions):
        for metabolite, value in formula.items():
            matrix[names.index(metabolite), j] = value
    lower = np.array([[medium.get(j, r[1]) for j, r in enumerate(reactions)] for medium in media], dtype=float)
    upper = np.array([[r[2] for r in reactions] for _ in media], dtype=float)
    costs = [r[3] for r in reactions]
    return Problem(
        csc_array(matrix),
        lower,
        upper,
        len(reactions) - 1,
        np.array([c is not None for c in costs]),
        np.array([1.0 if c is None else c for c in costs]),
        0.05,
    )


def test_a_draft_that_grows_gets_nothing() -> None:
    fill = cheapest_fill(problem([({"a": -1}, -10, 0, None), ({"a": -1}, 0, 10, None)]))
    assert fill.added == () and fill.cost == 0.0


def test_two_cheap_steps_win_over_a_dear_one_and_one_cheap_step_over_both() -> None:
    base = [({"a": -1}, -10, 0, None)]
    two_steps = [({"a": -1, "b": 1}, 0, 1000, 0.3), ({"b": -1, "c": 1}, 0, 1000, 0.3)]
    one_step = [({"a": -1, "c": 1}, 0, 1000, 1.0)]
    biomass = [({"c": -1}, 0, 1000, None)]
    assert cheapest_fill(problem([*base, *two_steps, *one_step, *biomass])).added == (1, 2)
    cheap = [({"a": -1, "c": 1}, 0, 1000, 0.5)]
    fill = cheapest_fill(problem([*base, *two_steps, *cheap, *biomass]))
    assert fill.added == (3,)
    assert fill.cost == pytest.approx(0.5)


def test_a_shared_step_is_paid_for_once() -> None:
    # b and c each have a route of their own for 1.0; one shared step for 1.5 makes a precursor of both
    reactions = [
        ({"a": -1}, -10, 0, None),
        ({"a": -1, "b": 1}, 0, 1000, 1.0),
        ({"a": -1, "c": 1}, 0, 1000, 1.0),
        ({"a": -1, "p": 1}, 0, 1000, 1.5),
        ({"p": -1, "b": 1}, 0, 1000, None),
        ({"p": -1, "c": 1}, 0, 1000, None),
        ({"b": -1, "c": -1}, 0, 1000, None),
    ]
    fill = cheapest_fill(problem(reactions))
    assert fill.added == (3,)
    assert fill.bound == pytest.approx(1.5)


def test_trace_needs_do_not_leak() -> None:
    # a cofactor of which 1e-5 mmol per gDW is needed carries 5e-7 of flux: less than big-M times tolerance elsewhere
    reactions = [
        ({"a": -1}, -10, 0, None),
        ({"a": -1, "t": 1}, 0, 1000, 1.0),
        ({"a": -1, "t": -1e-5}, 0, 1000, None),
    ]
    assert cheapest_fill(problem(reactions)).added == (1,)


def test_alternatives_come_in_order_of_cost_each_once_and_without_a_reaction_to_spare() -> None:
    reactions = [
        ({"a": -1}, -10, 0, None),
        ({"a": -1, "c": 1}, 0, 1000, 1.0),
        ({"a": -1, "b": 1}, 0, 1000, 0.6),
        ({"b": -1, "c": 1}, 0, 1000, 0.6),
        ({"b": -1, "c": 1}, 0, 1000, 0.9),
        ({"c": -1}, 0, 1000, None),
    ]
    assert [fill.added for fill in cheapest_fills(problem(reactions), 9, 1.0)] == [(1,), (2, 3), (2, 4)]
    assert [fill.added for fill in cheapest_fills(problem(reactions), 9, 0.3)] == [(1,), (2, 3)]
    assert [fill.added for fill in cheapest_fills(problem(reactions), 1, 1.0)] == [(1,)]


def test_each_medium_is_served_jointly() -> None:
    reactions = [
        ({"a": -1}, 0, 0, None),
        ({"b": -1}, 0, 0, None),
        ({"a": -1, "c": 1}, 0, 1000, 1.0),
        ({"b": -1, "c": 1}, 0, 1000, 1.0),
        ({"c": -1}, 0, 1000, None),
    ]
    fill = cheapest_fill(problem(reactions, [{0: -10.0}, {1: -10.0}]))
    assert fill.added == (2, 3)


def test_what_nothing_mends_is_told_with_its_medium() -> None:
    reactions = [({"a": -1}, 0, 0, None), ({"a": -1, "c": 1}, 0, 1000, 1.0), ({"c": -1}, 0, 1000, None)]
    with pytest.raises(Infeasible) as told:
        cheapest_fill(problem(reactions, [{0: -10.0}, {}]))
    assert told.value.medium == 1


def network(reactions: dict[str, tuple[Formula, float, float]]) -> Network:
    metabolites = sorted({m for formula, *_ in reactions.values() for m in formula})
    matrix = np.zeros((len(metabolites), len(reactions)))
    for j, (formula, *_) in enumerate(reactions.values()):
        for metabolite, value in formula.items():
            matrix[metabolites.index(metabolite), j] = value
    m, n = matrix.shape
    return Network(
        network_id="toy",
        metabolites=tuple(metabolites),
        reactions=tuple(reactions),
        stoichiometry=csc_array(matrix),
        lower=np.array([r[1] for r in reactions.values()], dtype=float),
        upper=np.array([r[2] for r in reactions.values()], dtype=float),
        objective=np.zeros(n),
        gprs=("",) * n,
        reaction_names=tuple(reactions),
        metabolite_names=tuple(metabolites),
        formulas=("",) * m,
        charges=(None,) * m,
        compartments=tuple(name.rsplit("_", 1)[1] for name in metabolites),
    )


ATP = {"atp_c": -1.0, "h2o_c": -1.0, "adp_c": 1.0, "pi_c": 1.0, "h_c": 1.0}


def test_a_cycle_that_makes_atp_is_found_and_its_only_reversible_step_closed() -> None:
    cheating = network(
        {
            "ATPM": (ATP, 0, 1000),
            "SPEND": (ATP | {"x_c": -1.0, "y_c": 1.0}, -1000, 1000),
            "BACK": ({"x_c": -1.0, "y_c": 1.0}, 0, 1000),
        }
    )
    flux, cycle = free_atp(cheating)
    assert flux > 0.0
    assert cycle == ("ATPM", "BACK", "SPEND") or cycle == ("BACK", "SPEND")
    assert closed_directions(cheating, {}, {"atp": DISSIPATION["atp"]}) == (("SPEND", -1),)


def test_without_a_cycle_there_is_no_free_atp() -> None:
    honest = network({"ATPM": (ATP, 0, 1000), "SPEND": (ATP | {"x_c": -1.0, "y_c": 1.0}, 0, 1000)})
    assert free_atp(honest) == (0.0, ())
    assert closed_directions(honest, {}) == ()


def test_the_base_medium_has_no_carbon_but_traces_of_vitamins() -> None:
    base = read_media(REPOSITORY / "config" / "media.tsv").uptakes("minerals_vitamins", 10.0)
    assert base is not None
    assert "glc__D" not in base
    assert {base[v] for v in ("4abz", "lipoate", "ribflv", "pydxn", "pnto__R", "nac", "thm", "fol")} == {0.1}
    assert base["fe2"] == base["fe3"] == 0.1
