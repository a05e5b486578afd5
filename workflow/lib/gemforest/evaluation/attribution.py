"""Where FBA's errors on carbon sources come from, one by one.

A growth that was missed gets the smallest fix: the fewest reactions of the universe with which the model grows on the
compound (re-weighted linear programmes: Candes, Wakin and Boyd, J. Fourier Anal. Appl. 14, 877-905, 2008). Are they all
transporters and exchanges, transport is what was missing; otherwise a pathway; where the whole universe does not
suffice, the universe; where the model grows on nothing at all, its biomass. A growth that was wrongly called gets the
reactions without a gene that it cannot do without, other than those that most of the genome's sources use; where there
are none, every step has a gene, and what is wrong is which one is meant, its regulation, or the medium.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_array, hstack

from gemforest.lp import LinearProgram, Status
from gemforest.media import exchanges_by_compound
from gemforest.models import Network
from gemforest.simulate.growth_score import transporters

ROUNDS = 4
COMMON_SHARE = 0.3
"""A reaction without a gene that this share of the growing sources uses is no matter of one compound."""
EXCHANGE_COST = 0.01
"""Of opening an exchange, against 1 for a reaction."""
_DELTA = 1e-3
_ACTIVE = 1e-7
CAUSES = {
    "transport": "only transporters or exchanges are missing",
    "pathway": "reactions of metabolism are missing",
    "universe": "not even the whole universe grows on it",
    "biomass": "the model grows on none of its sources",
    "without_genes": "it grows by reactions without a gene",
    "all_genes": "every step has a gene: another function, regulation, or the medium",
}


@dataclass(frozen=True)
class Fault:
    """One wrong call of one compound: its cause (a key of `CAUSES`) and the reactions that show it."""

    compound: str
    kind: str
    cause: str
    reactions: tuple[str, ...]


class Sources:
    """The cheapest fluxes with which a network grows on one compound after another.

    Parameters
    ----------
    network
        Its exchange bounds are replaced.
    base
        What is there besides the compound: compound to uptake, mmol gDW^-1 h^-1.
    uptake
        Of the compound.
    growth
        That is held, h^-1.
    """

    def __init__(self, network: Network, base: Mapping[str, float], uptake: float, growth: float) -> None:
        self.network, self.uptake = network, uptake
        self.exchange_of, _ = exchanges_by_compound(network)
        lower, upper = network.lower.copy(), network.upper.copy()
        for compound, j in self.exchange_of.items():
            lower[j], upper[j] = -base.get(compound, 0.0), max(upper[j], 0.0)
        lower[network.biomass] = growth
        n = len(lower)
        self._low = np.concatenate([np.maximum(lower, 0.0), np.maximum(-upper, 0.0)])
        self._high = np.maximum(self._low, np.concatenate([np.maximum(upper, 0.0), np.maximum(-lower, 0.0)]))
        matrix = csc_array(hstack([network.stoichiometry, -network.stoichiometry]))
        self._program = LinearProgram(matrix, self._low, self._high, costs=np.ones(2 * n))
        self._columns = np.arange(2 * n)

    def flux(self, compound: str, costs: np.ndarray) -> np.ndarray | None:
        """n, size of the flux of each reaction at the least sum of cost times size; None where nothing grows."""
        n = len(self.network.reactions)
        high = self._high.copy()
        if compound in self.exchange_of:
            high[n + self.exchange_of[compound]] = self.uptake
        self._program.set_bounds(self._columns, self._low, high)
        self._program.set_objective(np.concatenate([costs, costs]))
        status = self._program.run()
        values = self._program.values() if status is Status.OPTIMAL else None
        return None if values is None else values[:n] + values[n:]


def missed(universe: Sources, present: Iterable[str], compounds: Iterable[str], grows_at_all: bool) -> list[Fault]:
    """Why the model does not grow on compounds on which the organism does; `universe` with its closed directions."""
    network = universe.network
    have = set(present)
    lacking = np.array([r not in have for r in network.reactions])
    crossing = transporters(network) | network.exchanges
    price = np.where(lacking, np.where(network.exchanges, EXCHANGE_COST, 1.0), 0.0)
    return [_missed(universe, compound, price, crossing, grows_at_all) for compound in compounds]


def _missed(universe: Sources, compound: str, price: np.ndarray, crossing: np.ndarray, grows_at_all: bool) -> Fault:
    if compound not in universe.exchange_of:
        return Fault(compound, "false_negative", "universe", ())
    costs, fewest = price, None
    for _ in range(ROUNDS):
        flux = universe.flux(compound, costs)
        if flux is None:
            return Fault(compound, "false_negative", "universe", ())
        used = np.flatnonzero((price > 0.0) & (flux > _ACTIVE))
        if fewest is None or price[used].sum() < price[fewest].sum():
            fewest = used
        costs = price * _DELTA / (flux + _DELTA)
    assert fewest is not None
    reactions = tuple(sorted(universe.network.reactions[j] for j in fewest))
    if not grows_at_all:
        return Fault(compound, "false_negative", "biomass", reactions)
    cause = "transport" if crossing[fewest].all() else "pathway"
    return Fault(compound, "false_negative", cause, reactions)


def wrongly_called(model: Sources, compounds: Iterable[str], growing: Iterable[str]) -> list[Fault]:
    """What makes growth possible on compounds on which the organism does not grow.

    Parameters
    ----------
    growing
        All compounds that the model grows on, right or wrong.
    """
    network = model.network
    free = network.exchanges.copy()
    free[network.biomass] = True
    without_gene = ~free & np.array([not rule for rule in network.gprs])
    price = np.where(without_gene, 1.0, 0.0)
    fluxes = {c: flux for c in growing if (flux := model.flux(c, price)) is not None}
    uses = Counter(int(j) for flux in fluxes.values() for j in np.flatnonzero(without_gene & (flux > _ACTIVE)))
    price[[j for j, count in uses.items() if count >= COMMON_SHARE * len(fluxes)]] = 0.0
    found = []
    for compound in compounds:
        flux = model.flux(compound, price)
        used = () if flux is None else np.flatnonzero((price > 0.0) & (flux > _ACTIVE))
        reactions = tuple(sorted(network.reactions[j] for j in used))
        found.append(Fault(compound, "false_positive", "without_genes" if reactions else "all_genes", reactions))
    return found
