"""Growth score: how strong the evidence is along the best route from a compound into biomass.

Every reaction of the universe, in the model or not, has the probability that the evidence stage gives it; the route
that is cheapest in sum of -log P times flux is found (`routes.py`), and the score is minus the sum of -log P over its
reactions. Free of charge are reactions that most carbon sources need anyway (`resources/base_reactions.tsv`, from
routes on which every reaction has the same price) and those that most routes of this genome share: they say whether
the genome's evidence is complete, not whether the compound is used. 0 is certainty; -4 is one step without any trace
of a gene. The steps that cost most are named, with the best hit behind each. A reaction that the evidence says nothing
of has 1.6 %, a transporter 5 %, because transporters are the ones that databases miss.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from gemforest.bigg_rules import Rules, load_rules
from gemforest.config import WORKFLOW
from gemforest.models import Network
from gemforest.routes import Route, RouteFinder
from gemforest.universe import Universe, load_universe

LEAST, MOST = 0.01, 0.995
WITHOUT_EVIDENCE, TRANSPORTER_WITHOUT_EVIDENCE = 0.016, 0.05
SHARED_BY = 0.6
"""A reaction on this share of the genome's routes is free."""
STEP_PRICE = 1e-3
"""Of every reaction, so that among equal routes the shorter one wins."""
LEAST_RELATIVE_FLUX = 0.1
"""A step that carries less of the compound is no link of its own."""
LINKS_NAMED = 3
MINERALS = (
    "ca2",
    "cl",
    "cobalt2",
    "cu2",
    "fe2",
    "fe3",
    "h",
    "h2o",
    "k",
    "mg2",
    "mn2",
    "mobd",
    "na1",
    "nh4",
    "ni2",
    "o2",
    "pi",
    "so4",
    "zn2",
)
"""The base of every route, with vitamins in traces."""
VITAMINS = (
    "4abz",
    "adocbl",
    "btn",
    "cbl1",
    "fol",
    "inost",
    "lipoate",
    "nac",
    "ncam",
    "pnto__R",
    "pydx",
    "pydxn",
    "ribflv",
    "thm",
)
TRACE = 1e-3


@dataclass(frozen=True)
class GrowthScore:
    """Score of one compound (not above 0) and the steps that cost most, as text."""

    score: float
    weakest_links: tuple[str, ...]


@dataclass(frozen=True)
class ReactionEvidence:
    """What the hits say of each reaction of a universe, n each.

    Attributes
    ----------
    probability
        That the genome has the reaction; 1 for exchanges.
    best_identity
        Highest identity of a hit on any protein of the reaction, percent; NaN without a hit.
    """

    probability: np.ndarray
    best_identity: np.ndarray


def growth_scores(
    universe_name: str,
    cache: Path,
    probabilities: Mapping[str, float],
    hits: pa.Table,
    compounds: Iterable[str],
    shared_by: float = SHARED_BY,
) -> dict[str, GrowthScore]:
    """Scores of compounds; those that the universe cannot exchange, or has no route for, are left out.

    Parameters
    ----------
    probabilities
        Reaction to the probability that the genome has it.
    hits
        Columns target, identity_percent: what the weakest links are named with.
    shared_by
        Share of the genome's routes from which on a reaction is free.
    """
    asked = tuple(sorted(set(compounds)))
    finder = _finder(universe_name, cache, asked)
    universe = _universe(universe_name, cache)
    evidence = ReactionEvidence(
        reaction_probabilities(universe.network, probabilities),
        best_identities(universe.network, _rules(universe_name, cache), hits),
    )
    free = base_reactions(universe.network, universe_name)
    price = np.where(free, 0.0, -np.log(evidence.probability))
    finder.price(price + STEP_PRICE)
    routes = {compound: route for compound in asked if (route := finder.route(compound)) is not None}
    return scores_of_routes(universe.network, routes, price, evidence, shared_by)


def scores_of_routes(
    network: Network,
    routes: Mapping[str, Route],
    price: np.ndarray,
    evidence: ReactionEvidence,
    shared_by: float = SHARED_BY,
) -> dict[str, GrowthScore]:
    """Sum the prices of each route, without the reactions that most of the genome's routes share."""
    uses = Counter(int(j) for route in routes.values() for j in route.reactions)
    shared = {j for j, count in uses.items() if len(routes) > 1 and count >= shared_by * len(routes)}
    found = {}
    for compound, route in routes.items():
        own = np.array([int(j) not in shared for j in route.reactions], dtype=bool)
        steps = route.reactions[own]
        links = steps[route.relative_flux[own] > LEAST_RELATIVE_FLUX]
        worst = sorted(links.tolist(), key=lambda j: (-price[j], network.reactions[j]))[:LINKS_NAMED]
        named = tuple(_link(network, evidence, j) for j in worst if price[j] > -np.log(MOST))
        found[compound] = GrowthScore(0.0 - float(price[steps].sum()), named)
    return found


