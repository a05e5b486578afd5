"""CarveMe's reaction scores from hits, to the last digit, without its pandas cost.

Machado et al. 2018: a database gene scores with its best hit; a protein (complex) with the mean over its subunits,
an absent one counting 0; a reaction with its best protein. Scores are divided by the median positive score and
rounded to one decimal. The rules that join database genes to proteins and reactions (BiGG's GPRs, shipped by CarveMe)
are sorted once per universe, so a genome costs a few array operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gemforest.bigg_rules import Rules, group_rules, load_rules

SPONTANEOUS = "spontaneous"

__all__ = ["SPONTANEOUS", "ReactionScore", "Rules", "group_rules", "load_rules", "score_reactions"]


@dataclass(frozen=True)
class ReactionScore:
    """One scored reaction; `complexes` are the subunit lists of its proteins that have a hit, each sorted."""

    reaction: str
    score: float
    normalized_score: float
    complexes: tuple[tuple[str, ...], ...]

    @property
    def gpr(self) -> str:
        """The rule in CarveMe's notation."""
        clauses = sorted({_clause(subunits) for subunits in self.complexes})
        return f"({' or '.join(clauses)})" if len(clauses) > 1 else clauses[0]


def score_reactions(
    rules: Rules, gene_ids: np.ndarray, targets: np.ndarray, bitscores: np.ndarray, median: float | None = None
) -> list[ReactionScore]:
    """Scores of all reactions with a hit, sorted by reaction.

    Parameters
    ----------
    rules
        Of r reactions.
    gene_ids, targets, bitscores
        h hits: the genome's gene, the database gene, the bit score. Among hits of one target with the same score the
        gene that comes first counts (CarveMe leaves it to chance).
    median
        By which scores are divided: that of the positive ones unless given.

    Returns
    -------
    list
        Empty where nothing matches. `normalized_score` is NaN where no reaction has a positive score.
    """
    best_hit = _best_hits(rules, targets, bitscores)
    found = best_hit >= 0
    gene_score = np.zeros(len(rules.genes))
    gene_score[found] = bitscores[best_hit[found]]
    gene_score[rules.spontaneous] = 0.0
    query = np.full(len(rules.genes), "", dtype=object)
    query[found] = gene_ids[best_hit[found]]
    query[rules.spontaneous] = SPONTANEOUS

    row_query = query[rules.row_gene]
    protein_score = _means(gene_score[rules.row_gene], rules.protein_start)
    protein_hit = np.logical_or.reduceat(row_query != "", rules.protein_start[:-1])
    score = np.maximum.reduceat(protein_score, rules.reaction_start[:-1])
    hit = np.logical_or.reduceat(protein_hit, rules.reaction_start[:-1])
    positive = score[hit & (score > 0)]
    if median is None:
        median = float(np.median(positive)) if len(positive) else float("nan")

    scored = []
    for r in np.flatnonzero(hit).tolist():
        proteins = range(rules.reaction_start[r], rules.reaction_start[r + 1])
        complexes = {
            tuple(sorted(q for q in row_query[rules.protein_start[p] : rules.protein_start[p + 1]] if q))
            for p in proteins
            if protein_hit[p]
        }
        value = float(score[r])
        # Python's round, not numpy's: they differ in the last digit, and CarveMe uses this one.
        scored.append(ReactionScore(rules.reactions[r], value, round(value / median, 1), tuple(sorted(complexes))))
    return scored


def _best_hits(rules: Rules, targets: np.ndarray, bitscores: np.ndarray) -> np.ndarray:
    """Row of the best hit of each database gene, -1 where there is none."""
    best = np.full(len(rules.genes), -1)
    if not len(targets):
        return best
    place = np.searchsorted(rules.genes, targets)
    known = rules.genes[np.minimum(place, len(rules.genes) - 1)] == targets
    rows = np.flatnonzero(known)
    order = rows[np.lexsort((rows, -bitscores[rows], place[rows]))]
    genes, first = np.unique(place[order], return_index=True)
    best[genes] = order[first]
    return best


def _means(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Mean of each run of `values`, to the last digit that of numpy on the run alone.

    `np.add.reduceat` adds in another order; runs of one length as rows of a matrix are added as each by itself.
    """
    sizes = np.diff(starts)
    means = np.empty(len(sizes))
    for size in np.unique(sizes):
        runs = np.flatnonzero(sizes == size)
        means[runs] = values[starts[runs][:, None] + np.arange(size)].sum(axis=1) / size
    return means


def _clause(subunits: tuple[str, ...]) -> str:
    return f"({' and '.join(subunits)})" if len(subunits) > 1 else subunits[0]
