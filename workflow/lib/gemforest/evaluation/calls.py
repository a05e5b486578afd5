"""From what a model says of a compound to one call of growth with a calibrated probability.

Three things speak: growth of the filled model by FBA, the graded `growth_score` of the screen (evidence along the
cheapest route into biomass), and how often other organisms grew on the compound (the prior). They are joined by a
logistic regression whose coefficients, scaling and prior counts are the resource `growth_calls.json`, fitted by
`scripts/fit_growth_calls.py` on the development organisms and CarveMe's Biolog organisms only. A compound that the
prior does not know has the rate over all compounds; where there is no model the prior speaks alone and the call says
so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gemforest.config import WORKFLOW

RESOURCE = "growth_calls.json"
LEAST_LOGIT = -6.0


@dataclass(frozen=True)
class Said:
    """What a model says of one compound; None for what it does not say."""

    fba_growth: bool | None = None
    score: float | None = None


@dataclass(frozen=True)
class Call:
    """One call; `basis` names what it rests on: combination | fba_and_prior | prior."""

    probability: float
    prior: float
    growth: bool
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
        Basis to {feature: weight}, features `one`, `prior` (log-odds), `fba` (1 growth, 0 no growth), `score`.
    cut
        Basis to the probability from which growth is called.
    score_cut
        Growth score from which the score alone calls growth.
    """

    counts: Mapping[str, tuple[float, float]]
    rate: float
    strength: float
    weights: Mapping[str, Mapping[str, float]]
    cut: Mapping[str, float]
    score_cut: float

    def prior(self, compound: str) -> float:
        """Share of organisms that grow on a compound, smoothed to the average compound."""
        grew, tried = self.counts.get(compound, (0.0, 0.0))
        return (grew + self.strength * self.rate) / (tried + self.strength)

    def call(self, compound: str, said: Said) -> Call:
        """Call growth on a compound."""
        prior = self.prior(compound)
        features = {"one": 1.0, "prior": logit(prior)}
        basis = "prior"
        if said.fba_growth is not None:
            features["fba"] = float(said.fba_growth)
            basis = "fba_and_prior"
            if said.score is not None and "combination" in self.weights:
                features["score"] = said.score
                basis = "combination"
        weights = self.weights[basis]
        total = sum(weight * features[name] for name, weight in weights.items())
        probability = 1.0 / (1.0 + math.exp(-total))
        return Call(probability, prior, probability >= self.cut[basis], basis)


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
        cut=raw["cut"],
        score_cut=raw["score_cut"],
    )
