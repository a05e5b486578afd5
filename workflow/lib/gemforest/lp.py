"""Linear and mixed-integer programs over HiGHS: the one module that imports highspy.

A `LinearProgram` is built once from sparse arrays and then changed in place: bounds, costs, rows, columns. Each solve
starts from the basis of the one before it. Nothing here knows of metabolism; `fluxes.py` does.

Every program runs on one thread with a fixed seed and limits counted in nodes or iterations, so that the same calls in
the same order give the same answer; the wall clock is a safety net, and its firing is a status of its own.
A status is never guessed: where HiGHS cannot tell infeasible from unbounded, or gives up from a warm start, the program
is solved again from scratch before `Status.FAILED` is returned.

Mind big-M leakage in integer programs: a column that is allowed `M * y` carries `M * integrality_tolerance` of flux at
y = 0. State M and the tolerance where such a program is built, and score its result on the set of active columns, not
by the solver's objective.

Solver: Q. Huangfu and J. A. J. Hall, Math. Prog. Comp. 10, 119-142 (2018).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import highspy
import numpy as np
from scipy.sparse import csc_array, csr_array

INFINITY = float("inf")


class Status(StrEnum):
    """How a solve ended. Only `optimal` makes a value; a MILP's `limit` may carry a feasible point."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    LIMIT = "limit"
    TIME_LIMIT = "time_limit"
    FAILED = "failed"


class Method(StrEnum):
    """Simplex variant: the dual keeps a basis usable when bounds change, the primal when costs change."""

    DUAL = "dual"
    PRIMAL = "primal"


@dataclass(frozen=True)
class Settings:
    """Tolerances and limits of one program.

    Attributes
    ----------
    feasibility_tolerance, optimality_tolerance
        Absolute violation allowed of a bound or row, and of a reduced cost; at least 1e-10 (HiGHS's own limit).
    integrality_tolerance
        Distance from an integer that counts as integer.
    relative_gap
        A MILP ends when |bound - objective| <= relative_gap * |objective|.
    node_limit, iteration_limit
        Deterministic limits (`Status.LIMIT`); None for no limit.
    time_limit_s
        Wall clock of one solve, a safety net (`Status.TIME_LIMIT`).
    method
        Simplex variant for LPs.
    presolve
        For the first solve of an LP, and for MILPs; solves from a warm basis never presolve.
    seed
        HiGHS's random seed.
    """

    feasibility_tolerance: float = 1e-9
    optimality_tolerance: float = 1e-9
    integrality_tolerance: float = 1e-9
    relative_gap: float = 1e-4
    node_limit: int | None = None
    iteration_limit: int | None = None
    time_limit_s: float | None = None
    method: Method = Method.DUAL
    presolve: bool = True
    seed: int = 0


@dataclass(frozen=True)
class Solution:
    """What one solve found.

    Attributes
    ----------
    status
        How it ended.
    objective
        In the program's own sense (maximum or minimum); NaN where there is no feasible point.
    values
        n, one per column; None where there is no feasible point.
    bound
        Best bound on the objective that was proven; equals `objective` for an optimal LP, NaN where nothing is proven.
    """

    status: Status
    objective: float
    values: np.ndarray | None
    bound: float

    @property
    def is_optimal(self) -> bool:
        """Whether the objective may be reported as a value."""
        return self.status is Status.OPTIMAL


_STATUS = {
    highspy.HighsModelStatus.kOptimal: Status.OPTIMAL,
    highspy.HighsModelStatus.kModelEmpty: Status.OPTIMAL,
    highspy.HighsModelStatus.kInfeasible: Status.INFEASIBLE,
    highspy.HighsModelStatus.kUnbounded: Status.UNBOUNDED,
    highspy.HighsModelStatus.kIterationLimit: Status.LIMIT,
    highspy.HighsModelStatus.kSolutionLimit: Status.LIMIT,
    highspy.HighsModelStatus.kTimeLimit: Status.TIME_LIMIT,
}
_SIMPLEX_STRATEGY = {Method.DUAL: 1, Method.PRIMAL: 4}


