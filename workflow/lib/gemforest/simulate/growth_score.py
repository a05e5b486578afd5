"""Growth score: how strong the evidence is along the best route from a compound into biomass.

Every reaction of the universe, in the model or not, has a probability from the genome's best hits on BiGG's proteins;
the route that is cheapest in sum of -log P times flux is found (`routes.py`), and the score is minus the sum of -log P
over its reactions. Free of charge are reactions that most carbon sources need anyway (`resources/base_reactions.tsv`,
from routes on which every reaction has the same price) and those that most routes of this genome share: they say
whether the genome's evidence is complete, not whether the compound is used. 0 is certainty; -4 is one step without any
trace of a gene. The steps that cost most are named, with the best hit behind each.

The probability of a database gene is logistic in the identity of its best hit (half at 38 %, steepness 7 points; short
alignments count less); a complex has the mean of the geometric mean and the weakest of its subunits, a reaction its
best protein. A reaction without a hit keeps 2 %, a transporter at least 5 %, because transporters are the ones that
databases miss. Identity alone decides so far; `reaction_scores.probability` is to take its place where it is given.
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

HALF_IDENTITY, IDENTITY_STEP = 38.0, 7.0
SHORT_ALIGNMENT = 60.0
LEAST, MOST = 0.001, 0.995
WITHOUT_HIT, WITHOUT_RULE, SPONTANEOUS = 0.02, 0.016, 0.99
LEAST_OF_TRANSPORTERS = 0.05
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


def growth_scores(universe_name: str, cache: Path, hits: pa.Table, compounds: Iterable[str]) -> dict[str, GrowthScore]:
    """Scores of compounds; those that the universe cannot exchange, or has no route for, are left out.

    Parameters
    ----------
    hits
        Columns target, identity_percent, alignment_length.
    """
    asked = tuple(sorted(set(compounds)))
    finder = _finder(universe_name, cache, asked)
    universe = _universe(universe_name, cache)
    evidence = reaction_evidence(universe, _rules(universe_name, cache), hits)
    free = base_reactions(universe.network, universe_name)
    price = np.where(free, 0.0, -np.log(evidence.probability))
    finder.price(price + STEP_PRICE)
    routes = {compound: route for compound in asked if (route := finder.route(compound)) is not None}
    return scores_of_routes(universe.network, routes, price, evidence)


def scores_of_routes(
    network: Network, routes: Mapping[str, Route], price: np.ndarray, evidence: ReactionEvidence
) -> dict[str, GrowthScore]:
    """Sum the prices of each route, without the reactions that most of the genome's routes share."""
    uses = Counter(int(j) for route in routes.values() for j in route.reactions)
    shared = {j for j, count in uses.items() if len(routes) > 1 and count >= SHARED_BY * len(routes)}
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


def reaction_evidence(universe: Universe, rules: Rules, hits: pa.Table) -> ReactionEvidence:
    """Probability and best identity of every reaction of the universe."""
    network = universe.network
    gene_probability, gene_identity = gene_evidence(rules, hits)
    by_reaction = dict(zip(rules.reactions, reaction_probabilities(rules, gene_probability), strict=True))
    best = np.fmax.reduceat(gene_identity[rules.row_gene], rules.protein_start[rules.reaction_start[:-1]])
    identity_of = dict(zip(rules.reactions, best, strict=True))
    probability = np.array([by_reaction.get(r, WITHOUT_RULE) for r in network.reactions])
    probability = np.where(transporters(network), np.maximum(probability, LEAST_OF_TRANSPORTERS), probability)
    return ReactionEvidence(
        probability=np.where(network.exchanges, 1.0, probability),
        best_identity=np.array([identity_of.get(r, np.nan) for r in network.reactions]),
    )


def gene_evidence(rules: Rules, hits: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each database gene of the rules, and the identity of its best hit (NaN without one)."""
    identity = hits["identity_percent"].to_numpy().astype(np.float64)
    length = hits["alignment_length"].to_numpy().astype(np.float64)
    chance = 1.0 / (1.0 + np.exp(-(identity - HALF_IDENTITY) / IDENTITY_STEP))
    chance = np.clip(chance, LEAST, MOST) * np.clip(length / SHORT_ALIGNMENT, 0.05, 1.0)
    targets = np.array(hits["target"].to_pylist(), dtype=str)
    place = np.minimum(np.searchsorted(rules.genes, targets), len(rules.genes) - 1)
    known = rules.genes[place] == targets if len(targets) else np.zeros(0, dtype=bool)
    # A hit of another tool may come without an identity: it says that there is one, and no more.
    known &= ~np.isnan(chance)
    probability, best = np.zeros(len(rules.genes)), np.full(len(rules.genes), np.nan)
    np.maximum.at(probability, place[known], chance[known])
    np.fmax.at(best, place[known], identity[known])
    probability[probability == 0.0] = WITHOUT_HIT
    probability[rules.spontaneous] = SPONTANEOUS
    return probability, best


def reaction_probabilities(rules: Rules, genes: np.ndarray) -> np.ndarray:
    """Probability of each reaction of the rules from those of the database genes."""
    logs = np.log(genes)[rules.row_gene]
    starts = rules.protein_start
    mean = np.add.reduceat(logs, starts[:-1]) / np.diff(starts)
    weakest = np.minimum.reduceat(logs, starts[:-1])
    return np.asarray(np.exp(np.maximum.reduceat(0.5 * (mean + weakest), rules.reaction_start[:-1])))


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
