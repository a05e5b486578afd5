"""The engine highs: the best set by exhaustion on small networks, sound drafts on real ones."""

from __future__ import annotations

import csv
import gzip
import os
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from projects import REPOSITORY
from scipy.sparse import csc_array

from gemforest.biomass import is_biomass_pool
from gemforest.carveme_files import carveme_data
from gemforest.config import complete
from gemforest.draft import STAGE, make_draft
from gemforest.draft.carving import Carving
from gemforest.draft.highs_engine import Ensemble, carve
from gemforest.draft.kernel import Limits, solve_kernel
from gemforest.draft.problem import CarvingOptions, Problem
from gemforest.draft.reduction import InfeasibleError, components, reduce_problem
from gemforest.errors import GenomeError
from gemforest.evidence.scores import ReactionScore, Rules, load_rules, score_reactions
from gemforest.fluxes import growth, with_bounds
from gemforest.ledger import Reason
from gemforest.universe import Universe, consistent, load_universe, subnetwork

LIMITS = Limits(nodes=1000, seconds=60.0)


@pytest.fixture(scope="module")
def cache() -> Path:
    return REPOSITORY / "resources" / "cache"


@pytest.fixture(scope="module")
def gramneg(cache: Path) -> Universe:
    return load_universe("gramneg", cache)


@pytest.fixture(scope="module")
def ecoli() -> dict[str, float]:
    return scores_of("Ecoli_K12_MG1655")


def scores_of(genome: str) -> dict[str, float]:
    """Normalised scores of a proteome."""
    return {s.reaction: s.normalized_score for s in evidence_of(genome)}


def evidence_of(genome: str, rules: Rules | None = None) -> list[ReactionScore]:
    """Scored reactions (of all that BiGG has) of a proteome from the hits that the carveme package carries for it."""
    hits = pd.read_csv(carveme_data(f"benchmark/fasta/{genome}.tsv"), sep="\t", header=None)
    columns = (hits[0].to_numpy(), hits[1].to_numpy().astype(str), hits[11].to_numpy(dtype=float))
    return score_reactions(rules or _rules(), *columns)


@lru_cache(maxsize=1)
def _rules() -> Rules:
    with gzip.open(carveme_data("generated/bigg_gprs.csv.gz"), "rt") as handle:
        reactions = {line.split(",")[2].removeprefix("R_") for line in handle}
    return load_rules(sorted(reactions))


def total_of(carving: Carving, scores: dict[str, float]) -> float:
    unpaid = {r for r in carving.reactions if r.startswith("EX_") or is_biomass_pool(r)} | {"ATPM", "Growth"}
    return sum(scores.get(r, -1.0) for r in carving.reactions - unpaid)


def sound(universe: Universe, reactions: frozenset[str]) -> bool:
    """Whether every reaction carries flux and growth with maintenance is feasible."""
    draft = subnetwork(universe, sorted(reactions), {}, "draft")
    status, rate = growth(with_bounds(draft, {"ATPM": (0.1, 1000.0)}))
    return bool(consistent(draft.stoichiometry, draft.lower, draft.upper).all()) and status == "optimal" and rate >= 0.1


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


def test_a_draft_carries_flux_everywhere_grows_and_is_proven_best(gramneg: Universe, ecoli: dict[str, float]) -> None:
    carving = carve(gramneg, ecoli)
    assert sound(gramneg, carving.reactions)
    assert carving.method == "exact" and not carving.limit_fired
    assert total_of(carving, ecoli) == pytest.approx(carving.bound, abs=1e-3)