def _link(network: Network, evidence: ReactionEvidence, j: int) -> str:
    identity = evidence.best_identity[j]
    hit = "no hit" if np.isnan(identity) else f"best hit {identity:.0f} %"
    return f"{network.reactions[j]} ({hit}, P {evidence.probability[j]:.2f})"


def reaction_probabilities(network: Network, known: Mapping[str, float]) -> np.ndarray:
    """n: probability of each reaction, 1 for exchanges."""
    without = np.where(transporters(network), TRANSPORTER_WITHOUT_EVIDENCE, WITHOUT_EVIDENCE)
    given = np.array([known.get(reaction, np.nan) for reaction in network.reactions])
    probability = np.where(np.isnan(given), without, np.clip(given, LEAST, MOST))
    return np.where(network.exchanges, 1.0, probability)


def best_identities(network: Network, rules: Rules, hits: pa.Table) -> np.ndarray:
    """n: highest identity of a hit on any protein of each reaction, percent; NaN without a hit."""
    identity = hits["identity_percent"].to_numpy().astype(np.float64)
    targets = np.array(hits["target"].to_pylist(), dtype=str)
    place = np.minimum(np.searchsorted(rules.genes, targets), len(rules.genes) - 1)
    known = rules.genes[place] == targets if len(targets) else np.zeros(0, dtype=bool)
    best = np.full(len(rules.genes), np.nan)
    np.fmax.at(best, place[known], identity[known])
    of_reaction = np.fmax.reduceat(best[rules.row_gene], rules.protein_start[rules.reaction_start[:-1]])
    by_reaction = dict(zip(rules.reactions, of_reaction, strict=True))
    return np.array([by_reaction.get(reaction, np.nan) for reaction in network.reactions])


def transporters(network: Network) -> np.ndarray:
    """n, bool: reactions with metabolites of more than one compartment."""
    matrix = network.stoichiometry
    place = np.unique(np.array(network.compartments), return_inverse=True)[1]
    of_entry = place[matrix.indices]
    starts = matrix.indptr[:-1][np.diff(matrix.indptr) > 0]
    crossing = np.zeros(len(network.reactions), dtype=bool)
    filled = np.flatnonzero(np.diff(matrix.indptr) > 0)
    crossing[filled] = np.maximum.reduceat(of_entry, starts) != np.minimum.reduceat(of_entry, starts)
    return crossing


# -- what all genomes share --------------------------------------------------------------------------------------------


def base_path() -> Path:
    """Reactions that most carbon sources need, per universe."""
    return WORKFLOW.parent / "resources" / "base_reactions.tsv"


def common_path() -> Path:
    """Carbon sources that are scored by default."""
    return WORKFLOW.parent / "resources" / "scored_compounds.tsv"


@lru_cache(maxsize=1)
def common_compounds() -> tuple[str, ...]:
    """Carbon sources that laboratories try, from `resources/scored_compounds.tsv`."""
    with common_path().open(encoding="utf-8", newline="") as handle:
        return tuple(row["compound"] for row in csv.DictReader(handle, delimiter="\t"))


def base_reactions(network: Network, universe_name: str) -> np.ndarray:
    """n, bool: what most carbon sources need; a universe that is not in the resource has the bacterial list."""
    with base_path().open(encoding="utf-8", newline="") as handle:
        rows = [(row["universe"], row["reaction"]) for row in csv.DictReader(handle, delimiter="\t")]
    name = universe_name if any(universe == universe_name for universe, _ in rows) else "bacteria"
    listed = {reaction for universe, reaction in rows if universe == name}
    return np.array([reaction in listed for reaction in network.reactions])


@lru_cache(maxsize=2)
def _universe(name: str, cache: Path) -> Universe:
    return load_universe(name, cache)


@lru_cache(maxsize=2)
def _rules(name: str, cache: Path) -> Rules:
    return load_rules(_universe(name, cache).network.reactions)


@lru_cache(maxsize=2)
def _finder(name: str, cache: Path, compounds: tuple[str, ...]) -> RouteFinder:
    return finder_of(_universe(name, cache), compounds)


def finder_of(universe: Universe, compounds: Iterable[str]) -> RouteFinder:
    """Routes on minerals with oxygen, vitamins in traces."""
    return RouteFinder(universe, MINERALS, dict.fromkeys(VITAMINS, TRACE), compounds)