class LinearProgram:
    """min or max c x subject to row_lower <= A x <= row_upper, lower <= x <= upper, some x integer.

    Parameters
    ----------
    matrix
        m x n, any scipy sparse format.
    lower, upper
        n, column bounds; may be infinite.
    row_lower, row_upper
        m or a scalar, row bounds; may be infinite. The default is A x = 0.
    costs
        n; zeros by default.
    integer
        Indices of integer columns; none by default.
    maximize
        Sense of the objective.
    settings
        Tolerances and limits.

    Raises
    ------
    ValueError
        On NaN anywhere, an infinite coefficient or cost, lower > upper, or shapes that do not fit.
    """

    def __init__(
        self,
        matrix: Any,
        lower: np.ndarray,
        upper: np.ndarray,
        row_lower: np.ndarray | float = 0.0,
        row_upper: np.ndarray | float = 0.0,
        costs: np.ndarray | None = None,
        integer: np.ndarray | None = None,
        maximize: bool = False,
        settings: Settings | None = None,
    ) -> None:
        matrix = csc_array(matrix)
        matrix.sum_duplicates()
        rows, columns = matrix.shape
        costs = np.zeros(columns) if costs is None else _floats(costs, columns, "costs")
        _check_finite(matrix.data, "matrix")
        _check_finite(costs, "costs")
        lower, upper = _checked_bounds(lower, upper, columns, "column")
        row_lower, row_upper = _checked_bounds(row_lower, row_upper, rows, "row")

        self.settings = settings or Settings()
        self._is_mip = integer is not None and len(integer) > 0
        self._highs: Any = highspy.Highs()  # its stubs lack half of its methods
        self._configure()
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = columns, rows
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = costs, lower, upper
        lp.row_lower_, lp.row_upper_ = row_lower, row_upper
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = matrix.indptr.astype(np.int32)
        lp.a_matrix_.index_ = matrix.indices.astype(np.int32)
        lp.a_matrix_.value_ = matrix.data.astype(np.float64)
        lp.sense_ = highspy.ObjSense.kMaximize if maximize else highspy.ObjSense.kMinimize
        self._accepted(self._highs.passModel(lp), "the program")
        if self._is_mip:
            self.set_integer(np.asarray(integer))

    # -- the program -------------------------------------------------------------------------------------------------

    @property
    def column_count(self) -> int:
        """N."""
        return int(self._highs.getNumCol())

    @property
    def row_count(self) -> int:
        """M."""
        return int(self._highs.getNumRow())

    def set_bounds(self, columns: np.ndarray | int, lower: np.ndarray | float, upper: np.ndarray | float) -> None:
        """Change the bounds of columns, by index; ValueError where lower > upper or one is NaN."""
        columns = np.atleast_1d(np.asarray(columns, dtype=np.int32))
        lower, upper = _checked_bounds(lower, upper, len(columns), "column")
        self._accepted(self._highs.changeColsBounds(len(columns), columns, lower, upper), "bounds")

    def set_row_bounds(self, rows: np.ndarray | int, lower: np.ndarray | float, upper: np.ndarray | float) -> None:
        """Change the bounds of rows, by index; ValueError where lower > upper or one is NaN."""
        rows = np.atleast_1d(np.asarray(rows, dtype=np.int32))
        lower, upper = _checked_bounds(lower, upper, len(rows), "row")
        self._accepted(self._highs.changeRowsBounds(len(rows), rows, lower, upper), "row bounds")

    def set_costs(self, columns: np.ndarray | int, costs: np.ndarray | float) -> None:
        """Change the costs of columns, by index; the other costs stay."""
        columns = np.atleast_1d(np.asarray(columns, dtype=np.int32))
        costs = np.broadcast_to(np.asarray(costs, dtype=np.float64), columns.shape).copy()
        _check_finite(costs, "costs")
        self._accepted(self._highs.changeColsCost(len(columns), columns, costs), "costs")

    def set_objective(self, costs: np.ndarray, maximize: bool | None = None) -> None:
        """Replace all costs (n) and, where given, the sense."""
        self.set_costs(np.arange(self.column_count), _floats(costs, self.column_count, "costs"))
        if maximize is not None:
            self.set_sense(maximize)

    def set_sense(self, maximize: bool) -> None:
        """Maximise or minimise from now on."""
        sense = highspy.ObjSense.kMaximize if maximize else highspy.ObjSense.kMinimize
        self._accepted(self._highs.changeObjectiveSense(sense), "the sense")

    def set_coefficient(self, row: int, column: int, value: float) -> None:
        """Change one entry of the matrix."""
        _check_finite(np.array([value]), "coefficient")
        self._accepted(self._highs.changeCoeff(row, column, value), "a coefficient")

    def set_integer(self, columns: np.ndarray) -> None:
        """Make these columns integer; the program is a MILP from now on."""
        columns = np.asarray(columns, dtype=np.int32)
        kinds = np.full(len(columns), highspy.HighsVarType.kInteger.value, dtype=np.uint8)
        self._accepted(self._highs.changeColsIntegrality(len(columns), columns, kinds), "integer columns")
        self._is_mip = True

    def add_rows(self, matrix: Any, lower: np.ndarray | float, upper: np.ndarray | float) -> np.ndarray:
        """Append rows (k x n); returns their k indices."""
        matrix = csr_array(matrix)
        first, count = self.row_count, matrix.shape[0]
        if matrix.shape[1] != self.column_count:
            raise ValueError(f"rows over {matrix.shape[1]} columns for a program of {self.column_count}")
        _check_finite(matrix.data, "rows")
        lower, upper = _checked_bounds(lower, upper, count, "row")
        starts, indices = matrix.indptr[:-1].astype(np.int32), matrix.indices.astype(np.int32)
        values = matrix.data.astype(np.float64)
        self._accepted(self._highs.addRows(count, lower, upper, len(values), starts, indices, values), "rows")
        return np.arange(first, first + count)

    def add_columns(
        self, matrix: Any, lower: np.ndarray | float, upper: np.ndarray | float, costs: np.ndarray | float = 0.0
    ) -> np.ndarray:
        """Append columns (m x k); returns their k indices."""
        matrix = csc_array(matrix)
        first, count = self.column_count, matrix.shape[1]
        if matrix.shape[0] != self.row_count:
            raise ValueError(f"columns over {matrix.shape[0]} rows for a program of {self.row_count}")
        _check_finite(matrix.data, "columns")
        lower, upper = _checked_bounds(lower, upper, count, "column")
        costs = np.broadcast_to(np.asarray(costs, dtype=np.float64), (count,)).copy()
        _check_finite(costs, "costs")
        starts, indices = matrix.indptr[:-1].astype(np.int32), matrix.indices.astype(np.int32)
        values = matrix.data.astype(np.float64)
        self._accepted(self._highs.addCols(count, costs, lower, upper, len(values), starts, indices, values), "columns")
        return np.arange(first, first + count)

    def delete_rows(self, rows: np.ndarray) -> None:
        """Take rows out; the indices of later rows move down."""
        rows = np.asarray(rows, dtype=np.int32)
        self._accepted(self._highs.deleteRows(len(rows), rows), "rows to delete")

    # -- solving -----------------------------------------------------------------------------------------------------

    def solve(self) -> Solution:
        """Solve and collect; see `run` for a loop that needs the objective only."""
        status = self.run()
        nothing = float("nan")
        if status in (Status.INFEASIBLE, Status.UNBOUNDED, Status.FAILED):
            return Solution(status, nothing, None, nothing)
        values = self.values()
        objective = self.objective if values is not None else nothing
        if self._is_mip:
            bound = float(self._highs.getInfo().mip_dual_bound)
        else:
            bound = objective if status is Status.OPTIMAL else nothing
        return Solution(status, objective, values, bound)

    def run(self) -> Status:
        """Solve from the present basis; values stay in the solver until asked for."""
        self._highs.run()
        status = self._status()
        if status is not None:
            return status
        return self._run_from_scratch()

    @property
    def objective(self) -> float:
        """Objective of the last solve, in the program's own sense."""
        return float(self._highs.getInfo().objective_function_value)

    @property
    def iterations(self) -> int:
        """Simplex iterations of the last solve."""
        return int(self._highs.getInfo().simplex_iteration_count)

    def values(self) -> np.ndarray | None:
        """n, the point of the last solve; None where it has no feasible point."""
        if self._highs.getInfo().primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible.value:
            return None
        return np.array(self._highs.getSolution().col_value)

    def row_duals(self) -> np.ndarray:
        """m, change of the optimal objective per unit of right-hand side, in the program's own sense."""
        return np.array(self._highs.getSolution().row_dual)

    def reduced_costs(self) -> np.ndarray:
        """n, change of the optimal objective per unit that a column is forced up."""
        return np.array(self._highs.getSolution().col_dual)

    def basis(self) -> Any:
        """The present basis, to be given back to `set_basis` of a program of the same shape."""
        return self._highs.getBasis()

    def set_basis(self, basis: Any) -> None:
        """Start the next LP solve from this basis."""
        self._accepted(self._highs.setBasis(basis), "the basis")

    def set_start(self, values: np.ndarray) -> None:
        """Give a MILP a point to start from (n; columns that are NaN are left to the solver)."""
        values = _floats(values, self.column_count, "start")
        (known,) = np.nonzero(~np.isnan(values))
        self._accepted(self._highs.setSolution(len(known), known.astype(np.int32), values[known]), "the start")

    def forget(self) -> None:
        """Drop basis and factors: the next solve starts from scratch."""
        self._highs.clearSolver()

    def change_settings(self, **changes: Any) -> None:
        """Change tolerances or limits; names as in `Settings`."""
        self.settings = replace(self.settings, **changes)
        self._configure()

    def conflict(self) -> tuple[np.ndarray, np.ndarray]:
        """Why the program is infeasible: the rows and the columns whose bounds contradict each other.

        Returns
        -------
        rows, columns
            Indices with a nonzero weight in a Farkas certificate of the LP; empty where HiGHS has none (an integer
            program that is infeasible only for its integers, or a program that is feasible after all).
        """
        self._highs.setOptionValue("presolve", "off")
        self._highs.clearSolver()
        self._highs.run()
        _, found, ray = self._highs.getDualRay()
        self._configure()
        if not found:
            return np.array([], dtype=int), np.array([], dtype=int)
        weights = np.asarray(ray)
        weights[np.abs(weights) < self.settings.feasibility_tolerance * np.abs(weights).max()] = 0.0
        lp = self._highs.getLp()
        matrix = csc_array((lp.a_matrix_.value_, lp.a_matrix_.index_, lp.a_matrix_.start_), (lp.num_row_, lp.num_col_))
        pull = matrix.T @ weights
        return np.flatnonzero(weights), np.flatnonzero(np.abs(pull) > self.settings.feasibility_tolerance)

    # -- inner workings ----------------------------------------------------------------------------------------------

    def _configure(self) -> None:
        settings = self.settings
        options: dict[str, Any] = {
            "output_flag": False,
            "threads": 1,
            "parallel": "off",
            "random_seed": settings.seed,
            "solver": "choose" if self._is_mip else "simplex",
            "simplex_strategy": _SIMPLEX_STRATEGY[settings.method],
            "presolve": "choose" if settings.presolve else "off",
            "primal_feasibility_tolerance": settings.feasibility_tolerance,
            "dual_feasibility_tolerance": settings.optimality_tolerance,
            "mip_feasibility_tolerance": settings.integrality_tolerance,
            "mip_rel_gap": settings.relative_gap,
            "mip_max_nodes": highspy.kHighsIInf if settings.node_limit is None else settings.node_limit,
            "simplex_iteration_limit": highspy.kHighsIInf
            if settings.iteration_limit is None
            else settings.iteration_limit,
            "time_limit": INFINITY if settings.time_limit_s is None else settings.time_limit_s,
        }
        for name, value in options.items():
            self._accepted(self._highs.setOptionValue(name, value), f"option {name}")

    def _status(self) -> Status | None:
        """Status of the last run; None where HiGHS does not know."""
        return _STATUS.get(self._highs.getModelStatus())

    def _run_from_scratch(self) -> Status:
        """Solve again without the warm start, then without presolve."""
        for presolve in ("choose", "off"):
            self._highs.setOptionValue("presolve", presolve)
            self._highs.clearSolver()
            self._highs.run()
            status = self._status()
            if status is not None:
                break
        else:
            status = self._infeasible_or_unbounded()
        self._configure()
        return status

    def _infeasible_or_unbounded(self) -> Status:
        """Tell the two apart by dropping the objective; the program is left as it was."""
        if self._highs.getModelStatus() != highspy.HighsModelStatus.kUnboundedOrInfeasible:
            return Status.FAILED
        costs = np.array(self._highs.getLp().col_cost_)
        columns = np.arange(len(costs), dtype=np.int32)
        self._highs.changeColsCost(len(costs), columns, np.zeros(len(costs)))
        self._highs.run()
        status = self._status()
        self._highs.changeColsCost(len(costs), columns, costs)
        if status is Status.OPTIMAL:
            return Status.UNBOUNDED
        return status if status is Status.INFEASIBLE else Status.FAILED

    @staticmethod
    def _accepted(status: Any, what: str) -> None:
        if status == highspy.HighsStatus.kError:
            raise ValueError(f"HiGHS does not accept {what}")


def _floats(values: np.ndarray, length: int, name: str) -> np.ndarray:
    array = np.ascontiguousarray(values, dtype=np.float64)
    if array.shape != (length,):
        raise ValueError(f"{name}: expected {length} values, found an array of shape {array.shape}")
    return array


def _check_finite(values: np.ndarray, name: str) -> None:
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: holds NaN or an infinite value")


def _checked_bounds(
    lower: np.ndarray | float, upper: np.ndarray | float, length: int, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    low = np.broadcast_to(np.asarray(lower, dtype=np.float64), (length,)).copy()
    high = np.broadcast_to(np.asarray(upper, dtype=np.float64), (length,)).copy()
    wrong = ~(low <= high) | (low == INFINITY) | (high == -INFINITY)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(f"{kind} {first}: lower bound {low[first]} and upper bound {high[first]} leave no value")
    return low, high
