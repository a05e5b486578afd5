"""From features to probabilities: fitted parameters, read from `resources/evidence/`, applied without any framework.

A source's calibration is a regularised logistic regression whose every term is written out in JSON: feature, whether
its logarithm is taken, mean, scale, weight. `scripts/fit_evidence.py` fits it on BiGG models whose whole clade is
hidden from the reference, so that a probability means what it says on a lineage that the database does not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from gemforest.config import WORKFLOW


@dataclass(frozen=True)
class Term:
    """One term: (x - mean) / scale · weight, with x the feature, or log(feature + offset) where an offset is given."""

    feature: str
    offset: float | None
    mean: float
    scale: float
    weight: float

    def value(self, feature: np.ndarray) -> np.ndarray:
        """The term's x for values of the feature."""
        return feature if self.offset is None else np.log(feature + self.offset)


@dataclass(frozen=True)
class Calibration:
    """A logistic regression.

    Attributes
    ----------
    version
        Of the fit; goes into the evidence list.
    intercept
        Log-odds where all terms are at their means.
    threshold
        Calls from this probability on are accepted: half the F1 that the folds reached, where micro F1 is largest
        for calibrated probabilities (Lipton, Elkan & Naryanaswamy 2014).
    prior_log_odds
        Of a candidate of which nothing is known; what a source adds is counted from here.
    """

    version: str
    terms: tuple[Term, ...]
    intercept: float
    threshold: float
    prior_log_odds: float

    def log_odds(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Log-odds of n candidates, from the columns of their features."""
        total = np.full(len(next(iter(columns.values()))), self.intercept)
        for term in self.terms:
            total += (term.value(columns[term.feature]) - term.mean) / term.scale * term.weight
        return total


def probability(log_odds: np.ndarray) -> np.ndarray:
    """The logistic function."""
    odds: np.ndarray = np.exp(-log_odds)
    return 1.0 / (1.0 + odds)


def evidence_resource(name: str) -> Path:
    """A file of `resources/evidence`."""
    return WORKFLOW.parent / "resources" / "evidence" / name


def evidence_digests(*names: str) -> dict[str, str]:
    """Digests of files of `resources/evidence`, for stage keys."""
    return {name: sha256(evidence_resource(name).read_bytes()).hexdigest() for name in names}


@cache
def load_calibration(name: str) -> Calibration:
    """The calibration of a source, from `resources/evidence/NAME.json`."""
    return parse_calibration(json.loads(evidence_resource(f"{name}.json").read_text(encoding="utf-8")))


def parse_calibration(content: Mapping[str, Any]) -> Calibration:
    """A calibration from its JSON."""
    return Calibration(
        version=content["version"],
        terms=tuple(Term(**term) for term in content["terms"]),
        intercept=content["intercept"],
        threshold=content["threshold"],
        prior_log_odds=content["prior_log_odds"],
    )
