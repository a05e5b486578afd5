"""The kernel of a reduced carving problem as a mixed-integer program, and re-weighted LPs where that is too large.

In the program every column j has a flux v. One without positive gain is paid for by a binary y, |v| <= M y. One of
positive gain earns z in [0, 1], EPSILON z <= |v|, a binary choosing the side of a reversible one. Rows of logic make
the relaxation tight without M: whoever makes a metabolite needs somebody who eats it, y_k <= sum of y of the others.
M / EPSILON = 1e6 and the tolerances of 1e-9 let 1e-5 of flux slip by, a thousandth of EPSILON; the result is judged on
its set of reactions in any case, not by the objective.

Where the exact program is too large, LPs price |v| at its gain over (|v| + DELTA) of the round before, so that in the
limit they pay per reaction (Candes, Wakin & Boyd 2008); reversible columns of positive gain that stay idle change
sides at random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csc_array, hstack

from gemforest.draft.reduction import Residual, matrix_of
from gemforest.lp import LinearProgram, Settings, Solution, Status

BIG_M = 1e4
EPSILON = 1e-2
DELTA = 1e-2
ROUNDS = 12
LOGIC_WIDTH = 40
"""Rows of more columns than this get no row of logic: it would forbid next to nothing."""
_USED = 1e-7


@dataclass(frozen=True)
class Limits:
    """Limits of one integer program, in nodes; seconds are a safety net whose firing is told."""

    nodes: int
    seconds: float


@dataclass(frozen=True)
class KernelResult:
    """Columns chosen, the proven bound of their gains, and the limit that ended the search (empty for none).

    `columns` is None where the limit came before any feasible point.
    """

    columns: frozenset[int] | None
    bound: float
    limit_fired: str


class _Program:
    """Columns and rows of a program under construction."""

    def __init__(self) -> None:
        self.costs: list[float] = []
        self.lower: list[float] = []
        self.upper: list[float] = []
        self.integer: list[int] = []
        self.entries: list[tuple[int, int, float]] = []
        self.row_lower: list[float] = []
        self.row_upper: list[float] = []

    def column(self, cost: float, lower: float, upper: float, integer: bool = False) -> int:
        self.costs.append(cost)
        self.lower.append(lower)
        self.upper.append(upper)
        if integer:
            self.integer.append(len(self.costs) - 1)
        return len(self.costs) - 1

    def row(self, coefficients: dict[int, float], lower: float, upper: float) -> None:
        self.entries += [(len(self.row_lower), j, value) for j, value in coefficients.items()]
        self.row_lower.append(lower)
        self.row_upper.append(upper)

    def solve(self, relaxed: bool, limits: Limits) -> Solution:
        at, across, values = zip(*self.entries, strict=True)
        matrix = coo_array((values, (at, across)), shape=(len(self.row_lower), len(self.costs)))
        settings = Settings(relative_gap=1e-6, node_limit=limits.nodes, time_limit_s=limits.seconds)
        program = LinearProgram(
            csc_array(matrix),
            np.array(self.lower),
            np.array(self.upper),
            np.array(self.row_lower),
            np.array(self.row_upper),
            costs=np.array(self.costs),
            integer=None if relaxed else np.array(self.integer, dtype=np.int64),
            maximize=True,
            settings=settings,
        )
        return program.solve()


def solve_kernel(residual: Residual, columns: list[int], limits: Limits, relaxed: bool = False) -> KernelResult:
    """The best columns of one component.

    Parameters
    ----------
    columns
        A component, sorted.
    relaxed
        Solve the LP relaxation only, for its bound.

    Raises
    ------
    ArithmeticError
        The solver failed, or calls the program infeasible.
    """
    program = _Program()
    paid, earned = _fluxes(program, residual, columns)
    _logic(program, residual, columns, paid)
    solution = program.solve(relaxed, limits)
    if solution.status in (Status.INFEASIBLE, Status.UNBOUNDED, Status.FAILED):
        raise ArithmeticError(f"the integer program of {len(columns)} columns ended with {solution.status}")
    fired = {Status.LIMIT: f"{limits.nodes} nodes", Status.TIME_LIMIT: f"{limits.seconds:g} s"}
    limit_fired = fired.get(solution.status, "")
    if solution.values is None or relaxed:
        return KernelResult(None, solution.bound, limit_fired)
    values = solution.values
    chosen = {
        j
        for j in columns
        if j in residual.forced or (values[earned[j]] > 1e-6 if j in earned else values[paid[j]] > 0.5)
    }
    return KernelResult(frozenset(chosen), solution.bound, limit_fired)


def _fluxes(program: _Program, residual: Residual, columns: list[int]) -> tuple[dict[int, int], dict[int, int]]:
    """Steady state, payments and earnings; the program's columns for y (or the bound of z) and z."""
    matrix = _scaled(matrix_of(residual, columns))
    flux: dict[int, int] = {}
    paid: dict[int, int] = {}
    earned: dict[int, int] = {}
    for j in columns:
        forward, backward = j in residual.forward, j in residual.backward
        low, high = -BIG_M if backward else 0.0, BIG_M if forward else 0.0
        if j in residual.forced and forward != backward:
            low, high = (EPSILON, high) if forward else (low, -EPSILON)
        flux[j] = program.column(0.0, low, high)
    rows = matrix.tocsr()
    for i in range(matrix.shape[0]):
        part = slice(rows.indptr[i], rows.indptr[i + 1])
        program.row({flux[columns[k]]: v for k, v in zip(rows.indices[part], rows.data[part], strict=True)}, 0.0, 0.0)
    for j in columns:
        if j in residual.forced:
            if j in residual.forward and j in residual.backward:
                _choose_side(program, flux[j], program.column(0.0, 1.0, 1.0))
            continue
        gain, v = residual.gain[j], flux[j]
        earns = gain > 0
        paid[j] = program.column(0.0 if earns else gain, 0.0, 1.0, integer=not earns)
        if j in residual.forward:
            program.row({v: 1.0, paid[j]: -BIG_M}, -math.inf, 0.0)
        if j in residual.backward:
            program.row({v: 1.0, paid[j]: BIG_M}, 0.0, math.inf)
        if not earns:
            continue
        z = earned[j] = program.column(gain, 0.0, 1.0)
        program.row({z: 1.0, paid[j]: -1.0}, -math.inf, 0.0)
        if j not in residual.backward:
            program.row({v: 1.0, z: -EPSILON}, 0.0, math.inf)
        elif j not in residual.forward:
            program.row({v: 1.0, z: EPSILON}, -math.inf, 0.0)
        else:
            _choose_side(program, v, z)
    return paid, earned