def test_the_same_scores_give_the_same_draft_whatever_came_before_their_order_and_the_hash_seed(
    gramneg: Universe, ecoli: dict[str, float], cache: Path
) -> None:
    carve(gramneg, dict.fromkeys(ecoli, 1.0))
    carving = carve(gramneg, dict(reversed(list(ecoli.items()))))
    script = (
        "import sys; from pathlib import Path; from gemforest.universe import load_universe;"
        "from gemforest.draft.highs_engine import carve; sys.path.insert(0, sys.argv[2]);"
        "from test_carving import scores_of; u = load_universe('gramneg', Path(sys.argv[1]));"
        "print('\\n'.join(sorted(carve(u, scores_of('Ecoli_K12_MG1655')).reactions)))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "11", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(cache), str(Path(__file__).parent)]
    other = subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stdout
    assert other.split() == sorted(carving.reactions)


def test_an_ensemble_holds_different_sound_drafts_within_the_share_asked_for(
    gramneg: Universe, ecoli: dict[str, float]
) -> None:
    carving = carve(gramneg, ecoli, ensemble=Ensemble(size=3, within=0.01))
    best = total_of(carving, ecoli)
    assert len(set(carving.alternatives) | {carving.reactions}) == 4
    for reactions in carving.alternatives:
        assert sound(gramneg, reactions)
        other = total_of(replace(carving, reactions=reactions), ecoli)
        assert 0.99 * best <= other <= best + 1e-6


def test_without_any_score_the_draft_is_a_small_growing_network(gramneg: Universe) -> None:
    carving = carve(gramneg, {})
    assert sound(gramneg, carving.reactions)
    assert len(carving.reactions) < 700


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


def test_constraints_and_reference_reactions_change_what_is_worth_keeping(
    gramneg: Universe, ecoli: dict[str, float]
) -> None:
    plain = carve(gramneg, ecoli)
    able = {r for r, b in zip(gramneg.network.reactions, gramneg.blocked, strict=True) if not b}
    absent = sorted(r for r in able if r not in plain.reactions and r not in ecoli)[:40]
    unwanted = sorted(r for r in plain.reactions if r in ecoli and ecoli[r] < 0.5)[:5]
    options = CarvingOptions(
        reference_reactions=frozenset([*absent, "FOREIGN"]),
        reference_score=5.0,
        soft_constraints=dict.fromkeys(unwanted, 0),
        soft_score=50.0,
        hard_constraints={"PFK": (0.0, 0.0), "TALA": (0.0, 1000.0)},
    )
    carving = carve(gramneg, ecoli, options)
    assert set(absent) <= carving.reactions
    assert not carving.reactions & {*unwanted, "PFK"}
    assert "TALA" in plain.reactions


@pytest.mark.parametrize(
    ("name", "has"),
    [("archaea", {"MCR", "HDR", "FMFD_b"}), ("cyanobacteria", {"PRUK"})],
)
def test_the_other_domains_get_sound_drafts_with_what_they_live_on(name: str, has: set[str], cache: Path) -> None:
    # Scores of Methanococcus maripaludis S2 and Synechococcus elongatus PCC 7942, from genes called on their genomes.
    with (Path(__file__).parent / "lineage_scores.tsv").open(encoding="utf-8") as handle:
        rows = csv.DictReader(handle, delimiter="\t")
        scores = {row["reaction"]: float(row["normalized_score"]) for row in rows if row["universe"] == name}
    universe = load_universe(name, cache)
    carving = carve(universe, scores)
    assert sound(universe, carving.reactions)
    assert has <= carving.reactions
    assert 0.9 * carving.bound <= total_of(carving, scores) <= carving.bound + 1e-6


def test_foreign_ids_of_a_users_files_are_told_and_left_out(
    ecoli: dict[str, float], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = CarvingOptions(reference_reactions=frozenset({"PFK", "rxn00148_c0"}), reference_score=1.0)
    parameters = STAGE.settings(complete({"draft": {"biomass": "universe"}}))
    draft = make_draft("gramneg", ecoli, {}, options, parameters, cache)
    assert "PFK" in draft.carving.reactions
    assert "1 of 2 reactions" in caplog.text and "rxn00148_c0" in caplog.text
