"""Reactions that can carry flux, reactions that can run in a circle, and flux ranges without circles.

A circle of internal reactions carries flux without any uptake and drives nothing; no assignment of energies to the
reactions allows it (the loop law: Beard, Liang and Qian, Biophys. J. 83, 79-86, 2002). `loopless_fva` gives, for the
reactions that can be part of one, the ranges that fluxes obeying the law reach: a mixed-integer program per end
(Schellenberger, Lewis and Palsson, Biophys. J. 100, 544-553, 2011), over circles only and not over the whole network.
Which reactions carry flux at all follows from few programs, each of which shows it for many.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csc_array, eye_array, hstack

from gemforest.fluxes import Bounds, FluxRanges, boundary, fva, growing_reduction, with_bounds
from gemforest.lp import LinearProgram, Method, Settings, Status
from gemforest.models import Network
from gemforest.reduction import reduce_network

# |v| <= M a with M at most 1000: at the integrality tolerance of 1e-9 a flux of 1e-6 is let through, below what is
# called a difference of ranges.
_ENERGY = 1000.0
_LARGEST = 1000.0
_CARRIED = 1e-6
_ROUNDING = 1e-7
_SETTINGS = Settings(integrality_tolerance=1e-9, relative_gap=1e-7, node_limit=20_000)


def carriers(stoichiometry: csc_array, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Reactions that can carry some steady-state flux in the directions that the bounds allow.

    Parameters
    ----------
    lower, upper
        n; only whether they are below or above 0 counts, so no flux is forced and none is limited.

    Returns
    -------
    carries
        n, bool.
    """
    low, high = np.where(lower < 0.0, -_LARGEST, 0.0), np.where(upper > 0.0, _LARGEST, 0.0)
    program = LinearProgram(stoichiometry, low, high, settings=Settings(method=Method.PRIMAL, perturb=False))
    found = np.zeros(len(low), dtype=bool)

    def ask(costs: np.ndarray) -> None:
        program.set_objective(costs, maximize=True)
        values = program.values() if program.run() is Status.OPTIMAL else None
        if values is not None:
            np.logical_or(found, np.abs(values) > _CARRIED, out=found)

    # Most show in a few distributions with as much flux as there can be; the others are asked one by one.
    ask(np.ones(len(low)))
    ask(-np.ones(len(low)))
    for sign, possible in ((1.0, high > 0.0), (-1.0, low < 0.0)):
        for j in np.flatnonzero(possible):
            if not found[j]:
                costs = np.zeros(len(low))
                costs[j] = sign
                ask(costs)
    return found


def blocked_reactions(network: Network) -> np.ndarray:
    """n, bool: reactions that carry no flux even with every boundary reaction open both ways."""
    ends = boundary(network)
    lower = np.where(ends, -_LARGEST, np.minimum(network.lower, 0.0))
    upper = np.where(ends, _LARGEST, np.maximum(network.upper, 0.0))
    reduction = reduce_network(network, lower, upper)
    carrying = carriers(reduction.stoichiometry, reduction.lower, reduction.upper)
    return np.asarray(~np.append(carrying, False)[reduction.column])


def loopless_fva(
    network: Network,
    fraction_of_optimum: float = 0.9,
    bounds: Bounds | None = None,
    reactions: np.ndarray | None = None,
) -> FluxRanges:
    """Flux variability without thermodynamically infeasible circles; parameters as for `fluxes.fva`.

    Ranges of reactions that are in no circle are those of `fva`: every distribution can be freed of its circles without
    changing them. An end whose program stops at its node limit has the status `limit` and no value. Where growth itself
    runs in a circle, nothing obeys the law at that growth: status `infeasible`.
    """
    network = with_bounds(network, bounds) if bounds else network
    ranges = fva(network, fraction_of_optimum, reactions=reactions)
    if ranges.status is not Status.OPTIMAL:
        return ranges
    circles = _Circles.of(network, fraction_of_optimum * ranges.growth)
    return circles.narrowed(ranges) if circles else ranges


