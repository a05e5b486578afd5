"""The engine `highs`: reduce the carving problem exactly, solve its kernel with HiGHS, check what comes out with LPs.

For most genomes the kernel is small enough for the exact program, and the carving is proven best (`exact`). For small
or remote genomes it is not: re-weighted LPs propose reactions, the exact program chooses among them, and a second one,
with the chosen ones as core, adds whatever pays for itself (`rounds`); the LP relaxation gives the bound. Whatever the
way, the set that is returned has been checked: every reaction carries flux in a steady state of the returned network,
and growth and maintenance are feasible within the universe's bounds at a tolerance of 1e-9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csc_array, hstack

from gemforest.biomass import OMIT
from gemforest.draft.carving import Carving
from gemforest.draft.kernel import Limits, reweighted_rounds, solve_kernel
from gemforest.draft.problem import MAINTENANCE, CarvingOptions, Problem, build_problem
from gemforest.draft.purpose import unprofitable
from gemforest.draft.reduction import InfeasibleError, Residual, components, reduce_problem
from gemforest.errors import GenomeError
from gemforest.ledger import Reason
from gemforest.lp import LinearProgram, Status
from gemforest.universe import Universe, consistent

MIN_GROWTH = 0.1
"""Growth and ATP maintenance that CarveMe demands of a carving, h^-1 and mmol gDW^-1 h^-1."""
LARGEST_EXACT = 1800
"""Columns to be paid for up to which a component is solved exactly at once."""
EXACT = Limits(nodes=30, seconds=300.0)
CHOICE = Limits(nodes=20, seconds=120.0)
SEEDS = (0, 1, 2)
HALVINGS = 4


@dataclass(frozen=True)
class Ensemble:
    """How many alternatives to look for, and by what share of the best sum each may fall short of it."""

    size: int
    within: float


@dataclass
class _Search:
    """How a carving went, so far."""

    method: str = "exact"
    rounds: int = 0
    bound: float = 0.0
    limit_fired: str = ""


def carve(
    universe: Universe,
    scores: Mapping[str, float],
    options: CarvingOptions | None = None,
    close: Callable[[frozenset[str]], Universe] | None = None,
    ensemble: Ensemble | None = None,
) -> Carving:
    """Carve a universe: a pure function of its arguments.

    Parameters
    ----------
    scores
        Reaction to normalised score.
    options
        What CarveMe calls default score, uptake score, soft and hard constraints, reference.
    close
        From the reactions kept to the universe that they are a draft of, where `universe` is a variant to choose from
        (`biomass.py`).
    ensemble
        Alternatives to be found beside the best.

    Raises
    ------
    GenomeError
        `biomass_infeasible`, naming the precursors that cannot be made; `solver_failed`.
    """
    options = options or CarvingOptions()
    problem = build_problem(universe, scores, options)
    search = _Search()
    omitted: frozenset[str] = frozenset()
    try:
        kept = _pruned(problem, _search(problem, search), search)
        if close is not None:
            names = _names(universe, kept)
            omitted = frozenset(name for name in names if name.startswith(OMIT))
            # The bound is on the sum less what omissions cost; for these omissions it is one on the sum.
            search.bound += options.omission_cost * len(omitted)
            universe = close(names)
            problem = build_problem(universe, scores, options)
            kept = {j for j, reaction in enumerate(universe.network.reactions) if reaction in names}
        reactions = verified(universe, problem, kept)
        others = alternatives(universe, problem, reactions, ensemble) if ensemble else ()
    except InfeasibleError:
        raise _no_biomass(universe, problem) from None
    except ArithmeticError as error:
        raise GenomeError(Reason.SOLVER_FAILED, f"carving {universe.network.network_id}: {error}") from error
    names = _names(universe, np.flatnonzero(reactions))
    other_names = tuple(_names(universe, np.flatnonzero(other)) for other in others)
    return Carving(names, search.method, search.rounds, search.bound, search.limit_fired, omitted, other_names)


def _names(universe: Universe, kept: Iterable[int]) -> frozenset[str]:
    names = universe.network.reactions
    return frozenset(names[j] for j in kept if j < len(names))


def _pruned(problem: Problem, kept: set[int], search: _Search) -> set[int]:
    """A set that was not proven best, without what costs more than it brings."""
    if search.method == "exact" and not search.limit_fired:
        return kept
    columns = np.array(sorted(kept & set(problem.columns.tolist())), dtype=np.int64)
    able = consistent(csc_array(problem.stoichiometry[:, columns]), *_ends(problem, columns))
    gone = unprofitable(problem, columns[able])
    return kept - gone


def _ends(problem: Problem, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signs of bounds as bounds; the problem's columns may be more than the universe's reactions."""
    return np.where(problem.backward[columns], -1.0, 0.0), np.where(problem.forward[columns], 1.0, 0.0)