def _choose_side(program: _Program, v: int, z: int) -> None:
    """EPSILON z <= |v| for a reversible column."""
    side = program.column(0.0, 0.0, 1.0, integer=True)
    program.row({v: 1.0, z: -EPSILON, side: -BIG_M}, -BIG_M, math.inf)
    program.row({v: 1.0, z: EPSILON, side: -BIG_M}, -math.inf, 0.0)


def _logic(program: _Program, residual: Residual, columns: list[int], paid: dict[int, int]) -> None:
    """Rows that tie a column to those that could balance it, metabolite by metabolite."""
    for i in sorted({i for j in columns for i in residual.columns[j]}):
        users = sorted(residual.users[i])
        if len(users) > LOGIC_WIDTH:
            continue
        positive = {j for j in users if residual.columns[j][i] > 0}
        makers = {j for j in users if j in (residual.forward if j in positive else residual.backward)}
        eaters = {j for j in users if j in (residual.backward if j in positive else residual.forward)}
        for j in users:
            one_sided = (j in makers) != (j in eaters)
            partners = sorted(((eaters if j in makers else makers) if one_sided else set(users)) - {j})
            if residual.forced.intersection(partners):
                continue
            row = {paid[k]: 1.0 for k in partners}
            if j in residual.forced:
                program.row(row, 1.0, math.inf)
            else:
                program.row(row | {paid[j]: -1.0}, 0.0, math.inf)