@dataclass
class _Circles:
    """The reduced network, which of its columns can run in a circle, and the program that forbids it.

    Columns of the program: fluxes v (n'), per circling column a direction (1 forward), per metabolite a potential.
    """

    column: np.ndarray
    ratio: np.ndarray
    circling: np.ndarray
    program: LinearProgram

    @classmethod
    def of(cls, network: Network, least_growth: float) -> _Circles | None:
        """None where nothing can run in a circle."""
        reduction, growth_row = growing_reduction(network, least_growth)
        outside = np.unique(reduction.column[boundary(network) & (reduction.column >= 0)])
        lower, upper = np.minimum(reduction.lower, 0.0), np.maximum(reduction.upper, 0.0)
        lower[outside] = upper[outside] = 0.0
        circling = np.flatnonzero(carriers(reduction.stoichiometry, lower, upper))
        if not len(circling):
            return None
        program = _law(reduction.stoichiometry, reduction.lower, reduction.upper, circling)
        if growth_row is not None:
            row = np.concatenate([growth_row, np.zeros(program.column_count - len(growth_row))])
            program.add_rows(row[None, :], least_growth, np.inf)
        return cls(reduction.column, reduction.ratio, circling, program)

    def narrowed(self, ranges: FluxRanges) -> FluxRanges:
        """The ranges with the outer ends of circling reactions decided anew.

        Freeing a distribution of circles takes every flux nearer to 0 and none across it, so a lowest flux that is not
        negative and a highest that is not positive stand.
        """
        minimum, maximum = ranges.minimum.copy(), ranges.maximum.copy()
        low_status, high_status = list(ranges.minimum_status), list(ranges.maximum_status)
        solved = ranges.solved
        asked = ~np.isnan(ranges.minimum)
        for c in self.circling:
            ends: dict[float, tuple[Status, float]] = {}
            for j in np.flatnonzero((self.column == c) & asked):
                turned = np.sign(self.ratio[j])
                for sign, values, statuses in ((-1.0, minimum, low_status), (1.0, maximum, high_status)):
                    if sign * values[j] <= _ROUNDING:
                        continue
                    way = sign * turned
                    if way not in ends:
                        ends[way] = self._end(int(c), way)
                        solved += 1
                    statuses[j], values[j] = ends[way][0], ends[way][1] * self.ratio[j]
        return replace(
            ranges,
            minimum=minimum,
            maximum=maximum,
            minimum_status=tuple(low_status),
            maximum_status=tuple(high_status),
            solved=solved,
        )

    def _end(self, column: int, sign: float) -> tuple[Status, float]:
        """Status and highest (sign 1) or lowest (-1) flux of a column."""
        costs = np.zeros(self.program.column_count)
        costs[column] = sign
        self.program.set_objective(costs, maximize=True)
        solution = self.program.solve()
        if not solution.is_optimal:
            return solution.status, float("nan")
        value = sign * solution.objective
        return solution.status, 0.0 if abs(value) < _ROUNDING else value


def _law(stoichiometry: csc_array, lower: np.ndarray, upper: np.ndarray, circling: np.ndarray) -> LinearProgram:
    """Steady state under the loop law: each circling column runs down the potentials of its metabolites."""
    # A circle that the reduction made one column of: it moves nothing, and no potential can drive it.
    idle = np.diff(stoichiometry.indptr)[circling] == 0
    lower, upper = lower.copy(), upper.copy()
    lower[circling[idle]], upper[circling[idle]] = 0.0, 0.0
    circling = circling[~idle]
    inside = stoichiometry[:, circling]
    metabolites = np.unique(inside.indices)
    falls = csc_array(inside[metabolites].T)
    (m, n), (k, p) = stoichiometry.shape, falls.shape
    low, high = np.maximum(lower[circling], -_LARGEST), np.minimum(upper[circling], _LARGEST)
    program = LinearProgram(
        csc_array(hstack([stoichiometry, csc_array((m, k + p))])),
        np.concatenate([lower, np.zeros(k), np.full(p, -np.inf)]),
        np.concatenate([upper, np.ones(k), np.full(p, np.inf)]),
        settings=_SETTINGS,
    )
    program.set_integer(np.arange(n, n + k))
    pick = csc_array((np.ones(k), (np.arange(k), circling)), shape=(k, n))
    unit = eye_array(k, format="csc")

    def flux_rows(direction: np.ndarray) -> csc_array:
        return csc_array(hstack([pick, unit * direction, csc_array((k, p))]))

    # v <= high a  and  v >= low (1 - a)
    program.add_rows(flux_rows(-np.maximum(high, 0.0)), -np.inf, np.minimum(high, 0.0))
    program.add_rows(flux_rows(np.minimum(low, 0.0)), np.minimum(low, 0.0), np.inf)
    # fall of potential at most -1 where a = 1 and at least 1 where a = 0
    energy = csc_array(hstack([csc_array((k, n)), unit * (_ENERGY + 1.0), falls]))
    program.add_rows(energy, 1.0, _ENERGY)
    return program
