"""Draws of kcats, and kcats that make a model grow as measured."""

from dataclasses import replace

import numpy as np
import pytest
from toy_networks import toy_network

from gemforest.kinetics.costs import enzyme_costs, find_enzymes, reaction_costs
from gemforest.kinetics.draws import draw_log10_kcats, gene_clusters, solve_draws
from gemforest.kinetics.ecmodel import PoolProgram
from gemforest.kinetics.sources import Kcats
from gemforest.kinetics.tuning import map_change, to_measured, tune


def chain(sds: tuple[float, float] = (1.0, 0.5)):
    """s → x → p by two enzymes of 36,000 g/mol at 10 and 1 s^-1: 1 and 10 mg h/mmol."""
    network = toy_network(
        {
            "EX_s_e": ("s_e ->", -10, 0),
            "A": ("s_e -> x_c", 0, 1000),
            "B": ("x_c -> p_c", 0, 1000),
            "GROWTH": ("p_c ->", 0, 1000),
        },
        "GROWTH",
        {"A": "a", "B": "b"},
    )
    enzymes = find_enzymes(network, {"a": 36_000.0, "b": 36_000.0})
    text = ("user", "user")
    return network, enzymes, Kcats(np.array([1.0, 0.0]), np.array(sds), text, text, text, text)


def test_most_probable_change_meets_the_pool_and_its_optimality_condition() -> None:
    used, sd = np.array([10.0, 100.0, 5.0, 1.0]), np.array([2.0, 1.0, 0.5, 0.0])
    x, pool = map_change(used, sd, 60.0, 60.0)
    assert pool == 60.0
    assert used @ np.exp(-x) == pytest.approx(60.0, rel=1e-9)
    assert x[3] == 0.0
    # stationarity: x / s^2 is proportional to what is still used
    ratio = (x / np.where(sd > 0, sd, 1) ** 2)[:3] / (used * np.exp(-x))[:3]
    assert ratio == pytest.approx(np.full(3, ratio[0]), rel=1e-9)
    # no other change of equal effect is more probable
    random = np.random.default_rng(0)
    for _ in range(200):
        other = np.append(np.maximum(x[:3] + random.normal(0, 0.3, 3), 0.0), 0.0)
        if used @ np.exp(-other) <= 60.0:
            assert (other[:3] ** 2 / sd[:3] ** 2).sum() >= (x[:3] ** 2 / sd[:3] ** 2).sum() - 1e-9


def test_kcats_without_error_cannot_be_moved() -> None:
    assert map_change(np.array([10.0]), np.array([0.0]), 5.0, 5.0) is None
    assert map_change(np.array([10.0]), np.array([0.0]), 5.0, 9.0) is None


def test_pool_and_kcats_go_to_their_posterior_mode_together() -> None:
    used, sd, expected, largest = np.array([40.0, 60.0, 25.0]), np.array([2.0, 1.0, 0.0]), 50.0, 100.0
    pool_sd = np.log(largest / expected) / 2

    def improbability(x: np.ndarray, pool: float) -> float:
        return float((x[:2] ** 2 / sd[:2] ** 2).sum() + (np.log(pool / expected) / pool_sd) ** 2)

    x, pool = map_change(used, sd, expected, largest)
    assert expected < pool < largest and used @ np.exp(-x) == pytest.approx(pool, rel=1e-9)
    random = np.random.default_rng(0)
    for _ in range(500):
        other = np.append(np.maximum(x[:2] + random.normal(0, 0.2, 2), 0.0), 0.0)
        needed = float(used @ np.exp(-other))
        if needed <= largest:
            assert improbability(other, max(needed, expected)) >= improbability(x, pool) - 1e-9


def test_the_pool_goes_no_further_than_is_plausible_and_carries_all_where_kcats_are_exact() -> None:
    x, pool = map_change(np.array([1000.0]), np.array([0.1]), 50.0, 60.0)
    assert pool == 60.0 and 1000.0 * np.exp(-x[0]) == pytest.approx(60.0)
    x, pool = map_change(np.array([80.0]), np.array([0.0]), 50.0, 100.0)
    assert x.tolist() == [0.0] and pool == pytest.approx(80.0)


def test_with_map_the_pool_is_fitted_first_and_nothing_else_where_that_does() -> None:
    network, enzymes, kcats = chain()
    tuned = tune(PoolProgram(network), enzymes, kcats, 22.0, (11.0, 44.0), 3.0, "map")
    assert tuned.pool == pytest.approx(33.0)  # 3 1/h at 11 mg h/mmol
    assert tuned.growth == pytest.approx(3.0)
    assert [(c.enzyme, c.before, c.method) for c in tuned.changes] == [(-1, 22.0, "least_pool")]
    np.testing.assert_array_equal(tuned.kcats.log10, kcats.log10)


def test_together_the_pool_rises_less_and_kcats_do_the_rest() -> None:
    network, enzymes, kcats = chain()
    tuned = tune(PoolProgram(network), enzymes, kcats, 22.0, (11.0, 44.0), 3.0)
    assert 22.0 < tuned.pool < 33.0 and tuned.growth == pytest.approx(3.0, rel=1e-6)
    assert [(c.enzyme, c.method) for c in tuned.changes] == [(-1, "least_pool"), (0, "joint"), (1, "joint")]
    assert "22 expected" in tuned.changes[1].reason


