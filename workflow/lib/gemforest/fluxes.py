"""What several stages ask of a network: growth, fluxes, flux ranges, blocked and coupled reactions.

Steady state, S v = 0 with lower <= v <= upper (Orth, Thiele and Palsson, Nat. Biotechnol. 28, 245-248, 2010). A medium
is a set of bounds on exchange reactions; nothing here knows its name. Every answer carries the status of its linear
program, and a value without an optimal status is NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csc_array, hstack

from gemforest.lp import LinearProgram, Settings, Status
from gemforest.models import Network

Bounds = Mapping[str, tuple[float, float]]
GROWTH_TOLERANCE = 1e-9


@dataclass(frozen=True)
class FluxState:
    """An optimal flux distribution.

    Attributes
    ----------
    status
        Of the linear program.
    growth
        Objective, h^-1; NaN without an optimum.
    fluxes
        n, mmol gDW^-1 h^-1; NaN without an optimum. One of many where the optimum is not unique.
    shadow_prices
        m, change of growth per unit of metabolite supplied, gDW mmol^-1; NaN without an optimum.
    """

    status: Status
    growth: float
    fluxes: np.ndarray
    shadow_prices: np.ndarray


def with_bounds(network: Network, bounds: Bounds) -> Network:
    """The network with other bounds on the reactions named; KeyError for a reaction that it does not have."""
    index = {reaction: j for j, reaction in enumerate(network.reactions)}
    lower, upper = network.lower.copy(), network.upper.copy()
    for reaction, (low, high) in bounds.items():
        lower[index[reaction]], upper[index[reaction]] = low, high
    return replace(network, lower=lower, upper=upper)


def boundary(network: Network) -> np.ndarray:
    """n, bool: reactions of a single metabolite, whatever their names (exchanges, demands, sinks)."""
    return np.asarray(np.diff(network.stoichiometry.indptr) == 1)


def medium_bounds(network: Network, uptakes: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Bounds that open the exchanges named and close the uptake of all others.

    Parameters
    ----------
    uptakes
        Exchange reaction to the highest uptake, mmol gDW^-1 h^-1, positive. Exchanges that the network does not have
        are left out: what of a medium a model cannot take up is the caller's to tell.

    Returns
    -------
    bounds
        For `with_bounds`. Secretion stays as it is in the network. Where a reaction is written the other way round
        (`-> glc__D_e`), uptake is its forward direction.
    """
    matrix = network.stoichiometry
    bounds: dict[str, tuple[float, float]] = {}
    for j in np.flatnonzero(network.exchanges & boundary(network)):
        reaction = network.reactions[j]
        uptake = float(uptakes.get(reaction, 0.0))
        if matrix.data[matrix.indptr[j]] < 0:
            bounds[reaction] = (-uptake, max(float(network.upper[j]), -uptake))
        else:
            bounds[reaction] = (min(float(network.lower[j]), uptake), uptake)
    return bounds


def flux_program(network: Network, settings: Settings | None = None) -> LinearProgram:
    """S v = 0 within bounds, maximising the network's objective, ready to be solved and changed."""
    return LinearProgram(
        network.stoichiometry,
        network.lower,
        network.upper,
        costs=network.objective,
        maximize=True,
        settings=settings,
    )


def growth(network: Network, bounds: Bounds | None = None) -> tuple[Status, float]:
    """Highest growth (h^-1), NaN where the status is not optimal; `bounds` replace those of the reactions named."""
    network = with_bounds(network, bounds) if bounds else network
    solution = flux_program(network).solve()
    return solution.status, solution.objective if solution.is_optimal else float("nan")


def fba(network: Network, bounds: Bounds | None = None, parsimonious: bool = False) -> FluxState:
    """Flux balance analysis.

    Parameters
    ----------
    bounds
        Replace those of the reactions named.
    parsimonious
        Return, among the optimal distributions, one of least total flux (Lewis et al., Mol. Syst. Biol. 6:390, 2010).
    """
    network = with_bounds(network, bounds) if bounds else network
    program = flux_program(network)
    solution = program.solve()
    if not solution.is_optimal or solution.values is None:
        m, n = network.stoichiometry.shape
        return FluxState(solution.status, float("nan"), np.full(n, np.nan), np.full(m, np.nan))
    fluxes = solution.values
    if parsimonious:
        fluxes = _least_total_flux(network, solution.objective, fluxes)
    return FluxState(solution.status, solution.objective, fluxes, program.row_duals())


def _least_total_flux(network: Network, optimum: float, fallback: np.ndarray) -> np.ndarray:
    """Fluxes of least sum of absolute values at the optimum; each reversible reaction is split in two."""
    (reversible,) = np.nonzero(network.lower < 0.0)
    n = len(network.reactions)
    negative = csc_array(-network.stoichiometry[:, reversible])
    objective = np.concatenate([network.objective, -network.objective[reversible]])
    matrix = csc_array(hstack([network.stoichiometry, negative]))
    lower = np.concatenate([np.maximum(network.lower, 0.0), np.maximum(-network.upper[reversible], 0.0)])
    upper = np.concatenate([np.maximum(network.upper, 0.0), -network.lower[reversible]])
    program = LinearProgram(matrix, lower, upper, costs=np.ones(len(lower)))
    program.add_rows(objective[None, :], optimum - GROWTH_TOLERANCE * max(1.0, abs(optimum)), np.inf)
    solution = program.solve()
    if not solution.is_optimal or solution.values is None:
        return fallback
    fluxes = solution.values[:n].copy()
    fluxes[reversible] -= solution.values[n:]
    return fluxes


def exchange_fluxes(network: Network, state: FluxState, threshold: float = 1e-9) -> dict[str, float]:
    """Exchange reaction to flux (negative: uptake), those above the threshold only."""
    return {
        network.reactions[j]: float(state.fluxes[j])
        for j in np.flatnonzero(network.exchanges)
        if abs(state.fluxes[j]) > threshold
    }
