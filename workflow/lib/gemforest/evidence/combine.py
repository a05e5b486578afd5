"""All sources together: one probability for each gene and reaction, by logistic stacking of what each source says.

Source D's log-odds are the start. Every other source adds terms that are zero where it has nothing to say, so that a
missing source is neutral; one that looked and found another function has a term of its own, with a negative weight.
Sources of one group (D, E and A share ancestry) are weighed together, by one fit, so that the same knowledge is not
counted twice. Candidates that no homolog proposes, only an EC number, are weighed by a second regression, which starts
from how common the reaction is. For each set of sources there is a fit of its own (`resources/evidence/combined.json`,
`scripts/fit_evidence.py`); users' probabilities (U) are added as independent log-likelihood ratios.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np

from gemforest.evidence.calibration import Calibration, evidence_resource, load_calibration, parse_calibration
from gemforest.evidence.claims import Claim
from gemforest.evidence.ec import level_shared
from gemforest.evidence.homologs import PRIORS
from gemforest.evidence.neighbours import NeighbourSupport, neighbour_terms
from gemforest.evidence.subunits import Presence

COMBINED = "combined.json"
OTHER_SOURCES = ("A", "E", "N", "P")
"""Sources beside D whose weight is fitted."""

LEVELS = 4
NO_HOMOLOG = -4.0
"""Stands for the log-odds of a gene without homologs."""


@dataclass(frozen=True)
class EcWord:
    """An EC number that a source gives to a gene, or an index of a reaction that it names instead of one.

    `strength` is from 0 to 1, such as the identity of the enzyme; `share` less than 1 where a word means several.
    """

    gene: int
    ec: str
    strength: float
    share: float = 1.0
    claim: Claim | None = None
    reaction: int = -1


@dataclass(frozen=True)
class EcSupport:
    """How a source's EC numbers agree with each of c candidates.

    Attributes
    ----------
    heard
        The source gave the gene a number (E: the gene has a reviewed relative).
    level
        Fields that the nearest number shares with one of the reaction's; 0 where the reaction has none.
    strength, share
        Of that number.
    top
        Strength of the gene's strongest number.
    word
        Index of the number among the words: the nearest, or the strongest where none is near; -1 where it is silent.
    annotated
        The reaction can be compared: it has an EC number, or the word names a reaction.
    """

    heard: np.ndarray
    level: np.ndarray
    strength: np.ndarray
    share: np.ndarray
    top: np.ndarray
    word: np.ndarray
    annotated: np.ndarray

    def take(self, rows: np.ndarray) -> EcSupport:
        """Some of the candidates."""
        return EcSupport(*(getattr(self, item.name)[rows] for item in fields(self)))


def ec_support(
    query: np.ndarray, reaction: np.ndarray, words: Sequence[EcWord], ecs: Sequence[tuple[str, ...]]
) -> EcSupport:
    """Compare the EC numbers of each candidate's gene with those of its reaction.

    Parameters
    ----------
    query, reaction
        c candidates: number of the gene; index into `ecs`.
    ecs
        EC numbers of each reaction; empty where it has none.
    """
    # Fifty relatives often name one number: the strongest word of each number is enough.
    of_gene: dict[int, dict[tuple[str, int], int]] = {}
    for number, word in enumerate(words):
        mine = of_gene.setdefault(word.gene, {})
        before = mine.get((word.ec, word.reaction))
        if before is None or (word.strength, word.share) > (words[before].strength, words[before].share):
            mine[(word.ec, word.reaction)] = number
    n = len(query)
    level, chosen = np.zeros(n, dtype=np.int64), np.full(n, -1)
    top = np.zeros(n)
    annotated = np.fromiter((bool(ecs[r]) for r in reaction.tolist()), bool, n)
    for row, (gene, r) in enumerate(zip(query.tolist(), reaction.tolist(), strict=True)):
        said = of_gene.get(gene)
        if said:
            level[row], _, chosen[row] = max((_level(words[w], r, ecs[r]), words[w].strength, w) for w in said.values())
            top[row] = max(words[w].strength for w in said.values())
    strength, share = (
        np.array([getattr(words[w], name) if w >= 0 else 0.0 for w in chosen.tolist()])
        for name in ("strength", "share")
    )
    annotated |= np.array([w >= 0 and words[w].reaction >= 0 for w in chosen.tolist()], dtype=bool)
    return EcSupport(chosen >= 0, level, strength, share, top, chosen, annotated)


def _level(word: EcWord, reaction: int, ecs: Sequence[str]) -> int:
    if word.reaction >= 0:
        return LEVELS if word.reaction == reaction else 0
    return max((level_shared(word.ec, ec) for ec in ecs), default=0)


def ec_candidates(
    words: Iterable[EcWord], reactions_of: Mapping[str, Sequence[int]], known: np.ndarray, reactions: int
) -> np.ndarray:
    """Pairs `gene · reactions + reaction` that only EC numbers propose, sorted; `known` are those of homologs."""
    pairs = {word.gene * reactions + r for word in words for r in reactions_of.get(word.ec, ())}
    pairs |= {word.gene * reactions + word.reaction for word in words if word.reaction >= 0}
    found = np.array(sorted(pairs), dtype=np.int64)
    return found[~np.isin(found, known)]


def ec_terms(letter: str, support: EcSupport) -> dict[str, np.ndarray]:
    """Columns of a source that gives EC numbers; all zero where it is silent."""
    heard, level = support.heard, support.level
    full, third = heard & (level == LEVELS), heard & (level == LEVELS - 1)
    other = heard & (level < LEVELS - 1) & support.annotated
    blank = heard & ~support.annotated
    columns = {
        "same": full,
        "same_strength": full * (support.strength - 0.5),
        "same_lag": full * np.log(np.maximum(support.share, 1e-3)),
        "same_ec3": third,
        "same_ec3_strength": third * (support.strength - 0.5),
        "other": other,
        "other_strength": other * (support.top - 0.5),
        "blank": blank,
        "blank_strength": blank * (support.top - 0.5),
    }
    return {f"{letter}_{name}": values.astype(float) for name, values in columns.items()}


@dataclass(frozen=True)
class Weighed:
    """c candidates after all sources.

    Attributes
    ----------
    log_odds
        c: combined.
    by_source
        Letter to c log-likelihood ratios: what each source but D adds; D's is the rest.
    threshold
        c: accepted from this probability on.
    """

    log_odds: np.ndarray
    by_source: dict[str, np.ndarray]
    threshold: np.ndarray


def weigh(fit: Calibration, columns: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> Weighed:
    """Log-odds of candidates by a fit whose terms are named after the letter of their source, `E_same`.

    Parameters
    ----------
    columns
        Every term's feature; those of sources that are silent are zero.
    weights
        Letter to what its terms are multiplied by; 1 where it is not named.
    """
    n = len(next(iter(columns.values())))
    total = np.full(n, fit.intercept)
    by_source: dict[str, np.ndarray] = {}
    for term in fit.terms:
        said = (term.value(columns[term.feature]) - term.mean) / term.scale * term.weight
        letter = term.feature.split("_", 1)[0]
        if letter in OTHER_SOURCES:
            said = said * weights.get(letter, 1.0)
            by_source[letter] = by_source.get(letter, np.zeros(n)) + said
        total = total + said
    return Weighed(total, by_source, np.full(n, fit.threshold))


@dataclass(frozen=True)
class Combination:
    """The fits for one set of sources: candidates of homologs, candidates of EC numbers alone, reactions."""

    with_homolog: Calibration
    without_homolog: Calibration | None
    reactions: Calibration


def combination(sources: Iterable[str]) -> Combination:
    """The fits for those of the sources E, A, N, P that spoke; for none of them source D's own."""
    letters = "".join(sorted(set(sources) & set(OTHER_SOURCES)))
    if not letters:
        return Combination(load_calibration("homologs"), None, load_calibration("reactions"))
    content = _fits()[letters]
    alone = content.get("without_homolog")
    return Combination(
        parse_calibration(content["with_homolog"]),
        parse_calibration(alone) if alone else None,
        parse_calibration(content["reactions"]),
    )


