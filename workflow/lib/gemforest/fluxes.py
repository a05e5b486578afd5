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

from gemforest.lp import LinearProgram, Method, Settings, Status
from gemforest.models import Network
from gemforest.reduction import Reduction, reduce_network

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
    status, fluxes = solution.status, solution.values
    if parsimonious:
        status, fluxes = _least_total_flux(network, solution.objective)
    # one unit supplied is a right-hand side of -1; the optimum's duals are those of the growth program
    return FluxState(status, solution.objective, fluxes, 0.0 - program.row_duals())


def _least_total_flux(network: Network, optimum: float) -> tuple[Status, np.ndarray]:
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
        return solution.status, np.full(n, np.nan)
    fluxes = solution.values[:n].copy()
    fluxes[reversible] -= solution.values[n:]
    return solution.status, fluxes


def exchange_fluxes(network: Network, state: FluxState, threshold: float = 1e-9) -> dict[str, float]:
    """Exchange reaction to flux (negative: uptake), those above the threshold only."""
    return {
        network.reactions[j]: float(state.fluxes[j])
        for j in np.flatnonzero(network.exchanges)
        if abs(state.fluxes[j]) > threshold
    }


# -- many growth calls over one network --------------------------------------------------------------------------------


_RESTARTED = Settings(perturb=False, steepest_edge=False)


class GrowthProgram:
    """Growth of one network under many sets of bounds: reduced once, each solve starting from the last.

    Parameters
    ----------
    network
        Its bounds are the widest that will be asked for.

    Attributes
    ----------
    reduction
        None where the reduction shows that no flux fits even the widest bounds: every growth is infeasible.
    """

    def __init__(self, network: Network, settings: Settings | None = None) -> None:
        self.network = network
        self.reduction: Reduction | None = None
        try:
            self.reduction = reduce_network(network)
        except ValueError:
            return
        self.program = LinearProgram(
            self.reduction.stoichiometry,
            self.reduction.lower,
            self.reduction.upper,
            costs=self.reduction.costs(network.objective),
            maximize=True,
            settings=settings or _RESTARTED,
        )
        self._columns = np.arange(len(self.reduction.kept))
        self._costs = self.reduction.costs(network.objective)
        (self._growth_row,) = self.program.add_rows(self._costs[None, :], -np.inf, np.inf)

    def growth(self, lower: np.ndarray, upper: np.ndarray) -> tuple[Status, float]:
        """Highest growth under bounds (n each, within the network's own); NaN where the status is not optimal."""
        if self.reduction is None or not self._set_bounds(self.reduction, lower, upper):
            return Status.INFEASIBLE, float("nan")
        return self._solve()

    def highest(self, reaction: int, lower: np.ndarray, upper: np.ndarray, least_growth: float) -> tuple[Status, float]:
        """Highest flux of a reaction (index) under bounds while growth is at least `least_growth`."""
        if self.reduction is None or not self._set_bounds(self.reduction, lower, upper):
            return Status.INFEASIBLE, float("nan")
        wanted = np.zeros(len(self.network.reactions))
        wanted[reaction] = 1.0
        self.program.set_row_bounds(self._growth_row, least_growth, np.inf)
        self.program.set_objective(self.reduction.costs(wanted))
        answer = self._solve()
        self.program.set_objective(self._costs)
        self.program.set_row_bounds(self._growth_row, -np.inf, np.inf)
        return answer

    def _set_bounds(self, reduction: Reduction, lower: np.ndarray, upper: np.ndarray) -> bool:
        """Whether any flux may fit; the program has the bounds then."""
        try:
            low, high = reduction.bounds(lower, upper)
        except ValueError:
            return False
        self.program.set_bounds(self._columns, low, high)
        return True

    def _solve(self) -> tuple[Status, float]:
        status = self.program.run()
        return status, self.program.objective if status is Status.OPTIMAL else float("nan")

    def fluxes(self) -> np.ndarray:
        """n, of the last optimal growth."""
        values = None if self.reduction is None else self.program.values()
        if self.reduction is None or values is None:
            raise ValueError("the last growth had no optimum")
        return self.reduction.fluxes(values)


