"""Reactions without a gene that nothing needs: what lets a compound into metabolism that the organism cannot use.

Drafts hold many of them (carving pays little for a reaction that connects others), and most sources that a model
wrongly grows on come in over one. Which of them are needed: the least total flux through reactions without gene at a
share of the highest growth, on one medium or on each of several (one linear programme each). What fewer than a share
of these growths use is closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import csc_array, hstack

from gemforest.fluxes import boundary
from gemforest.lp import LinearProgram
from gemforest.models import Network

_USED = 1e-9


def without_gene(network: Network, spared: frozenset[str] = frozenset()) -> np.ndarray:
    """n, bool: reactions within the cell that no gene stands for; maintenance, growth and `spared` are none."""
    return np.array(
        [
            not gpr and not end and not aim and reaction != "ATPM" and reaction not in spared
            for reaction, gpr, end, aim in zip(
                network.reactions, network.gprs, boundary(network), network.objective, strict=True
            )
        ]
    )


def unneeded(
    network: Network,
    suspects: np.ndarray,
    media: Sequence[Mapping[str, tuple[float, float]]],
    growth_kept: float,
    shared_by: float = 0.0,
) -> np.ndarray:
    """n, bool: suspects that growth can do without.

    Parameters
    ----------
    suspects
        n, bool.
    media
        Bounds of exchanges, one mapping per medium; a medium without growth says nothing.
    growth_kept
        Share of the highest growth on each medium that must stand, in (0, 1].
    shared_by
        A suspect is needed when more than this share of the media with growth use it; 0: any.
    """
    n = len(network.reactions)
    index = {reaction: j for j, reaction in enumerate(network.reactions)}
    matrix = csc_array(hstack([network.stoichiometry, -network.stoichiometry]))
    low, high = _two_ways(network.lower, network.upper)
    costs = np.concatenate([suspects, suspects]).astype(float)
    aim = np.concatenate([network.objective, -network.objective])
    program = LinearProgram(matrix, low, high, costs=aim, maximize=True)
    uses, growing = np.zeros(n), 0
    for bounds in media:
        columns = np.array([index[reaction] for reaction in bounds], dtype=np.int64)
        pairs = np.array(list(bounds.values()))
        both = np.concatenate([columns, columns + n])
        program.set_bounds(both, *_two_ways(pairs[:, 0], pairs[:, 1]))
        program.set_objective(aim, maximize=True)
        best = program.solve()
        if best.is_optimal and best.objective > _USED:
            program.set_bounds(network.biomass, growth_kept * best.objective, float(high[network.biomass]))
            program.set_objective(costs, maximize=False)
            least = program.solve()
            if least.is_optimal and least.values is not None:
                uses += least.values[:n] + least.values[n:] > _USED
                growing += 1
            program.set_bounds(network.biomass, float(low[network.biomass]), float(high[network.biomass]))
        program.set_bounds(both, low[both], high[both])
    return suspects & (uses <= shared_by * growing) if growing else np.zeros(n, dtype=bool)


def shut(network: Network, reactions: np.ndarray) -> Network:
    """The network with these reactions (n, bool) closed both ways."""
    return replace(
        network, lower=np.where(reactions, 0.0, network.lower), upper=np.where(reactions, 0.0, network.upper)
    )


def _two_ways(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of each reaction's two directions: 2n each."""
    low = np.concatenate([np.maximum(lower, 0.0), np.maximum(-upper, 0.0)])
    return low, np.concatenate([np.maximum(upper, 0.0), np.maximum(-lower, 0.0)])