@cache
def _fits() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(evidence_resource(COMBINED).read_text(encoding="utf-8"))["sources"]
    return loaded


def columns_with_homolog(
    log_odds: np.ndarray,
    supports: Mapping[str, EcSupport],
    presence: Presence | None,
    neighbours: NeighbourSupport | None = None,
) -> dict[str, np.ndarray]:
    """Features of candidates that homologs propose, from D's log-odds and what the others say."""
    columns = {"homologs": log_odds}
    for letter, support in supports.items():
        columns |= ec_terms(letter, support)
    if presence is not None:
        there = presence.in_complex.astype(float)
        columns |= {"P_missing": there * (presence.share < 1), "P_share": there * (presence.share - 0.5)}
    if neighbours is not None:
        columns |= neighbour_terms(neighbours)
    return columns


def columns_without_homolog(
    supports: Mapping[str, EcSupport],
    priors: np.ndarray,
    best_of_gene: np.ndarray,
    options: np.ndarray,
    neighbours: NeighbourSupport | None = None,
) -> dict[str, np.ndarray]:
    """Features of candidates that only EC numbers propose.

    Parameters
    ----------
    priors
        c × PRIORS of the reactions.
    best_of_gene
        c: best log-odds among the gene's candidates of homologs; `NO_HOMOLOG` where it has none.
    options
        c: reactions that the gene's EC numbers lead to.
    """
    columns = {name: priors[:, i] for i, name in enumerate(PRIORS)}
    columns |= {"best_of_gene": best_of_gene, "options": options.astype(float)}
    for letter, support in supports.items():
        columns |= ec_terms(letter, support)
    if neighbours is not None:
        columns |= neighbour_terms(neighbours)
    return columns


def options_of(pairs: np.ndarray, reactions: int) -> np.ndarray:
    """For each pair of `ec_candidates`, the number of pairs of its gene."""
    if not len(pairs):
        return np.zeros(0)
    gene = pairs // reactions
    options: np.ndarray = np.bincount(gene)[gene]
    return options


def logit(p: np.ndarray | float) -> np.ndarray:
    """Log-odds, probabilities kept away from 0 and 1 by a thousandth: no table of predictions is surer than that."""
    kept = np.clip(p, 1e-3, 1 - 1e-3)
    odds: np.ndarray = np.log(kept / (1 - kept))
    return odds