# -- flux variability --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FluxRanges:
    """What each reaction can carry while growth is at least a fraction of its optimum.

    Attributes
    ----------
    status
        Of the growth program; ranges are NaN unless it is optimal.
    growth
        Optimal growth, h^-1.
    minimum, maximum
        n, mmol gDW^-1 h^-1; infinite where unbounded; NaN where not optimal or not asked for.
    minimum_status, maximum_status
        n, status of the program that decided each end.
    solved
        Linear programs that were needed.
    """

    status: Status
    growth: float
    minimum: np.ndarray
    maximum: np.ndarray
    minimum_status: tuple[Status | None, ...]
    maximum_status: tuple[Status | None, ...]
    solved: int

    @property
    def blocked(self) -> np.ndarray:
        """n, bool: reactions that carry no flux, to 1e-9."""
        return np.asarray((np.abs(self.minimum) <= 1e-9) & (np.abs(self.maximum) <= 1e-9))


_FVA_SETTINGS = Settings(method=Method.PRIMAL, perturb=False)


def fva(
    network: Network,
    fraction_of_optimum: float = 0.9,
    bounds: Bounds | None = None,
    reactions: np.ndarray | None = None,
) -> FluxRanges:
    """Flux variability analysis (Mahadevan and Schilling, Metab. Eng. 5, 264-276, 2003).

    The network is reduced for these bounds; then one primal simplex walks from optimum to optimum. A program is skipped
    where an earlier solution already touches a proven bound: the reaction's own, or the one that a metabolite's balance
    gives with the proven ranges of its other reactions.

    Parameters
    ----------
    fraction_of_optimum
        Growth is held at or above this fraction of its optimum.
    bounds
        Replace those of the reactions named.
    reactions
        Indices to be asked for; all by default.
    """
    network = with_bounds(network, bounds) if bounds else network
    n = len(network.reactions)
    status, optimum = growth(network)
    nothing = np.full(n, np.nan)
    if status is not Status.OPTIMAL:
        return FluxRanges(status, np.nan, nothing, nothing, (status,) * n, (status,) * n, 1)
    try:
        reduction, program = _growing_program(network, fraction_of_optimum * optimum)
    except ValueError:
        return FluxRanges(
            Status.INFEASIBLE, optimum, nothing, nothing, (Status.INFEASIBLE,) * n, (Status.INFEASIBLE,) * n, 1
        )
    wanted = np.arange(n) if reactions is None else np.asarray(reactions)
    columns = np.unique(reduction.column[wanted])
    search = _RangeSearch(reduction, program)
    search.decide(columns[columns >= 0])
    return _mapped_ranges(search, reduction, wanted, optimum)


def growing_reduction(network: Network, least_growth: float) -> tuple[Reduction, np.ndarray | None]:
    """The reduced network in which growth is at least this, and the objective's row where a bound cannot say so."""
    (objective,) = np.nonzero(network.objective)
    lower = network.lower.copy()
    if len(objective) == 1:
        j = objective[0]
        if network.objective[j] > 0.0:
            lower[j] = max(lower[j], least_growth / network.objective[j])
            lower[j] = min(lower[j], network.upper[j])
            return reduce_network(network, lower, network.upper), None
    reduction = reduce_network(network)
    return reduction, reduction.costs(network.objective) if len(objective) else None


def _growing_program(network: Network, least_growth: float) -> tuple[Reduction, LinearProgram]:
    """The reduced network with the objective held from below, without costs."""
    reduction, row = growing_reduction(network, least_growth)
    program = LinearProgram(reduction.stoichiometry, reduction.lower, reduction.upper, settings=_FVA_SETTINGS)
    if row is not None:
        program.add_rows(row[None, :], least_growth, np.inf)
    return reduction, program


def _mapped_ranges(search: _RangeSearch, reduction: Reduction, wanted: np.ndarray, optimum: float) -> FluxRanges:
    n = len(reduction.column)
    column, ratio = reduction.column[wanted], reduction.ratio[wanted]
    ends = np.append(search.low, 0.0)[column] * ratio, np.append(search.high, 0.0)[column] * ratio
    low_status = [*search.low_status, Status.OPTIMAL]
    high_status = [*search.high_status, Status.OPTIMAL]
    minimum, maximum = np.full(n, np.nan), np.full(n, np.nan)
    minimum_status: list[Status | None] = [None] * n
    maximum_status: list[Status | None] = [None] * n
    for k, j in enumerate(wanted):
        turned = ratio[k] < 0.0
        low, high = low_status[column[k]], high_status[column[k]]
        minimum_status[j], maximum_status[j] = (high, low) if turned else (low, high)
        minimum[j], maximum[j] = (ends[1][k], ends[0][k]) if turned else (ends[0][k], ends[1][k])
    return FluxRanges(
        Status.OPTIMAL, optimum, minimum, maximum, tuple(minimum_status), tuple(maximum_status), search.solved + 1
    )


