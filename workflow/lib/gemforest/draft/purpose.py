"""What the reactions of a draft are there for, and which way they can run.

Reactions without evidence are in a draft for the sake of others: of growth, or of scored reactions that would be
blocked without them. To find out which, the draft is reduced: what can run on evidence alone is taken out, what is
fully coupled is merged, and in the small rest each reaction without evidence is taken away in turn, to see what stops.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from gemforest.draft.problem import MAINTENANCE, Problem
from gemforest.draft.reduction import Residual, components, matrix_of, reduce_couplings
from gemforest.lp import LinearProgram, Method, Settings, Status
from gemforest.models import Network
from gemforest.reduction import reduce_network
from gemforest.universe import Universe, consistent

_RUNS = 1e-6
_MOST = 1000.0
MOST_TRIED = 120
"""Sets of reactions whose worth is looked at again where a draft is not proven best."""


@dataclass(frozen=True)
class Purpose:
    """Why a reaction without evidence is in a draft.

    Attributes
    ----------
    growth
        Whether growth or maintenance is impossible without it.
    serves
        The scored reactions that are blocked without it, sorted.
    """

    growth: bool
    serves: tuple[str, ...]


def purposes(universe: Universe, problem: Problem, kept: np.ndarray, scored: Collection[str]) -> dict[str, Purpose]:
    """Reaction without evidence to its purpose; exchanges left out.

    Parameters
    ----------
    kept
        n, bool over the universe: reactions of a draft that all carry flux.
    scored
        Reactions that are in need of no excuse.
    """
    network = universe.network
    names = network.reactions
    vital = {j for j, r in enumerate(names) if r == MAINTENANCE or j == network.biomass}
    held = [int(j) for j in np.flatnonzero(kept)]
    free = {j for j in held if names[j] in scored or network.exchanges[j]} | vital
    columns = np.array([j for j in problem.columns if j < len(kept) and kept[j]], dtype=np.int64)
    residual = reduce_couplings(problem, columns, free)
    found = {}
    part_of = _parts(residual)
    for column in sorted(residual.columns):
        excused = [j for j in residual.members[column] if j not in free]
        if not excused:
            continue
        stopped = _stopped(residual, column, part_of[column])
        purpose = Purpose(bool(stopped & vital), tuple(sorted(names[j] for j in stopped & free if names[j] in scored)))
        found.update({names[j]: purpose for j in excused})
    # What an exchange or scored reaction merely allows to run is needed by nothing.
    idle = (j for j in columns if j not in free and names[j] not in found)
    found.update({names[j]: Purpose(False, ()) for j in idle})
    return found


def unprofitable(problem: Problem, columns: np.ndarray) -> set[int]:
    """Reactions whose loss, with all that then stops, makes the sum larger; forced ones are never lost.

    One pass, the dearest first, over at most `MOST_TRIED` sets of coupled reactions.

    Parameters
    ----------
    columns
        Reactions that all carry flux together.
    """
    forced = set(problem.forced)
    residual = reduce_couplings(problem, columns, {int(j) for j in columns if problem.gain[j] >= 0 or int(j) in forced})
    part_of = _parts(residual)
    price = {j: float(problem.gain[residual.members[j]].sum()) for j in residual.columns}
    gone: set[int] = set()
    for column in sorted((j for j in price if price[j] < 0), key=lambda j: (price[j], j))[:MOST_TRIED]:
        if residual.members[column][0] in gone:
            continue
        left = [j for j in part_of[column] if residual.members[j][0] not in gone]
        stopped = _stopped(residual, column, left)
        if not stopped & forced and problem.gain[sorted(stopped)].sum() < 0:
            gone |= stopped
    return gone


def _stopped(residual: Residual, column: int, part: list[int]) -> set[int]:
    """Reactions of a part of the network that cannot run without a column, its own members included."""
    rest = [j for j in part if j != column]
    stopped = set(residual.members[column])
    if rest:
        lower = np.array([-1.0 if j in residual.backward else 0.0 for j in rest])
        upper = np.array([1.0 if j in residual.forward else 0.0 for j in rest])
        able = consistent(matrix_of(residual, rest), lower, upper)
        stopped |= residual.reactions({j for j, ok in zip(rest, able, strict=True) if not ok})
    return stopped


def _parts(residual: Residual) -> dict[int, list[int]]:
    """Column to all columns joined to it by shared rows, sorted."""
    return {j: part for part in components(residual) for j in part}


def directions(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Which reactions can run forwards, and which backwards, in some steady state: n, bool each.

    Every reaction must be able to carry flux; only the signs of bounds count. On the reduced network, random objectives
    show most directions, and each that is left gets a program of its own.
    """
    low = np.asarray(np.where(network.lower < 0, -1.0, 0.0))
    high = np.asarray(np.where(network.upper > 0, 1.0, 0.0))
    reduction = reduce_network(network, low, high)
    least, most = reduction.lower, reduction.upper
    able = np.array([most > 0, least < 0])
    seen = able & ~able.all(axis=0)
    # Biomass takes as little as 1e-5 of a cofactor: unit bounds would leave its fluxes below what counts as running.
    bounds = np.where(least < 0, -_MOST, 0.0), np.where(most > 0, _MOST, 0.0)
    settings = Settings(method=Method.PRIMAL, perturb=False)
    program = LinearProgram(reduction.stoichiometry, *bounds, maximize=True, settings=settings)
    rng = np.random.default_rng(0)
    idle = 0
    while idle < 3 and not (seen == able).all():
        unseen = able & ~seen
        sides = np.where(unseen.all(axis=0), rng.choice([-1.0, 1.0], len(least)), 1.0 * unseen[0] - 1.0 * unseen[1])
        idle = 0 if _look(program, sides * rng.uniform(0.5, 1.5, len(least)), seen) else idle + 1
    for side, sign in enumerate((1.0, -1.0)):
        for j in np.flatnonzero(able[side]):
            if not seen[side, j]:
                costs = np.zeros(len(least))
                costs[j] = sign
                _look(program, costs, seen)
    of = seen[:, reduction.column] & (reduction.column >= 0)
    along = reduction.ratio > 0
    return np.where(along, of[0], of[1]), np.where(along, of[1], of[0])


def _look(program: LinearProgram, costs: np.ndarray, seen: np.ndarray) -> bool:
    """Solve for an objective and note who runs; whether anything new was seen."""
    program.set_objective(costs)
    status = program.run()
    values = program.values()
    if status is not Status.OPTIMAL or values is None:
        raise ArithmeticError(f"the search for directions ended with {status}")
    before = int(seen.sum())
    seen |= np.array([values > _RUNS, values < -_RUNS])
    return int(seen.sum()) > before