def _scaled(matrix: csc_array) -> csc_array:
    """Geometric scaling of columns and rows by powers of two: fluxes change unit, supports do not."""
    work = coo_array(matrix)
    rows, columns, size = work.coords[0], work.coords[1], np.log2(np.abs(work.data))
    row_factor, column_factor = np.zeros(matrix.shape[0]), np.zeros(matrix.shape[1])
    for _ in range(8):
        for index, factor in ((columns, column_factor), (rows, row_factor)):
            now = size + row_factor[rows] + column_factor[columns]
            largest, least = np.full(len(factor), -np.inf), np.full(len(factor), np.inf)
            np.maximum.at(largest, index, now)
            np.minimum.at(least, index, now)
            used = np.isfinite(largest)
            factor[used] -= np.round((largest[used] + least[used]) / 2)
    data = work.data * 2.0 ** (row_factor[rows] + column_factor[columns])
    return csc_array(coo_array((data, (rows, columns)), shape=matrix.shape))


@dataclass(frozen=True)
class Rounds:
    """What re-weighted LPs found: columns with flux in any round, those of the best round, and how many there were."""

    touched: frozenset[int]
    best: frozenset[int]
    count: int


def reweighted_rounds(residual: Residual, columns: list[int], seed: int) -> Rounds:
    """LPs that learn to pay per reaction instead of per flux.

    Raises
    ------
    ArithmeticError
        Already the first LP has no solution.
    """
    rng = np.random.default_rng(seed)
    matrix = matrix_of(residual, columns)
    n = len(columns)
    gain = np.array([residual.gain[j] for j in columns])
    forward = np.array([j in residual.forward for j in columns])
    backward = np.array([j in residual.backward for j in columns])
    forced = np.array([j in residual.forced for j in columns])
    earning = np.flatnonzero((gain > 0) & ~forced)
    turning = earning[(forward & backward)[earning]]
    side = np.where(forward, 1.0, -1.0)
    side[turning] = rng.choice([-1.0, 1.0], len(turning))
    payment = np.where(forced, 0.0, np.maximum(-gain, 0.0))
    low = np.concatenate([forced & forward, forced & ~forward, np.zeros(len(earning))]).astype(float)
    high = np.concatenate([np.where(forward, np.inf, 0.0), np.where(backward, np.inf, 0.0), np.ones(len(earning))])
    weights = payment * 0.05 * rng.uniform(0.5, 1.5, n)
    touched, best, best_value = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool), -math.inf
    settings = Settings(feasibility_tolerance=1e-8, optimality_tolerance=1e-8)
    for turn in range(ROUNDS):
        rewards = csc_array(matrix[:, earning].multiply(side[earning][None, :]))
        costs = np.concatenate([-weights - 1e-6, -weights - 1e-6, gain[earning]])
        whole = csc_array(hstack([matrix, -matrix, rewards]))
        solution = LinearProgram(whole, low, high, costs=costs, maximize=True, settings=settings).solve()
        if not solution.is_optimal or solution.values is None:
            if turn == 0:
                raise ArithmeticError(f"the first round of {n} columns ended with {solution.status}")
            return _rounds(columns, touched, best, turn)
        flux = solution.values[:n] - solution.values[n : 2 * n]
        flux[earning] += side[earning] * solution.values[2 * n :]
        used = (np.abs(flux) > _USED) | forced
        touched |= used
        value = float(gain[used].sum())
        if value > best_value:
            best, best_value = used, value
        weights = payment / (np.abs(flux) + DELTA) * min(1.0, 0.1 * (turn + 2))
        idle = np.abs(flux[turning]) < 1e-9
        side[turning[idle & (rng.random(len(turning)) < 0.3)]] *= -1
    return _rounds(columns, touched, best, ROUNDS)


def _rounds(columns: list[int], touched: np.ndarray, best: np.ndarray, count: int) -> Rounds:
    names = np.array(columns)
    return Rounds(frozenset(names[touched].tolist()), frozenset(names[best].tolist()), count)
