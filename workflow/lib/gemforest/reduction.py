"""A smaller network with the same flux space: blocked reactions out, coupled reactions merged, fixed signs told.

Presolve for all problems over one network. Four rules, applied until none fits, each exact:

- a metabolite that nothing makes or nothing uses blocks its reactions;
- a metabolite with one reaction blocks it;
- the only reaction that can make (use) a metabolite runs in that direction only;
- a metabolite of two reactions fixes their ratio: they become one column, and the metabolite's row goes.

Every flux of the network is `ratio * reduced flux`, or 0 where blocked, so results map back without error but rounding.
The rules depend on which directions the bounds allow, not on their values: a reduction made for wide bounds serves all
problems within them. Fully coupled pairs that share no metabolite of two reactions are not found. Compare Gagneur and
Klamt, BMC Bioinformatics 5:175 (2004).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_array

from gemforest.models import Network

_CANCELLED = 1e-12
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Reduction:
    """The smaller network and the way back.

    Attributes
    ----------
    stoichiometry
        m' x n', csc.
    lower, upper
        n', bounds that follow from the network's own.
    kept
        n', index in the network of the reaction that stands for each column.
    column
        n, the column of each reaction; -1 where it is blocked.
    ratio
        n, flux of the reaction per flux of its column; 0 where blocked.
    """

    stoichiometry: csc_array
    lower: np.ndarray
    upper: np.ndarray
    kept: np.ndarray
    column: np.ndarray
    ratio: np.ndarray

    @property
    def blocked(self) -> np.ndarray:
        """n, bool: reactions that the rules proved to carry no flux (a subset of all that carry none)."""
        return self.column < 0

    def fluxes(self, values: np.ndarray) -> np.ndarray:
        """Fluxes of the network (n) from those of the reduced one (n')."""
        return np.asarray(np.append(values, 0.0)[self.column] * self.ratio)

    def costs(self, costs: np.ndarray) -> np.ndarray:
        """Costs (n') with the same objective value as these (n)."""
        live = ~self.blocked
        return np.bincount(self.column[live], costs[live] * self.ratio[live], minlength=len(self.kept))

    def bounds(self, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bounds (n') that mean the same as these (n), which lie within those that the reduction was made for.

        Raises
        ------
        ValueError
            Where no flux fits: a blocked reaction is forced, or coupled reactions contradict each other.
        """
        if (lower[self.blocked] > 0.0).any() or (upper[self.blocked] < 0.0).any():
            raise ValueError("a reaction that cannot carry flux is forced to")
        live = np.flatnonzero(~self.blocked)
        low, high = lower[live] / self.ratio[live], upper[live] / self.ratio[live]
        reduced_lower, reduced_upper = self.lower.copy(), self.upper.copy()
        np.maximum.at(reduced_lower, self.column[live], np.minimum(low, high))
        np.minimum.at(reduced_upper, self.column[live], np.maximum(low, high))
        gap = reduced_lower - reduced_upper
        if (gap > _ROUNDING * np.maximum(1.0, np.abs(reduced_upper))).any():
            raise ValueError("coupled reactions have bounds that contradict each other")
        return np.minimum(reduced_lower, reduced_upper), reduced_upper


def reduce_network(network: Network, lower: np.ndarray | None = None, upper: np.ndarray | None = None) -> Reduction:
    """Reduce a network for bounds (its own by default) and all narrower ones.

    Raises
    ------
    ValueError
        Where the rules show that no flux fits the bounds.
    """
    low = network.lower if lower is None else lower
    high = network.upper if upper is None else upper
    worker = _Reducer(network.stoichiometry, low, high)
    worker.exhaust()
    return worker.result()


class _Reducer:
    """The network as dictionaries while columns are merged; `todo` holds metabolites whose reactions have changed."""

    def __init__(self, matrix: csc_array, lower: np.ndarray, upper: np.ndarray) -> None:
        m, n = matrix.shape
        starts, indices, data = matrix.indptr.tolist(), matrix.indices.tolist(), matrix.data.tolist()
        self.columns = [
            dict(zip(indices[starts[j] : starts[j + 1]], data[starts[j] : starts[j + 1]], strict=True))
            for j in range(n)
        ]
        self.rows: list[set[int]] = [set() for _ in range(m)]
        for j, column in enumerate(self.columns):
            for i in column:
                self.rows[i].add(j)
        self.lower, self.upper = lower.tolist(), upper.tolist()
        self.members: dict[int, list[tuple[int, float]]] = {j: [(j, 1.0)] for j in range(n)}
        self.todo = deque(range(m))
        self.queued = [True] * m
        for j in range(n):
            if self.lower[j] == 0.0 == self.upper[j]:
                self.block(j)

    def exhaust(self) -> None:
        while self.todo:
            i = self.todo.popleft()
            self.queued[i] = False
            if self.rows[i]:
                self.look_at(i)

    def look_at(self, i: int) -> None:
        """Apply the first rule that fits to metabolite i."""
        reactions = self.rows[i]
        makers = [j for j in reactions if self.can(j, i, 1.0)]
        users = [j for j in reactions if self.can(j, i, -1.0)]
        if len(reactions) == 1 or not makers or not users:
            for j in sorted(reactions):
                self.block(j)
        elif len(reactions) == 2:
            self.merge(i)
        else:
            self.fix_sign(i, makers, users, 1.0)
            self.fix_sign(i, users, makers, -1.0)

    def can(self, j: int, i: int, direction: float) -> bool:
        """Whether reaction j can make (direction 1) or use (-1) metabolite i."""
        return bool(self.upper[j] > 0.0 if self.columns[j][i] * direction > 0.0 else self.lower[j] < 0.0)

    def fix_sign(self, i: int, only: list[int], others: list[int], direction: float) -> None:
        """Where one reaction alone moves metabolite i in a direction, it never moves it in the other."""
        if len(only) != 1 or only[0] not in others:
            return
        j = only[0]
        if self.columns[j][i] * direction > 0.0:
            self.lower[j] = max(self.lower[j], 0.0)
        else:
            self.upper[j] = min(self.upper[j], 0.0)
        self.wake(j)

    def wake(self, j: int) -> None:
        for i in self.columns[j]:
            if not self.queued[i]:
                self.queued[i] = True
                self.todo.append(i)

    def block(self, j: int) -> None:
        if self.lower[j] > 0.0 or self.upper[j] < 0.0:
            raise ValueError("a reaction that cannot carry flux is forced to")
        self.wake(j)
        for i in self.columns[j]:
            self.rows[i].discard(j)
        self.columns[j] = {}
        self.members.pop(j, None)

    def merge(self, i: int) -> None:
        """Metabolite i has two reactions: a x_a + b x_b = 0; the one with more metabolites stays."""
        keep, drop = sorted(self.rows[i], key=lambda j: (-len(self.columns[j]), j))
        ratio = -self.columns[keep].pop(i) / self.columns[drop].pop(i)
        self.rows[i] = set()
        low, high = sorted((self.lower[drop] / ratio, self.upper[drop] / ratio))
        self.lower[keep], self.upper[keep] = max(self.lower[keep], low), min(self.upper[keep], high)
        if self.lower[keep] > self.upper[keep] + _ROUNDING * max(1.0, abs(self.upper[keep])):
            raise ValueError("coupled reactions have bounds that contradict each other")
        self.lower[keep] = min(self.lower[keep], self.upper[keep])
        self.wake(drop)
        column = self.columns[keep]
        for k, value in self.columns[drop].items():
            self.rows[k].discard(drop)
            old, added = column.get(k, 0.0), ratio * value
            if abs(old + added) <= _CANCELLED * max(abs(old), abs(added)):
                column.pop(k, None)
                self.rows[k].discard(keep)
            else:
                column[k] = old + added
                self.rows[k].add(keep)
        self.columns[drop] = {}
        self.members[keep] += [(j, r * ratio) for j, r in self.members.pop(drop)]
        self.wake(keep)
        if self.lower[keep] == 0.0 == self.upper[keep]:
            self.block(keep)

    def result(self) -> Reduction:
        kept = sorted(self.members)
        row_of = {i: r for r, i in enumerate(i for i, reactions in enumerate(self.rows) if reactions)}
        column = np.full(len(self.columns), -1)
        ratio = np.zeros(len(self.columns))
        rows, columns, values = [], [], []
        for c, j in enumerate(kept):
            for member, factor in self.members[j]:
                column[member], ratio[member] = c, factor
            for i, value in sorted(self.columns[j].items()):
                rows.append(row_of[i])
                columns.append(c)
                values.append(value)
        return Reduction(
            stoichiometry=csc_array((values, (rows, columns)), shape=(len(row_of), len(kept)), dtype=float),
            lower=np.array([self.lower[j] for j in kept], dtype=float),
            upper=np.array([self.upper[j] for j in kept], dtype=float),
            kept=np.array(kept, dtype=int),
            column=column,
            ratio=ratio,
        )
