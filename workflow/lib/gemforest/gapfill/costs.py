"""What each addition costs: its kind, the evidence for it, and whether it must run against its Gibbs energy.

A kind has a price (transport, exchange, spontaneous, any other reaction), the evidence a factor of at most 1: -ln P,
with that of the least probability that evidence keeps as 1, or CarveMe's 1/(1+score) where there is no P. A direction
clearly against the standard Gibbs energy (ModelSEED, CC BY 4.0; `energy.reaction_energies`) costs more: a reversible
candidate of this sort is two candidates, one per direction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_array, hstack

from gemforest.energy import Energy
from gemforest.fluxes import boundary
from gemforest.gapfill.filling import Problem
from gemforest.models import Network

# The evidence keeps no call below this; an addition with such a probability costs as much as one without any.
LEAST_PROBABILITY = 0.02
LEAST_COST = 0.01
# Beyond what concentrations between 1e-6 and 1e-2 M turn round in a reaction of one substrate and one product.
CLEAR_KJ_PER_MOL = 30.0


@dataclass(frozen=True)
class Prices:
    """What an addition of each kind costs without evidence, and what an uphill direction costs on top."""

    other: float = 1.0
    transport: float = 1.0
    exchange: float = 0.01
    spontaneous: float = 0.01
    against_energy: float = 1.0


CARVEME = Prices(1.0, 1.0, 1.0, 1.0, 0.0)
"""CarveMe's: every reaction alike."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a genome's reactions: normalised score, probability, those that need no enzyme."""

    scores: Mapping[str, float]
    probabilities: Mapping[str, float]
    spontaneous: frozenset[str] = frozenset()


def evidence_factor(reaction: str, evidence: Evidence) -> float:
    """What the evidence leaves of a price, in [0.01, 1]."""
    probability = evidence.probabilities.get(reaction)
    if probability:
        return min(1.0, max(LEAST_COST, math.log(probability) / math.log(LEAST_PROBABILITY)))
    return 1.0 / (1.0 + max(0.0, evidence.scores.get(reaction, 0.0)))


def addition_costs(
    reactions: Iterable[str], evidence: Evidence, kinds: Mapping[str, str], prices: Prices
) -> dict[str, float]:
    """Cost of each addition in its cheaper direction; `kinds` as `reaction_kinds` tells them."""
    prices_of = {"transport": prices.transport, "exchange": prices.exchange}
    return {
        r: evidence_factor(r, evidence)
        * (prices.spontaneous if r in evidence.spontaneous else prices_of.get(kinds.get(r, ""), prices.other))
        for r in reactions
    }


def reaction_kinds(network: Network) -> dict[str, str]:
    """Reaction to `transport` or `exchange`; what is neither is left out."""
    ends, across = boundary(network), crosses_membranes(network)
    return {
        r: "exchange" if end else "transport"
        for r, end, moved in zip(network.reactions, ends, across, strict=True)
        if end or moved
    }


def crosses_membranes(network: Network) -> np.ndarray:
    """n, bool: reactions whose metabolites lie in more than one compartment."""
    names = sorted(set(network.compartments))
    place = np.array([names.index(c) for c in network.compartments])
    matrix = network.stoichiometry
    return np.array(
        [
            len(np.unique(place[matrix.indices[matrix.indptr[j] : matrix.indptr[j + 1]]])) > 1
            for j in range(len(network.reactions))
        ]
    )


def uphill(network: Network, energies: Mapping[str, Energy]) -> dict[int, int]:
    """Reaction index to the direction (1 or -1) that is clearly against its Gibbs energy.

    Reactions across membranes are left out: their energies do not count the potential.
    """
    across = crosses_membranes(network)
    found = {}
    for j, reaction in enumerate(network.reactions):
        energy = energies.get(reaction)
        if energy is None or across[j] or abs(energy.kj_per_mol) - energy.error < CLEAR_KJ_PER_MOL:
            continue
        found[j] = 1 if energy.kj_per_mol > 0.0 else -1
    return found


def addition_problem(
    network: Network,
    bounds: Sequence[tuple[np.ndarray, np.ndarray]],
    present: frozenset[str],
    costs: Mapping[str, float],
    min_growth: float,
    against: Mapping[int, int],
    surcharge: float,
) -> Problem:
    """The choice of additions; column n + k is the uphill direction of `split[k]` (see `split_columns`).

    Parameters
    ----------
    bounds
        Of all n reactions on each medium.
    against
        As `uphill` tells it.
    """
    n = len(network.reactions)
    prices = np.array([costs[r] for r in network.reactions])
    candidates = np.array([r not in present for r in network.reactions])
    split = split_columns(network, present, against)
    for j, sign in against.items():
        one_way = network.lower[j] >= 0.0 if sign > 0 else network.upper[j] <= 0.0
        if one_way:
            prices[j] += surcharge
    lower = np.array([np.concatenate([low, np.zeros(len(split))]) for low, _ in bounds])
    upper = np.array([np.concatenate([high, np.zeros(len(split))]) for _, high in bounds])
    for k, j in enumerate(split):
        end, side = (upper, np.maximum) if against[j] > 0 else (lower, np.minimum)
        end[:, n + k] = side(end[:, j], 0.0)
        end[:, j] = 0.0
    matrix = network.stoichiometry
    return Problem(
        stoichiometry=csc_array(hstack([matrix, matrix[:, split]])) if split else matrix,
        lower=lower,
        upper=upper,
        biomass=network.biomass,
        candidates=np.concatenate([candidates, np.ones(len(split), dtype=bool)]),
        costs=np.concatenate([prices, prices[split] + surcharge]) if split else prices,
        min_growth=min_growth,
    )


def split_columns(network: Network, present: frozenset[str], against: Mapping[int, int]) -> list[int]:
    """Candidates that can run both ways, one of them uphill, in order."""
    return sorted(
        j for j in against if network.reactions[j] not in present and network.lower[j] < 0.0 and network.upper[j] > 0.0
    )
