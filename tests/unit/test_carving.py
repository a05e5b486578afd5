"""The engine highs: the best set by exhaustion on small networks, sound drafts on real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csc_array

from gemforest.draft.highs_engine import carve
from gemforest.draft.kernel import Limits, solve_kernel
from gemforest.draft.problem import CarvingOptions, Problem
from gemforest.draft.reduction import InfeasibleError, components, reduce_problem
from gemforest.errors import GenomeError
from gemforest.fluxes import growth, with_bounds
from gemforest.ledger import Reason
from gemforest.universe import Universe, consistent, load_universe, subnetwork

LIMITS = Limits(nodes=1000, seconds=60.0)


@pytest.fixture(scope="module")
def gramneg(tmp_path_factory: pytest.TempPathFactory) -> Universe:
    return load_universe("gramneg", tmp_path_factory.mktemp("universes"))


def scores_of(universe: Universe, seed: int) -> dict[str, float]:
    """Scores for a third of the universe's reactions, as a genome would give them."""
    rng = np.random.default_rng(seed)
    inner = [r for r in universe.network.reactions if not r.startswith("EX_") and r not in ("ATPM", "Growth")]
    chosen = sorted(rng.choice(inner, len(inner) // 3, replace=False).tolist())
    return dict(zip(chosen, np.round(rng.uniform(0.1, 2.5, len(chosen)), 1).tolist(), strict=True))


def random_problem(rng: np.random.Generator) -> Problem:
    m, n = int(rng.integers(2, 6)), int(rng.integers(6, 10))
    dense = np.zeros((m, n))
    for j in range(n):
        size = int(rng.integers(1, 4))
        rows = rng.choice(m, min(size, m), replace=False)
        dense[rows, j] = rng.choice([-2, -1, -1, -1, 1, 1, 1, 2], len(rows))
    backward = rng.random(n) < 0.35
    backward[0] = False
    gain = np.where(rng.random(n) < 0.5, rng.integers(1, 20, n) / 10.0, -1.0)
    gain[0] = 0.0
    forward = np.ones(n, dtype=bool)
    bounds = np.where(backward, -1000.0, 0.0), np.full(n, 1000.0)
    return Problem(csc_array(dense), gain, forward, backward, np.arange(n), (0,), *bounds)


def best_by_exhaustion(problem: Problem) -> float | None:
    """Largest sum over all sets with the first reaction in which every reaction carries flux."""
    best = None
    n = len(problem.gain)
    for mask in range(1, 2**n, 2):
        members = np.array([j for j in range(n) if mask >> j & 1])
        total = float(problem.gain[members].sum())
        if best is not None and total <= best + 1e-9:
            continue
        part = csc_array(problem.stoichiometry[:, members])
        if consistent(part, problem.lower[members], problem.upper[members]).all():
            best = total
    return best


@pytest.mark.parametrize("seed", range(60))
def test_reduction_and_kernel_find_the_best_set_of_small_networks(seed: int) -> None:
    problem = random_problem(np.random.default_rng(seed))
    expected = best_by_exhaustion(problem)
    if expected is None:
        with pytest.raises((InfeasibleError, ArithmeticError)):
            residual = reduce_problem(problem)
            for part in components(residual):
                solve_kernel(residual, part, LIMITS)
        return
    residual = reduce_problem(problem)
    kept, bound = set(residual.core), residual.base
    for part in components(residual):
        result = solve_kernel(residual, part, LIMITS)
        assert result.columns is not None
        kept |= residual.reactions(set(result.columns))
        bound += result.bound
    members = np.array(sorted(kept))
    assert problem.gain[members].sum() == pytest.approx(expected, abs=1e-9)
    assert bound == pytest.approx(expected, abs=1e-3)
    part = csc_array(problem.stoichiometry[:, members])
    assert consistent(part, problem.lower[members], problem.upper[members]).all()


def test_a_draft_carries_flux_everywhere_grows_and_stays_below_its_bound(gramneg: Universe) -> None:
    scores = scores_of(gramneg, 1)
    carving = carve(gramneg, scores)
    draft = subnetwork(gramneg, sorted(carving.reactions), {}, "draft")
    assert consistent(draft.stoichiometry, draft.lower, draft.upper).all()
    status, rate = growth(with_bounds(draft, {"ATPM": (0.1, 1000.0)}))
    assert status == "optimal" and rate >= 0.1
    unpaid = {r for r in carving.reactions if r.startswith("EX_")} | {"ATPM", "Growth"}
    total = sum(scores.get(r, -1.0) for r in carving.reactions - unpaid)
    assert total <= carving.bound + 1e-6
    assert total >= 0.95 * carving.bound
    without = {r for r in carving.reactions if r not in scores}
    assert set(carving.why) == without


def test_the_same_scores_give_the_same_draft_whatever_their_order_and_the_hash_seed(
    gramneg: Universe, tmp_path: Path
) -> None:
    scores = scores_of(gramneg, 2)
    carving = carve(gramneg, dict(reversed(list(scores.items()))))
    script = (
        "import sys; from pathlib import Path; from gemforest.universe import load_universe;"
        "from gemforest.draft.highs_engine import carve; sys.path.insert(0, sys.argv[2]);"
        "from test_carving import scores_of; u = load_universe('gramneg', Path(sys.argv[1]));"
        "print('\\n'.join(sorted(carve(u, scores_of(u, 2)).reactions)))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "11", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent)]
    other = subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stdout
    assert other.split() == sorted(carving.reactions)


def test_without_any_score_the_draft_is_a_small_growing_network(gramneg: Universe) -> None:
    carving = carve(gramneg, {})
    draft = subnetwork(gramneg, sorted(carving.reactions), {}, "bare")
    status, rate = growth(draft)
    assert status == "optimal" and rate >= 0.1
    assert len(draft.reactions) < 700


def test_with_every_reaction_scored_the_whole_universe_is_kept(gramneg: Universe) -> None:
    inner = [r for r in gramneg.network.reactions if not r.startswith("EX_")]
    carving = carve(gramneg, dict.fromkeys(inner, 1.0))
    able = np.flatnonzero(~gramneg.blocked)
    assert carving.reactions == {gramneg.network.reactions[j] for j in able}


def test_an_impossible_constraint_names_the_precursors_that_it_blocks(gramneg: Universe) -> None:
    closed = CarvingOptions(hard_constraints={"EX_mg2_e": (0.0, 0.0)})
    with pytest.raises(GenomeError) as error:
        carve(gramneg, {}, closed)
    assert error.value.reason is Reason.BIOMASS_INFEASIBLE
    assert "mg2_c" in error.value.detail


def test_soft_constraints_and_reference_reactions_change_what_is_worth_keeping(gramneg: Universe) -> None:
    scores = scores_of(gramneg, 3)
    plain = carve(gramneg, scores)
    absent = sorted(r for r in gramneg.network.reactions if r not in plain.reactions and r not in scores)[:40]
    reference = CarvingOptions(reference_reactions=frozenset([*absent, "FOREIGN"]), reference_score=5.0)
    assert carve(gramneg, scores, reference).reactions & set(absent)
    unwanted = sorted(r for r in plain.reactions if r in scores and scores[r] < 0.5)[:5]
    against = carve(gramneg, scores, CarvingOptions(soft_constraints=dict.fromkeys(unwanted, 0), soft_score=50.0))
    assert not against.reactions & set(unwanted)
