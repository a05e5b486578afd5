"""The cheapest way of a compound into biomass through a whole universe, where every reaction has a price.

Linear programme: growth is held at a fixed rate, the compound is the only source of carbon, and the sum over reactions
of price times flux is least. A price of -log P makes this the route with the strongest evidence, up to how often a
reaction is used per unit of growth. One reduced network (`reduction.py`) and one basis serve all compounds of a genome;
the prices differ between genomes, the network does not, so it is built once per universe and process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csc_array, hstack

from gemforest.lp import LinearProgram
from gemforest.media import exchanges_by_compound
from gemforest.models import Network
from gemforest.reduction import Reduction, reduce_network
from gemforest.universe import Universe

GROWTH = 0.1
"""Growth that a route must carry, h^-1; prices are linear, so it only sets the scale."""

WIDEST = 1000.0
_ACTIVE = 1e-7


@dataclass(frozen=True)
class Route:
    """The cheapest route of one compound.

    Attributes
    ----------
    reactions
        Indices of the universe's reactions with flux, exchanges included, sorted.
    relative_flux
        Flux of each per uptake of the compound.
    """

    compound: str
    reactions: np.ndarray
    relative_flux: np.ndarray


class RouteFinder:
    """Cheapest routes through one universe on one base medium.

    Parameters
    ----------
    universe
        Its bounds hold, but for exchanges and maintenance.
    nutrients
        What is there besides the compound; may be taken up at will.
    traces
        What is there in traces, such as vitamins: compound to highest uptake, mmol gDW^-1 h^-1.
    compounds
        Everything that will be asked for.
    """

    def __init__(
        self, universe: Universe, nutrients: Iterable[str], traces: Mapping[str, float], compounds: Iterable[str]
    ) -> None:
        network = universe.network
        self.exchange_of, _ = exchanges_by_compound(network)
        base = {**dict.fromkeys(nutrients, WIDEST), **traces}
        self.base = {self.exchange_of[c]: limit for c, limit in base.items() if c in self.exchange_of}
        self.compounds = {c: self.exchange_of[c] for c in compounds if c in self.exchange_of}
        lower, upper = network.lower.copy(), network.upper.copy()
        exchanges = np.array(list(self.exchange_of.values()), dtype=np.int64)
        lower[exchanges] = 0.0
        for j, limit in self.base.items():
            lower[j] = -limit
        for j in self.compounds.values():
            lower[j] = -WIDEST
        # Maintenance would add the same to every route.
        lower[[j for j, r in enumerate(network.reactions) if r == "ATPM"]] = 0.0
        lower[network.biomass] = upper[network.biomass] = GROWTH
        self.network: Network = replace(network, lower=lower, upper=upper)
        self.reduction: Reduction = reduce_network(self.network)
        self._build()

    def _build(self) -> None:
        """One column per direction of each reduced reaction, so that prices are linear."""
        reduced = self.reduction
        (backward,) = np.nonzero(reduced.lower < 0.0)
        self._forward = np.arange(len(reduced.kept))
        self._backward = backward
        matrix = csc_array(hstack([reduced.stoichiometry, -reduced.stoichiometry[:, backward]]))
        low = np.concatenate([np.maximum(reduced.lower, 0.0), np.maximum(-reduced.upper[backward], 0.0)])
        high = np.concatenate([np.maximum(reduced.upper, 0.0), -reduced.lower[backward]])
        self._closed = {}
        for compound, j in self.compounds.items():
            columns = self._uptake_columns(j)
            limit = self.base.get(j, 0.0)
            self._closed[compound] = (columns, limit)
            for column in columns:
                high[column] = limit * self._scale(j, column)
        self.program = LinearProgram(matrix, low, np.maximum(low, high), costs=np.ones(len(low)))
        self._columns = np.arange(len(low))

    def _uptake_columns(self, exchange: int) -> list[int]:
        """Columns whose flux takes the compound up; none where it is blocked."""
        column = int(self.reduction.column[exchange])
        if column < 0:
            return []
        if self.reduction.ratio[exchange] < 0.0:
            return [column]
        places = np.flatnonzero(self._backward == column)
        return [len(self._forward) + int(places[0])] if len(places) else []

    def _scale(self, exchange: int, _column: int) -> float:
        """Flux of the column per uptake."""
        return 1.0 / abs(float(self.reduction.ratio[exchange]))

    def price(self, costs: np.ndarray) -> None:
        """Set the price of every reaction of the universe (n, not negative), the same in both directions."""
        live = ~self.reduction.blocked
        weights = costs[live] * np.abs(self.reduction.ratio[live])
        per_column = np.bincount(self.reduction.column[live], weights, minlength=len(self.reduction.kept))
        self.program.set_costs(self._columns, np.concatenate([per_column, per_column[self._backward]]))
        # The first compound of a genome must not depend on the genome before it.
        self.program.forget()

    def route(self, compound: str) -> Route | None:
        """The cheapest route; None where the universe has none."""
        columns, limit = self._closed.get(compound, ([], 0.0))
        if not columns:
            return None
        j = self.compounds[compound]
        (column,) = columns
        self.program.set_bounds(column, 0.0, WIDEST * self._scale(j, column))
        solution = self.program.solve()
        self.program.set_bounds(column, 0.0, limit * self._scale(j, column))
        if not solution.is_optimal or solution.values is None:
            return None
        values = solution.values
        flux = values[self._forward].copy()
        flux[self._backward] -= values[len(self._forward) :]
        fluxes = self.reduction.fluxes(flux)
        uptake = max(-float(fluxes[j]), _ACTIVE)
        (active,) = np.nonzero(np.abs(fluxes) > _ACTIVE)
        return Route(compound, active, np.abs(fluxes[active]) / uptake)
