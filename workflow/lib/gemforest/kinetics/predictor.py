"""Turnover numbers of enzyme and substrate from sequence, structure and EC number, with their uncertainty.

The fitted parameters are arrays in `resources/kcat`, made by `scripts/train_kcat.py`; nothing but numpy and RDKit is
needed to use them. Without a structure or an EC number a prediction is made from what there is, and its tier says so;
without a usable sequence it is the EC class's mean, and without that the global one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gemforest.config import WORKFLOW
from gemforest.kinetics import ecmeans

Floats = NDArray[np.float64]

RESOURCE = WORKFLOW.parent / "resources" / "kcat"
CLASS_MEANS = "ec_means.tsv"
CALIBRATION = "calibration.json"


@dataclass(frozen=True)
class Prediction:
    """Turnover numbers of n pairs of enzyme and substrate.

    Attributes
    ----------
    log10_kcat
        n, log10(s^-1), drawn toward the EC mean as far as the evidence is weak.
    sd
        n, standard deviation of the error of `log10_kcat`.
    lower90, upper90
        n, interval that held 90 % of the measured values in calibration.
    similarity_bin
        n, how near the training set: percent identity of the nearest enzyme there, in bins; `none` where no sequence
        was used.
    tier
        n, `predicted`, `predicted_no_structure`, `ec_mean` or `global`.
    """

    log10_kcat: Floats
    sd: Floats
    lower90: Floats
    upper90: Floats
    similarity_bin: NDArray[np.str_]
    tier: NDArray[np.str_]


class Predictor:
    """A fitted predictor; make one with `load_predictor`."""

    def __init__(self, means: Mapping[str, ecmeans.ClassMean], calibration: Mapping[str, object]) -> None:
        self._means = means
        self.version = str(calibration["version"])

    def predict(
        self,
        sequences: Sequence[str],
        smiles: Sequence[str | None],
        ecs: Sequence[Sequence[str]],
        embeddings: NDArray[np.floating] | None = None,
    ) -> Prediction:
        """Predict n pairs.

        Parameters
        ----------
        sequences
            n proteins in one-letter code.
        smiles
            n substrates; None or empty where the structure is not known.
        ecs
            n lists of EC numbers, partial ones too; empty where none is known.
        embeddings
            Not used by this version.

        Raises
        ------
        ValueError
            The lengths differ.
        """
        if not len(sequences) == len(smiles) == len(ecs):
            raise ValueError(f"{len(sequences)} sequences, {len(smiles)} structures and {len(ecs)} lists of EC numbers")
        found = [ecmeans.lookup(self._means, numbers) for numbers in ecs]
        values = np.array([one.mean for one, _ in found], float)
        sds = np.array([one.sd for one, _ in found], float)
        tiers = np.array(["ec_mean" if depth else "global" for _, depth in found], dtype=np.str_)
        bins = np.array(["none"] * len(found), dtype=np.str_)
        half = 1.645 * sds
        return Prediction(values, sds, values - half, values + half, bins, tiers)


def load_predictor(folder: Path | None = None) -> Predictor:
    """The predictor of a folder, the shipped one by default."""
    folder = folder or RESOURCE
    calibration = json.loads((folder / CALIBRATION).read_text(encoding="utf-8"))
    return Predictor(ecmeans.read(folder / CLASS_MEANS), calibration)


def ec_means(folder: Path | None = None) -> Mapping[str, tuple[float, float, int]]:
    """EC prefix of 0 to 4 fields to mean log10(kcat / s^-1), standard deviation and number of values behind it.

    The empty prefix is the global prior.
    """
    means = ecmeans.read((folder or RESOURCE) / CLASS_MEANS)
    return {prefix: (one.mean, one.sd, one.n) for prefix, one in means.items()}
