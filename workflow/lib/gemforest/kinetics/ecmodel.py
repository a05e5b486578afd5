"""The enzyme-constrained network: as a model to be written and given away, and as a program to be solved many times.

`constrained_network` is the network with one more metabolite, `prot_pool`, that every costed flux consumes and that
`prot_pool_exchange` supplies, up to P mg gDW^-1 and forward as in GECKO 4; reversible reactions that cost something are
split, the backward half named `_REV`. Being nothing but stoichiometry and bounds, the constraint survives SBML.

`PoolProgram` solves the same problem smaller: the plain network is reduced first (`reduction.py`), so that a chain of
reactions becomes one column whose cost is the chain's; then one row is added. Net fluxes are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csc_array, hstack, vstack

from gemforest.fluxes import GROWTH_TOLERANCE
from gemforest.kinetics.costs import Costs
from gemforest.lp import LinearProgram, Method, Settings, Status
from gemforest.models import Network
from gemforest.reduction import reduce_network

POOL, POOL_EXCHANGE, BACKWARD = "prot_pool", "prot_pool_exchange", "_REV"


def constrained_network(
    network: Network, costs: Costs, pool: float, notes: Mapping[str, Mapping[str, str]] | None = None
) -> Network:
    """The network with its enzyme constraint as stoichiometry.

    Parameters
    ----------
    pool
        P, mg gDW^-1.
    notes
        Reaction id (with `_REV` for the backward half) to notes beside those that the network has.

    Raises
    ------
    ValueError
        The network has a reaction or metabolite of the names that are added, or the pool is negative or NaN.
    """
    backward = np.flatnonzero((costs.reverse > 0.0) & (network.lower < 0.0))
    names = tuple(network.reactions[j] + BACKWARD for j in backward)
    taken = sorted({*names, POOL_EXCHANGE}.intersection(network.reactions) | {POOL}.intersection(network.metabolites))
    if taken:
        raise ValueError(
            f"{network.network_id}: already has {', '.join(taken[:5])}; it seems to be constrained already"
        )
    if not pool >= 0.0:
        raise ValueError(f"an enzyme pool of {pool} mg/gDW; expected zero or more")
    pool_row = np.concatenate([-costs.forward, -costs.reverse[backward], [1.0]])
    supply = csc_array((len(network.metabolites), 1))
    matrix = csc_array(
        vstack(
            [hstack([network.stoichiometry, -network.stoichiometry[:, backward], supply]), csc_array(pool_row[None, :])]
        )
    )
    matrix.eliminate_zeros()
    matrix.sort_indices()
    lower = np.concatenate([network.lower, np.maximum(0.0, -network.upper[backward]), [0.0]])
    upper = np.concatenate([network.upper, -network.lower[backward], [pool]])
    lower[backward], upper[backward] = (
        np.maximum(0.0, network.lower[backward]),
        np.maximum(0.0, network.upper[backward]),
    )
    reactions = (*network.reactions, *names, POOL_EXCHANGE)
    merged = {r: dict(old) for r, old in network.reaction_notes.items()}
    for reaction, new in (notes or {}).items():
        merged[reaction] = merged.get(reaction, {}) | dict(new)
    return Network(
        network_id=network.network_id,
        metabolites=(*network.metabolites, POOL),
        reactions=reactions,
        stoichiometry=matrix,
        lower=lower,
        upper=upper,
        objective=np.concatenate([network.objective, -network.objective[backward], [0.0]]),
        gprs=(*network.gprs, *(network.gprs[j] for j in backward), ""),
        reaction_names=(
            *network.reaction_names,
            *(f"{network.reaction_names[j]} (reversible)" for j in backward),
            "protein pool supply, mg/gDW",
        ),
        metabolite_names=(*network.metabolite_names, "protein pool, mg/gDW"),
        formulas=(*network.formulas, ""),
        charges=(*network.charges, None),
        compartments=(*network.compartments, "c"),
        reaction_notes={r: merged[r] for r in reactions if r in merged},
    )


@dataclass(frozen=True)
class PoolState:
    """An optimum under the enzyme constraint.

    Attributes
    ----------
    status
        Of the linear program.
    growth
        h^-1; NaN without an optimum.
    fluxes
        n, net, mmol gDW^-1 h^-1; NaN without an optimum.
    used
        Protein that the fluxes bind, mg gDW^-1.
    shadow_price
        Growth per mg gDW^-1 more protein; 0 where enzymes do not limit.
    """

    status: Status
    growth: float
    fluxes: np.ndarray
    used: float
    shadow_price: float


@dataclass(frozen=True)
class PoolRanges:
    """What each reaction can carry: minimum, maximum (n, net; NaN where not asked or not optimal), and how it ended."""

    minimum: np.ndarray
    maximum: np.ndarray
    status: tuple[Status | None, ...]


_SAME = 1e-9
_SETTINGS = Settings(perturb=False, steepest_edge=False)


class PoolProgram:
    """Growth, least protein and flux ends of one network under an enzyme pool, solved many times.

    Parameters
    ----------
    network
        The plain network; its bounds are the widest that will be asked for.

    Raises
    ------
    ValueError
        No flux fits the network's bounds.
    """

    def __init__(self, network: Network, settings: Settings | None = None) -> None:
        self.network = network
        self.reduction = reduction = reduce_network(network)
        # each reduced column may be followed by its backward half
        (self._backward,) = np.nonzero(reduction.lower < 0.0)
        self._n = len(reduction.kept)
        matrix = csc_array(hstack([reduction.stoichiometry, -reduction.stoichiometry[:, self._backward]]))
        objective = reduction.costs(network.objective)
        self._objective = np.concatenate([objective, -objective[self._backward]])
        live = np.flatnonzero(~reduction.blocked)
        sign = np.sign(reduction.ratio[live])
        size = np.abs(reduction.ratio[live])
        self._members = live, reduction.column[live], sign > 0.0, size
        self.pool_row, self.growth_row = reduction.stoichiometry.shape[0], reduction.stoichiometry.shape[0] + 1
        rows = np.vstack([np.zeros(len(self._objective)), self._objective])
        self._matrix = csc_array(vstack([matrix, csc_array(rows)]))
        self._core = matrix
        self._settings = settings or _SETTINGS
        self._bounds = reduction.lower, reduction.upper
        self._basis: object = None
        self.program: LinearProgram | None = None
        self.pool = np.inf
        self.costs = np.zeros(len(self._objective))

    def column_costs(self, costs: Costs) -> np.ndarray:
        """Cost of each column of the program, mg h mmol^-1, from those of the reactions."""
        live, column, along, size = self._members
        ahead = np.where(along, costs.forward[live], costs.reverse[live]) * size
        back = np.where(along, costs.reverse[live], costs.forward[live]) * size
        forward = np.bincount(column, ahead, self._n)
        backward = np.bincount(column, back, self._n)
        return np.concatenate([forward, backward[self._backward]])

    def set_costs(self, costs: Costs, pool: float = np.inf) -> None:
        """Constrain by these costs; the last basis is kept."""
        self.costs, self.pool = self.column_costs(costs), pool
        m = self._core.shape[0]
        matrix = vstack([self._core, csc_array(self.costs[None, :]), csc_array(self._objective[None, :])])
        lower, upper = self._split_bounds(*self._bounds)
        program = LinearProgram(
            matrix,
            lower,
            upper,
            row_lower=np.concatenate([np.zeros(m), [-np.inf, -np.inf]]),
            row_upper=np.concatenate([np.zeros(m), [pool, np.inf]]),
            costs=self._objective,
            maximize=True,
            settings=self._settings,
        )
        if self._basis is not None:
            program.set_basis(self._basis)
        self.program = program

    def change_costs(self, costs: Costs) -> None:
        """Other costs in place, where few change; the program, its pool and its bounds stay."""
        before, self.costs = self.costs, self.column_costs(costs)
        for k in np.flatnonzero(self.costs != before):
            self._ready.set_coefficient(self.pool_row, int(k), float(self.costs[k]))

    def set_pool(self, pool: float) -> None:
        """Another size of the pool, mg gDW^-1."""
        self.pool = pool
        self._ready.set_row_bounds(self.pool_row, -np.inf, pool)

    def set_bounds(self, lower: np.ndarray, upper: np.ndarray) -> None:
        """Bounds (n each) within the network's own; ValueError where no flux fits them."""
        self._bounds = self.reduction.bounds(lower, upper)
        low, high = self._split_bounds(*self._bounds)
        self._ready.set_bounds(np.arange(len(low)), low, high)

    def grow(self) -> PoolState:
        """Highest growth."""
        program = self._ready
        program.set_row_bounds(self.growth_row, -np.inf, np.inf)
        program.set_objective(self._objective, maximize=True)
        status = program.run()
        if status is not Status.OPTIMAL:
            return self._nothing(status)
        self._basis = program.basis()
        price = float(program.row_duals()[self.pool_row])
        return replace(self._state(status), growth=program.objective, shadow_price=price + 0.0)

    def least_protein(self, growth: float) -> PoolState:
        """The cheapest fluxes with at least this growth, whatever the pool."""
        program = self._ready
        program.set_row_bounds(self._two_rows, np.array([-np.inf, growth]), np.inf)
        program.set_objective(self.costs, maximize=False)
        status = program.run()
        found = replace(self._state(status), growth=growth) if status is Status.OPTIMAL else self._nothing(status)
        program.set_row_bounds(self._two_rows, -np.inf, np.array([self.pool, np.inf]))
        program.set_objective(self._objective, maximize=True)
        return found

    def least_flux(self, growth: float) -> PoolState:
        """Among the fluxes with at least this growth under the pool, those of least total flux."""
        program = self._ready
        _, column, _, size = self._members
        lengths = np.bincount(column, size, self._n)
        program.set_row_bounds(self.growth_row, growth - GROWTH_TOLERANCE * max(1.0, abs(growth)), np.inf)
        program.set_objective(np.concatenate([lengths, lengths[self._backward]]), maximize=False)
        status = program.run()
        found = replace(self._state(status), growth=growth) if status is Status.OPTIMAL else self._nothing(status)
        program.set_row_bounds(self.growth_row, -np.inf, np.inf)
        program.set_objective(self._objective, maximize=True)
        return found

    def ranges(self, least_growth: float, reactions: np.ndarray | None = None) -> PoolRanges:
        """Flux variability of net fluxes while growth is at least this and the pool holds.

        Parameters
        ----------
        reactions
            Indices to be asked for; all by default.
        """
        n = len(self.network.reactions)
        wanted = np.arange(n) if reactions is None else np.asarray(reactions)
        columns = np.unique(self.reduction.column[wanted])
        program = self._ready
        program.set_row_bounds(self.growth_row, least_growth, np.inf)
        program.set_objective(np.zeros(len(self.costs)), maximize=True)
        program.change_settings(method=Method.PRIMAL)
        low, high, statuses = self._ends(columns[columns >= 0])
        program.change_settings(method=self._settings.method)
        program.set_row_bounds(self.growth_row, -np.inf, np.inf)
        program.set_objective(self._objective)
        column, ratio = self.reduction.column[wanted], self.reduction.ratio[wanted]
        ends = np.stack([np.append(low, 0.0)[column] * ratio, np.append(high, 0.0)[column] * ratio])
        minimum, maximum = np.full(n, np.nan), np.full(n, np.nan)
        minimum[wanted], maximum[wanted] = ends.min(axis=0), ends.max(axis=0)
        status: list[Status | None] = [None] * n
        for j, k in zip(wanted, column, strict=True):
            status[j] = statuses.get(int(k), Status.OPTIMAL)
        return PoolRanges(minimum, maximum, tuple(status))

    def _ends(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[int, Status]]:
        """Lowest and highest net flux of columns of the reduction."""
        low, high = np.full(self._n, np.inf), np.full(self._n, -np.inf)
        floor, roof = self._bounds
        back = np.full(self._n, -1)
        back[self._backward] = self._n + np.arange(len(self._backward))
        statuses: dict[int, Status] = {}
        program = self._ready
        self._widen(program.run(), low, high)
        before: list[int] = []
        for sign in (1.0, -1.0):
            for k in columns.tolist():
                seen, proven = (high[k], roof[k]) if sign > 0.0 else (low[k], floor[k])
                if abs(proven - seen) <= _SAME * max(1.0, abs(seen)):
                    continue
                if before:
                    program.set_costs(np.array(before), 0.0)
                before = [k, int(back[k])] if back[k] >= 0 else [k]
                program.set_costs(np.array(before), np.array([sign, -sign])[: len(before)])
                status = program.run()
                self._widen(status, low, high)
                if status is not Status.OPTIMAL:
                    statuses[k] = status
                    (high if sign > 0.0 else low)[k] = sign * np.inf if status is Status.UNBOUNDED else np.nan
        return low, high, statuses

    def _widen(self, status: Status, low: np.ndarray, high: np.ndarray) -> None:
        if status is Status.OPTIMAL:
            net = self._net(self._ready.values())
            np.minimum(low, net, out=low)
            np.maximum(high, net, out=high)

    # -- inner workings ----------------------------------------------------------------------------------------------

    @property
    def _two_rows(self) -> np.ndarray:
        return np.array([self.pool_row, self.growth_row])

    @property
    def _ready(self) -> LinearProgram:
        if self.program is None:
            raise RuntimeError("set_costs comes first")
        return self.program

    def _split_bounds(self, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low = np.concatenate([np.maximum(lower, 0.0), np.maximum(-upper[self._backward], 0.0)])
        high = np.concatenate([np.maximum(upper, 0.0), np.maximum(-lower[self._backward], 0.0)])
        return low, high

    def _state(self, status: Status) -> PoolState:
        values = self._ready.values()
        fluxes = self.reduction.fluxes(self._net(values))
        return PoolState(status, np.nan, fluxes, float(self.costs @ np.asarray(values)), np.nan)

    def _net(self, values: np.ndarray | None) -> np.ndarray:
        assert values is not None, "an optimum has values"
        net = values[: self._n].copy()
        net[self._backward] -= values[self._n :]
        return net

    def _nothing(self, status: Status) -> PoolState:
        return PoolState(status, np.nan, np.full(len(self.network.reactions), np.nan), np.nan, np.nan)
