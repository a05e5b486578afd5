"""What calls add up to: the probability that a genome has a reaction, and that a gene does none that is proposed.

The best call counts most, the others add (noisy-or), and a reaction that is common among the genome's kin needs less.
Fitted like the sources, on lineages that were hidden (`reactions.json`, `genes.json`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

REACTION_FEATURES = ("best_log_odds", "noisy_or_log_odds", "log_kin", "log_calls")
GENE_FEATURES = ("best_log_odds", "noisy_or_log_odds", "log_calls")


@dataclass(frozen=True)
class ReactionRows:
    """Reactions with at least one call: index into `Reference.reactions`, features r × len(REACTION_FEATURES)."""

    reaction: np.ndarray
    features: np.ndarray


def reaction_features(query: np.ndarray, reaction: np.ndarray, log_odds: np.ndarray, kin: np.ndarray) -> ReactionRows:
    """Gather the calls of each reaction.

    Parameters
    ----------
    query, reaction, log_odds
        c calls.
    kin
        c: share of the genome's kin that has the reaction (the same for all calls of one reaction).
    """
    found, of, gathered = _gathered(reaction, log_odds)
    share = np.zeros(len(found))
    np.maximum.at(share, of, kin)
    best, noisy_or, calls = gathered
    return ReactionRows(found, np.column_stack([best, noisy_or, np.log(share + 0.02), calls]))


def gene_features(query: np.ndarray, log_odds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Genes with at least one of c calls, and their features g × len(GENE_FEATURES)."""
    genes, _, gathered = _gathered(query, log_odds)
    return genes, np.column_stack(gathered)


def _gathered(key: np.ndarray, log_odds: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Keys, the key's place for each call, and by key: best log-odds, those of any being right, log of the number."""
    found, of = np.unique(key, return_inverse=True)
    best = np.full(len(found), -np.inf)
    np.maximum.at(best, of, log_odds)
    log_none = np.bincount(of, -np.logaddexp(0, log_odds), minlength=len(found))
    # log(1 - q) - log(q), q the probability that no call is right, without losing digits where q is near 0 or 1.
    noisy_or = np.log(-np.expm1(np.minimum(log_none, -1e-12))) - log_none
    return found, of, (best, noisy_or, np.log(np.bincount(of, minlength=len(found))))