@pytest.mark.parametrize("method", ["joint", "map", "annealing"])
def test_kcats_are_raised_where_no_plausible_pool_is_enough(method: str) -> None:
    network, enzymes, kcats = chain()
    tuned = tune(PoolProgram(network), enzymes, kcats, 22.0, (11.0, 44.0), 8.0, method)
    assert tuned.growth == pytest.approx(8.0, rel=0.05 if method == "annealing" else 1e-6)
    assert tuned.pool <= 44.0 + 1e-9
    moved = {change.enzyme: change for change in tuned.changes if change.enzyme >= 0}
    assert moved[1].after > moved[1].before == pytest.approx(1.0)
    assert "8 1/h" in moved[1].reason and "tuned by" in tuned.kcats.source[1]


def test_a_rate_that_no_kcat_reaches_is_said_and_nothing_changed() -> None:
    network, enzymes, kcats = chain()
    tuned = tune(PoolProgram(network), enzymes, kcats, 22.0, (11.0, 44.0), 12.0)
    assert not tuned.changes and "no kcat can mend that" in tuned.verdict


def test_exact_kcats_are_not_tuned() -> None:
    network, enzymes, kcats = chain((0.0, 0.0))
    tuned = tune(PoolProgram(network), enzymes, kcats, 22.0, (11.0, 44.0), 8.0)
    assert not tuned.changes and "stated without error" in tuned.verdict


def test_a_model_that_grows_too_fast_loses_pool_and_is_told_of() -> None:
    network, enzymes, kcats = chain()
    tuned = tune(PoolProgram(network), enzymes, kcats, 44.0, (22.0, 88.0), 1.0)
    assert tuned.pool == 22.0 and "the kcats look too fast" in tuned.verdict


def test_draws_have_the_stated_spread_and_share_it_within_a_cluster() -> None:
    genes = (("a",), ("a", "b"), ("b",), ("c",))
    clusters = gene_clusters(genes)
    assert clusters.tolist() == [0, 0, 0, 1]
    text = ("",) * 4
    kcats = Kcats(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.5, 1.0, 1.0, 0.0]), text, text, text, text)
    draws = draw_log10_kcats(kcats, clusters, 20_000, seed=3, shared=0.5)
    assert draws.mean(axis=0) == pytest.approx(kcats.log10, abs=0.03)
    assert draws.std(axis=0) == pytest.approx(kcats.sd, abs=0.02)
    correlation = np.corrcoef(draws[:, :3].T)
    assert correlation[0, 1] == pytest.approx(0.5, abs=0.03)
    np.testing.assert_array_equal(draws, draw_log10_kcats(kcats, clusters, 20_000, seed=3, shared=0.5))


def test_growth_over_draws_is_its_closed_form() -> None:
    network, enzymes, kcats = chain()
    log10 = draw_log10_kcats(kcats, gene_clusters(enzymes.genes), 8, seed=1)
    draws = solve_draws(PoolProgram(network), enzymes, log10, 22.0)
    expected = np.minimum(10.0, 22.0 / (10.0 / 10.0**log10).sum(axis=1))
    assert draws.growth == pytest.approx(expected, rel=1e-3)
    assert draws.solved == 8
    forced = replace(network, lower=np.array([-10.0, 9.0, 0.0, 0.0]))
    poor = solve_draws(PoolProgram(forced), enzymes, log10, 22.0)
    assert poor.solved == (expected >= 9.0).sum() < 8
    assert poor.growth_quantiles()[0] == 0.0
    assert draws.growth_quantiles() == pytest.approx(np.quantile(expected, (0.05, 0.5, 0.95)), rel=1e-3)


def test_draws_told_of_a_measured_rate_all_grow_so_and_change_no_more_than_they_must() -> None:
    network, enzymes, kcats = chain()
    program, limits, target = PoolProgram(network), (11.0, 44.0), 8.0
    log10 = draw_log10_kcats(kcats, gene_clusters(enzymes.genes), 16, seed=1)
    condition = to_measured(program, enzymes, kcats, 22.0, limits, target, "map")
    draws = solve_draws(program, enzymes, log10, 22.0, condition)
    assert draws.growth == pytest.approx(np.full(16, target), rel=1e-6)
    needed = target * (10.0 / 10.0**log10).sum(axis=1)
    assert (needed > limits[1]).any() and (needed <= limits[1]).any()
    for draw, mass in zip(log10, needed, strict=True):
        told, pool = condition(draw)
        if mass <= limits[1]:
            np.testing.assert_array_equal(told, draw)
            assert pool == pytest.approx(max(mass, limits[0]))
        else:
            assert (told >= draw).all() and target * (10.0 / 10.0**told).sum() == pytest.approx(limits[1])


def test_cost_of_the_chain_is_as_stated() -> None:
    _, enzymes, kcats = chain()
    costs = reaction_costs(enzymes, enzyme_costs(enzymes.mass, kcats.log10), 4)
    assert costs.forward.tolist() == pytest.approx([0.0, 1.0, 10.0, 0.0])