def _search(problem: Problem, search: _Search) -> set[int]:
    """Reactions of the best set that is found."""
    residual = reduce_problem(problem)
    kept = set(residual.core)
    search.bound = residual.base
    for part in components(residual):
        to_pay = sum(residual.gain[j] <= 0 for j in part)
        result = solve_kernel(residual, part, EXACT) if to_pay <= LARGEST_EXACT else None
        if result is not None and result.columns is not None:
            kept |= residual.reactions(set(result.columns))
            search.bound += result.bound
            search.limit_fired = search.limit_fired or result.limit_fired
            continue
        search.method = "rounds"
        search.bound += solve_kernel(residual, part, EXACT, relaxed=True).bound
        kept |= _by_rounds(problem, residual, part, search)
    return kept


def _by_rounds(problem: Problem, residual: Residual, part: list[int], search: _Search) -> set[int]:
    """Where the exact program is too large: propose, choose, add."""
    proposed: set[int] = set()
    best: set[int] = set()
    for seed in SEEDS:
        rounds = reweighted_rounds(residual, part, seed)
        search.rounds += rounds.count
        proposed |= residual.reactions(set(rounds.touched))
        best = best or residual.reactions(set(rounds.best))
    inside = residual.reactions(set(part))
    outside = set(problem.columns.tolist()) - inside
    free = {j for j in inside if problem.gain[j] >= 0}
    chosen = _solve_all(problem, outside & set(residual.core) | proposed | free, frozenset(), search) or best
    return _solve_all(problem, set(residual.core) | inside, frozenset(chosen), search) or chosen


def _solve_all(problem: Problem, columns: set[int], sunk: frozenset[int], search: _Search) -> set[int] | None:
    """Best set within some columns, what is sunk being paid for; None where the limit came first."""
    within = np.array(sorted(columns | set(problem.forced)), dtype=np.int64)
    residual = reduce_problem(problem, within, sunk)
    kept = set(residual.core)
    for part in components(residual):
        result = solve_kernel(residual, part, CHOICE)
        search.limit_fired = search.limit_fired or result.limit_fired
        if result.columns is None:
            return None
        kept |= residual.reactions(set(result.columns))
    return kept


def verified(universe: Universe, problem: Problem, kept: set[int]) -> np.ndarray:
    """The kept reactions that carry flux, with their exchanges, grown where need be until growth is feasible.

    Returns
    -------
    n, bool over the universe.
    """
    network = universe.network
    matrix = network.stoichiometry
    inside = np.zeros(len(network.reactions), dtype=bool)
    inside[[j for j in kept if j < len(inside)]] = True
    inside |= _exchanges_of(universe, inside)
    inside[inside] = _carries_flux(problem, matrix, inside)
    if not _grows(universe, problem, inside):
        inside |= _least_growing(universe, problem, inside)
        inside |= _exchanges_of(universe, inside)
        inside[inside] = _carries_flux(problem, matrix, inside)
        if not _grows(universe, problem, inside):
            raise GenomeError(Reason.SOLVER_FAILED, "the carved network does not grow at a tolerance of 1e-9")
    return inside


def _carries_flux(problem: Problem, matrix: csc_array, inside: np.ndarray) -> np.ndarray:
    columns = np.flatnonzero(inside)
    return consistent(csc_array(matrix[:, columns]), problem.lower[columns], problem.upper[columns])


def _exchanges_of(universe: Universe, inside: np.ndarray) -> np.ndarray:
    """Exchanges of the metabolites that kept reactions touch."""
    network = universe.network
    internal = inside & ~network.exchanges
    touched = np.zeros(len(network.metabolites), dtype=bool)
    touched[network.stoichiometry[:, np.flatnonzero(internal)].indices] = True
    found = np.zeros(len(inside), dtype=bool)
    for j in np.flatnonzero(network.exchanges):
        found[j] = touched[network.stoichiometry.indices[network.stoichiometry.indptr[j]]]
    return found


