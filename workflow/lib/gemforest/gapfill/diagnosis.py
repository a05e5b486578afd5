"""Why a genome does not grow on a medium, in a biologist's words: what it cannot make, and what would mend that.

A biomass precursor that nothing can be drained of is missing. Steady states can be averaged, so what can be drained
alone can be drained, a little of it, beside all others: a linear programme drains as much as it can of all together,
each in traces, and again of those not yet seen, until nothing more comes. What would mend it is the least sum of
uptakes beyond the medium with which growth stands, over the whole universe: one linear programme, so a short list and
not the only one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csc_array, hstack

from gemforest.lp import LinearProgram
from gemforest.models import Network

_DRAINED, _TRACE = 1e-7, 1e-4
_UPTAKE = 10.0
_LISTED = 10


def unmakeable(network: Network) -> list[str]:
    """Biomass precursors that the network cannot make under its bounds, in the order of the biomass reaction.

    Parameters
    ----------
    network
        With the bounds of a medium.
    """
    biomass = network.stoichiometry[:, [network.biomass]].tocoo()
    (rows,) = np.nonzero(biomass.data < 0.0)
    wanted = biomass.coords[0][rows]
    k, (m, n) = len(wanted), network.stoichiometry.shape
    drains = csc_array((-np.ones(k), (wanted, np.arange(k))), shape=(m, k))
    unseen = np.ones(k, dtype=bool)
    program = LinearProgram(
        csc_array(hstack([network.stoichiometry, drains])),
        np.concatenate([network.lower, np.zeros(k)]),
        np.concatenate([network.upper, np.full(k, _TRACE)]),
        costs=np.concatenate([np.zeros(n), np.ones(k)]),
        maximize=True,
    )
    while unseen.any():
        solution = program.solve()
        if solution.values is None or not solution.is_optimal:
            break
        made = unseen & (solution.values[n:] >= _DRAINED)
        if not made.any():
            break
        unseen &= ~made
        program.set_costs(n + np.flatnonzero(made), 0.0)
    return [network.metabolites[wanted[column]] for column in np.flatnonzero(unseen)]


def mending(network: Network, min_growth: float) -> list[str]:
    """Compounds beyond the medium with which the network grows; empty where no compound helps.

    Parameters
    ----------
    network
        The universe with the bounds of a medium: exchanges that it closes have a lower bound of 0.
    min_growth
        h^-1.
    """
    closed = np.flatnonzero(network.exchanges & (network.lower >= 0.0))
    offered = csc_array(-network.stoichiometry[:, closed])
    lower = np.concatenate([network.lower, np.zeros(len(closed))])
    upper = np.concatenate([network.upper, np.full(len(closed), _UPTAKE)])
    lower[network.biomass] = min_growth
    program = LinearProgram(
        csc_array(hstack([network.stoichiometry, offered])),
        lower,
        upper,
        costs=np.concatenate([np.zeros(len(network.lower)), np.ones(len(closed))]),
    )
    solution = program.solve()
    if solution.values is None or not solution.is_optimal:
        return []
    taken = np.flatnonzero(solution.values[len(network.lower) :] > _DRAINED)
    return [network.reactions[closed[j]].removeprefix("EX_").removesuffix("_e") for j in taken]


def in_words(missing: Sequence[str], helping: Sequence[str]) -> str:
    """One sentence for the ledger: the precursors that cannot be made, and the compounds that would mend it."""
    parts = [f"cannot make {_some(missing)}" if missing else "makes every precursor, but not all of them at once"]
    parts.append(
        f"{_some(helping)} in the medium would mend it" if helping else "no compound in the medium would mend it"
    )
    return "; ".join(parts)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
