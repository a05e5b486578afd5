import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from gemforest.lp import LinearProgram, Method, Settings, Status

CHAIN = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])


def chain(upper: float = 10.0, **more: object) -> LinearProgram:
    """x0 = x1 = x2, the first limited: the maximum of x2 is the limit."""
    return LinearProgram(
        CHAIN, np.zeros(3), np.array([upper, 1000, 1000]), costs=np.array([0, 0, 1.0]), maximize=True, **more
    )


def test_the_optimum_of_a_chain_is_its_first_limit():
    solution = chain().solve()
    assert solution.status is Status.OPTIMAL
    assert solution.objective == pytest.approx(10.0, abs=1e-9)
    assert solution.bound == solution.objective
    np.testing.assert_allclose(solution.values, [10, 10, 10], atol=1e-9)


def test_duals_tell_what_one_more_unit_would_bring():
    program = chain()
    program.solve()
    # x0 - x1 = b leaves x2 = 10 - b, and each unit of x0's limit brings one of x2
    np.testing.assert_allclose(program.row_duals(), [-1, -1])
    np.testing.assert_allclose(program.reduced_costs(), [1, 0, 0], atol=1e-12)


@pytest.mark.parametrize("method", list(Method))
def test_bounds_and_costs_change_in_place(method):
    program = chain(settings=Settings(method=method))
    program.solve()
    program.set_bounds(0, 0.0, 4.0)
    assert program.solve().objective == pytest.approx(4.0)
    program.set_costs(np.array([0, 2]), np.array([1.0, 1.0]))
    assert program.solve().objective == pytest.approx(8.0)
    program.set_sense(maximize=False)
    assert program.solve().objective == pytest.approx(0.0)
    program.set_objective(np.array([0.0, 1.0, 0.0]), maximize=True)
    assert program.solve().objective == pytest.approx(4.0)


def test_rows_and_columns_can_be_added_and_rows_deleted():
    program = chain()
    (row,) = program.add_rows(np.array([[0, 0, 1.0]]), -np.inf, 3.0)
    assert (row, program.row_count) == (2, 3)
    assert program.solve().objective == pytest.approx(3.0)
    program.delete_rows(np.array([row]))
    assert program.solve().objective == pytest.approx(10.0)
    (column,) = program.add_columns(np.array([[0.0], [1.0]]), 0.0, 5.0, 0.0)
    assert column == 3
    assert program.solve().objective == pytest.approx(15.0)


def test_infeasible_and_unbounded_are_told_apart_and_have_no_value():
    infeasible = chain()
    infeasible.set_bounds(2, 20.0, 30.0)
    assert infeasible.solve().status is Status.INFEASIBLE
    unbounded = chain(upper=np.inf)
    unbounded.set_bounds(np.array([1, 2]), 0.0, np.inf)
    assert unbounded.solve().status is Status.UNBOUNDED
    for program in (infeasible, unbounded):
        solution = program.solve()
        assert np.isnan(solution.objective)
        assert solution.values is None


def test_a_conflict_names_the_rows_and_columns_that_contradict_each_other():
    matrix = np.vstack([np.hstack([CHAIN, np.zeros((2, 2))]), [0, 0, 0, 1.0, -1.0]])
    program = LinearProgram(matrix, np.array([0, 0, 5.0, 0, 0]), np.array([2, 9, 9, 1, 1.0]))
    assert program.solve().status is Status.INFEASIBLE
    rows, columns = program.conflict()
    assert rows.tolist() == [0, 1]
    assert columns.tolist() == [0, 2]


def test_an_integer_program_reaches_the_integer_optimum_from_a_given_start():
    # knapsack 3x + 4y + 5z <= 7 with values 4, 5, 6: the best is x + y = 9; the relaxation has more
    program = LinearProgram(
        np.array([[3.0, 4, 5]]),
        np.zeros(3),
        np.ones(3),
        -np.inf,
        7.0,
        costs=np.array([4.0, 5, 6]),
        integer=np.arange(3),
        maximize=True,
    )
    program.set_start(np.array([0.0, 0, 1]))
    solution = program.solve()
    assert solution.is_optimal
    assert solution.objective == pytest.approx(9.0)
    assert solution.bound == pytest.approx(9.0, rel=1e-3)
    np.testing.assert_allclose(solution.values, [1, 1, 0], atol=1e-9)


def test_a_node_limit_is_a_status_of_its_own_and_keeps_the_start():
    rng = np.random.default_rng(3)
    weights = rng.integers(20, 99, (5, 40)).astype(float)
    program = LinearProgram(
        weights,
        np.zeros(40),
        np.ones(40),
        -np.inf,
        weights.sum(axis=1) / 2,
        costs=rng.integers(20, 99, 40).astype(float),
        integer=np.arange(40),
        maximize=True,
        settings=Settings(node_limit=1, relative_gap=0.0),
    )
    program.set_start(np.zeros(40))
    solution = program.solve()
    assert solution.status is Status.LIMIT
    assert solution.values is not None
    assert solution.objective <= solution.bound


@pytest.mark.parametrize(
    ("lower", "upper"), [([np.nan, 0, 0], [1, 1, 1]), ([2, 0, 0], [1, 1, 1]), ([np.inf, 0, 0], [np.inf, 1, 1])]
)
def test_bounds_that_leave_no_value_are_refused(lower, upper):
    with pytest.raises(ValueError, match="column 0"):
        LinearProgram(CHAIN, np.array(lower), np.array(upper))
    with pytest.raises(ValueError, match="column 0"):
        chain().set_bounds(0, lower[0], upper[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_coefficients_and_costs_must_be_finite(bad):
    matrix = CHAIN.copy()
    matrix[0, 0] = bad
    with pytest.raises(ValueError, match="matrix"):
        LinearProgram(matrix, np.zeros(3), np.ones(3))
    with pytest.raises(ValueError, match="costs"):
        LinearProgram(CHAIN, np.zeros(3), np.ones(3), costs=np.array([bad, 0, 0]))
    with pytest.raises(ValueError, match="costs"):
        chain().set_costs(0, bad)


def test_an_empty_program_is_optimal():
    assert LinearProgram(np.zeros((0, 0)), np.zeros(0), np.zeros(0)).solve().status is Status.OPTIMAL


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_warm_started_answers_equal_those_of_another_front_end_from_scratch(seed):
    rng = np.random.default_rng(seed)
    m, n = rng.integers(1, 6), rng.integers(2, 9)
    matrix = rng.integers(-2, 3, (m, n)).astype(float)
    program = LinearProgram(matrix, -np.ones(n), np.ones(n), settings=Settings(method=Method.PRIMAL, perturb=False))
    for _ in range(5):
        costs, lower, upper = rng.normal(size=n), -rng.integers(0, 4, n).astype(float), rng.integers(0, 4, n) + 0.5
        program.set_objective(costs)
        program.set_bounds(np.arange(n), lower, upper)
        expected = linprog(costs, A_eq=matrix, b_eq=np.zeros(m), bounds=np.column_stack([lower, upper]))
        assert program.solve().objective == pytest.approx(expected.fun, abs=1e-7)
