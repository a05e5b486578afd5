"""From what a genome and its model say of a compound to one call of growth with a calibrated probability.

Two things speak: the prior, which is how often other organisms grew on the compound, shifted towards those that the
genome resembles (`kinship.py`); and the graded `growth_score` of the screen (evidence along the cheapest route into
biomass), less the genome's mean and weighed by how well databases cover the genome. Where there is no score, FBA's
answer stands in. They are joined by logistic regressions whose coefficients are the resource `growth_calls.json`,
fitted by `scripts/fit_growth_calls.py` on the development organisms and CarveMe's Biolog organisms only. A compound
that the prior does not know has the rate over all compounds. As many compounds of an organism are called growth as the
probabilities add up to, within limits of the cut; no label is used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gemforest.config import WORKFLOW

RESOURCE = "growth_calls.json"
LEAST_LOGIT = -6.0
LEAST_PRIOR, MOST_PRIOR = 0.03, 0.97


@dataclass(frozen=True)
class Said:
    """What is known of one compound; None for what is not.

    Attributes
    ----------
    shift
        What kinship adds to the prior.
    fba_growth
        The filled model grows.
    score
        Minus the root of minus the growth score, less the genome's mean of that, times the genome's coverage.
    """

    shift: float = 0.0
    fba_growth: bool | None = None
    score: float | None = None


@dataclass(frozen=True)
class Call:
    """One compound's probability of growth; `basis` is what it rests on: combination | fba_and_prior | prior."""

    probability: float
    prior: float
    basis: str


@dataclass(frozen=True)
class CallModel:
    """Coefficients of the calls.

    Attributes
    ----------
    counts
        Compound to (organisms that grew, organisms tried), weighted by how close the assay is.
    rate
        Share of growth over all compounds and organisms.
    strength
        Rows of the average compound that each compound's count is smoothed with.
    weights
        Basis to {feature: weight}, features `one`, `prior` (log-odds), `fba` (1 growth, 0 no growth), `score`; basis
        `score` has `one` and `standing` alone.
    cut_limits
        The cut between growth and no growth lies within these probabilities.
    """

    counts: Mapping[str, tuple[float, float]]
    rate: float
    strength: float
    weights: Mapping[str, Mapping[str, float]]
    cut_limits: tuple[float, float]

    def prior(self, compound: str) -> float:
        """Share of organisms that grow on a compound, smoothed to the average compound."""
        grew, tried = self.counts.get(compound, (0.0, 0.0))
        return (grew + self.strength * self.rate) / (tried + self.strength)

    def call(self, compound: str, said: Said) -> Call:
        """Probability of growth on a compound."""
        prior = min(MOST_PRIOR, max(LEAST_PRIOR, self.prior(compound) + said.shift))
        features = {"one": 1.0, "prior": logit(prior)}
        basis = "prior"
        if said.score is not None:
            features["score"] = said.score
            basis = "combination"
        elif said.fba_growth is not None:
            features["fba"] = float(said.fba_growth)
            basis = "fba_and_prior"
        total = sum(weight * features[name] for name, weight in self.weights[basis].items())
        return Call(1.0 / (1.0 + math.exp(-total)), prior, basis)

    def by_score(self, standing: float | None) -> float:
        """Probability of growth by the growth score alone; 0 without one."""
        if standing is None:
            return 0.0
        weights = self.weights["score"]
        return 1.0 / (1.0 + math.exp(-(weights["one"] + weights["standing"] * standing)))

    def cut(self, probabilities: Sequence[float]) -> float:
        """The probability from which one organism's compounds are called growth."""
        return expected_cut(probabilities, self.cut_limits)


def expected_cut(probabilities: Sequence[float], limits: tuple[float, float]) -> float:
    """As many are above the cut as the probabilities add up to; the cut stays within limits."""
    ranked = sorted(probabilities, reverse=True)
    expected = round(sum(ranked))
    cut = ranked[expected - 1] if expected else 1.0
    return min(limits[1], max(limits[0], cut))


def logit(probability: float) -> float:
    """Log-odds, held within +-6."""
    if probability <= 0.0:
        return LEAST_LOGIT
    if probability >= 1.0:
        return -LEAST_LOGIT
    return max(LEAST_LOGIT, min(-LEAST_LOGIT, math.log(probability / (1.0 - probability))))


def resource_path() -> Path:
    """The shipped coefficients."""
    return WORKFLOW.parent / "resources" / RESOURCE


@cache
def load_call_model(path: Path | None = None) -> CallModel:
    """Read the coefficients."""
    raw: dict[str, Any] = json.loads((path or resource_path()).read_text(encoding="utf-8"))
    return CallModel(
        counts={compound: (float(k), float(n)) for compound, (k, n) in raw["counts"].items()},
        rate=raw["rate"],
        strength=raw["strength"],
        weights=raw["weights"],
        cut_limits=(raw["cut_limits"][0], raw["cut_limits"][1]),
    )
