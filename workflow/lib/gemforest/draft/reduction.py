"""Exact reduction of a carving problem to its hard kernel, typically a tenth of the universe.

Each step keeps at least one best set and is proven by the closure of feasible sets under union:

- *absorb*: reactions of no negative gain that can carry flux among themselves belong to a best set (the core). The
  core's flux vector can be added at will, so its reactions may run in either direction as far as the rest is
  concerned: they are free variables and are eliminated from the equations by Gaussian elimination.
- *merge*: a metabolite with two reactions left ties them together; their gains add up. With one, or with producers
  only, its reactions are blocked.
- *dedupe*: of two reactions without positive gain and with the same column the dearer one goes; two irreversible ones
  of positive gain with the same column come together.

Merged reactions whose gains add up to no less than 0 are absorbed in turn, and so on until nothing changes.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csc_array

from gemforest.draft.problem import Problem
from gemforest.universe import consistent

CANCELLED = 1e-9
"""Relative size below which a difference of coefficients is 0."""
LEAST_PIVOT = 1e-7
FOREVER = 1e6
"""A price that no merger makes up for."""


class InfeasibleError(Exception):
    """A forced reaction is blocked."""


@dataclass
class Residual:
    """What is left of a problem; columns are merged reactions, named by their first member.

    Attributes
    ----------
    columns
        Column to {row: coefficient}.
    gain
        Column to gain; 0 where forced (already in `base`).
    forward, backward
        Columns that may run in this direction.
    members
        Column to the reactions of the universe in it.
    forced
        Columns that must carry flux.
    core
        Reactions in the core.
    base
        Gain of core and forced columns.
    """

    columns: dict[int, dict[int, float]]
    gain: dict[int, float]
    forward: set[int]
    backward: set[int]
    members: dict[int, list[int]]
    forced: set[int]
    core: list[int] = field(default_factory=list)
    base: float = 0.0
    users: dict[int, set[int]] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)

    def reactions(self, columns: set[int]) -> set[int]:
        """Reactions of the universe in these columns."""
        return {reaction for column in columns for reaction in self.members[column]}


def reduce_problem(problem: Problem, columns: np.ndarray | None = None, sunk: frozenset[int] = frozenset()) -> Residual:
    """Reduce a problem as far as it goes.

    Parameters
    ----------
    columns
        Reactions that take part; all of the problem by default.
    sunk
        Reactions whose cost counts as paid: their gain is at least 0.

    Raises
    ------
    InfeasibleError
        A forced reaction cannot carry flux.
    """
    taking_part = [int(j) for j in (problem.columns if columns is None else columns)]
    gain = {j: max(float(problem.gain[j]), 0.0) if j in sunk else float(problem.gain[j]) for j in taking_part}
    residual = _residual(problem, gain, set(problem.forced))
    if not residual.forced <= set(taking_part):
        raise InfeasibleError("a forced reaction is blocked in the universe")
    for j in sorted(residual.forced):
        residual.base += residual.gain[j]
        residual.gain[j] = 0.0
    while True:
        _absorb(residual)
        _merge(residual)
        if not _dedupe(residual) and not residual.touched:
            return residual


def reduce_couplings(problem: Problem, columns: np.ndarray, free: set[int]) -> Residual:
    """Take out what runs on its own within `free` (the core) and merge what is coupled; nothing is chosen.

    Parameters
    ----------
    columns
        Reactions that take part, all of which carry flux together.
    """
    gain = {int(j): 1.0 if j in free else -FOREVER for j in columns}
    residual = _residual(problem, gain, set())
    while residual.touched:
        _absorb(residual)
        _merge(residual)
    return residual


def _residual(problem: Problem, gain: dict[int, float], forced: set[int]) -> Residual:
    """The problem over the reactions that have a gain, untouched."""
    residual = Residual(
        columns={j: _column(problem.stoichiometry, j) for j in gain},
        gain=gain,
        forward={j for j in gain if problem.forward[j]},
        backward={j for j in gain if problem.backward[j]},
        members={j: [j] for j in gain},
        forced=forced,
    )
    for j, column in residual.columns.items():
        for i in column:
            residual.users.setdefault(i, set()).add(j)
    residual.touched = set(residual.users)
    return residual


def components(residual: Residual) -> list[list[int]]:
    """Columns that share no row with others may be decided apart: sorted lists, smallest first."""
    left = set(residual.columns)
    found = []
    for start in sorted(left):
        if start not in left:
            continue
        left.discard(start)
        part, frontier = [start], [start]
        while frontier:
            near = {k for i in residual.columns[frontier.pop()] for k in residual.users[i]} & left
            left -= near
            part.extend(near)
            frontier.extend(sorted(near))
        found.append(sorted(part))
    return sorted(found, key=lambda part: (len(part), part))


def matrix_of(residual: Residual, columns: list[int]) -> csc_array:
    """Rows in use x columns, in their order."""
    rows = sorted({i for j in columns for i in residual.columns[j]})
    place = {i: k for k, i in enumerate(rows)}
    entries = [(place[i], k, value) for k, j in enumerate(columns) for i, value in residual.columns[j].items()]
    at, across, values = zip(*entries, strict=True) if entries else ((), (), ())
    return csc_array((values, (at, across)), shape=(len(rows), len(columns)), dtype=np.float64)


def _absorb(residual: Residual) -> None:
    candidates = sorted(j for j in residual.columns if residual.gain[j] >= -1e-12 or j in residual.forced)
    lower = np.array([-1.0 if j in residual.backward else 0.0 for j in candidates])
    upper = np.array([1.0 if j in residual.forward else 0.0 for j in candidates])
    able = consistent(matrix_of(residual, candidates), lower, upper)
    core = [j for j, ok in zip(candidates, able, strict=True) if ok]
    for j in core:
        residual.base += residual.gain[j]
        residual.core += residual.members[j]
        residual.forced.discard(j)
    _eliminate(residual, core)


def _eliminate(residual: Residual, free: list[int]) -> None:
    """Solve a row for each free column, the row that fills the others least first."""
    heap = []
    for j in free:
        if residual.columns[j]:
            heap.append((_fill(residual, j), j))
        else:
            _drop(residual, j)
    heapq.heapify(heap)
    while heap:
        price, j = heapq.heappop(heap)
        column = residual.columns[j]
        if not column:
            _drop(residual, j)
            continue
        now = _fill(residual, j)
        if now > price:
            heapq.heappush(heap, (now, j))
            continue
        row = now[3]
        pivot = column[row]
        others = [(i, value / pivot) for i, value in column.items() if i != row]
        for k in sorted(residual.users[row] - {j}):
            amount = residual.columns[k].pop(row)
            residual.users[row].discard(k)
            for i, factor in others:
                _add(residual, k, i, -factor * amount)
        _drop(residual, j)


def _fill(residual: Residual, j: int) -> tuple[float, bool, int, int]:
    """Markowitz cost of the best pivot in a column, and that pivot's row."""
    column = residual.columns[j]
    width = len(column) - 1
    return min(
        (
            math.inf if abs(value) < LEAST_PIVOT else (len(residual.users[i]) - 1) * width,
            abs(value) != 1.0,
            len(residual.users[i]),
            i,
        )
        for i, value in column.items()
    )


