"""What every carving engine returns, and the sum of scores by which carvings are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gemforest.biomass import is_biomass_pool
from gemforest.models import Network


@dataclass(frozen=True)
class Carving:
    """The reactions kept of a universe.

    Attributes
    ----------
    reactions
        Ids kept, exchanges and biomass included.
    method
        What produced the set.
    rounds
        Rounds of linear programmes; 0 where the engine has none.
    bound
        Best known upper bound of the score sum; NaN where none is known.
    limit_fired
        The limit that ended the search; empty where none did.
    omitted
        Biomass parts left out, as the reactions `OMIT_...` of the variant `~open`.
    alternatives
        Other near-optimal sets, of an ensemble.
    """

    reactions: frozenset[str]
    method: str
    rounds: int
    bound: float
    limit_fired: str
    omitted: frozenset[str] = frozenset()
    alternatives: tuple[frozenset[str], ...] = ()


def score_sum(network: Network, scores: Mapping[str, float], default_score: float) -> float:
    """Sum over the reactions kept: their score, the default without one, nothing for exchange, ATPM and biomass."""
    biomass = network.reactions[network.biomass]
    free = {r for r in network.reactions if r.startswith("EX_") or is_biomass_pool(r)} | {"ATPM", biomass}
    return float(sum(scores.get(r, default_score) for r in sorted(set(network.reactions) - free)))
