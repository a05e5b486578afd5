"""Measures of agreement between calls and labels, and their uncertainty over organisms.

Matthews correlation: B. W. Matthews, Biochim. Biophys. Acta 405, 442-451 (1975); 0 where a row or column of the
confusion matrix is empty. Area under the ROC curve: the Mann-Whitney statistic, ties counting half (J. A. Hanley and
B. J. McNeil, Radiology 143, 29-36, 1982). Brier score: G. W. Brier, Mon. Weather Rev. 78, 1-3 (1950). Organisms, not
rows, are what is drawn at random, so the bootstrap draws organisms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Confusion:
    """Counts of calls against labels."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    @property
    def total(self) -> int:
        """All rows."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def mcc(self) -> float:
        """Matthews correlation coefficient; 0 where it is not defined."""
        product = (self.tp + self.fp) * (self.tp + self.fn) * (self.tn + self.fp) * (self.tn + self.fn)
        return (self.tp * self.tn - self.fp * self.fn) / math.sqrt(product) if product else 0.0

    @property
    def accuracy(self) -> float:
        """Share of rows called right; NaN without rows."""
        return (self.tp + self.tn) / self.total if self.total else math.nan

    @property
    def sensitivity(self) -> float:
        """Share of the positives called positive; NaN without positives."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else math.nan

    @property
    def specificity(self) -> float:
        """Share of the negatives called negative; NaN without negatives."""
        return self.tn / (self.tn + self.fp) if self.tn + self.fp else math.nan

    def as_record(self) -> dict[str, Any]:
        """For JSON; a share that is not defined is null."""
        shares = {name: getattr(self, name) for name in ("mcc", "accuracy", "sensitivity", "specificity")}
        counts = {"n": self.total, "tp": self.tp, "fp": self.fp, "fn": self.fn, "tn": self.tn}
        return counts | {name: number(value) for name, value in shares.items()}


def confusion(truth: Sequence[bool] | np.ndarray, called: Sequence[bool] | np.ndarray) -> Confusion:
    """Count calls against labels, both of length n."""
    actual, said = np.asarray(truth, dtype=bool), np.asarray(called, dtype=bool)
    if actual.shape != said.shape:
        raise ValueError(f"{len(said)} calls for {len(actual)} labels")
    return Confusion(
        tp=int((actual & said).sum()),
        fp=int((~actual & said).sum()),
        fn=int((actual & ~said).sum()),
        tn=int((~actual & ~said).sum()),
    )


def auc(truth: Sequence[bool] | np.ndarray, scores: Sequence[float] | np.ndarray) -> float:
    """Area under the ROC curve of n scores; NaN where one class is empty."""
    actual, score = np.asarray(truth, dtype=bool), np.asarray(scores, dtype=float)
    positives, negatives = int(actual.sum()), int((~actual).sum())
    if not positives or not negatives:
        return math.nan
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    # Mean rank of each run of equal scores, ranks from 1.
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[place]
    return float((ranks[actual].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def brier(truth: Sequence[bool] | np.ndarray, probabilities: Sequence[float] | np.ndarray) -> float:
    """Mean squared difference of n probabilities from what happened; NaN without rows."""
    difference = np.asarray(probabilities, dtype=float) - np.asarray(truth, dtype=float)
    return float((difference**2).mean()) if len(difference) else math.nan


def macro(values: Sequence[float]) -> float:
    """Mean over organisms of what is defined; NaN where nothing is."""
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def bootstrap_interval(
    organisms: Sequence[str],
    measure: Callable[[Sequence[str]], float],
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of a measure over organisms drawn with replacement; NaN for fewer than two."""
    if len(organisms) < 2:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    drawn = [
        measure([organisms[k] for k in generator.integers(0, len(organisms), len(organisms))]) for _ in range(draws)
    ]
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def macro_interval(values: Mapping[str, float], draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Interval of the mean over organisms; values by organism."""
    return bootstrap_interval(sorted(values), lambda chosen: macro([values[name] for name in chosen]), draws, seed)


def number(value: float) -> float | None:
    """A value for JSON, which knows no NaN; six digits after the point."""
    return None if math.isnan(value) else round(float(value), 6)
