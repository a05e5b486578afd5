"""What a flux costs in protein: gene rules and turnover numbers to one cost per reaction and direction.

An enzyme is one clause of a reaction's rule in disjunctive form: a complex is paid for in full, of isozymes the
cheapest works. With kcat k (s^-1) and mass M (g mol^-1, all subunits) a flux of 1 mmol gDW^-1 h^-1 binds
c = M / (3600 k) mg of protein gDW^-1; so the constraint is sum(c v) <= P over forward and backward fluxes (sMOMENT,
Bekiaris and Klamt, BMC Bioinformatics 21:19, 2020, eq. 7; GECKO's light form, Domenzain et al., Nat. Commun. 13:3766,
2022). Forward and backward are costed separately.

Free are exchanges, demands, sinks, biomass, reactions that also run by themselves, the diffusion of one compound
through a membrane or porin, and reactions without a gene rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gemforest.fluxes import boundary
from gemforest.gprs import Rule, parse_gpr
from gemforest.models import Network

FORWARD, REVERSE = "forward", "reverse"
SECONDS_PER_HOUR = 3600.0
# Enzymes of one reaction; iJO1366's largest rule has 96, and a rule beyond this is no statement about complexes.
MOST_ENZYMES = 256
_SPONTANEOUS = re.compile(r"^(spontaneous|s0001|G_s0001)$", re.IGNORECASE)
_BIOMASS = re.compile(r"biomass|^growth$", re.IGNORECASE)
_DIFFUSION = re.compile(r"diffusion|porin", re.IGNORECASE)


@dataclass(frozen=True)
class Enzymes:
    """All (reaction, direction, enzyme) of a model; the arrays are parallel, e long.

    Attributes
    ----------
    reaction
        e, index of the reaction in the network.
    forward
        e, bool.
    genes
        e, subunits, sorted.
    mass
        e, g mol^-1, all subunits.
    lacking
        Gene to why it has no mass of its own (`not in the proteome`, `no usable sequence`); it counts with the median.
    free
        Reaction index to why it costs nothing.
    """

    reaction: np.ndarray
    forward: np.ndarray
    genes: tuple[tuple[str, ...], ...]
    mass: np.ndarray
    lacking: Mapping[str, str]
    free: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.genes)


@dataclass(frozen=True)
class Costs:
    """Protein mass per flux, mg h mmol^-1; 0 where a direction is free.

    Attributes
    ----------
    forward, reverse
        n each.
    cheapest_forward, cheapest_reverse
        n, the enzyme (index into `Enzymes`) that it is the cost of; -1 where free.
    """

    forward: np.ndarray
    reverse: np.ndarray
    cheapest_forward: np.ndarray
    cheapest_reverse: np.ndarray

    @property
    def costed(self) -> np.ndarray:
        """n, bool: reactions that cost something in some direction."""
        return (self.forward > 0.0) | (self.reverse > 0.0)


def clauses(rule: Rule | None) -> list[frozenset[str]]:
    """Disjunctive form of a rule: each set of genes is one enzyme; at most `MOST_ENZYMES`, the smallest first kept."""
    if rule is None:
        return []
    if isinstance(rule, str):
        return [frozenset((rule,))]
    if rule.operator == "or":
        found = [clause for child in rule.children for clause in clauses(child)]
    else:
        found = [frozenset()]
        for child in rule.children:
            found = _fewest([before | clause for before in found for clause in clauses(child)])
    return _fewest(found)


def _fewest(found: list[frozenset[str]]) -> list[frozenset[str]]:
    unique = list(dict.fromkeys(found))
    if len(unique) <= MOST_ENZYMES:
        return unique
    return sorted(unique, key=lambda clause: (len(clause), sorted(clause)))[:MOST_ENZYMES]


def free_reactions(network: Network) -> dict[int, str]:
    """Reactions that cost nothing, whatever their rule: index to `exchange`, `biomass`, `spontaneous`, `diffusion`."""
    matrix, ends = network.stoichiometry, boundary(network)
    found: dict[int, str] = {}
    for j, reaction in enumerate(network.reactions):
        if ends[j]:
            found[j] = "exchange"
        elif network.objective[j] != 0.0 or _BIOMASS.search(reaction):
            found[j] = "biomass"
        elif _diffuses(network, matrix.indices[matrix.indptr[j] : matrix.indptr[j + 1]], j):
            found[j] = "diffusion"
    return found


def _diffuses(network: Network, rows: np.ndarray, j: int) -> bool:
    """One compound through a membrane and nothing else: through the outer one always, else where the name says so."""
    if len(rows) != 2:
        return False
    first, second = (network.metabolites[i] for i in rows)
    if _compound(first) != _compound(second):
        return False
    through = {network.compartments[i] for i in rows}
    return through == {"e", "p"} or _DIFFUSION.search(network.reaction_names[j]) is not None


def _compound(metabolite: str) -> str:
    return metabolite.rpartition("_")[0] or metabolite


def find_enzymes(
    network: Network, masses: Mapping[str, float | None], copies: Mapping[tuple[str, str], float] | None = None
) -> Enzymes:
    """The enzymes of a model.

    Parameters
    ----------
    masses
        Gene to the mass of its protein, g mol^-1; None or NaN where the sequence gives none.
    copies
        (reaction, gene) to the number of that subunit in the enzyme; 1 where not named; reaction `*` stands for all.

    Notes
    -----
    Where some enzymes of a reaction lack genes in `masses` and others do not, those that lack are left out. Where all
    lack some, they count with the median mass, for a reaction without cost would draw all flux.
    """
    free = free_reactions(network)
    known = {gene: float(mass) for gene, mass in masses.items() if mass is not None and mass > 0.0}
    median = float(np.median(list(known.values()))) if known else float("nan")
    lacking: dict[str, str] = {}
    reaction, forward, genes, mass = [], [], [], []
    for j, text in enumerate(network.gprs):
        found = clauses(parse_gpr(text)) if j not in free else []
        if not found:
            continue
        if any(all(_SPONTANEOUS.match(gene) for gene in clause) for clause in found):
            free[j] = "spontaneous"
            continue
        present = [clause for clause in found if all(gene in masses for gene in clause)]
        directions = [d for d, able in ((True, network.upper[j] > 0.0), (False, network.lower[j] < 0.0)) if able]
        for clause in present or found:
            lacking |= {g: _why(g, masses) for g in sorted(clause) if g not in known}
            members = tuple(sorted(clause))
            weight = sum(known.get(g, median) * _copies(copies, network.reactions[j], g) for g in members)
            for direction in directions:
                reaction.append(j)
                forward.append(direction)
                genes.append(members)
                mass.append(weight)
    return Enzymes(
        np.array(reaction, dtype=np.int64),
        np.array(forward, dtype=bool),
        tuple(genes),
        np.array(mass, dtype=np.float64),
        lacking,
        free,
    )


def _why(gene: str, masses: Mapping[str, float | None]) -> str:
    return "no usable sequence" if gene in masses else "not in the proteome"


def _copies(copies: Mapping[tuple[str, str], float] | None, reaction: str, gene: str) -> float:
    if not copies:
        return 1.0
    return copies.get((reaction, gene), copies.get(("*", gene), 1.0))


def enzyme_costs(mass: np.ndarray, log10_kcat: np.ndarray) -> np.ndarray:
    """Cost of each enzyme, mg h mmol^-1, from g mol^-1 and log10 s^-1; any shapes that broadcast."""
    return np.asarray(mass / (SECONDS_PER_HOUR * 10.0**log10_kcat))


def reaction_costs(enzymes: Enzymes, costs: np.ndarray, n: int) -> Costs:
    """The cheapest enzyme of each reaction and direction.

    Parameters
    ----------
    costs
        e, mg h mmol^-1.
    n
        Reactions of the network.
    """
    ends = []
    for direction in (enzymes.forward, ~enzymes.forward):
        (chosen,) = np.nonzero(direction)
        # dearest first, so that the last one written is the cheapest; ties go to the first enzyme of the rule
        order = chosen[np.lexsort((-chosen, -costs[chosen]))]
        cost, cheapest = np.zeros(n), np.full(n, -1, dtype=np.int64)
        cost[enzymes.reaction[order]] = costs[order]
        cheapest[enzymes.reaction[order]] = order
        ends.append((cost, cheapest))
    (forward, cheapest_forward), (reverse, cheapest_reverse) = ends
    return Costs(forward, reverse, cheapest_forward, cheapest_reverse)


def in_words(enzymes: Enzymes, network: Network) -> Iterator[str]:
    """What of the rules could not be taken at its word, one sentence each."""
    for why in sorted(set(enzymes.lacking.values())):
        genes = sorted(gene for gene, reason in enzymes.lacking.items() if reason == why)
        shown = ", ".join(genes[:5]) + (", ..." if len(genes) > 5 else "")
        yield f"{len(genes)} genes of {network.network_id}'s rules count with the median protein mass, {why}: {shown}"
