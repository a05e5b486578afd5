"""Proteins without any database hit whose vectors lie near known enzymes: reactions proposed, and how few are right.

The calibration (`resources/evidence/dark.json`) is fitted on whole lineages that were hidden from the database, with
the proteins of whole proteomes that no model names as wrong: most proteins without a homolog are no enzymes.
`evidence.dark: propose` fills the table `dark_enzymes` and leaves the draft alone; `use` counts the proposals as calls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gemforest.evidence.calibration import load_calibration, probability
from gemforest.evidence.homologs import PRIORS, Reference
from gemforest.evidence.neighbours import Neighbours, NeighbourSupport, proposals
from gemforest.tables import TABLES

PARAMETERS = "dark.json"
LEAST_COSINE = 0.5
"""A protein whose nearest neighbour is farther is not said to lie near known enzymes."""

MOST_MARGIN = 0.35
"""Beyond it the fit has seen nothing: a larger margin says no more."""

MOST = 3
"""Proposals of one protein that the table keeps, the likeliest."""


@dataclass(frozen=True)
class Encoded:
    """What the encoder brings to a genome's calls.

    Attributes
    ----------
    near
        Neighbours of all g genes.
    listened
        Source N is one of `evidence.sources`.
    dark
        g, bool: proteins that no other source knows; None where nobody asks for dark enzymes.
    use_dark
        Their proposals count as calls.
    """

    near: Neighbours
    listened: bool
    dark: np.ndarray | None
    use_dark: bool = False


@dataclass(frozen=True)
class DarkCalls:
    """c proposals: number of the gene, index into `Reference.reactions`, log-odds, and the neighbours' say."""

    query: np.ndarray
    reaction: np.ndarray
    log_odds: np.ndarray
    support: NeighbourSupport
    version: str


def dark_columns(support: NeighbourSupport, priors: np.ndarray) -> dict[str, np.ndarray]:
    """Features of proposals; `priors` are c × PRIORS of their reactions."""
    return {
        "margin": np.minimum(support.margin, MOST_MARGIN),
        "kin_with_reaction": priors[:, PRIORS.index("kin_with_reaction")],
    }


def propose(near: Neighbours, dark: np.ndarray, priors: np.ndarray, reference: Reference) -> DarkCalls:
    """The likeliest reactions of dark proteins that lie near known enzymes.

    Parameters
    ----------
    near
        Neighbours of all g genes.
    dark
        g, bool: proteins without a hit in any database.
    priors
        reactions × PRIORS.
    """
    fit = load_calibration("dark")
    genes = np.flatnonzero(dark & (near.cosine[:, 0] >= LEAST_COSINE))
    pairs, support = proposals(Neighbours(near.target[genes], near.cosine[genes]), reference)
    row, reaction = np.divmod(pairs, len(reference.reactions))
    log_odds = fit.log_odds(dark_columns(support, priors[reaction])) if len(pairs) else np.zeros(0)
    order = np.lexsort((reaction, -log_odds, row))
    rank = np.arange(len(order)) - np.searchsorted(row[order], row[order])
    kept = np.sort(order[rank < MOST])
    return DarkCalls(genes[row[kept]], reaction[kept], log_odds[kept], support.take(kept), fit.version)


def dark_table(
    genome_id: str, found: DarkCalls, gene_ids: pa.Array, ecs: dict[str, tuple[str, ...]], reference: Reference
) -> pa.Table:
    """Rows of `dark_enzymes`."""
    names = reference.reactions[found.reaction].tolist()
    columns = {
        "genome_id": pa.array([genome_id] * len(names), pa.string()),
        "gene_id": gene_ids.take(pa.array(found.query)),
        "neighbour": pa.array(reference.genes[found.support.target].tolist(), pa.string()),
        "distance": pa.array(1.0 - found.support.cosine, pa.float64()),
        "reaction": pa.array(names, pa.string()),
        "ec": pa.array([list(ecs.get(name, ())) for name in names], pa.list_(pa.string())),
        "probability": pa.array(probability(found.log_odds), pa.float64()),
    }
    return pa.table(columns, schema=TABLES["dark_enzymes"].schema)
