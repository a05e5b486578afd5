"""Knock-outs: what is left of growth when genes or reactions are lost, for the table `knockouts`.

A lost gene closes the reactions whose rule no longer holds (Edwards and Palsson, PNAS 97, 5528-5533, 2000; no
regulation, no adjustment). Where none of these carries flux in some optimal state met so far, that state stays feasible
and growth is unchanged: no program is solved. Losses that close the same coupled sets are solved once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from gemforest.fluxes import GrowthProgram
from gemforest.gprs import genes_of, parse_gpr, works
from gemforest.lp import Status
from gemforest.models import Network

_CARRIES = 1e-9
_UNCHANGED = 1e-9


@dataclass(frozen=True)
class Losses:
    """Growth after each loss.

    Attributes
    ----------
    targets
        What was lost: a gene, a reaction, two genes joined by a comma.
    statuses
        Of each linear program.
    growths
        h^-1; NaN where the status is not optimal.
    intact_status, intact_growth
        The same of the intact network.
    solved
        Linear programs that were needed.
    """

    targets: tuple[str, ...]
    statuses: tuple[Status, ...]
    growths: np.ndarray
    intact_status: Status
    intact_growth: float
    solved: int

    def essential(self, threshold: float) -> np.ndarray:
        """k, bool: losses after which growth stays below a threshold (h^-1) or no steady state is left."""
        infeasible = np.array([status is Status.INFEASIBLE for status in self.statuses], dtype=bool)
        return infeasible | (self.growths < threshold)


class GeneRules:
    """The gene rules of a network, parsed once.

    Raises
    ------
    ValueError
        Where a rule is none.
    """

    def __init__(self, network: Network) -> None:
        self.rules = [parse_gpr(text) for text in network.gprs]
        self.reactions_of: dict[str, list[int]] = {}
        for j, rule in enumerate(self.rules):
            for gene in genes_of(rule):
                self.reactions_of.setdefault(gene, []).append(j)
        self.genes = sorted(self.reactions_of)

    def closed_without(self, *genes: str) -> frozenset[int]:
        """Reactions (indices) whose rule no longer holds without these genes."""
        touched = {j for gene in genes for j in self.reactions_of.get(gene, ())}
        return frozenset(j for j in touched if not self._holds(j, genes))

    def _holds(self, j: int, lost: tuple[str, ...]) -> bool:
        rule = self.rules[j]
        return rule is None or works(rule, lost.__contains__)


def gene_losses(network: Network) -> dict[str, frozenset[int]]:
    """Gene to the reactions (indices) that are closed without it, genes in sorted order."""
    rules = GeneRules(network)
    return {gene: rules.closed_without(gene) for gene in rules.genes}


def gene_pairs(network: Network, genes: Sequence[str]) -> dict[str, frozenset[int]]:
    """All pairs of the genes, joined by a comma, to the reactions that are closed without both."""
    rules = GeneRules(network)
    return {f"{a},{b}": rules.closed_without(a, b) for a, b in combinations(sorted(set(genes)), 2)}


def reaction_losses(network: Network) -> dict[str, frozenset[int]]:
    """Internal reaction to itself."""
    exchanges = network.exchanges
    return {r: frozenset((j,)) for j, r in enumerate(network.reactions) if not exchanges[j]}


def knock_out(network: Network, losses: dict[str, frozenset[int]]) -> Losses:
    """Growth after each loss.

    Parameters
    ----------
    network
        With the medium's bounds.
    losses
        Target to the reactions (indices) that it closes.
    """
    program = GrowthProgram(network)
    intact_status, intact = program.growth(network.lower, network.upper)
    if intact_status is not Status.OPTIMAL or program.reduction is None:
        nothing = np.full(len(losses), np.nan)
        return Losses(tuple(losses), (intact_status,) * len(losses), nothing, intact_status, np.nan, 1)
    column = program.reduction.column
    optimal_states = [np.abs(program.fluxes()) > _CARRIES]
    basis = program.program.basis()
    known: dict[tuple[int, ...], tuple[Status, float]] = {}
    answers = []
    for closed in losses.values():
        reactions = sorted(closed)
        idle = any(not carrying[reactions].any() for carrying in optimal_states)
        if idle and _zero_allowed(network, reactions):
            answers.append((Status.OPTIMAL, intact))
            continue
        key = tuple(np.unique(column[reactions]).tolist())
        if key not in known:
            program.program.set_basis(basis)
            known[key] = program.growth(*_without(network, reactions))
            if known[key][0] is Status.OPTIMAL and known[key][1] >= intact - _UNCHANGED:
                optimal_states.append(np.abs(program.fluxes()) > _CARRIES)
        answers.append(known[key])
    statuses, growths = zip(*answers, strict=True) if answers else ((), ())
    return Losses(tuple(losses), statuses, np.array(growths, dtype=float), intact_status, intact, len(known) + 1)


def _zero_allowed(network: Network, closed: list[int]) -> bool:
    return bool((network.lower[closed] <= 0.0).all() and (network.upper[closed] >= 0.0).all())


def _without(network: Network, closed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    lower, upper = network.lower.copy(), network.upper.copy()
    lower[closed] = 0.0
    upper[closed] = 0.0
    return lower, upper