def alternatives(universe: Universe, problem: Problem, best: np.ndarray, ensemble: Ensemble) -> tuple[np.ndarray, ...]:
    """Other sets whose sum is within a share of the best: n, bool each; fewer than asked for where there are no more.

    Reactions that re-weighted LPs propose, with the best set, make a small problem that is reduced once; then, as in
    CarveMe's ensembles, the prices of reactions without evidence are drawn at random, log-normally, and each draw is
    solved and judged by the real prices. A draw that falls short of the share is drawn again at half the spread.
    """
    kept = {int(j) for j in np.flatnonzero(best)} & set(problem.columns.tolist())
    whole = reduce_problem(problem)
    offered = kept | set(whole.core) | {int(j) for j in problem.columns if problem.gain[j] >= 0}
    for part in components(whole):
        for seed in SEEDS:
            offered |= whole.reactions(set(reweighted_rounds(whole, part, seed).touched))
    spread = float(np.std(np.log(problem.gain[problem.gain > 0]))) if (problem.gain > 0).any() else 0.0
    least = _sum(problem, best) - ensemble.within * abs(_sum(problem, best))
    found: list[np.ndarray] = []
    for number in range(ensemble.size):
        rng = np.random.default_rng(number)
        for halving in range(HALVINGS):
            drawn = _redrawn(problem, rng, spread / 2**halving)
            columns = _solve_all(drawn, offered, frozenset(), _Search())
            other = None if columns is None else verified(universe, problem, columns)
            if other is not None and _sum(problem, other) >= least:
                found.append(other)
                break
    return tuple(found)


def _sum(problem: Problem, reactions: np.ndarray) -> float:
    return float(problem.gain[np.flatnonzero(reactions)].sum())


def _redrawn(problem: Problem, rng: np.random.Generator, spread: float) -> Problem:
    """The problem with other prices."""
    factors = np.exp(spread * rng.standard_normal(len(problem.gain)))
    return replace(problem, gain=np.where(problem.gain < 0, problem.gain * factors, problem.gain))


def _growth_bounds(universe: Universe, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    lower, upper = problem.lower.copy(), problem.upper.copy()
    network = universe.network
    lower[network.biomass] = max(lower[network.biomass], MIN_GROWTH)
    if MAINTENANCE in network.reactions:
        maintenance = network.reactions.index(MAINTENANCE)
        lower[maintenance] = max(lower[maintenance], MIN_GROWTH)
    return lower, upper


def _grows(universe: Universe, problem: Problem, inside: np.ndarray) -> bool:
    lower, upper = _growth_bounds(universe, problem)
    if (lower[~inside] > 0).any() or (upper[~inside] < 0).any():
        return False
    columns = np.flatnonzero(inside)
    program = LinearProgram(universe.network.stoichiometry[:, columns], lower[columns], upper[columns])
    return program.solve().status is Status.OPTIMAL


def _least_growing(universe: Universe, problem: Problem, inside: np.ndarray) -> np.ndarray:
    """Reactions with flux in a growing state of the universe that uses as little as possible beyond the kept ones."""
    lower, upper = _growth_bounds(universe, problem)
    matrix = universe.network.stoichiometry
    n = len(inside)
    price = np.where(inside, 1e-4, np.maximum(-problem.gain[:n], 0.1))
    split = csc_array(hstack([matrix, -matrix]))
    low = np.concatenate([np.maximum(lower, 0.0), np.maximum(-upper, 0.0)])
    high = np.concatenate([np.maximum(upper, 0.0), np.maximum(-lower, 0.0)])
    solution = LinearProgram(split, low, high, costs=np.concatenate([price, price])).solve()
    if solution.status is Status.INFEASIBLE:
        raise _no_biomass(universe, problem)
    if solution.values is None:
        raise GenomeError(Reason.SOLVER_FAILED, f"the LP for the least growing network ended with {solution.status}")
    return np.asarray(np.abs(solution.values[:n] - solution.values[n:]) > 1e-9)


def _no_biomass(universe: Universe, problem: Problem) -> GenomeError:
    """The reason, naming the precursors that cannot be made each by itself."""
    network = universe.network
    lower, upper = np.minimum(problem.lower, 0.0), np.maximum(problem.upper, 0.0)
    column = network.stoichiometry[:, [network.biomass]].toarray().ravel()
    demand = csc_array(([-1.0], ([0], [0])), shape=(len(column), 1))
    blocked = []
    program = LinearProgram(
        csc_array(hstack([network.stoichiometry, demand])),
        np.append(lower, 0.0),
        np.append(upper, 1.0),
        costs=np.append(np.zeros(len(lower)), 1.0),
        maximize=True,
    )
    program.set_bounds(network.biomass, 0.0, 0.0)
    program.set_coefficient(0, len(lower), 0.0)
    for i in np.flatnonzero(column < 0):
        program.set_coefficient(int(i), len(lower), -1.0)
        solution = program.solve()
        if not solution.objective > 1e-6:
            blocked.append(network.metabolites[i])
        program.set_coefficient(int(i), len(lower), 0.0)
    if blocked:
        what = f"these biomass components cannot be made: {', '.join(blocked)}"
    else:
        what = "each biomass component can be made, but not all together with ATP maintenance and the forced fluxes"
    return GenomeError(Reason.BIOMASS_INFEASIBLE, f"universe {network.network_id} under the given constraints: {what}")