def _add(residual: Residual, j: int, i: int, amount: float) -> None:
    column = residual.columns[j]
    before = column.get(i, 0.0)
    after = before + amount
    if abs(after) <= CANCELLED * (abs(before) + abs(amount)):
        if i in column:
            del column[i]
            residual.users[i].discard(j)
    else:
        column[i] = after
        residual.users[i].add(j)
    residual.touched.add(i)


def _drop(residual: Residual, j: int) -> None:
    if j in residual.forced:
        raise InfeasibleError("a forced reaction is blocked")
    for i in residual.columns.pop(j):
        residual.users[i].discard(j)
        residual.touched.add(i)
    del residual.gain[j], residual.members[j]
    residual.forward.discard(j)
    residual.backward.discard(j)


def _merge(residual: Residual) -> None:
    heap = sorted(residual.touched)
    while residual.touched:
        if not heap:
            heap = sorted(residual.touched)
        i = heapq.heappop(heap)
        if i not in residual.touched:
            continue
        residual.touched.discard(i)
        users = sorted(residual.users[i])
        if users and not (_made(residual, i, users) and _eaten(residual, i, users)):
            for j in users:
                _drop(residual, j)
        elif len(users) == 1:
            _drop(residual, users[0])
        elif len(users) == 2:
            _tie(residual, i, *users)


