"""What every carving engine returns, and the sum of scores by which carvings are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
    """

    reactions: frozenset[str]
    method: str
    rounds: int
    bound: float
    limit_fired: str


def score_sum(network: Network, scores: Mapping[str, float], default_score: float) -> float:
    """Sum over the reactions kept: their score, the default without one, nothing for exchange, ATPM and biomass."""
    biomass = network.reactions[network.biomass]
    free = {r for r in network.reactions if r.startswith("EX_")} | {"ATPM", biomass}
    return float(sum(scores.get(r, default_score) for r in sorted(set(network.reactions) - free)))