class _RangeSearch:
    """Lowest and highest value of columns of a program.

    `low` and `high` are attained by some solution; `floor` and `roof` are proven. An end is decided when both agree to
    1e-9 of their size.
    """

    def __init__(self, reduction: Reduction, program: LinearProgram) -> None:
        n = len(reduction.kept)
        self.program = program
        self.low, self.high = np.full(n, np.inf), np.full(n, -np.inf)
        self.floor, self.roof = reduction.lower.copy(), reduction.upper.copy()
        self.low_status: list[Status | None] = [Status.OPTIMAL] * n
        self.high_status: list[Status | None] = [Status.OPTIMAL] * n
        self.solved = 0
        self._balance = _Balances(reduction.stoichiometry)

    def decide(self, columns: np.ndarray) -> None:
        """Fill `low` and `high` for these columns."""
        self._solve()
        previous = -1
        for sign in (1.0, -1.0):
            for j in columns:
                if self.solved % 8 == 0:
                    self._balance.tighten(self.floor, self.roof)
                if self._decided(j, sign):
                    continue
                if previous >= 0:
                    self.program.set_costs(previous, 0.0)
                self.program.set_costs(j, -sign)
                previous = j
                self._settle(j, sign, self._solve())

    def _solve(self) -> Status:
        status = self.program.run()
        self.solved += 1
        values = self.program.values() if status is Status.OPTIMAL else None
        if values is not None:
            np.minimum(self.low, values, out=self.low)
            np.maximum(self.high, values, out=self.high)
        return status

    def _decided(self, j: int, sign: float) -> bool:
        attained, proven = (self.high[j], self.roof[j]) if sign > 0.0 else (self.low[j], self.floor[j])
        return bool(abs(proven - attained) <= 1e-9 * max(1.0, abs(attained)))

    def _settle(self, j: int, sign: float, status: Status) -> None:
        """Record what the program for one end of column j said."""
        attained, proven, statuses = (
            (self.high, self.roof, self.high_status) if sign > 0.0 else (self.low, self.floor, self.low_status)
        )
        statuses[j] = status
        if status is Status.OPTIMAL:
            proven[j] = attained[j]
        else:
            attained[j] = sign * np.inf if status is Status.UNBOUNDED else np.nan


class _Balances:
    """Bounds that a metabolite's balance puts on a reaction, given those on its other reactions."""

    _LARGEST_ROW = 12

    def __init__(self, stoichiometry: csc_array) -> None:
        entries = stoichiometry.tocoo()
        rows, columns = entries.coords
        short = np.bincount(rows, minlength=stoichiometry.shape[0])[rows] <= self._LARGEST_ROW
        self.rows, self.columns, self.values = rows[short], columns[short], entries.data[short]
        self.row_count = stoichiometry.shape[0]

    def tighten(self, floor: np.ndarray, roof: np.ndarray) -> None:
        """One pass, in place."""
        forward = self.values > 0.0
        most = self.values * np.where(forward, roof[self.columns], floor[self.columns])
        least = self.values * np.where(forward, floor[self.columns], roof[self.columns])
        # a x = -(sum of the others), which lies between -others_most and -others_least
        highest, lowest = -self._others(least) / self.values, -self._others(most) / self.values
        upper, lower = np.where(forward, highest, lowest), np.where(forward, lowest, highest)
        np.minimum.at(roof, self.columns, upper + 1e-12 * np.abs(upper))
        np.maximum.at(floor, self.columns, lower - 1e-12 * np.abs(lower))

    def _others(self, terms: np.ndarray) -> np.ndarray:
        """Sum of the row without each entry; infinite where another entry is."""
        infinite = np.isinf(terms)
        finite = np.where(infinite, 0.0, terms)
        total = np.bincount(self.rows, finite, self.row_count)[self.rows] - finite
        unknown = np.bincount(self.rows, infinite, self.row_count)[self.rows] - infinite
        sign = 1.0 if (terms[infinite] > 0.0).all() else -1.0
        return np.where(unknown > 0, sign * np.inf, total)
