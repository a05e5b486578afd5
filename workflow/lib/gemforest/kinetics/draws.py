"""What uncertain turnover numbers mean for growth and fluxes: draws of all kcats at once.

log10 kcat of an enzyme in a draw is its mean plus sd times (sqrt(r) z + sqrt(1 - r) e): z is shared by all reactions
of the enzyme's gene cluster (genes that stand together in some complex), e is its own, both standard normal. So an
enzyme that is slower than believed is slower in all it does. Each draw is one linear program from the last one's basis.

Where growth was measured each draw is brought to it by itself, pool first and kcats to their most probable change from
that draw (`tuning.py`): randomise, then optimise (Bardsley et al., SIAM J. Sci. Comput. 36, A1895, 2014), which samples
what is believed once growth is known. Fluxes then differ between draws, growth does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gemforest.kinetics.costs import Enzymes, enzyme_costs, reaction_costs
from gemforest.kinetics.ecmodel import PoolProgram
from gemforest.kinetics.sources import Kcats
from gemforest.lp import Status

# Share of the error's variance that an enzyme's reactions have in common.
SHARED = 0.5


@dataclass(frozen=True)
class Draws:
    """Growth (k) and net fluxes (k x n) of k draws; NaN where a draw has no optimum: maintenance cannot be met."""

    growth: np.ndarray
    fluxes: np.ndarray

    @property
    def solved(self) -> int:
        """Draws with an optimum."""
        return int((~np.isnan(self.growth)).sum())

    def growth_quantiles(self) -> np.ndarray:
        """5 %, 50 % and 95 % of growth, a draw without optimum counting as no growth."""
        return np.asarray(np.quantile(np.nan_to_num(self.growth), (0.05, 0.5, 0.95)))

    def flux_quantiles(self) -> np.ndarray:
        """3 x n: 5 %, 50 % and 95 % of each flux over the draws with an optimum; NaN without any."""
        known = self.fluxes[~np.isnan(self.growth)]
        return (
            np.quantile(known, (0.05, 0.5, 0.95), axis=0) if len(known) else np.full((3, self.fluxes.shape[1]), np.nan)
        )


def gene_clusters(genes: Sequence[tuple[str, ...]]) -> np.ndarray:
    """The cluster of each enzyme (e, numbered from 0): genes that stand together in some enzyme belong together."""
    parent: dict[str, str] = {}

    def root(gene: str) -> str:
        while parent.setdefault(gene, gene) != gene:
            parent[gene] = parent[parent[gene]]
            gene = parent[gene]
        return gene

    for members in genes:
        for gene in members:
            parent[root(gene)] = root(members[0])
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(root(members[0]), len(numbers)) for members in genes], dtype=np.int64)


def draw_log10_kcats(kcats: Kcats, clusters: np.ndarray, count: int, seed: int, shared: float = SHARED) -> np.ndarray:
    """Draws of log10 kcat, count x e."""
    random = np.random.default_rng(seed)
    together = random.standard_normal((count, clusters.max(initial=-1) + 1))[:, clusters]
    alone = random.standard_normal((count, len(clusters)))
    return np.asarray(kcats.log10 + kcats.sd * (np.sqrt(shared) * together + np.sqrt(1.0 - shared) * alone))


def solve_draws(
    program: PoolProgram,
    enzymes: Enzymes,
    log10_kcats: np.ndarray,
    pool: float,
    condition: Callable[[np.ndarray], tuple[np.ndarray, float]] | None = None,
) -> Draws:
    """Highest growth, and its fluxes, of each draw (count x e); the last stays in the program.

    Parameters
    ----------
    condition
        From a draw (e) to the log10 kcats and the pool that it takes to grow as measured; None: one pool for all.
    """
    n = len(program.network.reactions)
    growth, fluxes = np.full(len(log10_kcats), np.nan), np.full((len(log10_kcats), n), np.nan)
    for k, draw in enumerate(log10_kcats):
        told, own = (draw, pool) if condition is None else condition(draw)
        program.set_costs(reaction_costs(enzymes, enzyme_costs(enzymes.mass, told), n), own)
        state = program.grow()
        if state.status is Status.OPTIMAL:
            growth[k], fluxes[k] = state.growth, program.least_flux(state.growth).fluxes
    return Draws(growth, fluxes)
