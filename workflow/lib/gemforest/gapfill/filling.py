"""The cheapest additions with which a draft grows on each of its media.

Which reactions to add is a hitting-set problem: whenever a set of additions does not suffice, some linear-programming
dual proves it, and names reactions of which at least one must be added (a cut). So no big-M is needed and nothing
leaks: a reaction that is not chosen has both bounds at 0.

1. Linear programmes over the whole universe, re-weighted by the fluxes of the last (cost / (|v| + d)) or with weights
   drawn at random, collect the candidates that cheap solutions touch.
2. Over these, exactly: solve the small integer programme «cheapest set that hits all cuts», test growth on every
   medium, add a cut where it fails, until growth stands (implicit hitting sets: Moreno-Centeno and Karp, Oper. Res. 61,
   453-468, 2013). Each cut is made minimal first.
3. Each addition is tested for necessity.

Alternatives are the next-cheapest sets: the same search, with every set found before (and what contains it) forbidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_array, hstack

from gemforest.lp import LinearProgram, Settings, Status

ROUNDS = 4
DRAWS = 8
NODES = 200
_DELTA = 1e-3
_TOUCHED = 1e-9
_ENOUGH = 1.0 - 1e-6
# with perturbation off the simplex stalled for minutes on a draft
_SETTINGS = Settings(iteration_limit=200_000)


@dataclass(frozen=True)
class Problem:
    """A draft within its universe.

    Attributes
    ----------
    stoichiometry
        m x n, of the universe.
    lower, upper
        media x n: bounds on each medium, as if everything were added.
    biomass
        Index of the biomass reaction.
    candidates
        n, bool: reactions that the draft lacks and that may be added.
    costs
        n, positive; counted for candidates only.
    min_growth
        h^-1, on each medium.
    """

    stoichiometry: csc_array
    lower: np.ndarray
    upper: np.ndarray
    biomass: int
    candidates: np.ndarray
    costs: np.ndarray
    min_growth: float


@dataclass(frozen=True)
class Fill:
    """Additions (indices, sorted), their cost, the least cost proven for the candidates touched, and the cuts used."""

    added: tuple[int, ...]
    cost: float
    bound: float
    cuts: int
    limit_fired: str


class TooLarge(Exception):
    """Every fill holds more reactions than are allowed; `least` is what disjoint cuts prove."""

    def __init__(self, least: int) -> None:
        super().__init__(least)
        self.least = least


class Infeasible(Exception):
    """No addition gives growth on a medium (its index)."""

    def __init__(self, medium: int) -> None:
        super().__init__(medium)
        self.medium = medium


def cheapest_fill(problem: Problem, most_cuts: int = 400) -> Fill:
    """The cheapest additions; nothing where the draft grows on all media.

    Raises
    ------
    Infeasible
        Growth stays below `min_growth` with every candidate added.
    """
    return cheapest_fills(problem, 1, 0.0, most_cuts)[0]


def cheapest_fills(
    problem: Problem, count: int, within: float, most_cuts: int = 400, most: int | None = None
) -> list[Fill]:
    """The cheapest additions and the next ones, each without a reaction to spare, cheapest first.

    Parameters
    ----------
    count
        Fills at most.
    within
        Share of the least cost by which a later one may be dearer.
    most
        Reactions at most; None for any number.

    Raises
    ------
    Infeasible
        Growth stays below `min_growth` with every candidate added.
    TooLarge
        More than `most` reactions are needed, which is proven before the long search for the cheapest begins.
    """
    nothing = np.zeros_like(problem.candidates)
    if all(_Grower(problem, medium, nothing).grows(frozenset()) for medium in range(len(problem.lower))):
        return [Fill((), 0.0, 0.0, 0, "")]
    touched = _touched(problem)
    search = _Search(problem, touched, most_cuts)
    if most is not None and len(search.cuts) > most:
        raise TooLarge(len(search.cuts))
    fills = [search.next()]
    while len(fills) < count and fills[0].added:
        search.forbidden.append(frozenset(fills[-1].added))
        try:
            fill = search.next()
        except _Exhausted:
            break
        if fill.cost > fills[0].cost * (1.0 + within) + 1e-9:
            break
        fills.append(fill)
    return sorted(fills, key=lambda fill: fill.cost)


class _Exhausted(Exception):
    """Every set that hits all cuts contains a forbidden one."""


class _Search:
    """The search over touched candidates; its cuts serve all fills."""

    def __init__(self, problem: Problem, touched: np.ndarray, most_cuts: int) -> None:
        self.costs = problem.costs
        self.growers = [_Grower(problem, medium, touched) for medium in range(len(problem.lower))]
        if not all(grower.grows(grower.candidates) for grower in self.growers):
            raise ArithmeticError("growth is lost on the candidates that a linear programme grew on")
        self.most_cuts = most_cuts
        self.cuts: list[frozenset[int]] = []
        self.forbidden: list[frozenset[int]] = []
        chosen: frozenset[int] = frozenset()
        # disjoint cuts first: what each round cannot do without, whatever else is added
        while (cut := _cut(self.growers, chosen)) is not None:
            self.cuts.append(cut)
            chosen |= cut

    def next(self) -> Fill:
        """The cheapest fill that contains no forbidden one."""
        fired = ""
        chosen, bound, exact = _cheapest_hitting(self.cuts, self.costs, self.forbidden)
        while (cut := _cut(self.growers, chosen)) is not None:
            if len(self.cuts) >= self.most_cuts:
                fired = "cuts"
                chosen |= cut
                continue
            # several disjoint cuts at a time spare integer programmes
            while cut is not None and len(self.cuts) < self.most_cuts:
                self.cuts.append(cut)
                chosen |= cut
                cut = _cut(self.growers, chosen)
            chosen, bound, exact = _cheapest_hitting(self.cuts, self.costs, self.forbidden)
        added = _necessary(self.growers, chosen, self.costs)
        cost = float(self.costs[list(added)].sum()) if added else 0.0
        return Fill(added, cost, bound, len(self.cuts), fired or ("" if exact else "nodes"))


def _touched(problem: Problem) -> np.ndarray:
    """Candidates that some re-weighted linear programme uses on some medium: n, bool."""
    touched = np.zeros(problem.stoichiometry.shape[1], dtype=bool)
    for medium in range(len(problem.lower)):
        lower, upper = problem.lower[medium].copy(), problem.upper[medium].copy()
        lower[problem.biomass] = problem.min_growth
        n = len(lower)
        matrix = csc_array(hstack([problem.stoichiometry, -problem.stoichiometry]))
        low = np.concatenate([np.maximum(lower, 0.0), np.maximum(-upper, 0.0)])
        high = np.concatenate([np.maximum(upper, 0.0), np.maximum(-lower, 0.0)])
        base = np.where(problem.candidates, problem.costs, 0.0)
        program = LinearProgram(matrix, low, high, costs=np.concatenate([base, base]), settings=_SETTINGS)
        draws = np.random.default_rng(0)
        for round_ in range(ROUNDS + DRAWS):
            solution = program.solve()
            if solution.status is Status.INFEASIBLE:
                raise Infeasible(medium)
            if solution.values is None:
                raise ArithmeticError(f"a linear programme of the gap-fill ended with {solution.status}")
            flux = solution.values[:n] + solution.values[n:]
            touched |= problem.candidates & (flux > _TOUCHED)
            weights = base * _DELTA / (flux + _DELTA)
            if round_ >= ROUNDS - 1:
                # a reaction that many need costs a linear programme more than it should: let chance speak for it too
                weights = base * np.exp(draws.normal(size=n))
            program.set_objective(np.concatenate([weights, weights]))
    return touched


class _Grower:
    """Growth on one medium with some of the touched candidates added; the rest of the universe is left out."""

    def __init__(self, problem: Problem, medium: int, touched: np.ndarray) -> None:
        self.kept = np.flatnonzero(~problem.candidates | touched)
        self.column = {int(j): k for k, j in enumerate(self.kept)}
        self.candidates = frozenset(int(j) for j in np.flatnonzero(touched))
        self.lower, self.upper = problem.lower[medium][self.kept], problem.upper[medium][self.kept]
        self.enough = problem.min_growth * _ENOUGH
        costs = np.zeros(len(self.kept))
        costs[self.column[problem.biomass]] = 1.0
        # whether growth is enough is all that is asked
        self.upper[self.column[problem.biomass]] = min(problem.min_growth, problem.upper[medium][problem.biomass])
        lower, upper = self.lower.copy(), self.upper.copy()
        closed = [self.column[j] for j in self.candidates]
        lower[closed] = upper[closed] = 0.0
        # most metabolites of the universe are in no reaction kept: their rows only slow the simplex
        matrix = problem.stoichiometry[:, self.kept].tocsr()
        matrix = csc_array(matrix[np.flatnonzero(np.diff(matrix.indptr))])
        self.program = LinearProgram(matrix, lower, upper, costs=costs, maximize=True, settings=_SETTINGS)
        self.open: frozenset[int] = frozenset()

    def grows(self, added: frozenset[int]) -> bool:
        """Whether growth with these additions is enough."""
        wrong = sorted((added ^ self.open) & self.candidates)
        if wrong:
            columns = np.array([self.column[j] for j in wrong])
            on = np.array([j in added for j in wrong])
            self.program.set_bounds(
                columns, np.where(on, self.lower[columns], 0.0), np.where(on, self.upper[columns], 0.0)
            )
        self.open = added & self.candidates
        status = self.program.run()
        return status is Status.OPTIMAL and self.program.objective >= self.enough

    def helpful(self) -> frozenset[int]:
        """Closed candidates that the dual of the last programme holds for worth opening."""
        reduced = self.program.reduced_costs()
        closed = sorted(self.candidates - self.open)
        found = []
        for j in closed:
            k = self.column[j]
            forward = reduced[k] > 1e-12 and self.upper[k] > 0.0
            backward = reduced[k] < -1e-12 and self.lower[k] < 0.0
            if forward or backward:
                found.append(j)
        return frozenset(found)


def _cut(growers: Sequence[_Grower], chosen: frozenset[int]) -> frozenset[int] | None:
    """Candidates of which one at least must be added to `chosen`, minimal; None where growth stands on all media."""
    for grower in growers:
        if grower.grows(chosen):
            continue
        cut = grower.candidates - chosen
        without = grower.helpful()
        if without and not grower.grows(grower.candidates - without):
            cut = without
        return _minimal(grower, cut)
    return None


def _minimal(grower: _Grower, cut: frozenset[int]) -> frozenset[int]:
    """Drop from a cut, in parts, then one by one, what may be added while growth still fails."""
    kept = sorted(cut)
    # a dual's cut is half minimal already, so that large parts are tried in vain
    size = max(1, len(kept) // 32)
    start = 0
    while True:
        part = frozenset(kept[start : start + size])
        rest = frozenset(kept) - part
        if part and rest and not grower.grows(grower.candidates - rest):
            # the dual of this very failure may name fewer
            fewer = grower.helpful() & rest
            if fewer and fewer != rest and not grower.grows(grower.candidates - fewer):
                rest = fewer
            start = sum(j in rest for j in kept[:start])
            kept = sorted(rest)
        else:
            start += size
        if start >= len(kept):
            if size == 1:
                return frozenset(kept)
            size, start = max(1, size // 2), 0


def _cheapest_hitting(
    cuts: Sequence[frozenset[int]], costs: np.ndarray, forbidden: Sequence[frozenset[int]] = ()
) -> tuple[frozenset[int], float, bool]:
    """The cheapest set that meets every cut and holds no forbidden set, the bound proven, whether it is surely so."""
    members = sorted({j for cut in cuts for j in cut})
    if not members:
        return frozenset(), 0.0, True
    index = {j: k for k, j in enumerate(members)}
    # a forbidden set that the cuts do not all know cannot be held
    rows_of = [*cuts, *(fill for fill in forbidden if fill <= index.keys())]
    rows = np.concatenate([np.full(len(cut), i) for i, cut in enumerate(rows_of)])
    columns = np.concatenate([[index[j] for j in sorted(cut)] for cut in rows_of])
    matrix = csc_array((np.ones(len(rows)), (rows, columns)), shape=(len(rows_of), len(members)))
    least = np.array([1.0] * len(cuts) + [0.0] * (len(rows_of) - len(cuts)))
    most = np.array([np.inf] * len(cuts) + [len(fill) - 1.0 for fill in rows_of[len(cuts) :]])
    settings = Settings(relative_gap=0.0, node_limit=NODES)
    n = len(members)
    program = LinearProgram(
        matrix, np.zeros(n), np.ones(n), least, most, costs=costs[members], integer=np.arange(n), settings=settings
    )
    solution = program.solve()
    if solution.status is Status.INFEASIBLE and forbidden:
        raise _Exhausted
    if solution.values is None:
        raise ArithmeticError(f"the choice of additions ended with {solution.status}")
    chosen = frozenset(members[k] for k in np.flatnonzero(solution.values > 0.5))
    return chosen, solution.bound, solution.is_optimal


def _necessary(growers: Sequence[_Grower], chosen: frozenset[int], costs: np.ndarray) -> tuple[int, ...]:
    """The additions without those that growth stands without, dearest dropped first."""
    for j in sorted(chosen, key=lambda j: (-costs[j], j)):
        if all(grower.grows(chosen - {j}) for grower in growers):
            chosen -= {j}
    return tuple(sorted(chosen))
