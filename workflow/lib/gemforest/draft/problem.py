"""The carving problem: which reactions to keep so that the sum of their gains is largest.

Choose a set A of reactions of the universe such that every reaction of A can carry flux in some steady state within
A, biomass and ATP maintenance included, and the sum of gains over A is largest. This is what CarveMe's MILP (Machado
et al. 2018) is after, without its limits of flux: flux vectors add up and scale, so only the signs of the bounds
matter, a set is feasible when all its reactions carry flux in one vector together, and two feasible sets make one.

Two rewritings keep the supports and mend the scale. Metabolites whose exchange is open in both directions at no cost
impose nothing, so their rows and exchanges go. Biomass contains as much ATP hydrolysis as growth needs; the part that
is the maintenance reaction itself is taken out, for that runs in every feasible set anyway at any level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csc_array, hstack

from gemforest.biomass import OMIT, is_biomass_pool
from gemforest.universe import Universe

MAINTENANCE = "ATPM"
FREE_DEFAULT = -1e-6
"""Gain of reactions without evidence where the user says 0: none is kept that serves nothing."""


@dataclass(frozen=True)
class CarvingOptions:
    """How gains are made of scores; names and meaning are CarveMe's.

    Attributes
    ----------
    default_score
        Gain of a reaction without a score; not for exchanges, ATP maintenance and biomass.
    uptake_score
        Gain of each exchange that takes up; 0 or less (more would be given to all of them for nothing).
    soft_constraints
        Reaction to expected direction: 1 or -1 is rewarded with `soft_score` in this direction and closes the other
        one, 0 costs `soft_score`.
    hard_constraints
        Reaction to (lower, upper) bounds; a lower bound above 0 forces the flux.
    reference_reactions, reference_score
        Reactions of a curated model of a relative: a scored one gains twice its score plus `reference_score`, another
        one three times `reference_score`.
    omission_cost
        Price of a biomass part left out, in the universe's variant `~open` (`biomass.py`): a part is left out where
        its cheapest route costs more.
    """

    default_score: float = -1.0
    uptake_score: float = 0.0
    soft_constraints: Mapping[str, int] = field(default_factory=dict)
    soft_score: float = 1.0
    hard_constraints: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    reference_reactions: frozenset[str] = frozenset()
    reference_score: float = 0.0
    omission_cost: float = 4.0


@dataclass(frozen=True)
class Problem:
    """A carving problem over some reactions of a universe.

    Attributes
    ----------
    stoichiometry
        m x n over all reactions of the universe; rows that impose nothing are empty. Where uptake costs, n is larger
        than the universe: exchanges take up only, and their free secretions follow as further columns.
    gain
        n; 0 for exchanges, maintenance and biomass.
    forward, backward
        n, bool: directions that the bounds allow.
    columns
        Sorted indices of the reactions that take part.
    forced
        Indices of reactions that must carry flux, and of those that growth cannot do without.
    lower, upper
        n: bounds of the universe with hard constraints applied.
    """

    stoichiometry: csc_array
    gain: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    columns: np.ndarray
    forced: tuple[int, ...]
    lower: np.ndarray
    upper: np.ndarray


def build_problem(universe: Universe, scores: Mapping[str, float], options: CarvingOptions) -> Problem:
    """Gains, directions and forced reactions of one genome.

    Parameters
    ----------
    scores
        Reaction to normalised score; reactions that the universe does not have are left out.
    """
    network = universe.network
    index = {reaction: j for j, reaction in enumerate(network.reactions)}
    lower, upper = network.lower.copy(), network.upper.copy()
    for reaction, (low, high) in sorted(options.hard_constraints.items()):
        if reaction in index:
            lower[index[reaction]], upper[index[reaction]] = low, high
    gain = _gains(universe, scores, options)
    for reaction, sign in sorted(options.soft_constraints.items()):
        if reaction in index and sign > 0 and upper[index[reaction]] > 0:
            lower[index[reaction]] = max(lower[index[reaction]], 0.0)
        elif reaction in index and sign < 0 and lower[index[reaction]] < 0:
            upper[index[reaction]] = min(upper[index[reaction]], 0.0)
    forward, backward = upper > 0, lower < 0
    free = network.exchanges & forward & backward & (lower <= 0) & (upper >= 0) & (options.uptake_score >= 0)
    matrix = _without_rows(network.stoichiometry, network.stoichiometry[:, np.flatnonzero(free)].indices)
    columns = np.flatnonzero(~free & ~universe.blocked & (forward | backward))
    if options.uptake_score < 0:
        secreting = np.flatnonzero(network.exchanges & forward)
        columns = np.concatenate([columns, len(gain) + np.arange(len(secreting))])
        matrix = csc_array(hstack([matrix, matrix[:, secreting]]))
        gain = np.concatenate([gain, np.zeros(len(secreting))])
        forward = np.concatenate([forward & ~network.exchanges, np.ones(len(secreting), dtype=bool)])
        backward = np.concatenate([backward, np.zeros(len(secreting), dtype=bool)])
    forced = {network.biomass, *np.flatnonzero((lower > 0) | (upper < 0)).tolist()}
    if MAINTENANCE in index:
        forced.add(index[MAINTENANCE])
        matrix = _without_maintenance(matrix, network.biomass, index[MAINTENANCE])
    forced.update(np.flatnonzero(universe.essential & ~free).tolist())
    return Problem(matrix, gain, forward, backward, columns, tuple(sorted(forced)), lower, upper)


def _gains(universe: Universe, scores: Mapping[str, float], options: CarvingOptions) -> np.ndarray:
    network = universe.network
    default = options.default_score if options.default_score != 0 else FREE_DEFAULT
    gain = np.full(len(network.reactions), default)
    for j, reaction in enumerate(network.reactions):
        if reaction.startswith("EX_"):
            gain[j] = min(options.uptake_score, 0.0) if network.lower[j] < 0 else 0.0
        elif reaction.startswith(OMIT):
            gain[j] = -options.omission_cost
        elif reaction == MAINTENANCE or j == network.biomass or is_biomass_pool(reaction):
            gain[j] = 0.0
        elif reaction in options.soft_constraints:
            gain[j] = _soft_gain(options.soft_constraints[reaction], network.lower[j], network.upper[j], options)
        elif reaction in options.reference_reactions:
            score = scores.get(reaction, options.reference_score)
            gain[j] = 2 * score + options.reference_score
        elif reaction in scores:
            gain[j] = scores[reaction]
    return gain


def _soft_gain(direction: int, lower: float, upper: float, options: CarvingOptions) -> float:
    """A direction that the reaction cannot take earns nothing."""
    if direction == 0:
        return -options.soft_score
    possible = upper > 0 if direction > 0 else lower < 0
    return options.soft_score if possible else 0.0


def _without_rows(matrix: csc_array, rows: np.ndarray) -> csc_array:
    keep = ~np.isin(matrix.indices, rows)
    counts = np.concatenate([[0], np.cumsum(keep)])[matrix.indptr]
    return csc_array((matrix.data[keep], matrix.indices[keep], counts), shape=matrix.shape)


def _without_maintenance(matrix: csc_array, biomass: int, maintenance: int) -> csc_array:
    """Take the ATP hydrolysis out of biomass."""
    growth, hydrolysis = (matrix[:, [j]].toarray().ravel() for j in (biomass, maintenance))
    rows = np.flatnonzero(hydrolysis)
    shares = growth[rows] / hydrolysis[rows]
    if not len(rows) or shares.min() <= 0:
        return matrix
    growth -= np.median(shares) * hydrolysis
    growth[np.abs(growth) < 1e-9] = 0.0
    changed = matrix.tolil()
    changed[:, [biomass]] = growth[:, None]
    return csc_array(changed.tocsc())
