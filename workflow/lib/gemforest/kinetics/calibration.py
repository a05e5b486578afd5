"""From the parts of a prediction to one value and its interval, as learnt from predictions out of fold.

The value is the best linear prediction from the parts and the EC class's mean: each part is drawn toward the class
mean as far as its own error asks, separately for proteins far from and near to the training set and without a
structure. The spread is a non-negative combination of what tells of error (spread within the class, disagreement of
the parts, whether the protein is an engineered variant). Intervals are split-conformal: the 90 % quantile of
|error| / spread, by bins of similarity to the training set (Vovk 2012, Mondrian conformal prediction; Lei et al. 2018,
locally weighted).

Three in five rows of the training table are engineered variants (mutants), whose turnover is lower than that of natural
enzymes and less predictable. They teach what tells enzymes apart, but a genome has natural ones: `variant` enters
value and spread here, is 0 for genomes, and class means are moved to natural enzymes' by the same evidence. Where
nobody knows (`gemforest evaluate kcat` on a table that does not say) it is the share of variants in training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemforest.kinetics.regression import NEAR, Parts

Floats = NDArray[np.float64]

IDENTITY_CUTS = (40, 60, 80)
IDENTITY_BINS = ("<40", "40-60", "60-80", ">80")
NO_STRUCTURE = "no_structure"
FAR, NEARBY = "far", "near"
LEVEL = 0.9
LEAST_IN_A_BIN = 100
_FLOOR = 0.05


@dataclass(frozen=True)
class Calibrated:
    """Values of n pairs: log10(s^-1), standard deviation, half width of the 90 % interval, bin of similarity."""

    value: Floats
    sd: Floats
    half: Floats
    bins: NDArray[np.str_]


def fit(parts: Parts, truth: Floats, structured: NDArray[np.bool_], cosine_cuts: Sequence[float]) -> dict[str, Any]:
    """Calibrate on n predictions out of fold.

    Parameters
    ----------
    parts
        Predictions of fits that had not seen the rows.
    truth
        n, measured log10(s^-1).
    structured
        n, whether the substrate's structure was used.
    cosine_cuts
        Cosines of sketches that stand for `IDENTITY_CUTS`.
    """
    from scipy.optimize import nnls

    found: dict[str, Any] = {
        "cosine_cuts": list(cosine_cuts),
        "weights": {},
        "spread": {},
        "quantile": {},
        "factor": {},
    }
    natural = parts.variant == 0.0
    found["variant_share"] = round(float(np.mean(parts.variant)), 6)
    apart = (truth - parts.class_mean)[natural]
    found["class_shift"] = round(float(apart.mean()), 6)
    found["class_factor"] = round(float(apart.std() / np.sqrt(np.mean(parts.class_sd[natural] ** 2))), 6)
    regimes = _regimes(parts, structured)
    for regime in sorted(set(regimes.tolist())):
        chosen = regimes == regime
        columns = _columns(parts, regime)[chosen]
        weights, *_ = np.linalg.lstsq(columns, truth[chosen], rcond=None)
        found["weights"][regime] = [round(float(value), 6) for value in weights]
        error = truth[chosen] - columns @ weights
        found["spread"][regime] = [round(float(v), 6) for v in nnls(_tells(parts)[chosen], error**2)[0]]
    value, spread = _value(found, parts, regimes)
    ratio = np.abs(truth - value) / spread
    keys = _keys(parts, structured, cosine_cuts)
    for key in (*IDENTITY_BINS, NO_STRUCTURE):
        chosen = _enough(keys, key)
        if chosen.any():
            rank = min(math.ceil((chosen.sum() + 1) * LEVEL) / chosen.sum(), 1.0)
            found["quantile"][key] = round(float(np.quantile(ratio[chosen], rank)), 6)
            found["factor"][key] = round(float(np.sqrt(np.mean(ratio[chosen] ** 2))), 6)
    return found


def apply(calibration: Mapping[str, Any], parts: Parts, structured: NDArray[np.bool_]) -> Calibrated:
    """Values and intervals of n pairs."""
    value, spread = _value(calibration, parts, _regimes(parts, structured))
    keys = _keys(parts, structured, calibration["cosine_cuts"])
    quantile = np.array([calibration["quantile"][key] for key in keys.tolist()], float)
    factor = np.array([calibration["factor"][key] for key in keys.tolist()], float)
    return Calibrated(value, factor * spread, quantile * spread, similarity_bins(parts, calibration["cosine_cuts"]))


def similarity_bins(parts: Parts, cosine_cuts: Sequence[float]) -> NDArray[np.str_]:
    """N names of `IDENTITY_BINS`."""
    return np.array(IDENTITY_BINS)[np.searchsorted(np.array(cosine_cuts), parts.similarity, side="right")]


def _enough(keys: NDArray[np.str_], key: str) -> NDArray[np.bool_]:
    """Rows of a bin; bins beside it are added, the less similar first, until there are enough."""
    chosen: NDArray[np.bool_] = np.asarray(keys == key, bool)
    if key == NO_STRUCTURE:
        return chosen
    place = IDENTITY_BINS.index(key)
    beside = sorted(IDENTITY_BINS, key=lambda name: (abs(IDENTITY_BINS.index(name) - place), IDENTITY_BINS.index(name)))
    for name in beside:
        if chosen.sum() >= LEAST_IN_A_BIN:
            break
        chosen = chosen | (keys == name)
    return chosen


def _regimes(parts: Parts, structured: NDArray[np.bool_]) -> NDArray[np.str_]:
    return np.asarray(np.where(parts.similarity >= NEAR, NEARBY, np.where(structured, FAR, NO_STRUCTURE)), np.str_)


def _keys(parts: Parts, structured: NDArray[np.bool_], cosine_cuts: Sequence[float]) -> NDArray[np.str_]:
    far = parts.similarity < NEAR
    return np.asarray(np.where(far & ~structured, NO_STRUCTURE, similarity_bins(parts, cosine_cuts)), np.str_)


def _columns(parts: Parts, regime: str) -> Floats:
    columns = [np.ones(len(parts.general)), parts.variant, parts.class_mean, parts.general, parts.network]
    return np.column_stack([*columns, parts.local] if regime == NEARBY else columns)


def _tells(parts: Parts) -> Floats:
    apart = (parts.general - parts.network) ** 2
    return np.column_stack([np.ones(len(apart)), parts.variant, parts.class_sd**2, apart, parts.spread**2])


def _value(calibration: Mapping[str, Any], parts: Parts, regimes: NDArray[np.str_]) -> tuple[Floats, Floats]:
    value, spread = np.zeros(len(regimes)), np.ones(len(regimes))
    for regime in sorted(set(regimes.tolist())):
        chosen = regimes == regime
        value[chosen] = _columns(parts, regime)[chosen] @ np.array(calibration["weights"][regime])
        variance = _tells(parts)[chosen] @ np.array(calibration["spread"][regime])
        spread[chosen] = np.sqrt(np.maximum(variance, _FLOOR))
    return value, spread