def _made(residual: Residual, i: int, users: list[int]) -> bool:
    return any(j in (residual.forward if residual.columns[j][i] > 0 else residual.backward) for j in users)


def _eaten(residual: Residual, i: int, users: list[int]) -> bool:
    return any(j in (residual.forward if residual.columns[j][i] < 0 else residual.backward) for j in users)


def _tie(residual: Residual, i: int, keep: int, gone: int) -> None:
    """Row i holds two columns: make them one."""
    factor = -residual.columns[keep][i] / residual.columns[gone][i]
    along, against = (residual.forward, residual.backward) if factor > 0 else (residual.backward, residual.forward)
    can_run = (keep in residual.forward and gone in along, keep in residual.backward and gone in against)
    if not any(can_run):
        _drop(residual, keep)
        _drop(residual, gone)
        return
    for k, value in list(residual.columns[gone].items()):
        if k == i:
            continue
        _add(residual, keep, k, factor * value)
    del residual.columns[keep][i]
    residual.users[i].discard(keep)
    residual.gain[keep] += residual.gain[gone]
    residual.members[keep] = residual.members[keep] + residual.members[gone]
    if gone in residual.forced:
        residual.forced.discard(gone)
        residual.forced.add(keep)
    if keep in residual.forced and residual.gain[keep] != 0.0:
        residual.base += residual.gain[keep]
        residual.gain[keep] = 0.0
    for allowed, directions in zip(can_run, (residual.forward, residual.backward), strict=True):
        if not allowed:
            directions.discard(keep)
    for k in residual.columns[keep]:
        residual.touched.add(k)
    _drop(residual, gone)


def _dedupe(residual: Residual) -> bool:
    alike: dict[tuple[tuple[int, float], ...], list[tuple[int, bool, bool]]] = {}
    changed = False
    for j in sorted(residual.columns):
        column = residual.columns[j]
        if not column:
            # Runs by itself: only positive gains were worth it, and those are in the core by the next turn.
            if residual.gain[j] < 0 and j not in residual.forced:
                _drop(residual, j)
            changed = True
            continue
        sign = column[min(column)]
        key = tuple(sorted((i, float(f"{value / sign:.9g}")) for i, value in column.items()))
        directions = (j in residual.forward, j in residual.backward)
        alike.setdefault(key, []).append((j, *(directions if sign > 0 else directions[::-1])))
    for same in alike.values():
        for j, forward, backward in same:
            for other, other_forward, other_backward in same:
                if j in residual.forced or other == j or not {j, other} <= set(residual.columns):
                    continue
                wider = other_forward >= forward and other_backward >= backward
                equal = (forward, backward) == (other_forward, other_backward)
                gain, other_gain = residual.gain[j], residual.gain[other]
                first = other < j
                if gain <= 0 and other_gain <= 0 and wider and (other_gain, not equal, first) > (gain, False, False):
                    # The other does the same for no more; where the two differ only in name, the first stays.
                    _drop(residual, j)
                    changed = True
                elif gain > 0 and other_gain > 0 and equal and forward != backward and first:
                    residual.members[other] = residual.members[other] + residual.members[j]
                    residual.gain[other] = other_gain + gain
                    _drop(residual, j)
                    changed = True
    return changed


def _column(matrix: csc_array, j: int) -> dict[int, float]:
    part = slice(matrix.indptr[j], matrix.indptr[j + 1])
    return dict(zip(matrix.indices[part].tolist(), matrix.data[part].tolist(), strict=True))
