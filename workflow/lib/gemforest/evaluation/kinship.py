"""What a genome's hits say of it as a whole: how it resembles labelled organisms, and how well databases cover it.

The fingerprint of a genome is the log-odds of BiGG's reactions by its best hits, less the mean of the labelled
organisms and its own mean, of length one: the scalar product of two fingerprints is their kinship. How growth on a
compound varies with kinship is fitted by kernel ridge regression and shipped as coefficients on the few axes that the
labelled organisms span, so an organism of their kin gets its compounds' priors shifted towards theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gemforest.bigg_rules import Rules, load_rules
from gemforest.config import WORKFLOW
from gemforest.universe import load_universe

UNIVERSE = "bacteria"
HALF_IDENTITY, IDENTITY_STEP = 38.0, 7.0
SHORT_ALIGNMENT = 60.0
LEAST, MOST, WITHOUT_HIT, SPONTANEOUS = 0.001, 0.995, 0.02, 0.99
COVERED_FROM, COVERED_TO = 38.0, 58.0
"""Median identity of best hits, percent, at which evidence begins to count and counts in full."""

SAME_GENOME = 0.97
"""A fitted genome lies in the span of the axes (1); another species reaches less."""


@dataclass(frozen=True)
class GenomeFacts:
    """Log-odds of the rules' reactions (r), and how much evidence from hits counts (0 to 1)."""

    log_odds: np.ndarray
    coverage: float


@dataclass(frozen=True)
class KinshipModel:
    """Prior of growth by compound and kinship.

    Attributes
    ----------
    mean
        r, mean log-odds over the labelled organisms.
    axes
        r x k, orthonormal.
    slopes
        Compound to k coefficients, growth per unit along each axis.
    """

    mean: np.ndarray
    axes: np.ndarray
    slopes: Mapping[str, np.ndarray]

    def shift(self, compound: str, facts: GenomeFacts) -> float:
        """What kinship adds to the share of organisms that grow on the compound; 0 for one that is not known."""
        slope = self.slopes.get(compound)
        return 0.0 if slope is None else float(slope @ (fingerprint(facts.log_odds, self.mean) @ self.axes))

    def knows(self, facts: GenomeFacts) -> bool:
        """Whether the genome is one of those the model was fitted on, or all but the same: measures are in-sample."""
        return float(np.linalg.norm(fingerprint(facts.log_odds, self.mean) @ self.axes)) > SAME_GENOME


def genome_facts(rules: Rules, hits: pa.Table) -> GenomeFacts:
    """Facts of a genome from its hits (columns gene_id, target, identity_percent, alignment_length)."""
    probability = reaction_probabilities(rules, gene_probabilities(rules, hits))
    best = hits.group_by("gene_id").aggregate([("identity_percent", "max")])["identity_percent_max"]
    median = pc.quantile(best, 0.5)[0].as_py() if len(best) else 0.0
    coverage = (float(median or 0.0) - COVERED_FROM) / (COVERED_TO - COVERED_FROM)
    return GenomeFacts(np.log(probability / (1.0 - probability)), min(1.0, max(0.0, coverage)))


def gene_probabilities(rules: Rules, hits: pa.Table) -> np.ndarray:
    """Of each database gene of the rules, from its best hit: logistic in identity, less for short alignments.

    These numbers are part of the fitted fingerprints, and rougher than what the evidence stage says.
    """
    identity = hits["identity_percent"].to_numpy().astype(np.float64)
    length = hits["alignment_length"].to_numpy().astype(np.float64)
    chance = 1.0 / (1.0 + np.exp(-(identity - HALF_IDENTITY) / IDENTITY_STEP))
    chance = np.clip(chance, LEAST, MOST) * np.clip(length / SHORT_ALIGNMENT, 0.05, 1.0)
    targets = np.array(hits["target"].to_pylist(), dtype=str)
    place = np.minimum(np.searchsorted(rules.genes, targets), len(rules.genes) - 1)
    known = rules.genes[place] == targets if len(targets) else np.zeros(0, dtype=bool)
    # A hit of another tool may come without an identity: it says that there is one, and no more.
    known &= ~np.isnan(chance)
    probability = np.zeros(len(rules.genes))
    np.maximum.at(probability, place[known], chance[known])
    probability[probability == 0.0] = WITHOUT_HIT
    probability[rules.spontaneous] = SPONTANEOUS
    return probability


def reaction_probabilities(rules: Rules, genes: np.ndarray) -> np.ndarray:
    """Of each reaction of the rules: its best protein's mean of geometric mean and weakest subunit."""
    logs = np.log(genes)[rules.row_gene]
    starts = rules.protein_start
    mean = np.add.reduceat(logs, starts[:-1]) / np.diff(starts)
    weakest = np.minimum.reduceat(logs, starts[:-1])
    return np.asarray(np.exp(np.maximum.reduceat(0.5 * (mean + weakest), rules.reaction_start[:-1])))


def fingerprint(log_odds: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """r, of length one; 0 where a genome has nothing of its own."""
    own = log_odds - mean
    own = own - own.mean()
    length = float(np.linalg.norm(own))
    return np.asarray(own / length if length > 0.0 else own)


@lru_cache(maxsize=1)
def kinship_rules(cache: Path) -> Rules:
    """The rules that fingerprints are made of."""
    return load_rules(load_universe(UNIVERSE, cache).network.reactions)


def resource_path() -> Path:
    """The shipped axes and slopes."""
    return WORKFLOW.parent / "resources" / "growth_kinship.npz"


@lru_cache(maxsize=1)
def load_kinship() -> KinshipModel:
    """Read the shipped axes and slopes."""
    with np.load(resource_path(), allow_pickle=False) as file:
        compounds = file["compounds"].tobytes().decode().split("\n")
        slopes = dict(zip(compounds, file["slopes"].astype(np.float64), strict=True))
        return KinshipModel(file["mean"].astype(np.float64), file["axes"].astype(np.float64), slopes)


def write_kinship(path: Path, model: KinshipModel) -> None:
    """Write axes and slopes, four bytes a number."""
    compounds = sorted(model.slopes)
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            compounds=np.frombuffer("\n".join(compounds).encode(), dtype=np.uint8),
            slopes=np.array([model.slopes[c] for c in compounds], dtype=np.float32),
            mean=model.mean.astype(np.float32),
            axes=model.axes.astype(np.float32),
        )
